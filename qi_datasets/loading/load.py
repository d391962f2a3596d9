"""`load_dataset`: loads every set in one line, whether it is built, can be made at once, or must be built first."""

import glob
import warnings
from pathlib import Path
from typing import Any, Literal, TypeAlias, Unpack, overload

import datasets
import pyarrow as pa
from datasets.exceptions import DatasetGenerationError

from qi_datasets.building.build import build_set
from qi_datasets.building.copying import images_wanted_by, make_random_access
from qi_datasets.building.plan import plan_set
from qi_datasets.building.subset import SUBSET
from qi_datasets.errors import NamedArgument, NotBuiltError, OptionError, QIDatasetsError, StoredSetError, one_line
from qi_datasets.loading import published as hub
from qi_datasets.loading.arguments import (
    LoadOptions,
    View,
    check_concerned,
    check_split,
    check_stock,
    choose_side,
    choose_view,
    columns_of,
    list_named_splits,
)
from qi_datasets.loading.provenance import with_provenance
from qi_datasets.loading.subset import load_subset
from qi_datasets.registry import look_up_spec
from qi_datasets.set_spec import SetSpec
from qi_datasets.sources import open_source
from qi_datasets.specs import SPEC_VERSION
from qi_datasets.storage.location import (
    Place,
    default_output,
    exists,
    folder_name,
    join_place,
    place_of,
    set_folder,
    set_name,
)
from qi_datasets.storage.manifest import Manifest, check_set
from qi_datasets.storage.manifest_file import MANIFEST
from qi_datasets.storage.staging import finished_place
from qi_datasets.storage.steady import read_steadily, stamp

OneSplit: TypeAlias = datasets.Dataset | datasets.IterableDataset
Loaded: TypeAlias = OneSplit | datasets.DatasetDict | datasets.IterableDatasetDict | list[OneSplit]


@overload
def load_dataset(
    path: str,
    name: str | None = None,
    *,
    split: None = None,
    streaming: Literal[False] = False,
    **options: Unpack[LoadOptions],
) -> datasets.DatasetDict: ...


@overload
def load_dataset(
    path: str, name: str | None = None, *, split: str, streaming: Literal[False] = False, **options: Unpack[LoadOptions]
) -> datasets.Dataset: ...


@overload
def load_dataset(
    path: str,
    name: str | None = None,
    *,
    split: list[str],
    streaming: Literal[False] = False,
    **options: Unpack[LoadOptions],
) -> list[datasets.Dataset]: ...


@overload
def load_dataset(
    path: str, name: str | None = None, *, split: None = None, streaming: Literal[True], **options: Unpack[LoadOptions]
) -> datasets.IterableDatasetDict: ...


@overload
def load_dataset(
    path: str, name: str | None = None, *, split: str, streaming: Literal[True], **options: Unpack[LoadOptions]
) -> datasets.IterableDataset: ...


@overload
def load_dataset(
    path: str,
    name: str | None = None,
    *,
    split: str | list[str] | None = None,
    streaming: bool = False,
    **options: Unpack[LoadOptions],
) -> Any: ...


