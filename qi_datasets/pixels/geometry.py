"""The geometry of images that are black outside one rectangle: borders, crops, shifts. Pure functions on arrays."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from qi_datasets.errors import OptionError
from qi_datasets.specs import CIRCULAR, CROP, ZERO

Pixels: TypeAlias = npt.NDArray[np.uint8]
Box: TypeAlias = tuple[int, int, int, int]

HUGE_PAGES = 1 << 22
"""Size in bytes from which NumPy asks the system for huge pages."""


@dataclass(frozen=True)
class Placed:
    """An image that is black (0) outside one rectangle, stored as that rectangle and its position.

    Raises OptionError for content of another shape or type, and for content that reaches beyond the image.

    Attributes:
        content: The rectangle, (h, w, c) uint8, c = 1 (grey) or 3 (RGB).
        y, x: Row and column of the rectangle's top-left pixel.
        height, width: Size of the whole image.
    """

    content: Pixels
    y: int
    x: int
    height: int
    width: int

    def __post_init__(self) -> None:
        content = self.content
        if content.dtype != np.uint8 or content.ndim != 3 or content.shape[2] not in (1, 3):
            raise OptionError(
                f"content must be uint8 of shape (h, w, 1 or 3), not {content.dtype} {content.shape}", code="bad-shape"
            )
        h, w, _ = content.shape
        if not (0 <= self.y <= self.height - h and 0 <= self.x <= self.width - w):
            raise OptionError(
                f"{h}x{w} pixels at row {self.y}, column {self.x} do not fit an image of {self.height}x{self.width}",
                code="does-not-fit",
            )

    @property
    def channels(self) -> int:
        """1 for grey, 3 for RGB."""
        return int(self.content.shape[2])

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the whole image."""
        return self.height, self.width, self.channels

    def bordered(self, border: int) -> "Placed":
        """Returns the same image with `border` black pixels added on all four sides."""
        if border < 0:
            raise OptionError(f"a border is 0 or more pixels, not {border}", code="bad-value")
        around = 2 * border
        return Placed(self.content, self.y + border, self.x + border, self.height + around, self.width + around)

    def crop(self, y: int, x: int, height: int, width: int) -> "Placed":
        """Returns a rectangle of the image, black where the rectangle reaches beyond the image.

        Args:
            y: First row; may be negative.
            x: First column; may be negative.
            height: Rows of the rectangle.
            width: Columns of the rectangle.
        """
        h, w, _ = self.content.shape
        top, left = min(max(y - self.y, 0), h), min(max(x - self.x, 0), w)
        bottom, right = max(top, min(y + height - self.y, h)), max(left, min(x + width - self.x, w))
        part = self.content[top:bottom, left:right]
        if not part.size:
            return Placed(part[:0, :0], 0, 0, height, width)
        return Placed(part, self.y + top - y, self.x + left - x, height, width)

    def pixels(self) -> Pixels:
        """Returns the whole image, (height, width, c) uint8."""
        return self.into(black(*self.shape))

    def into(self, black: Pixels) -> Pixels:
        """Copies the content into a black array (height, width, c) uint8, contiguous or not, and returns the array."""
        h, w, _ = self.content.shape
        black[self.y : self.y + h, self.x : self.x + w] = self.content
        return black


def black(*shape: int) -> Pixels:
    """Returns an array of zeros, uint8. Its pages take no memory until they are read or written."""
    size = math.prod(shape)
    # NumPy asks for huge pages from 4 MiB on, but they pay from 2 MiB on: with small pages black takes milliseconds.
    memory = np.zeros(max(size, HUGE_PAGES) if 2 * size > HUGE_PAGES else size, np.uint8)
    return memory[:size].reshape(shape)


def whole(image: npt.ArrayLike) -> Placed:
    """Returns an (h, w) or (h, w, c) uint8 image as a Placed that fills its own canvas."""
    pixels = np.asarray(image)
    content = pixels[:, :, None] if pixels.ndim == 2 else pixels
    if content.ndim != 3:
        raise OptionError(f"an image has the shape (h, w) or (h, w, c), not {pixels.shape}", code="bad-shape")
    return Placed(content, 0, 0, content.shape[0], content.shape[1])


