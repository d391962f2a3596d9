"""Figures of results: accuracy against border, maps of where location is read, and the data-efficiency curve."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from qi_datasets.errors import OptionError
from qi_datasets.evaluation.content import EntryContent
from qi_datasets.evaluation.curve import CurvePoint, draw_accuracy, draw_paper_curve, draw_rings, points_of
from qi_datasets.evaluation.initialisations import RANDOM
from qi_datasets.evaluation.paper_figures import IMAGENET_SUBSETS
from qi_datasets.figures.convolution import TITLES
from qi_datasets.figures.look import LookName, looking, new_figure
from qi_datasets.specs import QI

CHANCE = 50
MARKERS = "osD^vP"
MANY_CELLS = 6
"""Number of rows from which a map has small numbers."""

PAPER_STYLE = {"alpha": 0.75, "lw": 1.8}
PAPER_ALONE = ("bagnet33", "resnet18", "densenet121")
"""Networks whose published curves are drawn if there is no entry."""


class MeasuredEntry(Protocol):
    """An entry, or the leaderboard's record of one."""

    @property
    def content(self) -> EntryContent:
        """The content of `entry.json`."""

    @property
    def task(self) -> str:
        """The set that the network was evaluated on."""

    @property
    def figures(self) -> Mapping[str, Mapping[str, Any]]:
        """Init -> figures."""


Curve = tuple[MeasuredEntry, str, list[CurvePoint]]


def curves_in(entries: Sequence[MeasuredEntry]) -> list[Curve]:
    """Returns entry, init and points of each curve; entries of other tasks have none."""
    return [
        (entry, init, points_of(figures["borders"]))
        for entry in entries
        if entry.task == QI.name
        for init, figures in entry.figures.items()
    ]


def accuracy_by_border(entries: Sequence[MeasuredEntry] = (), *, look: LookName = "light") -> Figure:
    """Returns accuracy against border of entries on `qi`, with intervals; dashed, the paper's curves of their networks.

    Without entries the paper's random networks are drawn alone, and the figure says so.

    Args:
        entries: up to six curves (an entry has one for each init); entries of other tasks are left out.
        look: "light" or "dark".

    Raises:
        OptionError: for more curves than can be distinguished.
    """
    curves = curves_in(entries)
    if len(curves) > len(MARKERS):
        raise OptionError(
            f"{len(curves)} curves can't be distinguished; give entries of up to {len(MARKERS)}", code="too-many"
        )
    borders = sorted({point.border for _, _, points in curves for point in points} | set(QI.borders))
    with looking(look) as colours:
        below = (
            "Dashed: the paper's network. Open squares: both corners give equal features. Bars: 95 % intervals."
            if curves
            else "No entries were given: these are the paper's curves of random networks, read off its figure 5."
        )
        figure = new_figure(colours, "From how far away is location read?", below)
        axes = figure.add_subplot()
        for number, (entry, init, points) in enumerate(curves):
            colour, marker = colours.series[number], MARKERS[number]
            model = entry.content["model"]
            padding = model["padding"]
            name = f"{model['name']}, {init}" + ("" if padding == "own" else f", {padding}")
            draw_accuracy(axes, borders, points, marker=marker, ms=7, capsize=4, color=colour, label=name)
            equal = [point for point in points if point.kind != "read"]
            draw_rings(axes, borders, equal, "s", ms=13, mec=colour, mew=1.6)
            if padding == "own":
                draw_paper_curve(axes, borders, model["name"], init, color=colour, **PAPER_STYLE)
        if not curves:
            for number, name in enumerate(PAPER_ALONE):
                style = {"color": colours.series[number], "marker": MARKERS[number], "label": name, **PAPER_STYLE}
                draw_paper_curve(axes, borders, name, RANDOM, **style)
        axes.axhline(CHANCE, color=colours.soft, lw=1.2, ls=":")
        axes.text(-0.35, 44.6, f"guessing is right in {CHANCE} %", fontsize=10, color=colours.soft)
        axes.set(xlabel="border in pixels", ylabel="accuracy in %", ylim=(44, 103), xlim=(-0.4, len(borders) - 0.6))
        axes.set_xticks(range(len(borders)), [f"{border}" for border in borders])
        axes.grid(axis="y")
        figure.legend(loc="outside right center", fontsize=11)
    return figure


