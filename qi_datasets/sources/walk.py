"""Walks a folder as `os.walk(followlinks=True)` does, but does not follow circular links, and names broken ones."""

import os
import re
from collections.abc import Iterator

from qi_datasets.errors import SourceError

TRAINING = re.compile(r"(ILSVRC2012_img_)?train(ing)?", re.IGNORECASE)
"""Names of folders that hold training images."""


def folders_in(folder: str) -> list[str]:
    """Returns the sorted names of the folders in a folder, also through links. Raises SourceError as `scan`."""
    return sorted(entry.name for entry in scan(folder)[0])


def scan(folder: str) -> tuple[list["os.DirEntry[str]"], list[str]]:
    """Returns the folders in a folder, also through links, and the names of its files.

    Raises:
        SourceError: If the folder can't be read, or a link can't be followed.
    """
    try:
        with os.scandir(folder) as found:
            entries = list(found)
        # Most entries are plain files, and there may be 50,000 of them.
        unsure = [entry for entry in entries if not entry.is_file(follow_symlinks=False)]
        folders = [entry for entry in unsure if _is_folder(entry)]
    except OSError as error:
        raise unreadable(error.filename or folder, error.strerror) from error
    names = {entry.name for entry in folders}
    return folders, [entry.name for entry in entries if entry.name not in names]


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    """Returns whether an entry is a folder, or a link to one.

    Raises:
        SourceError: If the link is broken.
    """
    if not entry.is_symlink():
        return entry.is_dir()
    try:
        found = entry.is_dir()
        if not found and not entry.name.startswith("."):
            entry.stat()
    except OSError as error:
        raise unreadable(entry.path, f"the link cannot be followed ({error.strerror})") from error
    return found


def unreadable(path: object, reason: str | None) -> SourceError:
    """Returns the error for a part of a source that can't be read."""
    return SourceError(
        f"cannot read {path}: {reason}; without it another selection would be made, so repair it, or leave it out of "
        "the folder",
        code="cannot-read",
    )


def walk(top: str, skipped: "re.Pattern[str] | None" = None) -> Iterator[tuple[str, list[str]]]:
    """Yields each folder, as a POSIX path relative to `top` ("" for itself), and the sorted names of its files.

    Hidden folders are left out. A folder behind two links is seen twice; a link to one of its own parents is not
    followed.

    Args:
        top: The folder to begin with.
        skipped: Pattern of the names of folders to leave out.

    Raises:
        SourceError: If a folder can't be read, or a link can't be followed.
    """
    pending = [("", False)]
    while pending:
        inside, is_link = pending.pop()
        if is_link and _is_inside_itself(top, inside):
            continue
        folders, files = scan(os.path.join(top, inside) if inside else top)
        yield inside, sorted(files)
        pending += [
            (f"{inside}/{entry.name}" if inside else entry.name, entry.is_symlink())
            for entry in sorted(folders, key=lambda entry: entry.name, reverse=True)
            if not entry.name.startswith(".") and not (skipped and skipped.fullmatch(entry.name))
        ]


def _is_inside_itself(top: str, inside: str) -> bool:
    """Returns whether the folder at `inside` is one of the folders in that path."""
    parts = inside.split("/")
    above = (os.path.join(top, *parts[:depth]) for depth in range(len(parts)))
    try:
        return any(os.path.samefile(one, os.path.join(top, inside)) for one in above)  # noqa: PTH121
    except OSError as error:
        raise unreadable(os.path.join(top, inside), error.strerror) from error
