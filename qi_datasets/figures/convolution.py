"""Figures of single convolutions in several paddings: the rook's training, shifts, and the corner in numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecFromSubplotSpec, SubplotSpec
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from qi_datasets.errors import OptionError
from qi_datasets.figures.look import Look, LookName, looking, new_figure, show_image
from qi_datasets.networks.padding import Padding, padding_per_side
from qi_datasets.networks.random_weights import random_seed
from qi_datasets.networks.reference import RookNet, one_hot_filters
from qi_datasets.protocols.rook import EPOCHS, train_on_pair
from qi_datasets.registry import builder_of
from qi_datasets.set_spec import SetSpec
from qi_datasets.specs import CORNER, ROOK

Array = NDArray[np.float32]

KERNEL = 5
REACH = KERNEL - 1
"""Pixels by which the response of a 5x5 filter is larger than the image, on each side."""

FILM_SEED = 0
FILM_PADDINGS: tuple[Padding, ...] = ("same", "full")
TITLES = {"valid": "valid (no padding)", "same": "same padding", "full": "full convolution"}

SHOWN_PADDINGS: tuple[Padding, ...] = ("valid", "same", "full")

SHIFT = 8
"""Pixels by which the shifted rook moves, down and right."""


def images_of(spec: SetSpec) -> torch.Tensor:
    """Returns the images of a generated set's split `train`, (N, C, H, W) float32 in [0, 1]."""
    rows: Any = builder_of(spec)
    pixels = np.stack([row.image.pixels() for row in rows("train")])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255


@dataclass(frozen=True)
class Moment:
    """A rook net after some epochs of training.

    Attributes:
        filter: (5, 5).
        responses: (2, H + 4, W + 4), of both images, after ReLU: at every position where the filter meets the
            image.
        probabilities: (2, 2), image by class.
        loss: Cross-entropy, mean of the two images.
    """

    filter: Array
    responses: Array
    probabilities: Array
    loss: float

    @property
    def right(self) -> int:
        """The number of images, of the two, that get the right label."""
        return int((self.probabilities.argmax(1) == np.arange(2)).sum())


@lru_cache(maxsize=8)
def train_film(padding: Padding, seed: int = FILM_SEED) -> tuple[Moment, ...]:
    """Trains a rook net by the protocol of `rook`; returns it before training and after each epoch."""
    images = images_of(ROOK)
    with random_seed(seed):
        network = RookNet(padding)
    film = [moment_of(network, images)]
    train_on_pair(network, images, seed, after_epoch=lambda: film.append(moment_of(network, images)))
    return tuple(film)


@torch.no_grad()
def moment_of(network: RookNet, images: torch.Tensor) -> Moment:
    """Returns a rook net's current answers to the two images."""
    weight = next(network.layers.parameters())
    responses = F.relu(F.conv2d(images, weight, padding=REACH))[:, 0]
    logits = network(images)
    loss = float(F.cross_entropy(logits, torch.arange(2)))
    # Training continues in the same memory.
    return Moment(weight[0, 0].numpy().copy(), responses.numpy(), logits.softmax(1).numpy(), loss)


def rook_training(epoch: int = EPOCHS, *, seed: int = FILM_SEED, look: LookName = "light") -> Figure:
    """Returns the rook nets of same padding and of full convolution at one epoch: one frame of the film.

    Same padding is on the left, full convolution on the right. Each has its filter, its loss so far, and for both
    images the response of the filter wherever it meets the image, with a frame around the part that the padding keeps,
    and the answer.

    Args:
        epoch: 0, before training, to 100.
        seed: Seed of the networks' weights.
        look: "light" or "dark".

    Raises:
        OptionError: If training has no such epoch.

    Source: arXiv 2003.07064, figure 1; the specification of `rook`.
    """
    if not 0 <= epoch <= EPOCHS:
        raise OptionError(f"epoch must be from 0 to {EPOCHS}, not {epoch!r}", code="bad-value")
    with looking(look) as colours:
        figure = new_figure(
            colours,
            "One 5x5 filter learns where the rook stands, if padding crops its response",
            "The answer sees nothing but the maximum inside of the white frame, which is what padding leaves (ring).",
        )
        halves = figure.add_gridspec(1, 2, wspace=0.08)
        for number, padding in enumerate(FILM_PADDINGS):
            draw_net(figure, halves[number], padding, train_film(padding, seed), epoch, colours)
        figure.text(0.98, 0.025, f"epoch {epoch:>3}", fontsize=14, fontweight="bold", ha="right", va="bottom")
    return figure


