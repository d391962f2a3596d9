"""Built-in pictures in place of ImageNet: "dead leaves", discs of power-law sizes that occlude each other.

Such pictures share with photographs what matters here: edges at every scale, a spectrum falling with frequency, no
preferred place (Lee, Mumford & Huang 2001, "Occlusion models for natural images"). All arithmetic is on integers or
correctly rounded, so the pixels are the same everywhere; the JPEG files are as far as Pillow's encoder is.
"""

import io
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from qi_datasets.pixels.digests import draw
from qi_datasets.pixels.geometry import Pixels
from qi_datasets.sources.base import Source, SourceImage

SIZES = ((500, 375), (375, 500), (500, 333), (333, 500), (400, 400), (640, 480), (321, 243), (257, 389), (150, 113))
"""Width and height in pixels; a picture has one of these sizes."""

LEAVES, BACKGROUND_LEAVES = 400, 12
SMALLEST, LARGEST = 4, 160
GREY_EVERY = 10
JPEG_QUALITY = 92
WORDS_PER_DRAW = 16
WORDS_PER_LEAF = 8


def words(name: str, count: int) -> npt.NDArray[np.int64]:
    """Returns `count` numbers in [0, 65535], drawn by the hash of `name`."""
    blocks = range(-(-count // WORDS_PER_DRAW))
    data = b"".join(draw(f"{name}/{block}") for block in blocks)
    return np.frombuffer(data, ">u2")[:count].astype(np.int64)


def picture(number: int) -> Pixels:
    """Returns demo picture `number`: (h, w, 3) uint8."""
    name = f"demo/{number}"
    width, height = SIZES[words(name, 1)[0] % len(SIZES)]
    leaves = words(f"{name}/leaves", LEAVES * WORDS_PER_LEAF).reshape(LEAVES, WORDS_PER_LEAF)
    canvas = np.full((height, width, 3), 110, np.int32)
    # With a density of r^-3 the picture looks alike at every scale: this is the inverse of the cumulative distribution.
    share = leaves[:, 0] / 65536 * (1 - (SMALLEST / LARGEST) ** 2)
    radii = (SMALLEST / np.sqrt(1 - share)).astype(np.int64)
    radii[:BACKGROUND_LEAVES] = LARGEST
    for (_, at_y, at_x, light, red, blue, down, right), radius in zip(leaves.tolist(), radii.tolist(), strict=True):
        y, x = at_y * height >> 16, at_x * width >> 16
        y0, y1 = max(0, y - radius), min(height, y + radius + 1)
        x0, x1 = max(0, x - radius), min(width, x + radius + 1)
        dy, dx = np.arange(y0 - y, y1 - y, dtype=np.int32)[:, None], np.arange(x0 - x, x1 - x, dtype=np.int32)
        inside = dy * dy + dx * dx <= radius * radius
        grey = 30 + light * 196 // 65536
        colour = np.array([grey + red * 64 // 65536 - 32, grey, grey + blue * 64 // 65536 - 32], np.int32)
        shade = dy * (down * 48 // 65536 - 24) // radius + dx * (right * 48 // 65536 - 24) // radius
        np.copyto(canvas[y0:y1, x0:x1], shade[:, :, None] + colour, where=inside[:, :, None])
    return canvas.clip(0, 255).astype(np.uint8)


@dataclass(frozen=True)
class DemoPicture:
    """A demo picture, which is drawn when it is read."""

    number: int

    def read(self) -> bytes:
        """Returns the picture as a JPEG file; one in ten is grey."""
        image = Image.fromarray(picture(self.number))
        if self.number % GREY_EVERY == 0:
            image = image.convert("L")
        file = io.BytesIO()
        image.save(file, "JPEG", quality=JPEG_QUALITY)
        return file.getvalue()

    def __str__(self) -> str:
        return f"demo picture {self.number}"


@dataclass(frozen=True)
class DemoSource(Source):
    """Procedural pictures. names: image name -> number."""

    layout: ClassVar[str] = "demo pictures"

    @classmethod
    def of(cls, count: int) -> Self:
        """Returns a source of the first `count` demo pictures."""
        return cls("the built-in generator", {f"demo_{number:05d}": number for number in range(count)})

    def located(self, name: str) -> SourceImage:
        """Returns the image of that name."""
        return SourceImage(name, "", DemoPicture(self.names[name]))