def load_dataset(
    path: str,
    name: str | None = None,
    *,
    split: str | list[str] | None = None,
    streaming: bool = False,
    border: int | None = None,
    grid: int | None = None,
    size: int | None = None,
    canvas: int | None = None,
    mode: str | None = None,
    shift: int | None = None,
    output: str | Path | None = None,
    imagenet_val: str | Path | None = None,
    imagenet_train: str | Path | None = None,
    per_class: int | None = None,
    repo_id: str | None = None,
    revision: str | None = None,
    **stock: Any,
) -> Any:
    """Loads a set by name, as `datasets.load_dataset` loads a data set of the Hub.

    Args:
        path: The set's name, e.g. "qi".
        name: A config, e.g. "border_64", which is the same as `border=64`.
        split: A split or a part of one, or a list of these, as in `datasets`; a slice of pairs counts their sources.
        streaming: Stream the rows, as in `datasets`.
        border: Black pixels added per side when an image is read, 0 to 4096, built or not; `x`, `y`, `border` fit
            (`qi`, `rook`).
        grid: K from 2 to 9: each picture in each of K x K cells, label = row x K + column, columns `row` and `column`
            (`qi`).
        size: Side of the images in pixels (`corner`).
        canvas: Side of the template in pixels (`qi`).
        mode: The view of a photo (`shifted`): "crop", "zero" or "circular", moved by `shift`; or "pairs", a row for
            each pair of windows.
        shift: Pixels down and right, -32 to 32, default 0.
        output: The folder that `build_dataset` wrote, default `$QI_DATASETS_HOME` or the platform's cache.
        imagenet_val: Path of ImageNet's validation images; the set is built from them, without borders, unless it is
            there.
        imagenet_train: Path of ImageNet's training images, in class folders or archives (`subset`).
        per_class: Images of each class (`subset`): 50, 100, 250, 500, or any other number.
        repo_id: "ORG/NAME", the set's repository on the Hub (`qi-publish`); default `$QI_DATASETS_REPO` for a set of
            images that is not built here. Files are checked; a stream fetches each file when it is needed.
        revision: Revision of that repository: a data version such as "1.0.0", a branch or a commit, default main.
        **stock: Further arguments of `datasets.load_dataset` for Parquet files: `columns`,
            `filters`, `features`, `keep_in_memory`, `num_proc`, `cache_dir`, ... `columns` names the columns that the
            view has.

    Returns:
        A DatasetDict, or a Dataset if `split` is given; their iterable kinds if streaming. Images are PIL, 8 bit. Sets
        that need no input are made on first use.

    Raises:
        OptionError: If an argument is wrong or has no effect on this set.
        UnknownSetError: If there is no set of that name, or no such split of the set.
        NotBuiltError: If a set of images is not built.
        StoredSetError: If the set is damaged, or of another data version.
        HubError: If the Hub refuses.
        SourceError: If images that the set is built from are missing or damaged.
        OutputError: If a set can't be written.

    Example:
        >>> rook = load_dataset("rook", split="train")
        >>> rook.column_names, rook["label"][:], rook[0]["image"].size
        (['image', 'label'], [0, 1], (32, 32))
        >>> load_dataset("rook", split="train", border=16)[0]["image"].size
        (64, 64)
    """
    if path == SUBSET:
        views = {"border": border, "grid": grid, "size": size, "canvas": canvas, "mode": mode, "shift": shift}
        places = {"name": name, "imagenet_val": imagenet_val, "repo_id": repo_id, "revision": revision}
        return load_subset(
            per_class, imagenet_train, split=split, streaming=streaming, output=output, **views, **places, **stock
        )
    spec = look_up_spec(path)
    given = {"border": border, "grid": grid, "size": size, "canvas": canvas, "mode": mode, "shift": shift}
    check_concerned(
        spec, given | {"imagenet_val": imagenet_val, "imagenet_train": imagenet_train, "per_class": per_class}
    )
    view = choose_view(spec, name, border, mode, shift, grid, canvas)
    side = choose_side(spec, size, canvas)
    check_split(spec, split, streaming)
    check_stock(spec, stock, view, streaming)
    repo = hub.repo_for(spec, side, repo_id, revision, output=output, imagenet_val=imagenet_val)
    root = default_output() if output is None else root_of(output, spec, side)
    folder: Place = repo or ensure_built(spec, side, root, imagenet_val)

    def read_published() -> Loaded:
        found = hub.find_published(spec, side, repo or "", revision)
        files = hub.file_names_at_border_0(spec, found)
        if streaming:
            return with_provenance(hub.stream(found, files, split, stock), spec, found.manifest)
        paths = hub.local_files(found, files, list_named_splits(split, files))
        # The files were checked against the manifest.
        rows = datasets.load_dataset("parquet", data_files=paths, split=split, **stock)  # nosec B615
        return with_provenance(rows, spec, found.manifest)

    def read(place: Place) -> Loaded:
        manifest = stored_manifest(spec, place, side)
        if manifest.outdated:
            warnings.warn(
                f"{place} was written by qi-datasets {manifest.package_version} and lacks what later versions store "
                "(labels, terms); run the command qi-build again to refresh it: its images stay as they are",
                stacklevel=4,
            )
        files = stored_files(spec, place, manifest)
        # `datasets` caches rows under their files' names and times and this value. A set that is replaced while it
        # is cached may come back to this place with the same times.
        kept = {"description": stamp(place)} if isinstance(place, Path) else {}
        # The files were written and listed by this package: nothing is downloaded.
        rows = datasets.load_dataset(  # nosec B615
            "parquet", data_files=files, split=split, streaming=streaming, **kept, **stock
        )
        return with_provenance(rows, spec, manifest)

    # The columns of pairs are made from others.
    shown = stock.pop("columns", None) if columns_of(view) or (repo and streaming) else None
    try:
        loaded = read_published() if repo else read_steadily(folder, read)
    except (DatasetGenerationError, pa.ArrowInvalid) as error:
        if isinstance(error.__cause__, OSError):
            raise
        reason = one_line(error.__cause__ or error)
        if stock:
            raise OptionError(f"{spec.name} can't be loaded with this {', '.join(stock)}: {reason}") from error
        raise StoredSetError(f"{folder} is damaged: {reason}; build it again") from error
    except ValueError as error:
        if isinstance(error, QIDatasetsError):
            raise
        raise OptionError(f"{spec.name} can't be loaded so: {one_line(error)}") from error
    if view is None and shown is None:
        return loaded
    if isinstance(loaded, dict):
        return type(loaded)({part: apply_view(rows, view, shown) for part, rows in loaded.items()})
    if isinstance(loaded, list | tuple):
        return type(loaded)(apply_view(rows, view, shown) for rows in loaded)
    return apply_view(loaded, view, shown)


