"""The curve of an entry on `qi`: accuracy against border, drawn with characters or by matplotlib."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qi_datasets.errors import OptionError, missing_extra
from qi_datasets.evaluation.content import EntryContent, Figures
from qi_datasets.evaluation.figures import EQUAL, PROVED
from qi_datasets.evaluation.paper_figures import paper_curve
from qi_datasets.evaluation.wording import network_name
from qi_datasets.specs import QI, SHIFTED
from qi_datasets.storage.writing import output_errors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROWS = tuple(range(100, 40, -5))
"""Accuracy in percent of each line of text."""

MARKS = "●○▲△"
EQUAL_MARK = "="
"""Marks a border at which the corners are equal."""

WIDTH = 8


@dataclass(frozen=True)
class CurvePoint:
    """A network's accuracy at one border, as every figure draws it.

    Attributes:
        border: In pixels.
        accuracy: Share of right answers, 0 to 1.
        low, high: Ends of its interval; the accuracy itself if the corners are equal, since nothing is estimated.
        kind: "equal" or "proved" if the corners are, else "read".
    """

    border: int
    accuracy: float
    low: float
    high: float
    kind: str


def points_of(borders: Mapping[str, Figures]) -> list[CurvePoint]:
    """Returns the points of a curve by rising border. borders: border -> figures, as in an entry."""
    return [
        CurvePoint(
            border,
            at["accuracy"],
            at["accuracy"] if at["low"] is None else at["low"],
            at["accuracy"] if at["high"] is None else at["high"],
            at["verdict"] if at["verdict"] in (EQUAL, PROVED) else "read",
        )
        for border, at in sorted((int(border), at) for border, at in borders.items())
    ]


def curves_of(entry: EntryContent) -> dict[str, list[CurvePoint]]:
    """Returns init -> points. Raises OptionError for an entry of a task without a curve."""
    if entry["task"] != QI.name:
        raise OptionError(f"an entry of {entry['task']} has no accuracy against border")
    return {init: points_of(figures["borders"]) for init, figures in entry["figures"].items()}


def draw_text_curve(entry: EntryContent) -> list[str]:
    """Returns the curve as lines of text, with a column for each border and a mark for each init."""
    curves = curves_of(entry)
    borders = sorted({point.border for points in curves.values() for point in points})
    columns = list(zip(*curves.values(), strict=True))
    lines = []
    for row in ROWS:
        cells = [curve_cell(points, row) for points in columns]
        lines.append(f"{row:>4} % |{''.join(cells)}".rstrip())
    lines.append(f"       +{'-' * (WIDTH * len(borders))}")
    lines.append(f"border  {''.join(f'{border:^{WIDTH}}' for border in borders)}".rstrip())
    marks = ", ".join(f"{mark} {init}" for mark, init in zip(MARKS, curves, strict=False))
    return [*lines, f"{marks}; {EQUAL_MARK} the corners are equal"]


def curve_cell(points: Sequence[CurvePoint], row: int) -> str:
    """Returns the marks at one border in the line of an accuracy; `points` has one for each init."""
    step = ROWS[0] - ROWS[1]
    marks = [
        mark if point.kind == "read" else EQUAL_MARK
        for mark, point in zip(MARKS, points, strict=False)
        if max(ROWS[-1], step * round(100 * point.accuracy / step)) == row
    ]
    return f"{''.join(dict.fromkeys(marks)):^{WIDTH}}"


def save_plot(entries: Sequence[EntryContent], file: Path) -> None:
    """Draws entries of one task into a file, as `figure_of` does.

    Raises OptionError for a kind of file that can't be drawn, OutputError if it can't be written.
    """
    save_figure(figure_of(entries), file)


def save_figure(figure: "Figure", file: str | Path) -> None:
    """Writes a figure of matplotlib into a file, in the form that its name ends in. Raises OptionError, OutputError."""
    try:
        with output_errors(file, advice=""):
            figure.savefig(file)
    except ValueError as error:
        raise OptionError(
            f"{file} can't be drawn: {error}; give a name that ends in .png, .svg or .pdf", code="bad-file-type"
        ) from error


def figure_of(entries: Sequence[EntryContent]) -> "Figure":
    """Returns a figure of matplotlib with entries of one task.

    On `qi`: accuracy against border with intervals, marks where the corners are equal or proved so, and the paper's
    curves; on `shifted` top-1 against shift where classes are known, else consistency; on toy sets their shares.

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


