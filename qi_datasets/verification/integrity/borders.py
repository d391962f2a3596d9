"""Every config with a border against the one without: the same centre, black around it, columns that say so.

Black is looked for in the decoder's own buffer, and only the centre is ever copied: that makes wide borders cheap.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from qi_datasets.pixels.geometry import Box, whole
from qi_datasets.specs import BORDER_COLUMNS
from qi_datasets.verification.integrity.chunk import (
    UNKNOWN_DIGEST,
    Chunk,
    DecodedRow,
    Examined,
    digest_of,
    numbered_rows,
    usable_image,
)
from qi_datasets.verification.integrity.rows import first_difference
from qi_datasets.verification.stored import StoredSet

NAME = "borders"
NOTHING: Box = (0, 0, 0, 0)
"""The bounding box of an image that is all black."""


def compare_borders(chunk: Chunk, seen: Examined) -> None:
    """Compares the chunk's rows in every further config; findings and the rows' digests go to `seen`."""
    stored, split = chunk.stored, chunk.split
    unbordered = {row.number: row for row in chunk.rows}
    for config, record in stored.manifest.configs.items():
        if config == stored.default_config or split not in record.splits:
            continue
        digests = bytearray()
        for number, values in numbered_rows(stored, config, split, chunk.start, chunk.stop, seen.findings):
            image = usable_image(stored, config, split, number, values, seen.findings)
            if image is None:
                digests += UNKNOWN_DIGEST
                continue
            row = unbordered.get(number)
            differences = list(differing(stored, row, record.border, image, values))
            for difference in differences:
                seen.findings.add(NAME, f"{config}/{split} row {number}: {difference}")
            if row is None or differences:
                digests += digest_of(stored, number, values, whole(np.asarray(image)), box_of(image))
            else:
                digests += digest_of(stored, number, values, whole(row.image).bordered(record.border), row.box)
        seen.digests[config, split] = bytes(digests)


def differing(
    stored: StoredSet, row: DecodedRow | None, border: int, image: Image.Image, values: dict[str, Any]
) -> Iterator[str]:
    """In what an image with a border and its columns differ from the row without; None: that row is lost."""
    base, side = stored.default_config, stored.manifest.size
    if row is None:
        yield f"there is no such row in {base} to compare with"
        return
    for name in ("label", *stored.spec.columns):
        wanted = row.values[name] + border if name in BORDER_COLUMNS else row.values[name]
        if values[name] != wanted:
            yield f"{name} is {values[name]!r}, but {wanted!r} by {base}"
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


def box_of(image: Image.Image) -> Box:
    """The bounding box of what is not black."""
    found = image.getbbox()
    return NOTHING if found is None else (found[1], found[0], found[3], found[2])


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
