"""Rows with known pixels, and files that need no decoding because they are the bytes that this package writes.

Writing a file again and comparing bytes takes a fraction of the time that decoding it does. Bytes that differ prove
nothing, for other bytes can give the same pixels: then the file is decoded. A fixed sample is decoded whatever its
bytes are, so that nothing depends on the writer alone.
"""

import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from qi_datasets.pixels.geometry import Box, Pixels, Placed
from qi_datasets.pixels.png import PatchEncoder
from qi_datasets.specs import QI, QUADRANT
from qi_datasets.verification.stored_folder import StoredFolder

NOTHING: Box = (0, 0, 0, 0)
"""The bounding box of an image that is all black."""

SAMPLE = 100
"""One in this many images is decoded whatever its bytes are."""


@dataclass(frozen=True)
class DecodedRow:
    """A row without border.

    Attributes:
        number: Its number in the split.
        image: (h, w, c) uint8.
        box: Bounding box of the non-black pixels.
        values: The stored values, by column.
    """

    number: int
    image: Pixels
    box: Box
    values: dict[str, Any]

    @cached_property
    def shown(self) -> Placed:
        """What is not black, at its place."""
        return without_black(self.image, self.box)

    @property
    def label(self) -> int:
        """The stored label."""
        return int(self.values["label"])


def without_black(image: Pixels, box: Box) -> Placed:
    """Returns what is not black in an image, at its place: contiguous, since it is hashed for each config.

    Args:
        image: (h, w, c) uint8.
        box: Of what is not black.
    """
    y0, x0, y1, x1 = box
    return Placed(np.ascontiguousarray(image[y0:y1, x0:x1]), y0, x0, *image.shape[:2])


def is_sampled(config: str, split: str, number: int) -> bool:
    """Returns whether a row's image is decoded whatever its bytes are: always the same ones."""
    return zlib.crc32(f"{config}/{split}/{number}".encode()) % SAMPLE == 0


def stored_bytes(values: dict[str, Any]) -> Any:
    """Returns the file of a row's image; None for a row without one."""
    image = values["image"]
    return image.get("bytes") if isinstance(image, dict) else None


def patch_of(row: DecodedRow) -> Pixels | None:
    """Returns the patch of a row of `qi` at x, y, (h, w, 3); None if it does not fit there."""
    y, x = row.values["y"], row.values["x"]
    height, width, _ = row.image.shape
    if not (0 <= y <= height - QUADRANT.patch and 0 <= x <= width - QUADRANT.patch):
        return None
    return row.image[y : y + QUADRANT.patch, x : x + QUADRANT.patch]


def row_as_built(stored: StoredFolder, row: DecodedRow) -> Placed | None:
    """Returns a row's image as its builder placed it, which decides the bytes of its files; None if all is black.

    If the builder's content is not known, the non-black part is used.
    """
    height, width, _ = row.image.shape
    y0, x0, y1, x1 = row.box
    patch = patch_of(row) if stored.spec.name == QI.name else None
    if patch is not None:
        y, x = row.values["y"], row.values["x"]
        if y <= y0 and x <= x0 and y1 <= y + patch.shape[0] and x1 <= x + patch.shape[1]:
            return Placed(patch, y, x, height, width)
    return None if row.box == NOTHING else Placed(row.image[y0:y1, x0:x1], y0, x0, height, width)


class KnownFiles:
    """The files of contents that were decoded already. All rows of a source have one content, which is encoded once."""

    def __init__(self, stored: StoredFolder) -> None:
        self.stored = stored
        self.content: Pixels | None = None
        self.encoder: PatchEncoder

    def png(self, image: Placed) -> bytes:
        """Returns the file of an image."""
        if self.content is not image.content and (
            self.content is None or not np.array_equal(self.content, image.content)
        ):
            self.content, self.encoder = image.content, PatchEncoder(image.content)
        return self.encoder.png(image.y, image.x, image.height, image.width)

    def may_know(self, number: int) -> bool:
        """Returns whether a row has the content of the row before it, at another position."""
        return self.stored.spec.name == QI.name and number % self.stored.spec.rows_per_source > 0

    def sibling(self, before: DecodedRow | None, number: int, values: dict[str, Any]) -> DecodedRow | None:
        """Returns the row of that number if its file has the content of the row before, at its own x, y; else None."""
        side = self.stored.manifest.size
        shown = row_as_built(self.stored, before) if before is not None else None
        if before is None or shown is None:
            return None
        height, width, _ = shown.content.shape
        y, x = values["y"], values["x"]
        if not (0 <= y <= side - height and 0 <= x <= side - width):
            return None
        image = Placed(shown.content, y, x, side, side)
        if self.png(image) != stored_bytes(values):
            return None
        down, right = y - shown.y, x - shown.x
        y0, x0, y1, x1 = before.box
        box = NOTHING if before.box == NOTHING else (y0 + down, x0 + right, y1 + down, x1 + right)
        return DecodedRow(number, image.pixels(), box, values)
