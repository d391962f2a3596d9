"""The one progress bar, and what is said beside it."""

import sys
from typing import Any

from tqdm import tqdm


def bar_over(name: str, total: int, unit: str, progress: bool, *, scaled: bool = False) -> "tqdm[Any]":
    """A progress bar on standard error, silent where that is not a terminal.

    Args:
        name: What the bar is called.
        total: How many units there are.
        unit: What is counted, in the singular.
        progress: False for none at all.
        scaled: Write thousands and millions as k and M.
    """
    return tqdm(total=total, desc=name, unit=unit, unit_scale=scaled, disable=None if progress else True, leave=False)


def tell(text: str, progress: bool) -> None:
    """One line on standard error, where a progress bar would be shown."""
    if progress and sys.stderr.isatty():
        tqdm.write(text, file=sys.stderr)
