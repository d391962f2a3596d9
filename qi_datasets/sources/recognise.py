"""Recognises the layout of images at a path: the first of the list below that fits."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from qi_datasets.errors import SourceError
from qi_datasets.sources.base import Source, UnnamedError
from qi_datasets.sources.copies import with_warnings_of_copies
from qi_datasets.sources.folders import (
    AnyFolder,
    ClassFolders,
    FlatFolder,
    ImageNetRoot,
    Kaggle,
    NestedFolders,
    image_suffixes,
    is_built_set,
)
from qi_datasets.sources.members import is_tfrecord
from qi_datasets.sources.one_pass import find_compressed, is_compressed
from qi_datasets.sources.refused import refuse
from qi_datasets.sources.splits import of_validation
from qi_datasets.sources.tar import TarSource
from qi_datasets.sources.unnamed import find_unnamed
from qi_datasets.sources.walk import TRAINING, walk
from qi_datasets.sources.webdataset import WebdatasetSource
from qi_datasets.sources.zip import ZipSource

LAYOUTS = (
    "ImageNet validation files (in folders, a tar, Kaggle's zip, webdataset, Parquet, Arrow or TFRecord shards) or "
    "other images"
)


def open_source(place: str | Path, *, unnamed: bool = False) -> Source:
    """Returns the source at a path or fsspec URL, after reading names and a few pictures to recognise its layout.

    Where several layouts are present, the first wins: flat folder, class folders, root with `val/`, Kaggle, validation
    files in other folders, tar, archives, any folder of images. Raises SourceError for a path without images that can
    be used.

    unnamed: also accept images whose names do not identify them, to be found by their content.
    """
    url = str(place)
    if url.startswith("file://"):
        place = url2pathname(urlsplit(url).path)
    elif "://" in url:
        # Parquet takes a while to import, and every worker that opens another layout would have to wait for it.
        from qi_datasets.sources.remote import find_remote
        from qi_datasets.sources.shards import ShardSource

        source: Source | None = ShardSource.find(url) or find_remote(url)
        if source is None:
            raise SourceError(
                f"{url} holds no Parquet shards or tars of a validation split; see --help for what PATH may be",
                code="no-images",
            )
        return source
    try:
        path = Path(place).expanduser()
        there = path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise SourceError(f"{url!r} is no path: {error}; give the folder or archive that holds {LAYOUTS}") from error
    if not there:
        raise SourceError(f"no such path: {path}; give the folder or archive that holds {LAYOUTS}", code="no-such-path")
    try:
        source = _in_file(path) if path.is_file() else _in_folder(path)
    except UnnamedError:
        if not unnamed:
            raise
        source = None
    if source is None and unnamed:
        source = find_unnamed([str(path)] if path.is_file() else list(_files_below(str(path))), str(path))
    if source is None:
        raise SourceError(f"no images in {path}; give the folder or archive that holds {LAYOUTS}", code="no-images")
    return with_warnings_of_copies(source)


def _in_file(path: Path) -> Source | None:
    """Returns the source in a single file; None if it has no images."""
    place, ending = str(path), path.suffix.lower()
    refuse([place])
    if ending in image_suffixes():
        raise SourceError(f"{path} is one image; give the folder that holds it and others", code="no-images")
    if ending in (".parquet", ".arrow") or is_tfrecord(place):
        return _in_tables([place], place)
    if ending == ".zip":
        return ZipSource.find(place) or find_compressed(place)
    if is_compressed(place):
        return find_compressed(place)
    return WebdatasetSource.find([place], place) or TarSource.find(path)


def _in_folder(path: Path) -> Source | None:
    """Returns the source in a folder, of the first layout that fits; None if there are no images."""
    source: Source | None = (
        FlatFolder.find(path)
        or ClassFolders.find(path)
        or ImageNetRoot.find(path)
        or Kaggle.find(path)
        or NestedFolders.find(path)
        or TarSource.find(path)
    )
    if source is not None:
        return source
    built = [folder.name for folder in (path, *sorted(path.iterdir())) if is_built_set(folder)]
    files = list(_files_below(str(path)))
    source = (None if built else _in_archives(files, str(path))) or AnyFolder.find(path)
    if source is None and built:
        raise SourceError(f"{path} holds sets that were built ({', '.join(built)}), not images to build from")
    if source is None:
        refuse(files)
    return source


def _files_below(top: str) -> Iterator[str]:
    """Yields the files below a folder, except those in training folders."""
    for inside, names in walk(top, TRAINING):
        yield from (os.path.join(top, inside, name) for name in names if not name.startswith("."))


def _in_archives(files: Sequence[str], top: str) -> Source | None:
    """Returns the source in archives, those of the validation split if their names say so; None if there are none."""
    zips = [file for file in files if file.lower().endswith(".zip")]
    tars = _of_split((file for file in files if file.lower().endswith(".tar")), top)
    packed = _of_split((file for file in files if file.lower().endswith((".tar.gz", ".tgz"))), top)
    return (
        next(filter(None, map(ZipSource.find, zips)), None)
        or (WebdatasetSource.find(tars, top) if tars else None)
        or _in_tables(files, top)
        or next(filter(None, map(find_compressed, [*packed, *zips])), None)
    )


def _in_tables(files: Sequence[str], top: str) -> Source | None:
    """Returns the source in Parquet, Arrow or TFRecord files; None if there are none."""
    records = _of_split(filter(is_tfrecord, files), top)
    parquet = [file for file in files if file.endswith(".parquet")]
    arrow = [file for file in files if file.endswith(".arrow")]
    source: Source | None = None
    # Each takes a while to import, and every worker that opens another layout would have to wait for it.
    if parquet:
        from qi_datasets.sources.shards import ShardSource

        source = ShardSource.of_files(parquet, top)
    if source is None and arrow:
        from qi_datasets.sources.arrow import ArrowSource, has_images

        source = ArrowSource.find(_of_split(arrow, top, has_images), top)
    if source is None and records:
        from qi_datasets.sources.tfrecord import TFRecordSource

        source = TFRecordSource.find(records, top)
    return source


def _of_split(files: Iterable[str], top: str, is_right: Callable[[str], bool] = bool) -> list[str]:
    """Returns the files of the validation split; if names contain no split, those for which `is_right` is true."""
    validation, unnamed = of_validation(list(files), top)
    return validation or list(filter(is_right, unnamed))
