"""Recognises what lies at a path: the first layout of the list below that is there."""

from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from qi_datasets.errors import SourceError
from qi_datasets.sources.base import Source
from qi_datasets.sources.folders import (
    AnyFolder,
    ClassFolders,
    FlatFolder,
    ImageNetRoot,
    Kaggle,
    image_suffixes,
    is_built_set,
)
from qi_datasets.sources.tar import TarSource

LAYOUTS = "ImageNet validation files (flat, by class, below val/, Kaggle's, the tar, Parquet shards) or other images"


def open_source(place: str | Path) -> Source:
    """The source at a path or fsspec URL, its layout recognised; only names are read, no picture.

    Where several layouts are present, the first wins: flat folder, class folders, root with `val/`, Kaggle, tar,
    Parquet shards, any folder of images. Raises SourceError for a path without images that can be used.
    """
    # Parquet takes a while to import, and every worker that opens another layout would pay for it.
    from qi_datasets.sources.shards import ShardSource

    url = str(place)
    if url.startswith("file://"):
        place = url2pathname(urlsplit(url).path)
    elif "://" in url:
        source: Source | None = ShardSource.find(url)
        if source is None:
            raise SourceError(f"{url} holds no Parquet shards of a validation split; see --help for what PATH may be")
        return source
    try:
        path = Path(place).expanduser()
        there = path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise SourceError(f"{url!r} is no path: {error}; give the folder or archive that holds {LAYOUTS}") from error
    if not there:
        raise SourceError(f"no such path: {path}; give the folder or archive that holds {LAYOUTS}")
    if path.is_file():
        if path.suffix.lower() in image_suffixes():
            raise SourceError(f"{path} is one image; give the folder that holds it and others")
        source = ShardSource.find(str(path)) if path.suffix == ".parquet" else TarSource.find(path)
    else:
        built = [folder.name for folder in (path, *sorted(path.iterdir())) if is_built_set(folder)]
        source = (
            FlatFolder.find(path)
            or ClassFolders.find(path)
            or ImageNetRoot.find(path)
            or Kaggle.find(path)
            or TarSource.find(path)
            or (None if built else ShardSource.find(str(path)))
            or AnyFolder.find(path)
        )
        if source is None and built:
            raise SourceError(f"{path} holds sets that were built ({', '.join(built)}), not images to build from")
    if source is None:
        raise SourceError(f"no images in {path}; give the folder or archive that holds {LAYOUTS}")
    return source
