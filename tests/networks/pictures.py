"""Small pictures for the network tests: noise patches in a corner of a black canvas, a glyph, coloured boxes."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

UPPER_LEFT, BOTTOM_RIGHT = 0, 1


def corners(
    border: int, *, count: int = 8, patch: int = 24, displacement: int = 32, channels: int = 3
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The same noise patches in the upper-left and in the bottom-right corner: two arrays (count, channels, S, S)."""
    patches = np.random.default_rng(0).integers(1, 256, (count, channels, patch, patch), dtype=np.uint8)
    images = np.zeros((2, count, channels, *[patch + displacement + 2 * border] * 2), np.uint8)
    for corner in (UPPER_LEFT, BOTTOM_RIGHT):
        start = border + corner * displacement
        images[corner, :, :, start : start + patch, start : start + patch] = patches
    return images[0], images[1]


def towers() -> Tensor:
    """A grey tower in a 16x16 box at (0, 0) and at (16, 16): (2, 1, 32, 32), float32 in [0, 1]."""
    glyph = torch.zeros(16, 16)
    glyph[0:4, [0, 1, 2, 6, 7, 8, 9, 13, 14, 15]] = 1.0
    glyph[3:6, 1:15] = 0.8
    glyph[5:13, 4:12] = 0.6
    glyph[12:16, 0:16] = 0.9
    images = torch.zeros(2, 1, 32, 32)
    images[0, 0, :16, :16] = glyph
    images[1, 0, 16:, 16:] = glyph
    return images


def boxes(pairs: int, seed: int, *, swap_heights: bool = False) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Red left of green in the upper half (label 0), green left of red in the lower (1), or in the other half each.

    Images (2 * pairs, 3, 32, 32); the same seed with and without `swap_heights` gives rows displaced by 16.
    """
    random = np.random.default_rng(seed)
    images = np.zeros((2 * pairs, 3, 32, 32), np.uint8)
    labels = np.arange(2 * pairs) % 2
    for image, label in zip(images, labels, strict=True):
        left = random.integers(0, 10)
        for channel, x in ((label, left), (1 - label, random.integers(left + 5, 28))):
            y = 16 * (label ^ swap_heights) + random.integers(3, 11)
            image[channel, y : y + 4, x : x + 4] = 255
    return images, labels
