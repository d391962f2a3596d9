"""Locations of sets: a local folder (a Path), or an fsspec URL (a str) such as `s3://bucket/sets/qi`."""

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
"""The environment variable with the folder of sets."""

Place: TypeAlias = Path | str


SYSTEM_FILES = (".DS_Store", "Thumbs.db", "desktop.ini")
"""Files that file managers leave in folders; so are files whose names begin with "._"."""


def is_system_file(name: str) -> bool:
    """Returns whether a path is that of a file that an operating system adds to folders; no loader reads it."""
    base = name.rpartition("/")[2]
    return base in SYSTEM_FILES or base.startswith("._")


def place_of(given: str | Path) -> Place:
    """Returns a user's path or URL as a location; paths become absolute. Raises OptionError if it can be neither."""
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
    """Returns the location that a user names, as `place_of` does; by default `default_output`."""
    return default_output() if output is None else place_of(output)


def output_of(given: str | Path | None) -> Place:
    """Returns a location to write to, as `sets_root` does. Raises OptionError if it keeps no sets, or is the Hub."""
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
    """Returns the default folder of sets: `$QI_DATASETS_HOME`, else one in the platform's cache folder."""
    home = os.environ.get(HOME)
    return output_of(home) if home else user_cache_path("qi-datasets")


def set_folder(output: Place, spec: SetSpec, size: int) -> Place:
    """Returns the folder of a set in an output location."""
    return join_place(output, set_name(spec, size))


def set_name(spec: SetSpec, size: int) -> str:
    """Returns the name of a set's folder, which includes a size other than the official one."""
    option = "" if spec.size_option is None or size == spec.size else f"-{spec.size_option.name}_{size}"
    return f"{spec.name}{option}"


def folder_name(place: Place) -> str:
    """Returns the last part of a location: the name of a set's folder."""
    return place.name if isinstance(place, Path) else place.rpartition("/")[2]


def join_place(place: Place, name: str) -> Place:
    """Returns the location with a relative name below another location."""
    return place / name if isinstance(place, Path) else f"{place}/{name}"


def file_system(place: Place) -> tuple[AbstractFileSystem, str]:
    """Returns fsspec's file system for a location, and the path in it."""
    if isinstance(place, Path):
        return LocalFileSystem(), str(place)
    fs, path = fsspec.url_to_fs(place)
    # Another process may have changed files since they were last listed.
    fs.invalidate_cache()
    return fs, path


def exists(place: Place) -> bool:
    """Returns whether a file or folder exists; on object stores, whether any name begins with that of the folder."""
    fs, path = file_system(place)
    return bool(fs.exists(path))


def file_size(place: Place) -> int | None:
    """Returns the size of a file in bytes; None if there is no such file."""
    fs, path = file_system(place)
    try:
        return int(fs.size(path)) if fs.isfile(path) else None
    except OSError:
        return None


def files_below(place: Place) -> list[str]:
    """Returns the relative paths of all files below a location, sorted."""
    fs, path = file_system(place)
    root = fs._strip_protocol(path)
    return sorted(str(name)[len(root) :].lstrip("/") for name in fs.find(path))


def entries_below(place: Place) -> list[tuple[str, str]]:
    """Returns path and kind ("file", "directory", "link", "other") of everything below a location, sorted.

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
    """Opens a file for reading. Raises OSError if it does not exist, or is a pipe or a device."""
    fs, path = file_system(place)
    return open_regular(path) if isinstance(fs, LocalFileSystem) else fs.open(path, "rb")


def read_bytes(place: Place, most: int) -> bytes:
    """Reads a file; of one with more than `most` bytes only a beginning that is longer than `most`. Raises OSError."""
    data = bytearray()
    with open_file(place) as file:
        while len(data) <= most and (piece := file.read(1 << 20)):
            data += piece
    return bytes(data)


def fetch(place: Place, target: Path) -> None:
    """Copies a file to a local path. Raises OSError if it can't be read."""
    fs, path = file_system(place)
    fs.get_file(path, str(target))


def replace_below(place: Place, folder: Path, last: str) -> None:
    """Replaces everything at a URL by the files of a folder; `last` is removed first and written last.

    So a reader that looks for that file never takes a half-written set for a whole one. Raises OSError if refused.
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
