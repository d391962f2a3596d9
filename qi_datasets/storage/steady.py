"""Reads a set that another process may replace meanwhile: the old one or the new one, never parts of both."""

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
"""Times that a set is read before reading gives up, and before it keeps builds away, where it may."""


def read_steadily(folder: Place, read: Callable[[Place], Result]) -> Result:
    """Returns what `read` gives of the set's folder; once more when the set was replaced meanwhile.

    Raises what `read` raises about a set that was not replaced, and StoredSetError for one that is replaced all the
    time.
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
    """Returns what no other folder at this place ever shares: its number, and the time when it came there.

    What is kept of a set under this name was read from that folder, or was being read when it went.
    """
    found = folder.stat()
    return f"{found.st_ino}-{found.st_ctime_ns}"


@contextmanager
def _seen(folder: Path) -> Iterator[Callable[[], bool]]:
    """Returns a function that says whether the present folder is still in its place."""
    descriptor = None
    # While it is open no other folder gets its number.
    with suppress(OSError):
        descriptor = os.open(finished_place(folder), os.O_RDONLY)
    try:
        yield lambda: _identity(finished_place(folder)) == (None if descriptor is None else _identity(descriptor))
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _identity(place: Place | int) -> tuple[int, int] | None:
    """Returns the device and the number of an open or named folder; None for one that is not there."""
    with suppress(OSError):
        found = os.stat(place)  # noqa: PTH116
        return found.st_dev, found.st_ino
    return None


@contextmanager
def _builds_kept_away(folder: Path) -> Iterator[None]:
    """Keeps builds away while the block runs, where this process may lock."""
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
