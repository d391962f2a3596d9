"""Checks the arguments of an evaluation before anything is imported or read, so that a mistake is reported at once.

Needs no torch. `design` checks what depends on the network, such as whether it keeps statistics.
"""

import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

from qi_datasets.errors import NamedArgument, NotBuiltError, OptionError, OutputError, missing_extra
from qi_datasets.evaluation.initialisations import (
    CALIBRATED,
    GIVEN,
    INITS,
    PRETRAINED,
    RANDOM,
    SCRATCH,
    UNTOUCHED,
    Background,
    Padding,
    Pool,
)
from qi_datasets.registry import nearest
from qi_datasets.set_spec import SetSpec
from qi_datasets.specs import BORDER, CORNER, QI, RED_GREEN_SET, ROOK, SHIFTED
from qi_datasets.storage.location import Place, exists, join_place, set_folder, sets_root
from qi_datasets.storage.manifest_file import MANIFEST

FROZEN = (RANDOM, PRETRAINED, GIVEN)
TASK_INITS: Mapping[str, Sequence[str]] = {
    QI.name: (*FROZEN, SCRATCH),
    SHIFTED.name: FROZEN,
    RED_GREEN_SET.name: (SCRATCH,),
    ROOK.name: (SCRATCH,),
    CORNER.name: FROZEN,
}
"""The initialisations of each task, the preferred one first."""

MOST_SEEDS = 10_000
CHANNELS = 3
PLOTS = (".png", ".svg", ".pdf")
"""File name extensions of the figures that can be drawn."""


@dataclass(frozen=True)
class EvaluationRequest:
    """The arguments of `evaluate` that influence its figures, as they were given.

    The command line, `evaluate`, estimates, grids and repetitions of entries all pass on one of these.
    """

    task: str = QI.name
    borders: Iterable[int] | None = None
    init: str | Iterable[str] | None = None
    seeds: int | None = None
    limit: int | None = None
    local: bool = True
    weights: str = "none"
    padding: Padding = "own"
    pool: Pool | None = None
    background: Background = "zero"
    batch_norm: str | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    device: str | None = None

    def __post_init__(self) -> None:
        # An iterator could be read only once.
        for name in ("borders", "init"):
            if isinstance(given := getattr(self, name), Iterator):
                object.__setattr__(self, name, list(given))

    def check(self) -> None:
        """Raises OptionError for arguments that are wrong for every network."""
        check_choice("task", self.task, TASK_INITS)
        check_borders(self.task, self.borders)
        check_inits(self.task, self.init)
        check_count("seeds", self.seeds, MOST_SEEDS, "networks")
        check_count("limit", self.limit, math.inf, "sources")
        check_choice("padding", self.padding, get_args(Padding))
        check_choice("background", self.background, get_args(Background))
        if self.pool is not None:
            check_choice("pool", self.pool, get_args(Pool))
        if self.batch_norm is not None:
            check_choice("batch_norm", self.batch_norm, (CALIBRATED, UNTOUCHED))
        if self.batch_norm == CALIBRATED and self.task != QI.name:
            raise OptionError(
                NamedArgument("batch_norm", f"{self.batch_norm!r}"),
                f" has no effect on {self.task}; leave it out",
                code="no-effect",
            )
        check_channels("mean", self.mean)
        check_channels("std", self.std)
        if self.weights not in ("none", "default") and not Path(self.weights).expanduser().is_file():
            raise OptionError(f"weights are none, default or a file, and {self.weights!r} is no file", code="bad-model")


def check_count(name: str, number: object, most: float, what: str) -> None:
    """Raises OptionError for a number of networks or sources that is not from 1 to `most`; None is accepted."""
    if number is not None and (isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= most):
        raise OptionError(NamedArgument(name), f" must be a number of {what} from 1, not {number!r}", code="bad-value")


def check_choice(name: str, value: object, values: Iterable[str]) -> None:
    """Raises OptionError, which names the nearest choice, for a value that is not one of the choices."""
    known = list(values)
    if value not in known:
        hint = nearest(f"{value}", dict.fromkeys(known))
        raise OptionError(
            NamedArgument(name), f" must be one of {', '.join(known)}, not {value!r}{hint}", code="bad-value"
        )


def check_borders(task: str, borders: Iterable[int] | None) -> None:
    """Raises OptionError for borders that the task can't have."""
    if borders is None:
        return
    if task != QI.name:
        raise OptionError(f"{task} has no borders; leave them out", code="no-effect")
    if isinstance(borders, str | bytes) or not isinstance(borders, Iterable):
        raise OptionError(
            NamedArgument("borders"),
            " must be a list of numbers, such as ",
            NamedArgument("borders", "[64]"),
            f", not {borders!r}",
            code="bad-value",
        )
    if not [BORDER.check(border) for border in borders]:
        raise OptionError(
            "there must be at least one border; leave them out for the official ones", code="nothing-asked"
        )


