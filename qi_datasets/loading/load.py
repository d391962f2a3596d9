"""`load_dataset`: every set in one line, whether it is built, can be made on the spot, or needs to be built first."""

import glob
import re
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import datasets

from qi_datasets.building.build import build_set
from qi_datasets.building.plan import plan_set
from qi_datasets.errors import NotBuiltError, OptionError, StoredSetError, UnknownSetError
from qi_datasets.loading.pairs import paired
from qi_datasets.loading.views import with_border, with_shift
from qi_datasets.registry import nearest, spec_named
from qi_datasets.set_spec import SetSpec
from qi_datasets.sources import open_source
from qi_datasets.specs import BORDER, PAIRS, SHIFT, SPEC_VERSION
from qi_datasets.storage.location import Place, default_output, exists, joined, place_of, set_folder
from qi_datasets.storage.manifest import Manifest

View = Callable[[Any], Any]
"""Computes a view of a stored dataset, map-style or iterable, of one split."""

BORDER_CONFIG = re.compile(r"border_(\d{1,9})", re.ASCII)


def load_dataset(
    path: str,
    name: str | None = None,
    *,
    split: str | None = None,
    streaming: bool = False,
    border: int | None = None,
    size: int | None = None,
    canvas: int | None = None,
    mode: str | None = None,
    shift: int | None = None,
    output: str | Path | None = None,
    imagenet_val: str | Path | None = None,
    **stock: Any,
) -> Any:
    """Loads a set by name, as `datasets.load_dataset` does a set of the Hub.

    path: the set's name, e.g. "qi". name: a config, e.g. "border_64"; `border=64` says the same, and takes any integer
    from 0 to 4096 (pixels per side), built or not: the border is added when an image is read, and `x`, `y`, `border`
    are right for it. split, streaming: as in `datasets`. size: side in pixels (corner). canvas: side in pixels (qi).
    mode: the view of `shifted`: "crop", "zero" or "circular", moved by `shift` pixels down and right, an integer from
    -32 to 32, default 0; or "pairs", a row for every pair of windows (a slice of a split counts sources, not pairs).
    output: the folder that `qi-build` wrote, default `$QI_DATASETS_HOME` or the platform's cache. imagenet_val: where
    ImageNet's validation images are; the set is built from them unless it is there. stock: further arguments of
    `datasets.load_dataset` (`keep_in_memory`, `num_proc`, `cache_dir`, ...).

    Returns a DatasetDict, or a Dataset if `split` is given; their iterable kinds if streaming. Images are PIL, 8 bit.
    Sets that need no input are made on first use. Raises UnknownSetError, OptionError, NotBuiltError, StoredSetError,
    and what building raises (SourceError, OutputError).
    """
    spec = spec_named(path)
    view = checked_view(spec, mode, shift) or border_view(checked_border(spec, name, border))
    side = checked_side(spec, size=size, canvas=canvas)
    root = default_output() if output is None else place_of(output)
    folder = ensure_built(spec, side, root, imagenet_val)
    manifest = stored_manifest(spec, folder)
    if manifest.outdated:
        warnings.warn(
            f"{folder} was written by qi-datasets {manifest.package_version} and lacks what later versions store "
            "(labels, terms); run the command qi-build again to refresh it: its images stay as they are",
            stacklevel=2,
        )
    files = stored_files(spec, folder, manifest)
    check_split(spec, split, files)
    loaded = datasets.load_dataset("parquet", data_files=files, split=split, streaming=streaming, **stock)
    if view is None:
        return loaded
    if isinstance(loaded, dict):
        return type(loaded)({part: view(rows) for part, rows in loaded.items()})
    if isinstance(loaded, list):
        return [view(rows) for rows in loaded]
    return view(loaded)


def check_split(spec: SetSpec, split: object, known: Mapping[str, object]) -> None:
    """UnknownSetError if a split, or a part of `train[:10]+test` or of a list, names none of the known ones."""
    parts = split if isinstance(split, list) else [split]
    for name in (term.partition("[")[0].strip() for part in parts if isinstance(part, str) for term in part.split("+")):
        if name not in (*known, "all"):
            raise UnknownSetError(
                f"{spec.name} has no split {name!r}{nearest(name, known)}; there are {', '.join(known)}"
            )