def draw_net(
    figure: Figure, place: SubplotSpec, padding: Padding, film: Sequence[Moment], epoch: int, look: Look
) -> None:
    """Draws one net into its half of a frame."""
    moment = film[epoch]
    grid = GridSpecFromSubplotSpec(3, 3, place, width_ratios=(1, 1, 0.6), height_ratios=(0.62, 1, 1))
    axes = figure.add_subplot(grid[0, 0])
    largest = max(float(np.abs(each.filter).max()) for each in film)
    show_image(axes, moment.filter, look, cmap=look.difference, vmin=-largest, vmax=largest)
    axes.set_title(f"{TITLES[padding]}", fontweight="bold", fontsize=13, loc="left", x=-0.45)
    axes.set_ylabel("filter", fontsize=11)
    axes = figure.add_subplot(grid[0, 1:])
    axes.plot([each.loss for each in film[: epoch + 1]], color=look.series[2])
    axes.axhline(np.log(2), color=look.soft, ls=":", lw=1.2)
    axes.text(EPOCHS, np.log(2) + 0.05, "guessing", fontsize=10, color=look.soft, ha="right", va="bottom")
    axes.set(xlim=(0, EPOCHS), ylim=(0, 1.1), xticks=(0, EPOCHS), yticks=(0, 1))
    axes.set_xticks((0, EPOCHS), ["epoch 0", f"{EPOCHS}"], fontsize=10)
    axes.set_ylabel("loss", fontsize=11)
    axes.tick_params(axis="y", labelsize=10)
    images = images_of(ROOK)[:, 0].numpy()
    brightest = float(moment.responses.max())
    crop = REACH - padding_per_side(padding, KERNEL)
    for row, name in enumerate(ROOK.labels):
        axes = figure.add_subplot(grid[row + 1, 0])
        show_image(axes, images[row], look, cmap="gray", vmin=0, vmax=1)
        axes.set_ylabel(name.replace("_", " "), fontsize=11, color=look.series[row], fontweight="bold")
        draw_response(figure.add_subplot(grid[row + 1, 1]), moment.responses[row], crop, brightest, look)
        draw_answer(figure.add_subplot(grid[row + 1, 2]), moment.probabilities[row], look)


def draw_answer(axes: Axes, probabilities: Array, look: Look) -> None:
    """Draws the probabilities of the two labels as bars in the labels' colours."""
    bars = axes.bar(range(2), probabilities, color=look.series[:2], width=0.8)
    axes.bar_label(bars, fmt=lambda share: f"{100 * share:.0f}", fontsize=11, padding=2)
    axes.set(ylim=(0, 1.2), xticks=[], yticks=[])
    axes.spines["left"].set_visible(False)
    axes.set_title("answer, %", fontsize=11, pad=3)


def draw_response(axes: Axes, response: Array, crop: int, brightest: float, look: Look) -> None:
    """Draws a response wherever the filter meets the image, with a frame around the part that the padding keeps."""
    side = len(response)
    kept = response[crop : side - crop, crop : side - crop]
    show_image(axes, response, look, cmap=look.heat, vmin=0, vmax=brightest or 1)
    frame = Rectangle((crop - 0.5, crop - 0.5), len(kept), len(kept), fill=False, ec="#ffffff", lw=2, clip_on=False)
    axes.add_patch(frame)
    if kept.max() > 0:
        y, x = np.unravel_index(kept.argmax(), kept.shape)
        axes.plot(x + crop, y + crop, "o", ms=11, mfc="none", mec="#ff5a3d", mew=2.4, clip_on=False)
    axes.set_ylabel("response", fontsize=11)
    axes.set_title(f"max {kept.max():.2g}", fontsize=11, pad=3)


