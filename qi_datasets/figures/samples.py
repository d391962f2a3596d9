"""Figures of the pictures in Quadrant ImageNet."""

from pathlib import Path

from matplotlib.figure import Figure

from qi_datasets.errors import OptionError
from qi_datasets.figures.look import LookName, looking, new_figure, show_image
from qi_datasets.loading.load import load_dataset
from qi_datasets.specs import QI

SPLIT = "test"
MOST_SOURCES = 8


def qi_samples(sources: int = 4, *, output: str | Path | None = None, look: LookName = "light") -> Figure:
    """Returns the first pictures of `qi`, each in both corners.

    Args:
        sources: Number of pictures, from 1 to 8.
        output: The folder of sets, as in `load_dataset`.
        look: "light" or "dark".

    Raises:
        OptionError: If it is another number.
        NotBuiltError: If the set is not built.
    """
    if not 1 <= sources <= MOST_SOURCES:
        raise OptionError(f"sources must be from 1 to {MOST_SOURCES}, not {sources!r}", code="bad-value")
    rows = load_dataset(QI.name, split=SPLIT, output=output)
    with looking(look) as colours:
        figure = new_figure(
            colours,
            "Quadrant ImageNet: the same picture in two corners",
            "Nothing but the place tells the two labels apart.",
        )
        grid = figure.subplots(2, sources, squeeze=False)
        for label, name in enumerate(QI.labels):
            for source, axes in enumerate(grid[label]):
                show_image(axes, rows[source * QI.rows_per_source + label]["image"], colours)
            grid[label, 0].set_ylabel(
                name.replace("_", " "), fontsize=13, fontweight="bold", color=colours.series[label]
            )
    return figure


def qi_borders(source: int = 0, *, output: str | Path | None = None, look: LookName = "light") -> Figure:
    """Returns one picture of `qi` in both corners, with each of the seven borders.

    Args:
        source: number of the picture in the split `test`.
        output: The folder of sets, as in `load_dataset`.
        look: "light" or "dark".

    Raises:
        OptionError: If there is no such picture.
        NotBuiltError: If the set is not built.
    """
    with looking(look) as colours:
        figure = new_figure(
            colours,
            "Wider borders take the boundary farther away",
            "Above: the border in pixels. Below: the side of the image, which is drawn at one size here.",
        )
        grid = figure.subplots(2, len(QI.borders))
        for column, border in enumerate(QI.borders):
            rows = load_dataset(QI.name, split=SPLIT, border=border, output=output)
            if not 0 <= source < len(rows) // QI.rows_per_source:
                raise OptionError(
                    f"source must be from 0 to {len(rows) // QI.rows_per_source - 1}, not {source!r}", code="bad-value"
                )
            for label, axes in enumerate(grid[:, column]):
                image = rows[source * QI.rows_per_source + label]["image"]
                show_image(axes, image, colours)
            grid[0, column].set_title(f"{border}", fontsize=14, fontweight="bold")
            grid[1, column].set_xlabel(f"{image.width}", fontsize=12)
        for label, name in enumerate(QI.labels):
            grid[label, 0].set_ylabel(
                name.replace("_", " "), fontsize=13, fontweight="bold", color=colours.series[label]
            )
    return figure
