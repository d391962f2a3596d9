"""Checks the arguments of `load_dataset` before anything is built or read."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

import datasets

from qi_datasets.errors import NamedArgument, OptionError, UnknownSetError, one_line
from qi_datasets.loading.grid import COLUMNS as GRID_COLUMNS
from qi_datasets.loading.grid import with_grid
from qi_datasets.loading.pairs import COLUMNS as PAIR_COLUMNS
from qi_datasets.loading.pairs import with_pairs
from qi_datasets.loading.views import with_border, with_shift
from qi_datasets.registry import nearest
from qi_datasets.set_spec import SetSpec
from qi_datasets.specs import BORDER, BORDER_COLUMNS, GRID, PAIRS, SHIFT

CONCERNS: Mapping[str, Callable[[SetSpec], bool]] = {
    "border": lambda spec: spec.takes_border,
    "size": lambda spec: spec.size_option is not None and spec.size_option.name == "size",
    "canvas": lambda spec: spec.size_option is not None and spec.size_option.name == "canvas",
    "grid": lambda spec: spec.takes_grid,
    "mode": lambda spec: bool(spec.views),
    "shift": lambda spec: bool(spec.views),
    "imagenet_val": lambda spec: spec.needs_images,
    # `subset` is not in the table of sets, and takes these arguments.
    "imagenet_train": lambda spec: False,
    "per_class": lambda spec: False,
}
"""Arguments that only some sets take, each with its test; all other arguments are for every set."""

EVERYWHERE = ("path", "name", "split", "streaming", "output", "repo_id", "revision")

STOCK = (
    *("cache_dir", "features", "download_config", "download_mode", "verification_mode", "keep_in_memory"),
    *("save_infos", "num_proc", "storage_options"),
    *("columns", "filters", "batch_size", "fragment_scan_options", "on_bad_files"),
)
"""Arguments of `datasets.load_dataset` for Parquet files, which are passed on."""

WITHOUT_EFFECT = ("data_dir", "data_files", "token")
"""Arguments of `datasets.load_dataset` that name the data; a set's name and `output` do so here."""

NOT_STREAMED = ("num_proc", "keep_in_memory")

BORDER_CONFIG = re.compile(r"border_(\d{1,9})", re.ASCII)


class LoadOptions(TypedDict, total=False):
    """The arguments of `load_dataset` besides `path`, `name`, `split` and `streaming`, for type checkers."""

    border: int | None
    grid: int | None
    size: int | None
    canvas: int | None
    mode: str | None
    shift: int | None
    output: str | Path | None
    imagenet_val: str | Path | None
    imagenet_train: str | Path | None
    per_class: int | None
    repo_id: str | None
    revision: str | None
    cache_dir: str | None
    features: datasets.Features | None
    download_config: datasets.DownloadConfig | None
    download_mode: datasets.DownloadMode | str | None
    verification_mode: datasets.VerificationMode | str | None
    keep_in_memory: bool | None
    save_infos: bool
    num_proc: int | None
    storage_options: dict[str, Any] | None
    columns: list[str] | None
    filters: Any
    batch_size: int | None
    fragment_scan_options: Any
    on_bad_files: str


View = Callable[[Any], Any]
"""Computes a view of a stored data set of one split, map-style or iterable."""


def check_concerned(spec: SetSpec, given: Mapping[str, object]) -> None:
    """Raises OptionError for a given argument that has no effect on this set."""
    for option, value in given.items():
        if value is not None and not CONCERNS[option](spec):
            raise OptionError(
                f"{spec.name} takes no {option}, but ",
                NamedArgument(option, f"{value!r}"),
                " is given; leave it out",
                code="no-effect",
            )


def choose_view(
    spec: SetSpec,
    name: str | None = None,
    border: int | None = None,
    mode: str | None = None,
    shift: int | None = None,
    grid: int | None = None,
    canvas: int | None = None,
) -> View | None:
    """Returns the function that makes the requested view of the stored set; None for the stored images themselves.

    Args:
        spec: The set.
        name: The name of a config, None for the default one.
        border: As in `load_dataset`.
        mode: As in `load_dataset`.
        shift: As in `load_dataset`.
        grid: As in `load_dataset`.
        canvas: As in `load_dataset`.
    """
    pixels = choose_border(spec, name, border)
    if grid is not None:
        cells = GRID.check(grid)
        if canvas is not None:
            raise OptionError(
                NamedArgument("grid", grid),
                " has a canvas of its own; leave ",
                NamedArgument("canvas", f"{canvas!r}"),
                " out",
                code="contradiction",
            )
        return partial(with_grid, grid=cells, border=pixels)
    if mode is not None and mode not in spec.views:
        hint = nearest(mode, dict.fromkeys(spec.views))
        raise OptionError(
            f"{spec.name} has no mode {mode!r}{hint}; there are {', '.join(spec.views)}", code="unknown-mode"
        )
    if shift is not None and mode in (None, PAIRS):
        moving = ", ".join(view for view in spec.views if view != PAIRS)
        raise OptionError(
            f"{spec.name} takes no shift with mode={mode!r}, but shift={shift!r} is given; give mode= one of {moving}",
            code="no-effect",
        )
    if mode is None:
        return partial(with_border, border=pixels) if pixels else None
    if mode == PAIRS:
        return with_pairs
    return partial(with_shift, mode=mode, shift=SHIFT.default if shift is None else SHIFT.check(shift))


