"""The look of all figures: colours for light and dark backgrounds, and sizes that are legible when projected."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray
from PIL.Image import Image

from qi_datasets.errors import OptionError

LookName = Literal["light", "dark"]

WIDTH, HEIGHT = 9.6, 5.4
"""Inches of a figure: at 200 dots per inch 1920 x 1080 pixels, twice the resolution of a slide of 960 x 540."""

DOTS_PER_INCH = 200


@dataclass(frozen=True)
class Look:
    """Colours of a figure. The series are those of Okabe and Ito, which the colour-blind distinguish by brightness too.

    Attributes:
        name: "light" or "dark".
        paper, ink, soft, line: Colours of the background, of text, of less important text, and of grids.
        series: Colours of curves and labels, in order.
        heat, difference: Names of matplotlib's colour maps for values from 0, and for values around 0.
    """

    name: LookName
    paper: str
    ink: str
    soft: str
    line: str
    series: tuple[str, ...]
    heat: str
    difference: str

    @property
    def settings(self) -> dict[Any, Any]:
        """Matplotlib's settings."""
        inks = ("text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color")
        return {
            "figure.facecolor": self.paper,
            "savefig.facecolor": self.paper,
            "axes.facecolor": self.paper,
            "axes.prop_cycle": cycler(color=self.series),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": False,
            "axes.axisbelow": True,
            "axes.titlesize": 12,
            "grid.color": self.line,
            "font.family": "DejaVu Sans",
            "font.size": 12,
            "legend.frameon": False,
            "lines.linewidth": 2.2,
            "svg.fonttype": "path",
            "svg.hashsalt": "qi-datasets",
        } | dict.fromkeys(inks, self.ink)


LOOKS: dict[str, Look] = {
    look.name: look
    for look in (
        Look(
            name="light",
            paper="#ffffff",
            ink="#1c1c1c",
            soft="#4a4a4a",
            line="#d5d5d5",
            series=("#0072b2", "#d55e00", "#007a5a", "#a3447f", "#8a6d00", "#4a4a4a"),
            heat="cividis",
            difference="PuOr",
        ),
        Look(
            name="dark",
            paper="#16181c",
            ink="#f0f0ee",
            soft="#b8b8b4",
            line="#3a3d44",
            series=("#56b4e9", "#ff9a3d", "#35c79b", "#e294c3", "#f0e442", "#b8b8b4"),
            heat="cividis",
            difference="PuOr",
        ),
    )
}


@contextmanager
def looking(name: str) -> Iterator[Look]:
    """Sets the look of the figures that are made in the block.

    Raises:
        OptionError: If the name is unknown.
    """
    if name not in LOOKS:
        raise OptionError(f"look must be one of {', '.join(LOOKS)}, not {name!r}", code="bad-value")
    with mpl.rc_context(LOOKS[name].settings):
        yield LOOKS[name]


def new_figure(look: Look, headline: str, below: str) -> Figure:
    """Returns an empty figure of 16:9. headline: its message, in a sentence; below: a line on how to read it."""
    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DOTS_PER_INCH, layout="constrained")
    figure.get_layout_engine().set(rect=(0.01, 0.07, 0.98, 0.82))  # type: ignore[union-attr, call-arg]
    figure.text(0.02, 0.965, headline, fontsize=16, fontweight="bold", va="top")
    figure.text(0.02, 0.025, below, fontsize=10, color=look.soft, va="bottom")
    return figure


def show_image(axes: Axes, image: "NDArray[np.generic] | Image", look: Look, **options: Any) -> AxesImage:
    """Draws pixels without ticks, each with sharp edges, in a thin frame; returns matplotlib's image."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(visible=True, color=look.soft, linewidth=0.8)
    return axes.imshow(image, interpolation="nearest", **options)
