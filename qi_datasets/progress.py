"""The one progress bar."""

from typing import Any

from tqdm import tqdm


def bar_over(name: str, total: int, unit: str, progress: bool) -> "tqdm[Any]":
    """A progress bar on standard error, silent where that is no terminal."""
    return tqdm(total=total, desc=name, unit=unit, disable=None if progress else True, leave=False)
