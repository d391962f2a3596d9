"""Processes that are forked from one that has imported slow libraries, and are fresh otherwise."""

import multiprocessing
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# There is one such process; DataLoader's "forkserver" takes its workers from it, too. Nothing of this package: what a
# worker needs of it, the data it gets must import.
multiprocessing.set_forkserver_preload(
    ["torch", "torch.utils.data", "torchvision", "datasets", "distributed.cli.dask_worker"]
)
FORKS = multiprocessing.get_context("forkserver")


@dataclass(frozen=True)
class Ended:
    """How a process ended, and its output."""

    exit_code: int
    stdout: str
    stderr: str


def call_forked(function: Callable[..., Any], *arguments: Any) -> Ended:
    """Calls a module's function in a new process; an uncaught error and SystemExit end it as usual."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("stdout", "stderr")]
        process = FORKS.Process(target=_call, args=(files, function, arguments))
        process.start()
        process.join()
        return Ended(process.exitcode or 0, *(file.read_text() for file in files))


def _call(files: list[Path], function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    for number, file in enumerate(files, 1):
        os.dup2(os.open(file, os.O_CREAT | os.O_WRONLY), number)
    function(*arguments)
