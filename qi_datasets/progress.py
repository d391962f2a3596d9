"""The progress bar, and messages beside it."""

import sys
import time
from typing import Any

from tqdm import tqdm


def bar_over(name: str, total: int, unit: str, progress: bool, *, scaled: bool = False) -> "tqdm[Any]":
    """Returns a progress bar on standard error, silent unless that is a terminal.

    Args:
        name: The bar's name.
        total: Number of units.
        unit: The unit, in the singular.
        progress: False for no bar.
        scaled: Write thousands and millions as k and M.
    """
    return tqdm(total=total, desc=name, unit=unit, unit_scale=scaled, disable=None if progress else True, leave=False)


def is_watched() -> bool:
    """Returns whether somebody sees a bar: on a terminal, or in a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


class Teller:
    """Reports progress where nobody sees a bar: a line a minute, and one for each finished border."""

    MINUTE = 60.0

    def __init__(self, name: str, total: int, progress: bool) -> None:
        self.done = 0
        self._name, self._total, self._speaks = name, total, progress and not is_watched()
        self._border, self._last = "", time.monotonic()

    def count(self, border: str = "") -> None:
        """Counts a part of the work, at some border."""
        self.done += 1
        if not self._speaks:
            return
        if border != self._border and self._border:
            self._say(f"border {int(self._border)} is done")
        elif time.monotonic() - self._last > self.MINUTE:
            self._say(f"{self.done} of at most {self._total} parts are done")
        self._border = border

    def _say(self, text: str) -> None:
        self._last = time.monotonic()
        print(f"{self._name}: {text}", file=sys.stderr, flush=True)


def say_progress(text: str, progress: bool) -> None:
    """Writes one line to standard error, where a progress bar would be shown."""
    if progress and sys.stderr.isatty():
        tqdm.write(text, file=sys.stderr)


def note(text: str) -> None:
    """Writes one line to standard error, whether or not it is a terminal."""
    tqdm.write(f"note: {text}", file=sys.stderr)
