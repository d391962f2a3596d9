"""Temporary folders outside of the sets' own folder. The next process removes those of a killed process."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

PREFIX = "qi-datasets-scratch-"
OWNER = "owner.lock"
FRESH = 3600.0
"""Age in seconds up to which a folder without a lock is left alone: its process may be about to lock it."""


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yields an empty folder in the temporary folder of the system, while the block runs.

    The process holds a lock beside it; the next process that makes a scratch folder removes those without a lock.
    """
    remove_ownerless(Path(tempfile.gettempdir()))
    root = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        with FileLock(root / OWNER):
            inside = root / "folder"
            inside.mkdir()
            yield inside
    finally:
        shutil.rmtree(root, ignore_errors=True)


def remove_ownerless(parent: Path) -> None:
    """Removes the scratch folders in `parent` that no living process holds."""
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX) and entry.is_dir(follow_symlinks=False) and is_ownerless(Path(entry)):
                shutil.rmtree(entry, ignore_errors=True)


def is_ownerless(root: Path) -> bool:
    """Returns whether no process holds the lock of a scratch folder any more."""
    try:
        if not (root / OWNER).exists():
            return time.time() - root.stat().st_mtime > FRESH
        with FileLock(root / OWNER, timeout=0):
            return True
    except (OSError, Timeout):
        return False