def nonzero_box(content: Pixels) -> Box:
    """Returns the bounding box (y0, x0, y1, x1) of the non-black pixels of `content` (h, w, c); all 0 without any."""
    if content.size and all(side.any() for side in (content[0], content[-1], content[:, 0], content[:, -1])):
        return 0, 0, content.shape[0], content.shape[1]
    rows, columns = np.flatnonzero(content.any(axis=(1, 2))), np.flatnonzero(content.any(axis=(0, 2)))
    if rows.size == 0:
        return 0, 0, 0, 0
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def central_square(image: Image.Image, share: float, side: int) -> Pixels:
    """Returns the centred square of `share` x the shorter side, resized to `side` x `side`: (side, side, 3) uint8.

    The exact, fractional box is resized in one antialiased bilinear step. Before that the image is cropped to the
    smallest integer rectangle that contains the box: Pillow 13 chooses the order of its two passes by the shape of its
    input, and only on the cropped rectangle do Pillow 11, 12 and 13 agree in every pixel
    (cards/specification.md, "The patch").
    """
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    width, height = rgb.size
    square = share * min(width, height)
    left, top = (width - square) / 2, (height - square) / 2
    right, bottom = (width + square) / 2, (height + square) / 2
    x, y = math.floor(left), math.floor(top)
    crop = rgb.crop((x, y, math.ceil(right), math.ceil(bottom)))
    box = (left - x, top - y, right - x, bottom - y)
    return np.asarray(crop.resize((side, side), Image.Resampling.BILINEAR, box=box))


def window(image: Pixels, y: int, x: int, side: int) -> Pixels:
    """Returns a square part of an image, (side, side[, c]).

    Args:
        image: (h, w[, c]).
        y: The window's first row.
        x: The window's first column.
        side: Rows and columns of the window.

    Raises:
        OptionError: If the window reaches beyond the image.
    """
    height, width = image.shape[:2]
    if not (0 <= y <= height - side and 0 <= x <= width - side):
        raise OptionError(
            f"a window of {side} at row {y}, column {x} is not inside an image of {height}x{width}", code="does-not-fit"
        )
    return image[y : y + side, x : x + side]


def centre(image: Pixels, side: int) -> Pixels:
    """Returns the central window of `side` x `side` pixels."""
    height, width = image.shape[:2]
    return window(image, (height - side) // 2, (width - side) // 2, side)


def shift_crop(base: Pixels, shift: int, side: int) -> Pixels:
    """Returns the central window of the base with its content moved `shift` pixels down and right.

    Pixels of the base from beside the window move in.

    Args:
        base: (h, w[, c]) uint8.
        shift: Pixels; a negative shift moves up and left.
        side: Rows and columns of the window.

    Returns:
        (side, side[, c]) uint8.

    Raises:
        OptionError: If the base is too small for this shift.
    """
    height, width = base.shape[:2]
    return window(base, (height - side) // 2 - shift, (width - side) // 2 - shift, side)


def shift_zero(base: Pixels, shift: int, side: int) -> Pixels:
    """Returns the central window with its content moved `shift` pixels down and right; black pixels move in.

    Shapes as in `shift_crop`; any shift is possible.
    """
    content, moved = centre(base, side), np.zeros_like(centre(base, side))
    kept = max(0, side - abs(shift))
    to, from_ = max(0, shift), max(0, -shift)
    moved[to : to + kept, to : to + kept] = content[from_ : from_ + kept, from_ : from_ + kept]
    return moved


def shift_circular(base: Pixels, shift: int, side: int) -> Pixels:
    """Returns the central window with its content moved `shift` pixels down and right, cyclically.

    Shapes as in `shift_crop`; any shift is possible.
    """
    return np.roll(centre(base, side), (shift, shift), axis=(0, 1))


SHIFTS: Mapping[str, Callable[[Pixels, int, int], Pixels]] = {
    CROP: shift_crop,
    ZERO: shift_zero,
    CIRCULAR: shift_circular,
}
"""The ways to move a picture, by the name of the mode."""