def location_map(
    shares: NDArray[np.floating], *, title: str = "", bits: float | None = None, look: LookName = "light"
) -> Figure:
    """Returns the map of where location is read: the share of right answers in each cell of a grid.

    Args:
        shares: (K, K), in [0, 1]; row and column of a cell are those of the picture in the image.
        title: Name of the network, for the headline's second part.
        bits: Bits of location that were read, to show them.
        look: "light" or "dark".

    Raises:
        OptionError: If it is not a square of shares.

    Source: the specification, "evaluation on grids of qi".
    """
    cells = np.asarray(shares, float)
    if cells.ndim != 2 or cells.shape[0] != cells.shape[1] or not ((cells >= 0) & (cells <= 1)).all():
        raise OptionError(
            f"shares must be a square of numbers from 0 to 1, not of the shape {cells.shape}", code="bad-shape"
        )
    side = len(cells)
    with looking(look) as colours:
        figure = new_figure(
            colours,
            f"Where is location read?{f' {title}' if title else ''}",
            f"Share of right answers in each cell. Guessing one of {side * side} is right in {100 / side**2:.0f} %.",
        )
        axes, beside = figure.subplots(1, 2, width_ratios=(2, 1))
        axes.imshow(100 * cells, cmap=colours.heat, vmin=0, vmax=100)
        size = 20 if side < MANY_CELLS else 12
        for (row, column), share in np.ndenumerate(cells):
            ink = "#1c1c1c" if share > 0.5 else "#ffffff"
            axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", color=ink, fontsize=size)
        axes.set_xticks(range(side), [f"{column}" for column in range(side)])
        axes.set_yticks(range(side), [f"{row}" for row in range(side)])
        axes.set(xlabel="column", ylabel="row")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        beside.axis("off")
        said = {f"{100 * cells.mean():.0f} %": "right answers"}
        if bits is not None:
            said[f"{bits:.2f} bits"] = f"of location, of {2 * np.log2(side):.2f}"
        for number, (value, meaning) in enumerate(said.items()):
            beside.text(0, 0.75 - 0.4 * number, value, fontsize=30, fontweight="bold", color=colours.series[0])
            beside.text(0, 0.65 - 0.4 * number, meaning, fontsize=14)
    return figure


def data_efficiency(*, look: LookName = "light") -> Figure:
    """Returns the published curve of ResNet-50 against the number of training images per class, same padding and full.

    Args:
        look: "light" or "dark".

    Source: arXiv 2003.07064, figure 8 (ImageNet subsets); the card of `subset`.
    """
    with looking(look) as colours:
        figure = new_figure(
            colours,
            "The less data, the more full convolution helps",
            "ResNet-50 trained on subsets of ImageNet, top-1 on its validation images, as published (arXiv 2003.07064)",
        )
        axes = figure.add_subplot()
        names = [f"{images}" if images else "all" for images in IMAGENET_SUBSETS]
        same = np.array([row.same for row in IMAGENET_SUBSETS.values()])
        gain = np.array([row.gain for row in IMAGENET_SUBSETS.values()])
        places = range(len(names))
        axes.plot(places, same, marker=MARKERS[0], ms=8, color=colours.series[0], label=TITLES["same"])
        axes.plot(places, same + gain, marker=MARKERS[1], ms=8, color=colours.series[1], label=TITLES["full"])
        for place, low, more in zip(places, same, gain, strict=True):
            axes.annotate(
                f"+{more:.2f}",
                (place, low + more),
                (0, 12),
                textcoords="offset points",
                ha="center",
                color=colours.series[1],
                fontweight="bold",
            )
        axes.set_xticks(places, names)
        axes.set(xlabel="training images a class", ylabel="top-1 accuracy in %", ylim=(15, 88))
        axes.grid(axis="y")
        axes.legend(loc="upper left", fontsize=14)
    return figure
