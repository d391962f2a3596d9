"""A PIL image that is kept as a rectangle on a black canvas until PIL itself needs its pixels.

`np.asarray`, and other functions that make an array or a tensor, get one that is computed directly: PIL would
allocate 4 bytes a pixel, and copy them piece by piece. Only this file depends on PIL's internals.
"""

import math
from functools import cache
from typing import Any

import numpy as np
import PIL
from PIL import Image

from qi_datasets.pixels.canvases import paint
from qi_datasets.pixels.geometry import Pixels, Placed
from qi_datasets.pixels.png import PatchEncoder

TESTED = frozenset({(11, 0), (11, 1), (11, 2), (11, 3), (12, 0), (12, 1), (12, 2), (12, 3), (13, 0)})
"""Versions of Pillow, (major, minor), on which `tests/pixels/test_placed_image.py` was run. Others get ordinary
images."""

MODES = {1: "L", 3: "RGB"}
"""PIL's mode of an image, by its number of channels."""


def image_of(placed: Placed) -> Image.Image:
    """Returns a PIL image of mode L or RGB: a PlacedImage if Pillow's version is a tested one."""
    return PlacedImage(placed) if is_tested(PIL.__version__) else ordinary_image(placed)


@cache
def is_tested(version: str) -> bool:
    """Returns whether a version of Pillow is among `TESTED`."""
    return tuple(version.split(".")[:2]) in {(str(major), str(minor)) for major, minor in TESTED}


def ordinary_image(placed: Placed) -> Image.Image:
    """Returns an image of PIL's own, with all of its pixels."""
    canvas = Image.new(MODES[placed.channels], (placed.width, placed.height))
    # It is pasted even if it fills the canvas: PIL lets an image of mode L share the array's memory.
    canvas.paste(Image.fromarray(_without_single_channel(placed.content)), (placed.x, placed.y))
    return canvas


def find_placed(image: Image.Image) -> Placed | None:
    """Returns the rectangle that an image is computed from; None for an ordinary or possibly changed image."""
    return image.still_placed if type(image) is PlacedImage else None


class PlacedImage(Image.Image):
    """An image of mode L or RGB that computes its pixels when they are asked for.

    It behaves as the ordinary image of the same pixels does: `isinstance`, `repr`, `==`, every method. PIL's own pixels
    (`_im`, which all of PIL's methods use) are made when a method first needs them; from then on the image is an
    ordinary one, since nothing shows whether it was painted on.

    Args:
        placed: The pixels.
    """

    def __init__(self, placed: Placed) -> None:
        self._placed = placed
        super().__init__()
        self._mode = MODES[placed.channels]
        self._size = (placed.width, placed.height)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        # PIL's `==` and `repr` look at the class, and must see no difference.
        return Image.Image

    @property
    def _im(self) -> Any:
        # `setdefault` is atomic: threads that come here at the same time all get the pixels of the first one.
        made = self.__dict__.get("_made")
        return self.__dict__.setdefault("_made", ordinary_image(self._placed)._im) if made is None else made

    @_im.setter
    def _im(self, im: Any) -> None:
        # PIL sets None while there are no pixels.
        if im is not None:
            self.__dict__["_made"] = im

    @property
    def still_placed(self) -> Placed | None:
        """The rectangle that the pixels are computed from; None once PIL has pixels of its own."""
        return None if "_made" in self.__dict__ else self._placed

    def _like_it(self, placed: Placed) -> "PlacedImage":
        image = PlacedImage(placed)
        image.info = {name: value.copy() if isinstance(value, list) else value for name, value in self.info.items()}
        return image

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """The pixels, read only as PIL's are."""
        if (placed := self.still_placed) is None:
            return super().__array_interface__
        pixels = _without_single_channel(paint(placed))
        pixels.flags.writeable = False
        return {"data": pixels.data, "shape": pixels.shape, "typestr": "|u1", "version": 3}

    def __reduce__(self) -> tuple[object, ...]:
        """Returns the rectangle and its position, or an ordinary image if PIL has pixels."""
        if (placed := self.still_placed) is None:
            return Image.Image, (), self.__getstate__()
        return _restored, (placed, self.info)

    def tobytes(self, encoder_name: str = "raw", *args: Any) -> bytes:
        """Returns the pixels in PIL's order."""
        if (placed := self.still_placed) is None or encoder_name != "raw" or args not in ((), (self.mode,)):
            return super().tobytes(encoder_name, *args)
        return placed.pixels().tobytes()

    def save(self, fp: Any, format: str | None = None, **params: Any) -> None:
        """Writes the image, without compressing black in PNG files: `datasets.map` writes every image that it reads."""
        placed = self.still_placed
        plain = format == "PNG" and not params and "icc_profile" not in self.info and hasattr(fp, "write")
        if placed is None or not plain or not 0 < 2 * placed.content.size <= math.prod(placed.shape):
            super().save(fp, format, **params)
        else:
            fp.write(PatchEncoder(placed.content).png(placed.y, placed.x, placed.height, placed.width))

    def copy(self) -> Image.Image:
        """Returns a copy."""
        placed = self.still_placed
        return super().copy() if placed is None else self._like_it(placed)

    __copy__ = copy

    def convert(self, mode: str | None = None, *args: Any, **kwargs: Any) -> Image.Image:
        """Returns the image in another mode; a copy for the same mode."""
        same = mode in (None, "", self.mode) and not args and not kwargs
        return self.copy() if same else super().convert(mode, *args, **kwargs)

    def crop(self, box: tuple[float, float, float, float] | None = None) -> Image.Image:
        """Returns a rectangle (left, top, right, bottom) of the image, black where it reaches beyond the image."""
        placed = self.still_placed
        if placed is None or box is None:
            return super().crop(box)
        left, top, right, bottom = (round(edge) for edge in box)
        if not (left < right and top < bottom and (right - left) * (bottom - top) <= placed.width * placed.height):
            return super().crop(box)  # Pillow refuses some of them
        return self._like_it(placed.crop(top, left, bottom - top, right - left))


def _restored(placed: Placed, info: dict[Any, Any]) -> Image.Image:
    image = image_of(placed)
    image.info = info
    return image


def _without_single_channel(pixels: Pixels) -> Pixels:
    return pixels[:, :, 0] if pixels.shape[2] == 1 else np.ascontiguousarray(pixels)
