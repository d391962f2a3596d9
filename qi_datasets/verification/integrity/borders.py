"""Every config with a border against the one without: the same centre, black around it, columns that say so.

What a file with a border must be follows from the image without it: that file is written again and its bytes compared,
at a thousandth of the time that inflating so much black takes. A file that differs is decoded, and may still be right:
other bytes can give the same pixels. A fixed sample is decoded anyway, so that nothing rests on the writer alone.

Black is looked for in the decoder's own buffer, and only the centre is ever copied: that makes wide borders cheap.
"""

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from qi_datasets.pixels.geometry import Box, Pixels, Placed, whole
from qi_datasets.pixels.png import PatchEncoder
from qi_datasets.specs import BORDER, BORDER_COLUMNS, QI
from qi_datasets.verification.integrity.chunk import (
    NOTHING,
    UNKNOWN_DIGEST,
    Chunk,
    DecodedRow,
    Examined,
    box_of,
    digest_of,
    numbered_rows,
    usable_image,
)
from qi_datasets.verification.integrity.quadrant import patch_of
from qi_datasets.verification.integrity.rows import first_difference
from qi_datasets.verification.stored import StoredSet

NAME = "borders"
SAMPLE = 100
"""One in so many images is decoded although its bytes are the expected ones."""


def compare_borders(chunk: Chunk, seen: Examined, full: bool) -> None:
    """Compares the chunk's rows in every further config; findings and the rows' digests go to `seen`.

    full: decode every image.
    """
    stored, split = chunk.stored, chunk.split
    configs = [
        config
        for config, record in stored.manifest.configs.items()
        if config != stored.default_config and split in record.splits
    ]
    found = {
        config: dict(numbered_rows(stored, config, split, chunk.start, chunk.stop, seen.findings)) for config in configs
    }
    unbordered = {row.number: row for row in chunk.rows}
    digests = {config: bytearray() for config in configs}
    writer = Writer(stored)
    for number in range(chunk.start, chunk.stop):
        row = unbordered.get(number)
        for config in configs:
            if number in found[config]:
                known = None if row is None or full or is_sampled(config, split, number) else writer.png(row, config)
                digests[config] += compare_row(chunk, seen, config, number, row, found[config][number], known)
    for config in configs:
        seen.digests[config, split] = digests[config]


def is_sampled(config: str, split: str, number: int) -> bool:
    """Whether an image is decoded whatever its bytes are: always the same ones."""
    return zlib.crc32(f"{config}/{split}/{number}".encode()) % SAMPLE == 0


class Writer:
    """Writes the files that rows must have with a border."""

    def __init__(self, stored: StoredSet) -> None:
        self.stored = stored
        self.row: DecodedRow | None = None
        self.image: Placed | None = None
        self.content: Pixels | None = None
        self.encoder: PatchEncoder

    def png(self, row: DecodedRow, config: str) -> bytes | None:
        """The row's file in a config with a border; None where this package doesn't know its bytes."""
        border = self.stored.border(config)
        if row is not self.row:
            self.row, self.image = row, as_built(self.stored, row)
        if self.image is None or not BORDER.low < border <= BORDER.high:
            return None
        # A source's rows show the same content, which then is coded once.
        if self.content is None or not np.array_equal(self.image.content, self.content):
            self.content, self.encoder = self.image.content, PatchEncoder(self.image.content)
        image = self.image.bordered(border)
        return self.encoder.png(image.y, image.x, image.height, image.width)


def as_built(stored: StoredSet, row: DecodedRow) -> Placed | None:
    """A row's image as its builder placed its content, which decides the bytes of its file; None if it is all black.

    Where the builder's content is not known, what is not black is taken for it.
    """
    height, width, _ = row.image.shape
    y0, x0, y1, x1 = row.box
    patch = patch_of(row) if stored.spec.name == QI.name else None
    if patch is not None:
        y, x = row.values["y"], row.values["x"]
        if y <= y0 and x <= x0 and y1 <= y + patch.shape[0] and x1 <= x + patch.shape[1]:
            return Placed(patch, y, x, height, width)
    return None if row.box == NOTHING else Placed(row.image[y0:y1, x0:x1], y0, x0, height, width)


