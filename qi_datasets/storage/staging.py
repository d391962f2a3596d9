"""Writes sets atomically: into a temporary folder beside the old one, which it then replaces under a lock."""

import errno
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from qi_datasets.errors import OutputError
from qi_datasets.progress import say_progress
from qi_datasets.storage.exchange import exchange_names
from qi_datasets.storage.location import Place, replace_below
from qi_datasets.storage.manifest_file import MANIFEST
from qi_datasets.storage.scratch import scratch_folder

_LOCK = ".{}.lock"
_STAGING = ".{}.building-"
_REPLACED = ".{}.replaced-"

_PATIENCE = 1.0
"""Seconds that a build waits for another one before it prints that it waits."""

_RANDOM = re.compile(r"[a-z0-9_]{8}")
"""Characters of the random part of names that `tempfile` makes."""

_NO_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF}

# On such a file system the lock is a file that exists while it is held, which works as well.
warnings.filterwarnings("ignore", "flock not supported on this filesystem")


@contextmanager
def lock_folder(folder: Place, progress: bool = False) -> Iterator[None]:
    """Keeps other builds of `folder` waiting while the block runs.

    A URL can't be locked: there a reader recognises a complete set by its manifest, which is written last.

    Args:
        folder: The set's folder.
        progress: Print on a terminal what it waits for.

    Raises:
        OutputError: If the parent folder can't be made or written.
    """
    if isinstance(folder, str):
        yield
        return
    parent = folder.parent
    # The file stays when the lock is released: after an unlink, two builders could lock two files of one name.
    lock = FileLock(parent / _LOCK.format(folder.name))
    try:
        parent.mkdir(parents=True, exist_ok=True)
        # Where no file can be made, filelock would try for ever.
        tempfile.TemporaryFile(dir=parent).close()
        try:
            lock.acquire(timeout=_PATIENCE)
        except Timeout:
            say_progress(
                f"waiting for another process, which is building {folder} (it holds {lock.lock_file})", progress
            )
            lock.acquire()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"cannot write to {parent}: {reason}; choose another output folder") from error
    try:
        _clear_leftovers(folder)
        yield
    finally:
        lock.release()


@contextmanager
def replace_whole(folder: Place) -> Iterator[Path]:
    """Yields an empty folder, which replaces `folder` when the block ends, and is removed if the block raises.

    Call it inside `locked`.

    Raises:
        OutputError: If the file system refuses.
    """
    if isinstance(folder, str):
        with _upload_whole(folder) as upload:
            yield upload
        return
    staging = None
    try:
        staging = Path(tempfile.mkdtemp(prefix=_STAGING.format(folder.name), dir=folder.parent))
        staging.chmod(0o777 & ~_current_umask())
        yield staging
        _sync_folder(staging)
        if os.path.lexists(folder):
            swap(staging, folder)
        else:
            staging.rename(folder)
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}; nothing was changed") from error
    finally:
        if staging is not None:
            remove(staging)
    with suppress(OSError):
        sync(folder.parent)


def swap(staging: Path, folder: Path) -> None:
    """Puts `staging` in the place of `folder`, which is removed. Raises OSError if nothing was changed.

    If the system can't exchange the two, there is a moment without a set; `set_aside` finds the old one then.
    """
    if exchange_names(staging, folder):
        return
    old = Path(tempfile.mkdtemp(prefix=_REPLACED.format(folder.name), dir=folder.parent))
    try:
        folder.rename(old / folder.name)
        try:
            staging.rename(folder)
        except OSError as error:
            _put_back(old / folder.name, folder, error)
            raise
    except OSError:
        with suppress(OSError):
            old.rmdir()
        raise
    remove(old)


def _put_back(aside: Path, folder: Path, cause: OSError) -> None:
    """Moves a set back to its folder. Raises OutputError, which says where the set is, if that fails too."""
    try:
        aside.rename(folder)
    except OSError as error:
        raise OutputError(
            f"cannot write {folder}: {cause.strerror or cause}; the old set is whole, but is in {aside}: move it back"
        ) from error


def _sync_folder(folder: Path) -> None:
    """Flushes a folder's files, and the folders themselves, to the disk. Raises OSError if it can't."""
    for parent, _, files in os.walk(folder, topdown=False):
        for name in files:
            sync(Path(parent, name))
        sync(Path(parent))


def sync(path: Path) -> None:
    """Flushes a file or folder to the disk, where the file system can."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:  # a folder with permission to write but not to list
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(descriptor)


@contextmanager
def _upload_whole(url: str) -> Iterator[Path]:
    """Yields a temporary folder, whose files are uploaded to the URL when the block ends, the manifest last."""
    with scratch_folder() as folder:
        yield folder
        try:
            replace_below(url, folder, last=MANIFEST)
        except OSError as error:
            raise OutputError(f"cannot write {url}: {error}; no whole set is there now, try again") from error


def _leftovers(folder: Path, pattern: str) -> list[Path]:
    """Returns the temporary folders that builds left beside a set: real folders alone, never the target of a link."""
    prefix = pattern.format(folder.name)
    with suppress(OSError), os.scandir(folder.parent) as entries:
        return sorted(
            Path(entry)
            for entry in entries
            if entry.name.startswith(prefix)
            and _RANDOM.fullmatch(entry.name[len(prefix) :])
            and entry.is_dir(follow_symlinks=False)
        )
    return []


def set_aside(folder: Place) -> Path | None:
    """Returns the folder to which an interrupted swap moved a set; None if the set is in its folder, or nowhere."""
    if isinstance(folder, str) or os.path.lexists(folder):
        return None
    for aside in _leftovers(folder, _REPLACED):
        if os.path.lexists(aside / folder.name):
            return aside / folder.name
    return None


def finished_place(folder: Place) -> Place:
    """Returns the folder of a set, or the one in which an interrupted swap left it."""
    return set_aside(folder) or folder


def _clear_leftovers(folder: Path) -> None:
    """Cleans up after a killed build: moves a set back that was moved aside, and removes half-written ones."""
    aside = set_aside(folder)
    if aside is not None:
        aside.rename(folder)
    for unfinished in _leftovers(folder, _REPLACED) + _leftovers(folder, _STAGING):
        remove(unfinished)


def remove(path: Path) -> None:
    """Removes a folder with its content, or a file or link itself, as far as possible."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _current_umask() -> int:
    """Returns the process's umask, which can only be read by setting it."""
    umask = os.umask(0)
    os.umask(umask)
    return umask