def choose_border(spec: SetSpec, name: str | None, border: int | None) -> int:
    """Returns the border that a config's name or `border` asks for, in pixels."""
    pixels = None if border is None else BORDER.check(border)
    if name is None:
        return pixels or 0
    match = BORDER_CONFIG.fullmatch(name) if spec.borders and isinstance(name, str) else None
    if match is None and name not in spec.configs:
        hint = nearest(name, dict.fromkeys(spec.configs))
        raise UnknownSetError(f"{spec.name} has no config {name!r}{hint}; there are {', '.join(spec.configs)}")
    named = BORDER.check(int(match[1])) if match else 0
    if match and pixels not in (None, named):
        raise OptionError(
            f"config {name!r} and border={border!r} contradict each other; give one of them", code="contradiction"
        )
    return pixels or named


def choose_side(spec: SetSpec, size: int | None = None, canvas: int | None = None) -> int:
    """Returns the side of the images that the set's own option asks for, in pixels."""
    option = spec.size_option
    value = size if canvas is None else canvas
    return spec.size if option is None or value is None else option.check(value)


def check_split(spec: SetSpec, split: object, streaming: bool) -> None:
    """Raises UnknownSetError for a split that the set does not have, OptionError for a slice that can't be read."""
    if isinstance(split, list | tuple | dict):
        for part in split.values() if isinstance(split, dict) else split:
            check_split(spec, part, streaming)
        return
    if split is None:
        return
    if not isinstance(split, str | datasets.ReadInstruction | datasets.NamedSplit):
        raise OptionError(
            f"split must be a name such as {next(iter(spec.splits))!r}, not {split!r}", code="unknown-split"
        )
    asked = split.to_spec() if isinstance(split, datasets.ReadInstruction) else str(split)
    for term in asked.split("+"):
        name = term.partition("[")[0].partition("(")[0].strip()
        if name not in (*spec.splits, "all"):
            raise UnknownSetError(
                f"{spec.name} has no split {name!r}{nearest(name, spec.splits)}; there are {', '.join(spec.splits)}"
            )
    if asked == "all":
        return
    if streaming and "[" in asked:
        raise OptionError(
            f"split={asked!r} is a part of a split, which can't be streamed; use take and skip instead",
            code="no-streaming",
        )
    try:
        datasets.ReadInstruction.from_spec(asked)
    except (ValueError, AssertionError) as error:
        raise OptionError(f"split={asked!r} can't be read: {one_line(error)}", code="bad-value") from error


def list_named_splits(split: object, known: Iterable[str]) -> list[str]:
    """Returns the splits of a set that a checked request needs."""
    if isinstance(split, list | tuple | dict):
        parts = split.values() if isinstance(split, dict) else split
        needed = {name for part in parts for name in list_named_splits(part, known)}
        return [name for name in known if name in needed]
    asked = "all" if split is None else split.to_spec() if isinstance(split, datasets.ReadInstruction) else str(split)
    names = [term.partition("[")[0].partition("(")[0].strip() for term in asked.split("+")]
    return [name for name in known if name in names or "all" in names]


def check_stock(spec: SetSpec, stock: Mapping[str, Any], view: View | None, streaming: bool) -> None:
    """Raises OptionError for an argument that is unknown, has no effect, or names something that does not exist.

    Args:
        spec: The set.
        stock: Arguments that go to `datasets.load_dataset`.
        view: The function that makes the view; None for the stored rows.
        streaming: Whether rows are streamed.
    """
    for option, value in stock.items():
        if option in WITHOUT_EFFECT:
            raise OptionError(
                f"load_dataset takes no {option}: a set has its name, and ",
                NamedArgument("output", ""),
                " says where it is",
                code="unknown-argument",
            )
        if option not in STOCK:
            hint = nearest(option, dict.fromkeys((*EVERYWHERE, *CONCERNS, *STOCK)))
            raise OptionError(
                f"load_dataset takes no argument {option!r}{hint}; help(load_dataset) lists them",
                code="unknown-argument",
            )
        if streaming and option in NOT_STREAMED and value:
            raise OptionError(
                NamedArgument(option, f"{value!r}"),
                " has no effect with streaming=True; leave it out",
                code="no-effect",
            )
    stored = ("image", "label", *spec.columns)
    if (columns := stock.get("columns")) is not None:
        check_columns(columns, columns_of(view) or stored)
    if (features := stock.get("features")) is not None:
        image = features.get("image", datasets.Image())
        if view is not None and image not in (datasets.Image(), datasets.Image(decode=False)):
            raise OptionError(f"features: image must be datasets.Image() under a view, not {image!r}", code="bad-value")
    if isinstance(view, partial) and view.func in (with_border, with_grid):
        moved = {*BORDER_COLUMNS, *(("label",) if view.func is with_grid else ())}.intersection(
            re.findall(r"\w+", str(stock.get("filters")))
        )
        for name in moved.intersection(stored):
            raise OptionError(
                f"filters sees {name} as it is stored, not as it is seen; load the set and filter it by {name} then"
            )


def columns_of(view: View | None) -> tuple[str, ...]:
    """Returns the columns of a view that makes its own rows; () for a view with the stored columns."""
    if view is with_pairs:
        return PAIR_COLUMNS
    return GRID_COLUMNS if isinstance(view, partial) and view.func is with_grid else ()


def check_columns(columns: object, known: Iterable[str]) -> None:
    """Raises OptionError unless the argument is a list of some of the columns."""
    if not isinstance(columns, Sequence) or isinstance(columns, str) or not columns:
        raise OptionError(
            f"columns must be a list of some of {', '.join(known)}, not {columns!r}", code="unknown-column"
        )
    for name in columns:
        if name not in known:
            raise OptionError(
                f"there is no column {name!r}{nearest(name, dict.fromkeys(known))}; there are {', '.join(known)}",
                code="unknown-column",
            )
