"""`python -m tests.faults [--long] [NAME ...]`: breaks things on purpose, counts, and says what held."""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.faults.disks import NoMountError, disks, rounds, swaps
from tests.faults.flips import flips
from tests.faults.mutants import mutants
from tests.faults.processes import kills, signals
from tests.faults.readers import READERS

Harness = Callable[[int, int, Path], str]

COUNTS: dict[str, tuple[Harness, int, int]] = {
    "kills": (kills, 3, 100),
    "signals": (signals, 2, 40),
    "disks": (disks, 5, 50),
    "rounds": (rounds, 2, 10),
    "swaps": (swaps, 40, 2000),
    "flips": (flips, 12, 300),
    **{kind: (partial(mutants, kind), 60 if kind != "manifest" else 20, 1000) for kind in READERS},
}
"""Name -> what is done, how often in the small version, how often in the long one."""


def main() -> int:
    """Runs the named checks, all by default; returns 1 if any failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(COUNTS)}")
    parser.add_argument("--long", action="store_true", help="the full counts")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    failed = 0
    for name in options.names or COUNTS:
        harness, small, full = COUNTS[name]
        start = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="qi-faults-", ignore_cleanup_errors=True) as folder:
            try:
                told = harness(full if options.long else small, options.seed, Path(folder))
            except NoMountError as error:
                told = f"not run: {error}"
            except AssertionError as error:
                told, failed = f"FAILED: {error}", failed + 1
        print(f"{name}: {told} ({time.monotonic() - start:.0f} s)", flush=True)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