def draw_borders(axes: "Axes", series: Sequence[tuple[EntryContent, str]]) -> None:
    """Draws accuracy against border."""
    curves = [points_of(entry["figures"][init]["borders"]) for entry, init in series]
    borders = sorted({point.border for points in curves for point in points})
    papers = set()
    for number, ((entry, init), points) in enumerate(zip(series, curves, strict=True)):
        name, colour, model = network_name(entry, init), f"C{number}", entry["model"]["name"]
        draw_accuracy(axes, borders, points, marker="o", capsize=3, color=colour, label=name)
        for kind, mark in {EQUAL: "s", PROVED: "D"}.items():
            equal = [point for point in points if point.kind == kind]
            if equal:
                draw_rings(axes, borders, equal, mark, ms=10, color=colour, label=f"{model}, {kind}")
        if (model, init) not in papers:
            papers.add((model, init))
            draw_paper_curve(axes, borders, model, init, color=colour, alpha=0.6, label=f"{name}, paper")
    axes.axhline(50, color="grey", lw=0.8, ls=":")
    axes.set(xlabel="border in pixels", ylabel="accuracy in %", ylim=(40, 102))
    axes.set_xticks(range(len(borders)), [f"{border}" for border in borders])


def draw_accuracy(axes: "Axes", borders: Sequence[int], points: Sequence[CurvePoint], **style: Any) -> None:
    """Draws accuracies in percent with their intervals.

    Args:
        axes: Axes of matplotlib.
        borders: All borders of the figure, which are drawn at equal distances.
        points: The points of one network.
        **style: Arguments of matplotlib's `errorbar`.
    """
    below = [max(0.0, 100 * (point.accuracy - point.low)) for point in points]
    above = [max(0.0, 100 * (point.high - point.accuracy)) for point in points]
    places = [borders.index(point.border) for point in points]
    axes.errorbar(places, [100 * point.accuracy for point in points], [below, above], **style)


def draw_rings(axes: "Axes", borders: Sequence[int], points: Sequence[CurvePoint], mark: str, **style: Any) -> None:
    """Draws hollow marks around points; arguments as in `draw_accuracy`, `style` as in matplotlib's `plot`."""
    places = [borders.index(point.border) for point in points]
    axes.plot(places, [100 * point.accuracy for point in points], mark, **{"mfc": "none", "ls": "", **style})


def draw_paper_curve(axes: "Axes", borders: Sequence[int], model: str, init: str, **style: Any) -> None:
    """Draws the paper's accuracies of a network, dashed, if it has any; arguments as in `draw_accuracy`."""
    paper = paper_curve(model, init)
    places = [place for place, border in enumerate(borders) if border in paper]
    if places:
        axes.plot(places, [100 * paper[borders[place]] for place in places], "--", **style)


def draw_shifts(axes: "Axes", series: Sequence[tuple[EntryContent, str]]) -> None:
    """Draws top-1 against shift for each mode if classes are known; else consistency."""
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


def draw_shares(axes: "Axes", series: Sequence[tuple[EntryContent, str]]) -> None:
    """Draws every share of a toy set."""
    for number, (entry, init) in enumerate(series):
        for name, value in entry["figures"][init].items():
            if isinstance(value, Mapping):
                label = f"{network_name(entry, init)}, {name.replace('_', ' ')}"
                draw_share(axes, label, value, f"C{number}")
    axes.set(xlabel="share in %")


def draw_share(axes: "Axes", label: str, share: Mapping[str, float], colour: str) -> None:
    """Draws one share with its interval, in its own line."""
    value = 100 * share["value"]
    ends = [[max(0, value - 100 * share["low"])], [max(0, 100 * share["high"] - value)]]
    axes.errorbar([value], [label], xerr=ends, marker="o", capsize=3, color=colour, label=label)
