"""Draws a report's figures as SVG, with matplotlib and without a display."""

import io
import re
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

from qi_datasets.verification.report.report import Plot, Tiles

INK, GRID = "#222222", "#dddddd"
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
"""Dashes of the curves, which distinguish them in a grey print too."""
COLOURS = ("#0b5394", "#b45309", "#38761d", "#7e22ce", "#b91c1c", "#475569")
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "svg.fonttype": "path",
    "svg.hashsalt": "qi-datasets",
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
LINEAR_UP_TO = 64
"""The x axis is linear up to this many pixels, and logarithmic beyond."""


def draw_plot(plot: Plot) -> str:
    """Returns curves with their intervals, and vertical lines at the marks, as SVG."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.6, 3.9), layout="constrained")
        axes = figure.add_subplot()
        for number, curve in enumerate(plot.curves):
            colour, line = COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)]
            axes.plot(curve.x, curve.y, color=colour, linestyle=line, marker="o", markersize=3.5, label=curve.name)
            if curve.low:
                axes.fill_between(curve.x, curve.low, curve.high, color=colour, alpha=0.12, linewidth=0)
        for number, (position, name) in enumerate(plot.marks):
            axes.axvline(position, color=INK, linewidth=0.9, linestyle=":")
            place = (position, 0.62 - 0.09 * number)
            paper = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
            axes.annotate(f" {name}", place, xycoords=("data", "axes fraction"), fontsize=8.5, bbox=paper)
        if plot.x_ticks and max(plot.x_ticks) > LINEAR_UP_TO:
            axes.set_xscale("symlog", linthresh=LINEAR_UP_TO / 2, linscale=1.5)
        if plot.x_ticks:
            axes.xaxis.set_major_locator(FixedLocator(list(plot.x_ticks)))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(ScalarFormatter())
            axes.set_xlim(left=-0.03 * min(max(plot.x_ticks), LINEAR_UP_TO))
        axes.set_xlabel(plot.x_label)
        axes.set_ylabel(plot.y_label)
        axes.grid(color=GRID, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        figure.legend(loc="outside right upper", frameon=False, fontsize=9)
        return render_svg(figure)


def draw_tiles(tiles: Tiles) -> str:
    """Returns small pictures as SVG: blue for negative, light for 0, red for positive, each scaled to its own range."""
    columns = max(len(line) for _, line in tiles.lines)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(1.25 * columns + 1.1, 1.42 * len(tiles.lines) + 0.1), layout="constrained")
        grid = figure.subplots(len(tiles.lines), columns, squeeze=False)
        for row, (name, line) in zip(grid, tiles.lines, strict=True):
            for axes in row:
                axes.set_axis_off()
            row[0].text(-0.12, 0.5, name, rotation=90, va="center", ha="right", transform=row[0].transAxes)
            for axes, tile in zip(row, line, strict=False):
                reach = float(np.abs(tile.values).max()) or 1.0
                axes.set_axis_on()
                axes.set_xticks([])
                axes.set_yticks([])
                axes.imshow(tile.values, cmap="RdBu_r", vmin=-reach, vmax=reach, interpolation="nearest")
                axes.set_title(tile.name, fontsize=8.5)
        return render_svg(figure)


def render_svg(figure: Figure) -> str:
    """Returns the figure as an SVG element for a page of several: without XML declaration and metadata."""
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    return re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
