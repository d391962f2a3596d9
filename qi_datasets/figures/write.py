"""Writes every figure as files for slides."""

import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from qi_datasets.building.dataset import build_dataset
from qi_datasets.errors import Message, NamedArgument, NotBuiltError, OptionError
from qi_datasets.evaluation.curve import save_figure
from qi_datasets.evaluation.entry import ENTRY, Entry
from qi_datasets.evaluation.evaluate import evaluate
from qi_datasets.evaluation.grid import SETTINGS, GridEntry, evaluate_grid
from qi_datasets.figures.convolution import corner_paddings, rook_training, shift_and_convolve
from qi_datasets.figures.curves import (
    MARKERS,
    MeasuredEntry,
    accuracy_by_border,
    curves_in,
    data_efficiency,
    location_map,
)
from qi_datasets.figures.look import LOOKS, LookName
from qi_datasets.figures.samples import qi_borders, qi_samples
from qi_datasets.leaderboard.collection import collect
from qi_datasets.networks.endless_maps import PaddingVariant
from qi_datasets.networks.reference import QuadrantNet
from qi_datasets.progress import bar_over
from qi_datasets.protocols.rook import EPOCHS
from qi_datasets.registry import nearest
from qi_datasets.specs import QI
from qi_datasets.storage.writing import output_errors

FILM_EPOCHS = (*range(11), 12, 14, 17, 20, 25, 30, 40, 60, EPOCHS)
"""Epochs in the film: most of the learning is done in the first ten."""

FRAME_MS, LAST_FRAME_MS = 350, 3000
FILM_SIZE = (1280, 720)
FILM_QUALITY = 85

DEMO_STRIDES, DEMO_CHANNELS = (2,) * 6, (3, 32, 32, 64, 64, 64, 64)
DEMO_PADDINGS: tuple[PaddingVariant, ...] = ("own", "full", "exact")
DEMO_GRID = 3
DEMO_LIMIT = 40
"""Number of pictures of each split on which the demo's network is evaluated."""


@dataclass(frozen=True)
class Material:
    """The data of figures: sets, entries and evaluations on grids.

    output: the folder of sets, as in `load_dataset`.
    entries: evaluated networks.
    grids: networks evaluated on grids.
    """

    output: str | Path | None = None
    entries: Sequence[MeasuredEntry] = ()
    grids: Sequence[GridEntry] = ()


@dataclass(frozen=True)
class Drawing:
    """A figure and the files to write of it.

    draw: makes the figures of a look; most are one.
    lines: whether it consists of lines, so that an SVG is sharp and small.
    film: makes the frames of an animation; None for a figure without one.
    """

    draw: Callable[[Material, LookName], Iterator[Figure]]
    lines: bool = False
    film: Callable[[int, LookName], Figure] | None = None


def single_figure(draw: Callable[[Material, LookName], Figure]) -> Callable[[Material, LookName], Iterator[Figure]]:
    """Yields a drawing of a single figure."""

    def drawn(material: Material, look: LookName) -> Iterator[Figure]:
        yield draw(material, look)

    return drawn


def draw_by_border(material: Material, look: LookName) -> Iterator[Figure]:
    """Yields as many figures as the curves need, or the paper's alone."""
    measured = [entry for entry in material.entries if entry.task == QI.name]
    page: list[MeasuredEntry] = []
    for entry in measured:
        if page and len(curves_in([*page, entry])) > len(MARKERS):
            yield accuracy_by_border(page, look=look)
            page = []
        page.append(entry)
    yield accuracy_by_border(page, look=look)


def maps_of(material: Material, look: LookName) -> Iterator[Figure]:
    """Yields a map for each init of each evaluation on a grid."""
    for made in material.grids:
        for init, figures in made.figures.items():
            model = made.content["model"]
            padding = "" if model["padding"] == "own" else f", {model['padding']}"
            title = f"{model['name']}, {init}{padding}, border {made.content['border']}"
            yield location_map(np.array(figures["shares"]), title=title, bits=figures["bits"]["value"], look=look)


def write_map(made: GridEntry, file: Path) -> None:
    """Draws the map of an evaluation's first init into a file. Raises OptionError and OutputError if it can't."""
    figure = next(maps_of(Material(grids=[made]), "light"))
    save_figure(figure, file)


FIGURES: dict[str, Drawing] = {
    "rook-training": Drawing(
        single_figure(lambda _, look: rook_training(look=look)),
        film=lambda epoch, look: rook_training(epoch, look=look),
    ),
    "shift-and-convolve": Drawing(single_figure(lambda _, look: shift_and_convolve(look=look))),
    "corner-paddings": Drawing(single_figure(lambda _, look: corner_paddings(look=look)), lines=True),
    "qi-samples": Drawing(single_figure(lambda material, look: qi_samples(output=material.output, look=look))),
    "qi-borders": Drawing(single_figure(lambda material, look: qi_borders(output=material.output, look=look))),
    "accuracy-by-border": Drawing(draw_by_border, lines=True),
    "location-map": Drawing(maps_of, lines=True),
    "data-efficiency": Drawing(single_figure(lambda _, look: data_efficiency(look=look)), lines=True),
}
"""Every figure, by the name of its files."""


