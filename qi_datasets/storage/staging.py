"""A set appears whole or not at all: written to a temporary sibling, swapped in under a lock."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from qi_datasets.errors import OutputError
from qi_datasets.storage.location import Place, replace_below
from qi_datasets.storage.manifest import MANIFEST

LOCK = ".{}.lock"
STAGING = ".{}.building-"
REPLACED = ".{}.replaced-"


@contextmanager
def locked(folder: Place) -> Iterator[None]:
    """Nobody else builds `folder` while the block runs.

    Behind a URL nothing can be locked: there the manifest, written last, tells a whole set. Raises OutputError when
    the parent can't be made or written.
    """
    if isinstance(folder, str):
        yield
        return
    parent = folder.parent
    lock = FileLock(parent / LOCK.format(folder.name))
    try:
        parent.mkdir(parents=True, exist_ok=True)
        # Where no file can be made, filelock would try for ever.
        os.close(os.open(lock.lock_file, os.O_RDWR | os.O_CREAT, 0o644))
        lock.acquire()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"cannot write to {parent}: {reason}; choose another output folder") from error
    try:
        clear_leftovers(folder)
        yield
    finally:
        if not folder.exists():
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


@contextmanager
def replaced_whole(folder: Place) -> Iterator[Path]:
    """An empty folder, which takes the place of `folder` when the block ends, and vanishes when it raises.

    Call it inside `locked`. Raises OutputError when the file system refuses.
    """
    if isinstance(folder, str):
        with uploaded_whole(folder) as upload:
            yield upload
        return
    staging = None
    try:
        staging = Path(tempfile.mkdtemp(prefix=STAGING.format(folder.name), dir=folder.parent))
        staging.chmod(0o777 & ~current_umask())
        yield staging
        if folder.exists():
            old = Path(tempfile.mkdtemp(prefix=REPLACED.format(folder.name), dir=folder.parent))
            folder.rename(old / folder.name)
            staging.rename(folder)
            shutil.rmtree(old)
        else:
            staging.rename(folder)
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}; nothing was changed") from error
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def uploaded_whole(url: str) -> Iterator[Path]:
    """A temporary folder, whose files are put behind the URL when the block ends, the manifest last."""
    with tempfile.TemporaryDirectory(prefix="qi-datasets-") as folder:
        yield Path(folder)
        try:
            replace_below(url, Path(folder), last=MANIFEST)
        except OSError as error:
            raise OutputError(f"cannot write {url}: {error}; no whole set is there now, try again") from error


def clear_leftovers(folder: Path) -> None:
    """Puts right what a killed build left: a set that was moved aside comes back, half-written ones go."""
    for aside in folder.parent.glob(REPLACED.format(folder.name) + "*"):
        if not folder.exists() and (aside / folder.name).exists():
            (aside / folder.name).rename(folder)
        shutil.rmtree(aside, ignore_errors=True)
    for unfinished in folder.parent.glob(STAGING.format(folder.name) + "*"):
        shutil.rmtree(unfinished, ignore_errors=True)


def current_umask() -> int:
    """The process's umask, which can only be read by setting it."""
    umask = os.umask(0)
    os.umask(umask)
    return umask
