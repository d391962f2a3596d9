"""The curve of an entry on `qi`: accuracy against border, drawn with characters or by matplotlib."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qi_datasets.errors import OptionError, missing_extra
from qi_datasets.evaluation.figures import EQUAL, PROVED, Content
from qi_datasets.evaluation.paper_figures import paper_curve
from qi_datasets.evaluation.wording import network_name
from qi_datasets.specs import QI, SHIFTED
from qi_datasets.storage.writing import output_errors

ROWS = tuple(range(100, 40, -5))
"""Accuracy in percent of each line of characters."""

MARKS = "●○▲△"
BLIND = "="
"""Marks a border at which the corners are equal."""

WIDTH = 8


def curves_of(entry: Content) -> dict[str, Mapping[str, Any]]:
    """Init -> border -> figures; OptionError for an entry of a task without curve."""
    if entry["task"] != QI.name:
        raise OptionError(f"an entry of {entry['task']} has no accuracy against border")
    return {init: figures["borders"] for init, figures in entry["figures"].items()}


def draw_text_curve(entry: Content) -> list[str]:
    """Returns the curve in lines of characters, a column for each border and a mark for each init."""
    curves = curves_of(entry)
    borders = [f"{border}" for border in entry["protocol"]["borders"]]
    lines = []
    for row in ROWS:
        cells = [curve_cell([figures[border] for figures in curves.values()], row) for border in borders]
        lines.append(f"{row:>4} % |{''.join(cells)}".rstrip())
    lines.append(f"       +{'-' * (WIDTH * len(borders))}")
    lines.append(f"border  {''.join(f'{border:^{WIDTH}}' for border in borders)}".rstrip())
    marks = ", ".join(f"{mark} {init}" for mark, init in zip(MARKS, curves, strict=False))
    return [*lines, f"{marks}; {BLIND} the corners are equal"]


def curve_cell(figures: Sequence[Mapping[str, Any]], row: int) -> str:
    """Returns what stands at one border in the line of an accuracy."""
    step = ROWS[0] - ROWS[1]
    marks = [
        BLIND if at["verdict"] in (EQUAL, PROVED) else mark
        for mark, at in zip(MARKS, figures, strict=False)
        if max(ROWS[-1], step * round(100 * at["accuracy"] / step)) == row
    ]
    return f"{''.join(dict.fromkeys(marks)):^{WIDTH}}"


def save_plot(entries: Sequence[Content], file: Path) -> None:
    """Draws entries of one task into a file, as `figure_of` does.

    Raises OptionError for a kind of file that can't be drawn, OutputError if it can't be written.
    """
    save_figure(figure_of(entries), file)


def save_figure(figure: Any, file: str | Path) -> None:
    """Writes a figure of matplotlib into a file, in the form that its name ends in. Raises OptionError, OutputError."""
    try:
        with output_errors(file, advice=""):
            figure.savefig(file)
    except ValueError as error:
        raise OptionError(
            f"{file} can't be drawn: {error}; give a name that ends in .png, .svg or .pdf", code="bad-file-type"
        ) from error


def figure_of(entries: Sequence[Content]) -> Any:
    """Returns a figure of matplotlib with entries of one task.

    On `qi`, accuracy against border with intervals, marks where the corners are equal or proved so, and the paper's
    curves; on `shifted`, top-1 against shift where classes are known, else consistency; on toy sets, their shares.

    Raises OptionError for entries of several tasks or data versions, MissingExtraError without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing_extra(f"a figure is drawn with matplotlib ({error})", "torch") from error
    about = {(entry["task"], entry["data"]["data_version"]) for entry in entries}
    if len(about) != 1:
        raise OptionError(f"entries in one figure are of one task and data version, not of {sorted(about)}")
    ((task, version),) = about
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    draw = {QI.name: draw_borders, SHIFTED.name: draw_shifts}.get(task, draw_shares)
    series = [(entry, init) for entry in entries for init in entry["figures"]]
    draw(axes, series)
    tracks = ", ".join(sorted({entry["data"]["track"] for entry in entries}))
    axes.set_title(f"{task}, data version {version}, track {tracks}", fontsize="medium")
    axes.legend(fontsize="small")
    return figure


