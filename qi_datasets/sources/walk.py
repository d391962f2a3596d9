"""Walks a folder as `os.walk(followlinks=True)` does, but ends where links lead in circles, and names broken links."""

import os
import re
from collections.abc import Iterator

from qi_datasets.errors import SourceError

TRAINING = re.compile(r"(ILSVRC2012_img_)?train(ing)?", re.IGNORECASE)
"""Names of folders that hold training images."""


def scanned(folder: str) -> tuple[list[str], list[str]]:
    """Returns the names of the folders and of the files in a folder, links followed, each list sorted.

    Raises:
        SourceError: For a folder that can't be read, and for a link that can't be followed.
    """
    folders, files = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if _is_folder(entry):
                    folders.append(entry.name)
                else:
                    files.append(entry.name)
    except OSError as error:
        raise unreadable(error.filename or folder, error.strerror) from error
    return sorted(folders), sorted(files)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    """Whether an entry is a folder, or a link to one.

    Raises:
        SourceError: For a link that leads nowhere.
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
        "the folder"
    )


def walk(top: str, skipped: "re.Pattern[str] | None" = None) -> Iterator[tuple[str, list[str]]]:
    """Yields each folder, as a POSIX path relative to `top` ("" for itself), and the sorted names of its files.

    Hidden folders are left out. A folder that two links name is seen twice; a link to a folder that holds it is not
    followed.

    Args:
        top: where to begin.
        skipped: pattern of names of folders that are left out.

    Raises:
        SourceError: A folder can't be read, or a link can't be followed.
    """
    pending: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
    while pending:
        inside, above = pending.pop()
        path = os.path.join(top, inside) if inside else top
        try:
            found = os.stat(path)  # noqa: PTH116
        except OSError as error:
            raise unreadable(path, error.strerror) from error
        if (found.st_dev, found.st_ino) in above:
            continue
        above |= {(found.st_dev, found.st_ino)}
        folders, files = scanned(path)
        yield inside, files
        pending += [
            (f"{inside}/{name}" if inside else name, above)
            for name in reversed(folders)
            if not name.startswith(".") and not (skipped and skipped.fullmatch(name))
        ]
