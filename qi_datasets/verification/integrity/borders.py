"""Compares every config with a border to the one without: the same centre, black around it, adapted columns.

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
    ExaminedRows,
    Stretch,
    box_of,
    digest_of,
    numbered_rows,
    usable_image,
)
from qi_datasets.verification.integrity.decoded import (
    NOTHING,
    DecodedRow,
    is_sampled,
    row_as_built,
    stored_bytes,
    without_black,
)
from qi_datasets.verification.integrity.rows import first_difference
from qi_datasets.verification.stored_folder import StoredFolder

NAME = "borders"


class Borders:
    """Compares a chunk of rows in every config with a border to the rows without; findings go to `seen`."""

    def __init__(self, stored: StoredFolder, stretch: Stretch, seen: ExaminedRows) -> None:
        self.seen = seen
        self.rows = {
            config: dict(numbered_rows(stored, config, stretch.split, stretch.start, stretch.stop, seen.findings))
            for config, record in stored.manifest.configs.items()
            if config != stored.default_config and stretch.split in record.splits
        }
        self.digests: dict[str, dict[int, bytes]] = {config: {} for config in self.rows}

    def compare_files(self, chunk: Chunk, number: int, row: DecodedRow | None) -> None:
        """Compares rows with the one without border, as far as equal bytes prove equal pixels.

        Args:
            chunk: The row's chunk.
            number: The row's number.
            row: The row without border; None if it is lost.
        """
        stored = chunk.stored
        image = row_as_built(stored, row) if row is not None else None
        if row is None or image is None:
            return
        for config, rows in self.rows.items():
            border = stored.border(config)
            if number not in rows or is_sampled(config, chunk.split, number) or not BORDER.low < border <= BORDER.high:
                continue
            values = rows[number]
            if chunk.files.png(image.bordered(border)) == stored_bytes(values):
                self.find(chunk, config, number, differing_columns(stored, row, border, values))
                self.digests[config][number] = digest_of(stored, number, values, row.shown.bordered(border))

    def compare_images(self, chunk: Chunk) -> None:
        """Decodes and compares all other rows; then adds the digests of all to `seen`."""
        unbordered = {row.number: row for row in chunk.rows}
        for config, rows in self.rows.items():
            digests = self.digests[config]
            for number, values in rows.items():
                if number not in digests:
                    digests[number] = self.compare_image(chunk, config, number, unbordered.get(number), values)
            self.seen.digests[config, chunk.split] = bytearray().join(digests[number] for number in rows)

    def compare_image(
        self, chunk: Chunk, config: str, number: int, row: DecodedRow | None, values: dict[str, Any]
    ) -> bytes:
        """Decodes a row's image, compares it with the one without border, and returns the row's digest.

        Args:
            chunk: The row's chunk.
            config: The row's config.
            number: The row's number.
            row: The row without border; None if it is lost.
            values: The row's values.
        """
        stored, border = chunk.stored, chunk.stored.border(config)
        image = usable_image(stored, config, chunk.split, number, values, self.seen.findings)
        if image is None:
            return UNKNOWN_DIGEST
        if self.find(chunk, config, number, differing(stored, row, border, image, values)) or row is None:
            shown = without_black(whole(np.asarray(image)).content, box_of(image))
            return digest_of(stored, number, values, shown)
        return digest_of(stored, number, values, row.shown.bordered(border))

    def find(self, chunk: Chunk, config: str, number: int, differences: Iterator[str]) -> bool:
        """Records the differences of a row; returns whether there are any.

        Args:
            chunk: The row's chunk.
            config: The row's config.
            number: The row's number.
            differences: One line each.
        """
        found = list(differences)
        for difference in found:
            self.seen.findings.add(NAME, f"{config}/{chunk.split} row {number}: {difference}")
        return bool(found)


def differing_columns(stored: StoredFolder, row: DecodedRow, border: int, values: dict[str, Any]) -> Iterator[str]:
    """Yields a line for each column in which a row with a border differs from the row without.

    Args:
        stored: The set.
        row: The row without border.
        border: Border of the other row, in pixels.
        values: Values of the other row.
    """
    for name in ("label", *stored.spec.columns):
        wanted = row.values[name] + border if name in BORDER_COLUMNS else row.values[name]
        if values[name] != wanted:
            yield f"{name} is {values[name]!r}, but {wanted!r} by {stored.default_config}"


def differing(
    stored: StoredFolder, row: DecodedRow | None, border: int, image: Image.Image, values: dict[str, Any]
) -> Iterator[str]:
    """Yields a line for each difference between a row with a border and the row without, image and columns.

    Args:
        stored: The set.
        row: The row without border; None if it is lost.
        border: Border of the other row, in pixels.
        image: Decoded image of the other row.
        values: Values of the other row.
    """
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
    """Returns how two bounding boxes of non-black pixels differ."""
    if NOTHING in (found, wanted):
        return f"the image is {'all' if found == NOTHING else 'not all'} black, unlike in {base}"
    (top, left, bottom, right), (top0, left0, bottom0, right0) = found, wanted
    if (bottom - top, right - left) == (bottom0 - top0, right0 - left0):
        return f"the content is off by {top - top0:+d} rows and {left - left0:+d} columns against {base}"
    return (
        f"there is content from row {top}, column {left} to row {bottom - 1}, column {right - 1}; by {base} it is "
        f"from row {top0}, column {left0} to row {bottom0 - 1}, column {right0 - 1}"
    )