def draw_borders(axes: Any, series: Sequence[tuple[Content, str]]) -> None:
    """Draws accuracy against border."""
    borders = sorted({int(border) for entry, init in series for border in entry["figures"][init]["borders"]})
    place = {border: number for number, border in enumerate(borders)}
    papers = set()
    for number, (entry, init) in enumerate(series):
        name, colour = network_name(entry, init), f"C{number}"
        at = {int(border): found for border, found in entry["figures"][init]["borders"].items()}
        values = {border: 100 * found["accuracy"] for border, found in at.items()}
        # Equal corners have no interval.
        ends = {b: (a["low"], a["high"]) if a["low"] is not None else (a["accuracy"],) * 2 for b, a in at.items()}
        low = [max(0, values[border] - 100 * begin) for border, (begin, _) in ends.items()]
        high = [max(0, 100 * end - values[border]) for border, (_, end) in ends.items()]
        places = [place[border] for border in values]
        axes.errorbar(places, list(values.values()), [low, high], marker="o", capsize=3, color=colour, label=name)
        for verdict, mark in {EQUAL: "s", PROVED: "D"}.items():
            blind = [border for border, found in at.items() if found["verdict"] == verdict]
            label = f"{entry['model']['name']}, {verdict}"
            style = {"ms": 10, "mfc": "none", "color": colour, "ls": "", "label": label}
            if blind:
                axes.plot([place[border] for border in blind], [values[border] for border in blind], mark, **style)
        paper = paper_curve(entry["model"]["name"], init)
        known = [border for border in borders if border in paper]
        if known and (entry["model"]["name"], init) not in papers:
            papers.add((entry["model"]["name"], init))
            theirs = [100 * paper[border] for border in known]
            axes.plot([place[b] for b in known], theirs, "--", color=colour, alpha=0.6, label=f"{name}, paper")
    axes.axhline(50, color="grey", lw=0.8, ls=":")
    axes.set(xlabel="border in pixels", ylabel="accuracy in %", ylim=(40, 102))
    axes.set_xticks(range(len(borders)), [f"{border}" for border in borders])


def draw_shifts(axes: Any, series: Sequence[tuple[Content, str]]) -> None:
    """Draws top-1 against shift, mode by mode, where classes are known; else consistency."""
    for number, (entry, init) in enumerate(series):
        for style, (mode, moved) in zip(("-", "--", ":"), entry["figures"][init].items(), strict=False):
            label, colour = f"{network_name(entry, init)}, {mode}", f"C{number}"
            if moved["top1"]:
                shifts = [int(shift) for shift in moved["top1"]]
                axes.plot(
                    shifts, [100 * at["value"] for at in moved["top1"].values()], style, color=colour, label=label
                )
                axes.set(xlabel="shift in pixels, down and right", ylabel="top-1 in %")
            else:
                draw_share(axes, label, moved["consistency"], colour)
                axes.set(xlabel="consistency in %")


def draw_shares(axes: Any, series: Sequence[tuple[Content, str]]) -> None:
    """Draws every share of a toy set."""
    for number, (entry, init) in enumerate(series):
        for name, value in entry["figures"][init].items():
            if isinstance(value, Mapping):
                label = f"{network_name(entry, init)}, {name.replace('_', ' ')}"
                draw_share(axes, label, value, f"C{number}")
    axes.set(xlabel="share in %")


def draw_share(axes: Any, label: str, share: Mapping[str, float], colour: str) -> None:
    """Draws one share with its interval, at a line of its own."""
    value = 100 * share["value"]
    ends = [[max(0, value - 100 * share["low"])], [max(0, 100 * share["high"] - value)]]
    axes.errorbar([value], [label], xerr=ends, marker="o", capsize=3, color=colour, label=label)
