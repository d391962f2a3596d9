"""The progress bar, and messages beside it."""

import sys
import time
from typing import Any

from tqdm import tqdm


def bar_over(name: str, total: int, unit: str, progress: bool, *, scaled: bool = False) -> "tqdm[Any]":
    """Returns a progress bar on standard error, silent where that is not a terminal.

    Args:
        name: What the bar is called.
        total: How many units there are.
        unit: What is counted, in the singular.
        progress: False for none at all.
        scaled: Write thousands and millions as k and M.
    """
    return tqdm(total=total, desc=name, unit=unit, unit_scale=scaled, disable=None if progress else True, leave=False)


def is_watched() -> bool:
    """Returns whether somebody sees a bar: on a terminal, or in a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


class Teller:
    """Says how far work is where nobody sees a bar: a line a minute, and one for each border that is done."""

    MINUTE = 60.0

    def __init__(self, name: str, total: int, progress: bool) -> None:
        self.done = 0
        self._name, self._total, self._speaks = name, total, progress and not is_watched()
        self._border, self._last = "", time.monotonic()

    def count(self, border: str = "") -> None:
        """Counts a part of the work, of some border."""
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
