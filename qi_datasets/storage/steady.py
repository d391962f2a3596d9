"""Reads a set that another process may replace at the same time: the old one or the new one, never parts of both."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TypeVar

from qi_datasets.errors import OutputError, StoredSetError
from qi_datasets.storage.location import Place
from qi_datasets.storage.staging import finished_place, lock_folder

Result = TypeVar("Result")

ATTEMPTS, FREE_ATTEMPTS = 10, 3
"""The number of tries to read a set before it gives up, and before it locks out builds, if it can."""


def read_steadily(folder: Place, read: Callable[[Place], Result]) -> Result:
    """Returns the result of `read` on the set's folder; reads again if the set was replaced in between.

    Raises the error of `read` if the set was not replaced, and StoredSetError if it is replaced again and again.
    """
    if isinstance(folder, str):  # behind a URL no folder is swapped
        return read(folder)
    for attempt in range(ATTEMPTS):
        with _builds_kept_away(folder) if attempt >= FREE_ATTEMPTS else nullcontext(), _seen(folder) as stands:
            try:
                result = read(finished_place(folder))
            except Exception:
                if stands():
                    raise
                continue
            if stands():
                return result
    raise StoredSetError(f"{folder} is replaced again and again while it is read; load it when no build runs")


def stamp(folder: Path) -> str:
    """Returns a value that no other folder at this path ever has: its inode and the time when it was put there.

    Data cached under this value were read from that folder, or while it was being replaced.
    """
    found = folder.stat()
    return f"{found.st_ino}-{found.st_ctime_ns}"


@contextmanager
def _seen(folder: Path) -> Iterator[Callable[[], bool]]:
    """Yields a function that says whether the folder of this path is still the same one."""
    descriptor = None
    # While it is open no other folder gets its inode number.
    with suppress(OSError):
        descriptor = os.open(finished_place(folder), os.O_RDONLY)
    try:
        yield lambda: _identity(finished_place(folder)) == (None if descriptor is None else _identity(descriptor))
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _identity(place: Place | int) -> tuple[int, int] | None:
    """Returns device and inode of an open or named folder; None if there is none."""
    with suppress(OSError):
        found = os.stat(place)  # noqa: PTH116
        return found.st_dev, found.st_ino
    return None


@contextmanager
def _builds_kept_away(folder: Path) -> Iterator[None]:
    """Locks out builds while the block runs, if this process may lock."""
    lock = lock_folder(folder)
    try:
        lock.__enter__()
    except OutputError:
        yield
        return
    try:
        yield
    finally:
        lock.__exit__(None, None, None)
