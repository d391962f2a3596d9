"""The lines of the benchmark table, and how a command is timed."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

KIBIBYTE = 1024


@dataclass(frozen=True)
class Line:
    """A ratio: `measure` over `reference`, each a function that measures once and returns a number in `unit`."""

    name: str
    measure: Callable[[], float]
    reference: Callable[[], float]
    bar: float
    at_most: bool = True
    unit: str = "s"
    repeats: int | None = None


def timed(work: Callable[[], object]) -> float:
    """Returns the seconds that `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def run(*words: str | Path) -> None:
    """Runs Python with these arguments, quietly. Raises CalledProcessError if it fails."""
    subprocess.run([sys.executable, *map(str, words)], check=True, stdout=subprocess.DEVNULL)


def command_seconds(*words: str | Path) -> float:
    """Returns the seconds of a Python process with these arguments."""
    return timed(lambda: run(*words))


def peak_memory(*words: str | Path) -> float:
    """Returns the peak resident memory, in MiB, of a Python process with these arguments (without its children)."""
    process = subprocess.Popen([sys.executable, *map(str, words)], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, words)
    return usage.ru_maxrss / KIBIBYTE
