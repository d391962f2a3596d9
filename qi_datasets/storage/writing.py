"""Writes files atomically, and turns errors of writing into one line."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from qi_datasets.errors import OutputError


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Writes a file beside its destination, and moves it there when it is complete; on failure it is removed."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def output_errors(target: object, advice: str = "choose another folder") -> Iterator[None]:
    """Turns an OSError of the block into an OutputError: what can't be written, why, and what to do."""
    try:
        yield
    except OSError as error:
        more = f"; {advice}" if advice else ""
        raise OutputError(f"cannot write {target}: {error.strerror or error}{more}") from error