def apply_view(rows: OneSplit, view: View | None, columns: list[str] | None) -> OneSplit:
    """Returns a split through a view, or as it is, with the requested columns, or all."""
    viewed = rows if view is None else view(rows)
    return viewed if columns is None else viewed.select_columns(list(columns))


def root_of(output: str | Path, spec: SetSpec, side: int) -> Place:
    """Returns the folder of sets that `output` names: `output` itself, or its parent if it is the requested set."""
    place = place_of(output)
    if not exists(join_place(place, MANIFEST)):
        return place
    wanted = set_name(spec, side)
    if folder_name(place) != wanted:
        raise OptionError(
            NamedArgument("output", place),
            f" is the set {folder_name(place)}, not {wanted}; give the folder above it",
            code="bad-place",
        )
    return place.parent if isinstance(place, Path) else place.rpartition("/")[0]


def ensure_built(spec: SetSpec, side: int, root: Place, imagenet_val: str | Path | None) -> Place:
    """Returns the set's folder, after building the set if it is not there and can be built.

    Args:
        spec: The set.
        side: Side of its images at border 0, in pixels.
        root: The folder of sets.
        imagenet_val: The images; None if none are given.
    """
    folder = set_folder(root, spec, side)
    if spec.needs_images and imagenet_val is None:
        if not exists(finished_place(folder)):
            size = f"{spec.size_option.name}={side}" if spec.size_option and side != spec.size else ""
            call = ", ".join(filter(None, (f'build_dataset("{spec.name}"', size, "imagenet_val=PATH)")))
            wanted = " with ".join(filter(None, (spec.name, size)))
            raise NotBuiltError(
                f"{wanted} is not built in {root}: qi_datasets.{call} builds it from ImageNet's validation images, ",
                NamedArgument("demo", True),
                " in their place from demo pictures; or pass ",
                NamedArgument("output", "OUT"),
                " for a folder where it is, or ",
                NamedArgument("repo_id", "'ORG/NAME'"),
                f" (or set ${hub.REPO}) for a repository of the Hub",
            )
        return folder
    if imagenet_val is not None:
        source = open_source(imagenet_val)
        for message in source.cautions:
            warnings.warn(message, stacklevel=3)
        # Borders are added when images are read.
        with make_random_access(source, lambda: images_wanted_by([spec], {}), True) as readable:
            built = build_set(plan_set(spec, readable, size=side, borders=()), root, progress=True)
        for message in built.remarks:
            warnings.warn(message, stacklevel=3)
        return built.folder
    if not is_current(folder):
        build_set(plan_set(spec, size=side), root, progress=True)
    return folder


def is_current(folder: Place) -> bool:
    """Returns whether a complete set of this package's spec version is there."""
    try:
        manifest = Manifest.read(folder)
    except StoredSetError:
        return False
    return manifest.spec_version == SPEC_VERSION and not manifest.missing_files(folder)


def stored_manifest(spec: SetSpec, folder: Place, side: int) -> Manifest:
    """Returns a stored set's manifest. Raises StoredSetError for another set, data version, or an incomplete set."""
    manifest = Manifest.read(folder)
    check_set(
        manifest,
        spec,
        side,
        folder,
        other="move it to its own folder, or build again",
        older="build it again with the command qi-build",
    )
    if missing := manifest.missing_files(folder):
        raise StoredSetError(f"{folder} is damaged: {missing[0]} is gone or cut off; build it again with qi-build")
    return manifest


def stored_files(spec: SetSpec, folder: Place, manifest: Manifest) -> dict[str, list[str]]:
    """Returns the Parquet files of the set at border 0, by split; StoredSetError if the manifest names none."""
    try:
        splits = manifest.configs[spec.config_of(0)].splits
        # `datasets` takes paths for patterns.
        files = {
            split: [glob.escape(str(join_place(folder, file))) for file in record.files]
            for split, record in splits.items()
        }
    except (KeyError, TypeError) as error:
        raise StoredSetError(f"the manifest in {folder} has no border 0; build the set again") from error
    if not all(files.values()) or not files:
        raise StoredSetError(f"the manifest in {folder} names no files; build the set again")
    return files