def compare_row(
    chunk: Chunk,
    seen: Examined,
    config: str,
    number: int,
    row: DecodedRow | None,
    values: dict[str, Any],
    known: bytes | None,
) -> bytes:
    """Compares one row with a border with the row without; findings go to `seen`. Gives the digest of what is stored.

    row: the one without, None if it is lost.
    values: of the row with a border.
    known: a file that needs no decoding, since it shows the pixels of `row` with the border.
    """
    stored, border = chunk.stored, chunk.stored.border(config)

    def found(differences: Iterator[str]) -> bool:
        before = seen.findings.counts[NAME]
        for difference in differences:
            seen.findings.add(NAME, f"{config}/{chunk.split} row {number}: {difference}")
        return seen.findings.counts[NAME] > before

    if row is not None and known is not None and known == stored_bytes(values):
        found(differing_columns(stored, row, border, values))
    else:
        image = usable_image(stored, config, chunk.split, number, values, seen.findings)
        if image is None:
            return UNKNOWN_DIGEST
        if found(differing(stored, row, border, image, values)) or row is None:
            return digest_of(stored, number, values, whole(np.asarray(image)), box_of(image))
    return digest_of(stored, number, values, whole(row.image).bordered(border), row.box)


def stored_bytes(values: dict[str, Any]) -> Any:
    """The file of a row's image; None where there is none."""
    image = values["image"]
    return image.get("bytes") if isinstance(image, dict) else None


def differing_columns(stored: StoredSet, row: DecodedRow, border: int, values: dict[str, Any]) -> Iterator[str]:
    """In what the columns of a row with a border differ from those of the row without."""
    for name in ("label", *stored.spec.columns):
        wanted = row.values[name] + border if name in BORDER_COLUMNS else row.values[name]
        if values[name] != wanted:
            yield f"{name} is {values[name]!r}, but {wanted!r} by {stored.default_config}"


def differing(
    stored: StoredSet, row: DecodedRow | None, border: int, image: Image.Image, values: dict[str, Any]
) -> Iterator[str]:
    """In what an image with a border and its columns differ from the row without; None: that row is lost."""
    base, side = stored.default_config, stored.manifest.size
    if row is None:
        yield f"there is no such row in {base} to compare with"
        return
    yield from differing_columns(stored, row, border, values)
    y0, x0, y1, x1 = row.box
    black = row.box == NOTHING
    wanted_box = NOTHING if black else (y0 + border, x0 + border, y1 + border, x1 + border)
    found_box = box_of(image)
    if found_box != wanted_box:
        yield place_difference(found_box, wanted_box, base)
        return
    centre = np.asarray(image.crop((border, border, border + side, border + side))).reshape(row.image.shape)
    if not np.array_equal(centre, row.image):
        yield f"{first_difference(centre, row.image)} in {base} (rows and columns within the border)"


def place_difference(found: Box, wanted: Box, base: str) -> str:
    """How two bounding boxes of what is not black differ."""
    if NOTHING in (found, wanted):
        return f"the image is {'all' if found == NOTHING else 'not all'} black, unlike in {base}"
    (top, left, bottom, right), (top0, left0, bottom0, right0) = found, wanted
    if (bottom - top, right - left) == (bottom0 - top0, right0 - left0):
        return f"the content is off by {top - top0:+d} rows and {left - left0:+d} columns against {base}"
    return (
        f"there is content from row {top}, column {left} to row {bottom - 1}, column {right - 1}; by {base} it is "
        f"from row {top0}, column {left0} to row {bottom0 - 1}, column {right0 - 1}"
    )