def check_inits(task: str, init: str | Iterable[str] | None) -> None:
    """Raises OptionError for initialisations that the task can't have."""
    if init is None:
        return
    asked = [init] if isinstance(init, str) else list(init)
    if not asked:
        raise OptionError(f"there must be at least one init: {', '.join(TASK_INITS[task])}", code="nothing-asked")
    for kind in asked:
        check_choice("init", kind, INITS)
        if kind not in TASK_INITS[task]:
            raise OptionError(f"{task} takes init {', '.join(TASK_INITS[task])}, not {kind}")


def check_channels(name: str, values: Sequence[float] | None) -> tuple[float, ...] | None:
    """Returns a mean or standard deviation of images in [0, 1], one number for each channel; None for None.

    Raises:
        OptionError: If it has other values, such as those of images from 0 to 255.
    """
    if values is None:
        return None
    try:
        numbers = tuple(map(float, values))
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != CHANNELS or not all(map(math.isfinite, numbers)):
        raise OptionError(
            NamedArgument(name), f" must be three numbers, one for each channel, not {values!r}", code="bad-value"
        )
    if min(numbers) < 0 or max(numbers) > 1:
        raise OptionError(
            NamedArgument(name),
            (
                f" must be from 0 to 1 for each channel, as images are, not {values!r}; divide it by "
                "255 if it is of images from 0 to 255"
            ),
            code="bad-value",
        )
    if name == "std" and min(numbers) == 0:
        raise OptionError(NamedArgument("std"), f" must be above 0 for each channel, not {values!r}", code="bad-value")
    return numbers


OURS = ("bagnet33",)
"""The networks of this package."""


def check_model(model: str) -> None:
    """Raises OptionError if there is no network of that name, as far as this can be known without importing any."""
    where, colon, _ = model.rpartition(":")
    if where.endswith(".py") and not Path(where).expanduser().is_file():
        raise OptionError(f"{where} is no file; give path/to/file.py:factory", code="bad-model")
    known = torchvision_names()
    if known and not colon:
        check_known(model, [*OURS, *known])


def check_known(model: str, known: Sequence[str]) -> None:
    """Raises OptionError if there is no model of that name."""
    if model not in known:
        raise OptionError(
            f"no model is called {model!r}{nearest(model, dict.fromkeys(known))}; names are those of torchvision, "
            "bagnet33, timm:NAME, and package.module:factory or path/to/file.py:factory for your own",
            code="bad-model",
        )


def torchvision_names() -> list[str]:
    """Returns the names of torchvision's classifiers, read from its files, since importing it takes seconds."""
    found = find_spec("torchvision")
    if found is None or found.origin is None:
        return []
    files = sorted((Path(found.origin).parent / "models").glob("*.py"))
    pattern = re.compile(r"^@register_model\(\)\n(?:@[^\n]*\n(?:    [^\n]*\n|\)\n)*)*def (\w+)\(", re.MULTILINE)
    return [name for file in files for name in pattern.findall(file.read_text(encoding="utf-8"))]


def check_torch() -> None:
    """Raises MissingExtraError if torch or torchvision is missing."""
    for name in ("torch", "torchvision"):
        if find_spec(name) is None:
            raise missing_extra(f"networks are run with torch and torchvision, and {name} is missing", "torch")


def set_place(spec: SetSpec, output: str | Path | None) -> Place:
    """Returns the folder of a set: `output` itself or the set's folder in it.

    Raises:
        NotBuiltError: If a set of images is not there; other sets are made on first use.
    """
    root = sets_root(output)
    folder = root if exists(join_place(root, MANIFEST)) else set_folder(root, spec, spec.size)
    if spec.needs_images and not exists(folder):
        raise NotBuiltError(
            f"{spec.name} is not built in {root}: build it with the command qi-build, or give its folder as output"
        )
    return folder


def check_entry(entry: str | Path | None) -> None:
    """Raises OutputError if an entry can't be written into a folder."""
    if entry is None:
        return
    folder = Path(entry).expanduser().absolute()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        what = "can't be written" if there.is_dir() else "is a file"
        raise OutputError(f"cannot write {folder}: {there} {what}; choose another folder for the entry")


def check_plot(file: str | Path | None) -> None:
    """Raises OptionError for a figure of a kind that can't be drawn, MissingExtraError without a library to draw it."""
    if file is None:
        return
    if Path(file).suffix.lower() not in PLOTS:
        raise OptionError(
            f"{file} can't be drawn; give a name that ends in {', '.join(PLOTS[:-1])} or {PLOTS[-1]}",
            code="bad-file-type",
        )
    if not Path(file).expanduser().absolute().parent.is_dir():
        raise OutputError(f"cannot write {file}: there is no folder {Path(file).expanduser().absolute().parent}")
    if find_spec("matplotlib") is None:
        raise missing_extra("a figure is drawn with matplotlib, which is missing", "torch")
