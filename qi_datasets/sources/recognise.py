"""Recognises what lies at a path: the first layout of the list below that is there."""

import os
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from qi_datasets.errors import SourceError
from qi_datasets.sources.base import Source
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
from qi_datasets.sources.one_pass import find_compressed, is_compressed
from qi_datasets.sources.splits import of_validation
from qi_datasets.sources.tar import TarSource
from qi_datasets.sources.walk import TRAINING, walk
from qi_datasets.sources.webdataset import WebdatasetSource
from qi_datasets.sources.zip import ZipSource

LAYOUTS = (
    "ImageNet validation files (in folders, a tar, Kaggle's zip, webdataset, Parquet, Arrow or TFRecord shards) or "
    "other images"
)


def open_source(place: str | Path) -> Source:
    """The source at a path or fsspec URL, its layout recognised; only names are read, no picture.

    Where several layouts are present, the first wins: flat folder, class folders, root with `val/`, Kaggle, validation
    files in other folders, tar, archives, any folder of images. Raises SourceError for a path without images that can
    be used.
    """
    url = str(place)
    if url.startswith("file://"):
        place = url2pathname(urlsplit(url).path)
    elif "://" in url:
        # Parquet takes a while to import, and every worker that opens another layout would pay for it.
        from qi_datasets.sources.remote import find_remote
        from qi_datasets.sources.shards import ShardSource

        source: Source | None = ShardSource.find(url) or find_remote(url)
        if source is None:
            raise SourceError(
                f"{url} holds no Parquet shards or tars of a validation split; see --help for what PATH may be"
            )
        return source
    try:
        path = Path(place).expanduser()
        there = path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise SourceError(f"{url!r} is no path: {error}; give the folder or archive that holds {LAYOUTS}") from error
    if not there:
        raise SourceError(f"no such path: {path}; give the folder or archive that holds {LAYOUTS}")
    source = _in_file(path) if path.is_file() else _in_folder(path)
    if source is None:
        raise SourceError(f"no images in {path}; give the folder or archive that holds {LAYOUTS}")
    return with_warnings_of_copies(source)


def _in_file(path: Path) -> Source | None:
    """The source in a single file, None if it holds no images."""
    place = str(path)
    if path.suffix.lower() in image_suffixes():
        raise SourceError(f"{path} is one image; give the folder that holds it and others")
    if path.suffix == ".parquet":
        from qi_datasets.sources.shards import ShardSource

        return ShardSource.find(place)
    if path.suffix.lower() == ".zip":
        return ZipSource.find(place) or find_compressed(place)
    if is_compressed(place):
        return find_compressed(place)
    return WebdatasetSource.find([place], place) or TarSource.find(path)


def _in_folder(path: Path) -> Source | None:
    """The source in a folder, of the first layout that is there; None if there are no images."""
    built = [folder.name for folder in (path, *sorted(path.iterdir())) if is_built_set(folder)]
    source = (
        FlatFolder.find(path)
        or ClassFolders.find(path)
        or ImageNetRoot.find(path)
        or Kaggle.find(path)
        or NestedFolders.find(path)
        or TarSource.find(path)
        or (None if built else _in_archives(path))
        or AnyFolder.find(path)
    )
    if source is None and built:
        raise SourceError(f"{path} holds sets that were built ({', '.join(built)}), not images to build from")
    return source


def _in_archives(folder: Path) -> Source | None:
    """The source in the archives below a folder, those of the validation split where their names tell; None without."""
    from qi_datasets.sources.shards import ShardSource

    place = str(folder)
    files = [
        os.path.join(place, inside, name) for inside, names in walk(place, TRAINING) for name in names if name[0] != "."
    ]
    zips = [file for file in files if file.lower().endswith(".zip")]
    tars = _chosen([file for file in files if file.endswith(".tar")], place)
    packed = _chosen([file for file in files if file.lower().endswith((".tar.gz", ".tgz"))], place)
    return (
        next(filter(None, map(ZipSource.find, zips)), None)
        or (WebdatasetSource.find(tars, place) if tars else None)
        or ShardSource.find(place)
        or next(filter(None, map(find_compressed, [*packed, *zips])), None)
    )


def _chosen(files: list[str], top: str) -> list[str]:
    """The files of the validation split, or all of them where their names tell no split."""
    validation, unnamed = of_validation(files, top)
    return validation or unnamed