def shift_and_convolve(*, look: LookName = "light") -> Figure:
    """Returns shift-then-convolve beside convolve-then-shift, and their difference, with same and full padding.

    The rook of the upper left corner moves by 8 pixels down and right; the filter is the one that the film's network
    has learned. With same padding the response is cropped in the corner, and the cropped part does not come back.

    Args:
        look: "light" or "dark".

    Source: arXiv 2003.07064, section 3.
    """
    image = images_of(ROOK)[:1]
    weight = torch.from_numpy(train_film("same")[-1].filter)[None, None]
    with looking(look) as colours:
        figure = new_figure(
            colours,
            "Convolving commutes with shifting, unless padding crops the response",
            f"The rook moves by {SHIFT} pixels down and right. White frame: where the image ends.",
        )
        grid = figure.subplots(2, 4)
        for row, padding in zip(grid, FILM_PADDINGS, strict=True):
            reach = padding_per_side(padding, KERNEL)
            first = F.relu(F.conv2d(move_maps(image), weight, padding=reach))[0, 0].numpy()
            after = move_maps(F.relu(F.conv2d(image, weight, padding=reach)))[0, 0].numpy()
            apart = np.abs(first - after)
            shown = (image[0, 0].numpy(), first, after, apart)
            titles = ("image", "shift, then convolve", "convolve, then shift", f"difference, at most {apart.max():.2f}")
            for axes, pixels, title in zip(row, shown, titles, strict=True):
                whole = pixels is shown[0]
                show_image(
                    axes,
                    pixels,
                    colours,
                    cmap="gray" if whole else colours.heat,
                    vmin=0,
                    vmax=None if whole else first.max(),
                )
                axes.set_title(title, fontsize=12)
                if not whole:
                    start = reach - 2 - 0.5
                    axes.add_patch(Rectangle((start, start), ROOK.size, ROOK.size, fill=False, ec="#ffffff", lw=1))
            row[0].set_ylabel(TITLES[padding], fontsize=13, fontweight="bold")
    return figure


def move_maps(maps: torch.Tensor) -> torch.Tensor:
    """Returns maps (N, C, H, W) moved by SHIFT down and right; zeros move in."""
    return F.pad(maps, (SHIFT, 0, SHIFT, 0))[..., :-SHIFT, :-SHIFT]


def corner_paddings(*, look: LookName = "light") -> Figure:
    """Returns the corner images, and the responses of a filter with a single weight in three paddings, in numbers.

    Args:
        look: "light" or "dark".

    Source: arXiv 2003.07064, figure 2; the specification of `corner`.
    """
    images = images_of(CORNER)
    last = one_hot_filters()[-1:]
    with looking(look) as colours:
        figure = new_figure(
            colours,
            "One weight, one white pixel: only full convolution sees it in both corners",
            "A 3x3 filter whose only weight is its bottom-right one. A network keeps the maximum of its map.",
        )
        grid = figure.subplots(2, 4, width_ratios=(5, 3, 5, 7))
        for row, (axes_row, image) in enumerate(zip(grid, images[:, 0], strict=True)):
            draw_numbers(axes_row[0], image.numpy(), colours)
            name = CORNER.labels[row].replace("_", " ")
            axes_row[0].set_ylabel(name, fontsize=14, fontweight="bold", color=colours.series[row])
            for axes, padding in zip(axes_row[1:], SHOWN_PADDINGS, strict=True):
                cells = F.conv2d(image[None, None], last, padding=padding_per_side(padding, 3))[0, 0].numpy()
                draw_numbers(axes, cells, colours)
                axes.set_xlabel(f"max {cells.max():.0f}", fontsize=15, color=colours.series[row], fontweight="bold")
        for axes, title in zip(grid[0], ("image", *SHOWN_PADDINGS), strict=True):
            axes.set_title(title, fontsize=14, fontweight="bold")
    return figure


def draw_numbers(axes: Axes, cells: Array, look: Look) -> None:
    """Draws a map of small integers as cells with their numbers."""
    show_image(axes, cells, look, cmap=look.heat, vmin=0, vmax=1)
    for (y, x), value in np.ndenumerate(cells):
        axes.text(x, y, f"{value:.0f}", ha="center", va="center", fontsize=12, color="#1c1c1c" if value else "#ffffff")
    for edge in range(1, len(cells)):
        axes.axhline(edge - 0.5, color="#ffffff", lw=0.4, alpha=0.5)
        axes.axvline(edge - 0.5, color="#ffffff", lw=0.4, alpha=0.5)
