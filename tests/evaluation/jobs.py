"""Runs that are killed on the way, each in a separate process, which is forked from one that has imported torch."""

import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from tests.forks import FORKS


def run(folder: Path, sets: Path, stop: int = -1) -> None:
    """Evaluates into a folder, and kills its own process before it writes its `stop`-th file; -1 for never."""
    import torch

    from qi_datasets import evaluate
    from qi_datasets.evaluation import quadrant
    from qi_datasets.evaluation import work_folder as work
    from qi_datasets.protocols import scratch
    from tests.evaluation import networks

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            nonlocal stop
            if stop == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            stop -= 1
            return function(*arguments)

        return call

    torch.set_num_threads(1)
    quadrant.CHUNK, scratch.EPOCHS = 5, 3
    work.write_atomically = counted(work.write_atomically)
    torch.save = counted(torch.save)
    evaluate(networks.reader, output=sets, borders=[0, 3, 16], init=["random", "scratch"], seeds=1, entry=folder)


def started(folder: Path, sets: Path, stop: int = -1) -> ForkServerProcess:
    """Returns the process of a run, which has begun."""
    process = FORKS.Process(target=run, args=(folder, sets, stop))
    process.start()
    return process


def status(process: ForkServerProcess) -> int | None:
    """Waits for a run, and returns how it ended."""
    process.join()
    return process.exitcode


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]))
