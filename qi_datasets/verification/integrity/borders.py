"""Every config with a border against the one without: the same centre, black around it, columns that say so.

Black is looked for in the decoder's own buffer, and only the centre is ever copied: that makes wide borders cheap.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from qi_datasets.pixels.geometry import Box, whole
from qi_datasets.specs import BORDER, BORDER_COLUMNS
from qi_datasets.verification.integrity.chunk import (
    UNKNOWN_DIGEST,
    Chunk,
    Examined,
    box_of,
    digest_of,
    numbered_rows,
    usable_image,
)
from qi_datasets.verification.integrity.decoded import NOTHING, DecodedRow, as_built, is_sampled, stored_bytes
from qi_datasets.verification.integrity.rows import first_difference
from qi_datasets.verification.stored import StoredSet

NAME = "borders"


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
    for number in range(chunk.start, chunk.stop):
        row = unbordered.get(number)
        image = as_built(stored, row) if row is not None and not full else None
        for config in configs:
            if number in found[config]:
                border = stored.border(config)
                known = None
                if image is not None and BORDER.low < border <= BORDER.high and not is_sampled(config, split, number):
                    known = chunk.files.png(number, image.bordered(border))
                digests[config] += compare_row(chunk, seen, config, number, row, found[config][number], known)
    for config in configs:
        seen.digests[config, split] = digests[config]


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
