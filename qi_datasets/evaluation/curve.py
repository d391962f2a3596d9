"""The curve of an entry on `qi`: accuracy against border, drawn with characters or by matplotlib."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qi_datasets.errors import OptionError, OutputError, missing_extra
from qi_datasets.evaluation.entry import Entry
from qi_datasets.evaluation.figures import EQUAL, PROVED
from qi_datasets.evaluation.paper import paper_curve
from qi_datasets.specs import QI

ROWS = tuple(range(100, 40, -5))
"""Accuracy in percent of each line of characters."""

MARKS = "●○▲△"
BLIND = "="
"""Marks a border at which the corners are equal."""

WIDTH = 8


def curves_of(entry: Entry) -> dict[str, Mapping[str, Any]]:
    """Init -> border -> figures; OptionError for an entry of a task without curve."""
    if entry.task != QI.name:
        raise OptionError(f"an entry of {entry.task} has no accuracy against border")
    return {init: figures["borders"] for init, figures in entry.figures.items()}


def drawn(entry: Entry) -> list[str]:
    """The curve in lines of characters, a column for each border and a mark for each init."""
    curves = curves_of(entry)
    borders = [f"{border}" for border in entry.content["protocol"]["borders"]]
    lines = []
    for row in ROWS:
        cells = [cell([figures[border] for figures in curves.values()], row) for border in borders]
        lines.append(f"{row:>4} % |{''.join(cells)}".rstrip())
    lines.append(f"       +{'-' * (WIDTH * len(borders))}")
    lines.append(f"border  {''.join(f'{border:^{WIDTH}}' for border in borders)}".rstrip())
    marks = ", ".join(f"{mark} {init}" for mark, init in zip(MARKS, curves, strict=False))
    return [*lines, f"{marks}; {BLIND} the corners are equal"]


def cell(figures: Sequence[Mapping[str, Any]], row: int) -> str:
    """What stands at one border in the line of an accuracy."""
    step = ROWS[0] - ROWS[1]
    marks = [
        BLIND if at["verdict"] in (EQUAL, PROVED) else mark
        for mark, at in zip(MARKS, figures, strict=False)
        if max(ROWS[-1], step * round(100 * at["accuracy"] / step)) == row
    ]
    return f"{''.join(dict.fromkeys(marks)):^{WIDTH}}"


def plot(entry: Entry, file: Path) -> None:
    """Draws the curve with its intervals into a file, the paper's beside it where there is one.

    Raises:
        OptionError: For a kind of file that can't be drawn.
        OutputError: If it can't be written.
    """
    curves = curves_of(entry)
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing_extra(f"a figure is drawn with matplotlib ({error})", "torch") from error

    borders = entry.content["protocol"]["borders"]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for number, (init, figures) in enumerate(curves.items()):
        shares = [figures[f"{border}"] for border in borders]
        # Equal corners have no interval.
        ends = [(at["accuracy"], at["accuracy"]) if at["low"] is None else (at["low"], at["high"]) for at in shares]
        low = [100 * (at["accuracy"] - begin) for at, (begin, _) in zip(shares, ends, strict=True)]
        high = [100 * (end - at["accuracy"]) for at, (_, end) in zip(shares, ends, strict=True)]
        values = [100 * at["accuracy"] for at in shares]
        places, colour = range(len(borders)), f"C{number}"
        axes.errorbar(places, values, [low, high], marker="o", capsize=3, color=colour, label=init)
        blind = [place for place, at in enumerate(shares) if at["verdict"] in (EQUAL, PROVED)]
        if blind:
            axes.plot(blind, [values[p] for p in blind], "s", ms=10, mfc="none", color=colour, label=f"{init}, equal")
        paper = paper_curve(entry.content["model"]["name"], init)
        known = [place for place, border in enumerate(borders) if border in paper]
        if known:
            theirs = [100 * paper[borders[place]] for place in known]
            axes.plot(known, theirs, "--", color=colour, alpha=0.6, label=f"{init}, paper")
    axes.axhline(50, color="grey", lw=0.8, ls=":")
    axes.set(xlabel="border in pixels", ylabel="accuracy in %", ylim=(45, 102), title=entry.content["model"]["name"])
    axes.set_xticks(range(len(borders)), [f"{border}" for border in borders])
    axes.legend()
    try:
        figure.savefig(file)
    except ValueError as error:
        raise OptionError(f"{file} can't be drawn: {error}; give a name that ends in .png, .svg or .pdf") from error
    except OSError as error:
        raise OutputError(f"cannot write {file}: {error.strerror or error}") from error