def checked_view(spec: SetSpec, mode: str | None, shift: int | None) -> View | None:
    """The view that `mode` and `shift` ask for; None without a mode."""
    if mode is not None and mode not in spec.views:
        known = f"there are {', '.join(spec.views)}" if spec.views else "leave it out"
        hint = nearest(mode, dict.fromkeys(spec.views))
        raise OptionError(f"{spec.name} has no mode {mode!r}{hint}; {known}")
    if mode in (None, PAIRS):
        if shift is not None:
            moving = ", ".join(name for name in spec.views if name != PAIRS)
            known = f"give mode= one of {moving}" if moving else "leave it out"
            raise OptionError(f"{spec.name} takes no shift with mode={mode!r}, but shift={shift!r} is given; {known}")
        return None if mode is None else paired
    return partial(with_shift, mode=mode, shift=SHIFT.default if shift is None else SHIFT.check(shift))


def border_view(border: int) -> View | None:
    """The view with that border; None for the stored images as they are."""
    return partial(with_border, border=border) if border else None


def checked_border(spec: SetSpec, name: str | None, border: int | None) -> int:
    """The border that a config's name or `border` asks for, in pixels."""
    pixels = None if border is None else BORDER.check(border)
    if pixels and not spec.takes_border:
        raise OptionError(f"{spec.name} takes no border, but border={border!r} is given; leave it out")
    if name is None:
        return pixels or 0
    match = BORDER_CONFIG.fullmatch(name) if spec.borders and isinstance(name, str) else None
    if match is None and name not in spec.configs:
        hint = nearest(name, dict.fromkeys(spec.configs))
        raise UnknownSetError(f"{spec.name} has no config {name!r}{hint}; there are {', '.join(spec.configs)}")
    named = BORDER.check(int(match[1])) if match else 0
    if match and pixels not in (None, named):
        raise OptionError(f"config {name!r} and border={border!r} contradict each other; give one of them")
    return pixels or named


def checked_side(spec: SetSpec, **given: int | None) -> int:
    """The side of the images that the set's own option asks for, in pixels; OptionError for another set's option."""
    option = spec.size_option
    for name, value in given.items():
        if value is not None and (option is None or option.name != name):
            raise OptionError(f"{spec.name} takes no {name}, but {name}={value!r} is given; leave it out")
    value = given.get(option.name) if option else None
    return spec.size if option is None or value is None else option.check(value)


def ensure_built(spec: SetSpec, side: int, root: Place, imagenet_val: str | Path | None) -> Place:
    """The folder of the set, built if that is possible with what is given."""
    folder = set_folder(root, spec, side)
    if spec.needs_images and imagenet_val is None:
        if not exists(folder):
            raise NotBuiltError(
                f"{spec.name} is not built in {root}: pass imagenet_val=PATH to build it from ImageNet's validation "
                "images, or output=OUT for a folder that the command qi-build wrote"
            )
        return folder
    if imagenet_val is not None:
        source = open_source(imagenet_val) if spec.needs_images else None
        for message in source.warnings if source is not None else ():
            warnings.warn(message, stacklevel=3)
        return build_set(plan_set(spec, source, size=side), root, progress=True).folder
    if not is_current(folder):
        build_set(plan_set(spec, size=side), root, progress=True)
    return folder


def is_current(folder: Place) -> bool:
    """Whether a complete set of this package's spec version is there."""
    try:
        manifest = Manifest.read(folder)
    except StoredSetError:
        return False
    return manifest.spec_version == SPEC_VERSION and not manifest.missing_files(folder)


def stored_manifest(spec: SetSpec, folder: Place) -> Manifest:
    """The manifest of a stored set; StoredSetError if the set is incomplete or of another version of the data."""
    manifest = Manifest.read(folder)
    if manifest.spec_version != SPEC_VERSION:
        raise StoredSetError(
            f"{folder} holds {spec.name} of spec version {manifest.spec_version}, this package reads {SPEC_VERSION}; "
            "build it again with the command qi-build"
        )
    if missing := manifest.missing_files(folder):
        raise StoredSetError(f"{folder} is damaged: {missing[0]} is gone or cut off; build it again with qi-build")
    return manifest


def stored_files(spec: SetSpec, folder: Place, manifest: Manifest) -> dict[str, list[str]]:
    """The Parquet files of the set at border 0, by split; StoredSetError if the manifest names none."""
    try:
        splits = manifest.configs[spec.config_of(0)].splits
        # `datasets` takes paths for patterns.
        files = {
            split: [glob.escape(str(joined(folder, file))) for file in record.files] for split, record in splits.items()
        }
    except (KeyError, TypeError) as error:
        raise StoredSetError(f"the manifest in {folder} has no border 0; build the set again") from error
    if not all(files.values()) or not files:
        raise StoredSetError(f"the manifest in {folder} names no files; build the set again")
    return files