def write_figures(
    folder: str | Path,
    *,
    names: Sequence[str] = (),
    looks: Sequence[str] = (),
    output: str | Path | None = None,
    entries: Sequence[str | Path] = (),
    demo: bool = False,
    progress: bool = False,
) -> tuple[list[Path], list[str]]:
    """Draws figures into a folder: NAME-LOOK.png of 1920 x 1080, also SVG for figures of lines, WebP for animations.

    Args:
        folder: Folder for the files; it is made, and files of these names are replaced.
        names: Names of the figures, by default all.
        looks: "light" and "dark", by default both.
        output: The folder of sets, as in `load_dataset`.
        entries: Folders or `hf://` addresses of entries, for the curves; folders of `qi-eval --grid`, for the maps.
        demo: build the sets from demo pictures, and evaluate a network, for the figures that need them.
        progress: show a bar on a terminal.

    Returns:
        The files, and a line for each figure that was left out or drawn with less.

    Raises:
        OptionError: If a name or look is unknown, or `demo` is given with `output` or `entries`.
        OutputError: If a file can't be written.
    """
    for name in names:
        if name not in FIGURES:
            raise OptionError(
                f"no figure is called {name!r}{nearest(name, FIGURES)}; there are {', '.join(FIGURES)}",
                code="unknown-figure",
            )
    for look in looks:
        if look not in LOOKS:
            raise OptionError(f"look must be one of {', '.join(LOOKS)}, not {look!r}", code="bad-value")
    if demo and (output is not None or entries):
        raise OptionError(
            NamedArgument("demo", True),
            " makes sets and entries of its own; leave output and entries out",
            code="contradiction",
        )
    chosen = {name: FIGURES[name] for name in (names or FIGURES)}
    drawn: list[LookName] = [look.name for look in LOOKS.values() if look.name in (looks or LOOKS)]
    target, notes = Path(folder).expanduser(), list[str]()
    with output_errors(target):
        target.mkdir(parents=True, exist_ok=True)
    with material_of(output, entries, chosen, notes, demo=demo, progress=progress) as material:
        files: list[Path] = []
        with bar_over("figures", len(chosen) * len(drawn), "figure", progress) as bar:
            for name, drawing in chosen.items():
                try:
                    for look in drawn:
                        files += write_drawing(target, name, drawing, material, look)
                        bar.update()
                except NotBuiltError:
                    demo_too = NamedArgument("demo", True)
                    notes.append(
                        Message(
                            f"{name} is left out, since qi is not built; ", demo_too, " builds it from demo pictures"
                        )
                    )
    return files, notes


@contextmanager
def material_of(
    output: str | Path | None,
    entries: Sequence[str | Path],
    chosen: dict[str, Drawing],
    notes: list[str],
    *,
    demo: bool,
    progress: bool,
) -> Iterator[Material]:
    """Yields the data of the chosen figures; `notes` gets a line on what is missing."""
    if demo:
        with tempfile.TemporaryDirectory(prefix="qi-figures-") as scratch:
            material = Material(scratch)
            if {"qi-samples", "qi-borders", "accuracy-by-border", "location-map"} & set(chosen):
                build_dataset([QI.name], demo=True, borders=[0], output=scratch, progress=progress)
            if "accuracy-by-border" in chosen:
                material = replace(material, entries=demo_entries(scratch, progress=progress))
            if "location-map" in chosen:
                network = QuadrantNet("same")
                made = evaluate_grid(network, DEMO_GRID, scratch, limit=DEMO_LIMIT, progress=progress)
                material = replace(material, grids=[made])
            yield material
        return
    grids = [place for place in entries if Path(place, SETTINGS).is_file()]
    others = [place for place in entries if place not in grids or Path(place, ENTRY).is_file()]
    found = collect(others, progress=progress) if others else None
    grids += [one.place for one in found.found if one.where and one.place not in grids] if found else []
    for refused in found.refused if found else ():
        notes.append(f"the entry {refused.name} is refused: {refused.reason}")
    if "accuracy-by-border" in chosen and not any(each.task == QI.name for each in (found.found if found else ())):
        notes.append("accuracy-by-border has the paper's curves alone, since no entry on qi was given")
    if "location-map" in chosen and not grids:
        notes.append("location-map is left out, since no evaluation of qi-eval --grid was given")
    yield Material(output, tuple(found.found) if found else (), [GridEntry.read(place) for place in grids])


def demo_entries(output: str | Path, *, progress: bool) -> list[Entry]:
    """Evaluates a reference network with biases in three paddings, on some demo pictures."""
    network = QuadrantNet("same", bias=True, strides=DEMO_STRIDES, channels=DEMO_CHANNELS)
    return [
        evaluate(network, output=output, padding=padding, limit=DEMO_LIMIT, progress=progress)
        for padding in DEMO_PADDINGS
    ]


def write_drawing(folder: Path, name: str, drawing: Drawing, material: Material, look: LookName) -> list[Path]:
    """Writes the files of a figure in one look."""
    files = []
    with output_errors(folder):
        for number, figure in enumerate(drawing.draw(material, look)):
            stem = folder / "-".join(filter(None, (name, f"{number + 1}" if number else "", look)))
            files.append(stem.with_suffix(".png"))
            figure.savefig(files[-1])
            if drawing.lines:
                files.append(stem.with_suffix(".svg"))
                figure.savefig(files[-1], metadata={"Date": None})
        if drawing.film is not None:
            files.append(folder / f"{name}-{look}.webp")
            write_film(files[-1], drawing.film, look)
    return files


def write_film(file: Path, draw: Callable[[int, LookName], Figure], look: LookName) -> None:
    """Writes an animated WebP that ends with a pause and begins again."""
    frames = [render_frame(draw(epoch, look)) for epoch in FILM_EPOCHS]
    durations = [FRAME_MS] * (len(frames) - 1) + [LAST_FRAME_MS]
    frames[0].save(file, save_all=True, append_images=frames[1:], duration=durations, loop=0, quality=FILM_QUALITY)


def render_frame(figure: Figure) -> Image.Image:
    """Returns a figure as pixels, in the film's size."""
    held = io.BytesIO()
    figure.savefig(held, dpi=FILM_SIZE[0] / figure.get_figwidth())
    return Image.open(held).convert("RGB")
