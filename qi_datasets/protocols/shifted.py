"""Evaluates classifiers on `shifted`: answers to a picture at every shift along the diagonal, and to pairs of windows.

Protocol (cards/specification.md, "evaluation on shifted"; Zhang, ICML 2019; experiment 5 of arXiv 2003.07064): the
content moves by t pixels down and to the right, and real content (`crop`), black (`zero`) or the content from the
other side (`circular`) moves in. N is the number of sources, S of shifts, P of pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from qi_datasets.errors import ModelError
from qi_datasets.protocols.corners import LARGEST_BATCH, run_in_passes, run_network
from qi_datasets.specs import CIRCULAR, CROP, SHIFTED_GEOMETRY, ZERO

MODES = (CROP, ZERO, CIRCULAR)

_PIXELS = {"cpu": 2**19, "cuda": 2**24}
"""Number of input pixels of a pass."""


@dataclass(frozen=True)
class ShiftedAnswers:
    """The answers of a classifier.

    Attributes:
        predictions: (S, N) class numbers along the diagonal.
        margins: (S, N), difference of the two largest logits.
        changes: (S, N), largest change of a logit from the unmoved picture.
        pair_predictions, pair_margins: (P, 2, N), of the two windows of each pair.
        classes: Number of classes.
    """

    predictions: NDArray[np.int32]
    margins: NDArray[np.float32]
    changes: NDArray[np.float32]
    pair_predictions: NDArray[np.int32]
    pair_margins: NDArray[np.float32]
    classes: int


def make_canvas(bases: Tensor, mode: str) -> Tensor:
    """Returns bases (N, C, 288, 288) whose window at row and column 32 - t is the picture moved by t in that mode.

    Black that moves in is 0.
    """
    if mode == CROP:
        return bases
    margin = SHIFTED_GEOMETRY.slack // 2
    centre = bases[:, :, margin:-margin, margin:-margin]
    return F.pad(centre, (margin,) * 4, mode="circular" if mode == CIRCULAR else "constant")


def answer_shifted(
    network: nn.Module, bases: Tensor, pairs: NDArray[np.integer], shifts: Sequence[int], mode: str
) -> ShiftedAnswers:
    """Returns a classifier's answers to moved pictures.

    Args:
        network: The classifier, on its device, in evaluation mode: images (N, 3, 224, 224) to logits (N, classes).
        bases: (N, 3, 288, 288), normalised, on the same device.
        pairs: (N, P, 4), offsets y0, x0, y1, x1 of the two windows of each pair, each in [0, 64].
        shifts: Pixels down and to the right, each in [-32, 32].
        mode: `crop`, `zero` or `circular`.

    Raises:
        ModelError: If the network fails, or logits are not finite.
    """
    moved, middle = make_canvas(bases, mode), SHIFTED_GEOMETRY.slack // 2
    unmoved = _logits_of(network, moved, np.full((len(bases), 2), middle))
    along = [_logits_of(network, moved, np.full((len(bases), 2), middle - shift)) for shift in shifts]
    windows = [
        _logits_of(network, moved, pairs[:, pair, 2 * side : 2 * side + 2])
        for pair in range(pairs.shape[1])
        for side in (0, 1)
    ]
    predictions, margins = zip(*map(largest_logits, along), strict=True)
    pair_predictions, pair_margins = zip(*map(largest_logits, windows), strict=True)
    shape = (pairs.shape[1], 2, len(bases))
    return ShiftedAnswers(
        np.stack(predictions),
        np.stack(margins),
        np.stack([np.abs(logits - unmoved).max(axis=1) for logits in along]).astype(np.float32),
        np.stack(pair_predictions).reshape(shape),
        np.stack(pair_margins).reshape(shape),
        unmoved.shape[1],
    )


def _logits_of(network: nn.Module, moved: Tensor, offsets: NDArray[np.integer]) -> NDArray[np.floating]:
    """Returns the logits (N, classes) of the windows that begin at the rows and columns in `offsets` (N, 2)."""
    side = SHIFTED_GEOMETRY.view
    windows = torch.stack(
        [image[:, y : y + side, x : x + side] for image, (y, x) in zip(moved, offsets.tolist(), strict=True)]
    ).contiguous(memory_format=torch.channels_last)
    size = min(LARGEST_BATCH, _PIXELS.get(windows.device.type, _PIXELS["cuda"]) // side**2)

    def answer(rows: slice) -> Tensor:
        answers: Tensor = run_network(lambda: network(windows[rows]), f"on images of {side} x {side}")
        return answers

    logits: NDArray[np.floating] = run_in_passes(answer, len(windows), size).numpy()
    if not np.isfinite(logits).all():
        raise ModelError("the network's logits are not finite numbers", code="not-finite")
    return logits


def largest_logits(logits: NDArray[np.floating]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Returns the class of the largest logit, and its difference from the next one: (N,) each."""
    last_two = np.sort(logits, axis=1)[:, -2:]
    margins = last_two[:, -1] - last_two[:, 0]
    return logits.argmax(axis=1).astype(np.int32), margins.astype(np.float32)
