"""Figures in words, the same wherever they are shown: on a terminal, in a notebook and on a page. Needs no torch."""

from collections.abc import Mapping
from typing import Any

from qi_datasets.specs import QI

NOTHING = "\N{EN DASH}"
"""What stands for a figure that is missing."""


def percent(share: float | None, digits: int = 1) -> str:
    """A share in percent, without the sign."""
    return NOTHING if share is None else f"{100 * share:.{digits}f}"


def percent_interval(at: Mapping[str, Any]) -> str:
    """The interval at a border in percent; a dash where the corners are equal."""
    return NOTHING if at["low"] is None else f"{percent(at['low'])} to {percent(at['high'])}"


def p_value(p: float | None) -> str:
    """A p value; a dash where the corners are equal."""
    return NOTHING if p is None else "< 1e-99" if p < 1e-99 else f"{p:.3f}" if p >= 0.001 else f"{p:.0e}"


def reach(figures: Mapping[str, Any], name: str = "reach") -> str:
    """The widest border that is read, with a sign where wider ones were not run.

    Args:
        figures: Of one init of an entry on `qi`.
        name: `reach` or `reach_75`.

    Returns:
        Such as "128", "nowhere", "≥ 128", or a dash where it was read at none of only some borders.
    """
    border, censored = figures[name], figures[f"{name}_censored"]
    if border is None:
        return NOTHING if censored else "nowhere"
    return f"\N{GREATER-THAN OR EQUAL TO} {border}" if censored else f"{border}"


def borders_run(figures: Mapping[str, Any]) -> str:
    """How many of the seven borders there are, such as "2 of 7 borders"."""
    return f"{sum(f'{border}' in figures['borders'] for border in QI.borders)} of {len(QI.borders)} borders"
