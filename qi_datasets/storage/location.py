"""Places of sets: a folder of this machine (a Path), or an fsspec URL (a str) such as `s3://bucket/sets/qi`."""

import os
from pathlib import Path
from typing import BinaryIO, TypeAlias
from urllib.parse import urlsplit
from urllib.request import url2pathname

import fsspec
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem
from platformdirs import user_cache_path

from qi_datasets.errors import NamedArgument, OptionError
from qi_datasets.set_spec import SetSpec
from qi_datasets.sources.reading import open_regular

HOME = "QI_DATASETS_HOME"
"""The variable that names the folder where sets are kept."""

Place: TypeAlias = Path | str


SYSTEM_FILES = (".DS_Store", "Thumbs.db", "desktop.ini")
"""Files that file managers leave in folders that were looked at; so are files whose names begin with "._"."""


def is_system_file(name: str) -> bool:
    """Returns whether a file, by its path, is one that an operating system leaves beside others; no loader reads it."""
    base = name.rpartition("/")[2]
    return base in SYSTEM_FILES or base.startswith("._")


def place_of(given: str | Path) -> Place:
    """Returns a user's path or URL as a place; paths become absolute. OptionError for what can be neither."""
    text = str(given)
    try:
        if not text.strip():
            raise ValueError("it is empty (an unset variable?)")
        if "\0" in text:
            raise ValueError("it has a null byte")
        if "://" in text and not text.startswith("file://"):
            fsspec.url_to_fs(text)
            return text.rstrip("/")
        local = url2pathname(urlsplit(text).path) if text.startswith("file://") else given
        if "::" in str(local):
            raise ValueError("`datasets` takes '::' for a chain of URLs")
        path = Path(local).expanduser().absolute()
        path.exists()
    except (OSError, RuntimeError, ValueError, ImportError) as error:
        raise OptionError(
            f"{text!r} is no place for sets: {error}; give a folder, or a URL that fsspec knows", code="bad-place"
        ) from error
    return path


def sets_root(output: str | Path | None) -> Place:
    """Returns the place that a user names, as `place_of` does; by default that where sets are kept."""
    return default_output() if output is None else place_of(output)


def output_of(given: str | Path | None) -> Place:
    """As `sets_root`, for where sets are written; OptionError also for what would keep none, or show it to all."""
    if given is None:
        return default_output()
    place = place_of(given)
    if isinstance(place, str) and place.startswith("memory://"):
        raise OptionError(
            NamedArgument("output", place), " is gone when this program ends; give a folder", code="bad-place"
        )
    if isinstance(place, str) and place.startswith("hf://"):
        raise OptionError(
            NamedArgument("output", place),
            " is on the Hub; build into a folder, then publish that with qi-publish",
            code="bad-place",
        )
    return place


def default_output() -> Place:
    """Returns where sets are kept: `$QI_DATASETS_HOME`, else the platform's cache folder."""
    home = os.environ.get(HOME)
    return output_of(home) if home else user_cache_path("qi-datasets")


def set_folder(output: Place, spec: SetSpec, size: int) -> Place:
    """Returns the folder of a set below an output place."""
    return join_place(output, set_name(spec, size))


def set_name(spec: SetSpec, size: int) -> str:
    """Returns the name of a set's folder; one of another size than the official has a folder of its own."""
    option = "" if spec.size_option is None or size == spec.size else f"-{spec.size_option.name}_{size}"
    return f"{spec.name}{option}"


def folder_name(place: Place) -> str:
    """Returns the last part of a place: the name of a set's folder."""
    return place.name if isinstance(place, Path) else place.rpartition("/")[2]


def join_place(place: Place, name: str) -> Place:
    """Returns the place of that relative name below another."""
    return place / name if isinstance(place, Path) else f"{place}/{name}"


def file_system(place: Place) -> tuple[AbstractFileSystem, str]:
    """Returns the file system of fsspec, and its path, for a place."""
    if isinstance(place, Path):
        return LocalFileSystem(), str(place)
    fs, path = fsspec.url_to_fs(place)
    # Another process may have changed what is there since it was last listed.
    fs.invalidate_cache()
    return fs, path


def exists(place: Place) -> bool:
    """Returns whether a file or a folder is there; for object stores: anything below that name."""
    fs, path = file_system(place)
    return bool(fs.exists(path))


def file_size(place: Place) -> int | None:
    """Returns size of a file in bytes; None for a file that is not there."""
    fs, path = file_system(place)
    try:
        return int(fs.size(path)) if fs.isfile(path) else None
    except OSError:
        return None


def files_below(place: Place) -> list[str]:
    """Returns the relative paths of all files below a place, sorted."""
    fs, path = file_system(place)
    root = fs._strip_protocol(path)
    return sorted(str(name)[len(root) :].lstrip("/") for name in fs.find(path))


def entries_below(place: Place) -> list[tuple[str, str]]:
    """Returns path and kind ("file", "directory", "link", "other") of everything below a place, sorted.

    Links to files of a local folder count as files, as in the Hub's cache; other links are not followed.
    """
    fs, path = file_system(place)
    if not isinstance(fs, LocalFileSystem):
        return [(name, "file") for name in files_below(place)]
    found = []
    for parent, folders, files in os.walk(path):
        inside = Path(parent).relative_to(path)
        for name in folders:
            found.append(((inside / name).as_posix(), "link" if Path(parent, name).is_symlink() else "directory"))
        for name in files:
            found.append(((inside / name).as_posix(), "file" if Path(parent, name).is_file() else "other"))
    return sorted(found)


def open_file(place: Place) -> BinaryIO:
    """Returns a file, open for reading; OSError for one that is not there, and for a pipe or a device."""
    fs, path = file_system(place)
    return open_regular(path) if isinstance(fs, LocalFileSystem) else fs.open(path, "rb")


def read_bytes(place: Place, most: int) -> bytes:
    """Returns a file's bytes, of one with more than `most` only a beginning that is longer; OSError as usual."""
    data = bytearray()
    with open_file(place) as file:
        while len(data) <= most and (piece := file.read(1 << 20)):
            data += piece
    return bytes(data)


def fetch(place: Place, target: Path) -> None:
    """Copies a file to a path of this machine; OSError if it can't be read."""
    fs, path = file_system(place)
    fs.get_file(path, str(target))


def replace_below(place: Place, folder: Path, last: str) -> None:
    """Puts a folder's files in the place of whatever is there, the file `last` last, after removing it first.

    So a reader who looks for that file never takes a half-written set for a whole one. OSError if the store refuses.
    """
    fs, path = file_system(place)
    if fs.exists(f"{path}/{last}"):
        fs.rm_file(f"{path}/{last}")
    if fs.exists(path):
        fs.rm(path, recursive=True)
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    for file in sorted(files, key=lambda file: file.relative_to(folder).as_posix() == last):
        target = f"{path}/{file.relative_to(folder).as_posix()}"
        fs.makedirs(target.rpartition("/")[0], exist_ok=True)
        fs.put_file(str(file), target)
