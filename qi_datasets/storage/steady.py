"""Reads a set that another process may replace meanwhile: the old one or the new one, never parts of both."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from qi_datasets.errors import StoredSetError
from qi_datasets.storage.location import Place
from qi_datasets.storage.manifest import MANIFEST
from qi_datasets.storage.staging import standing

Result = TypeVar("Result")

ATTEMPTS = 10
"""Times that a set may be replaced while it is read before reading gives up."""


def read_steadily(folder: Place, read: Callable[[Place], Result]) -> Result:
    """What `read` gives of the set's folder; once more when the set was replaced meanwhile.

    Raises what `read` raises about a set that stood still, and StoredSetError for one that is replaced all the time.
    """
    for _ in range(ATTEMPTS):
        place = standing(folder)
        before = _state(place)
        try:
            result = read(place)
        except Exception:
            if before is None or _state(standing(folder)) == before:
                raise
            continue
        if before is None or _content(standing(folder)) == before[1]:
            return result
    raise StoredSetError(f"{folder} is replaced again and again while it is read; load it when no build runs")


def _state(place: Place) -> tuple[tuple[int, int] | None, bytes | None] | None:
    """Which folder stands at a place, and its manifest; None behind a URL, where no folder is swapped."""
    if isinstance(place, str):
        return None
    identity = None
    with suppress(OSError):
        found = place.stat()
        identity = found.st_dev, found.st_ino
    return identity, _content(place)


def _content(place: Place) -> bytes | None:
    """The manifest of a set as it is stored; None if there is none."""
    with suppress(OSError):
        return Path(place, MANIFEST).read_bytes()
    return None
