"""Every config with a border against the one without: the same centre, black around it, columns that say so.

Black is looked for in the decoder's own buffer, and only the centre is ever copied: that makes wide borders cheap.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from qi_datasets.geometry import whole
from qi_datasets.verification.chunk import UNKNOWN_DIGEST, Chunk, DecodedRow, Examined, digest_of, numbered_rows
from qi_datasets.verification.row_checks import first_difference
from qi_datasets.verification.stored import UNDECODABLE, one_line, opened

NAME = "borders"

MOVED = ("x", "y", "border")
"""Columns that grow with the border."""


def compare_borders(chunk: Chunk, seen: Examined) -> None:
    """Compares the chunk's rows in every further config; findings and the rows' digests go to `seen`."""
    stored, split, findings = chunk.stored, chunk.split, seen.findings
    unbordered = {row.number: row for row in chunk.rows}
    for config, record in stored.manifest.configs.items():
        if config == stored.default_config or split not in record.splits:
            continue
        digests = bytearray()
        side = stored.manifest.size + 2 * record.border
        for number, values in numbered_rows(stored, config, split, chunk.start, chunk.stop, findings):
            where = f"{config}/{split} row {number}"
            digest = UNKNOWN_DIGEST
            try:
                image = opened(values["image"])
            except UNDECODABLE as error:
                findings.add("readable", f"{where}: the image can't be decoded ({one_line(error)})")
            else:
                if image.format != "PNG":
                    findings.add("images", f"{where} is stored as {image.format}, which need not keep pixels; PNG does")
                if image.size != (side, side) or image.mode != stored.spec.mode:
                    found, wanted = f"{image.width}x{image.height} {image.mode}", f"{side}x{side} {stored.spec.mode}"
                    findings.add("images", f"{where} is {found}, not {wanted}")
                else:
                    differences = list(differing(chunk, unbordered.get(number), record.border, image, values))
                    for difference in differences:
                        findings.add(NAME, f"{where}: {difference}")
                    digest = bordered_digest(
                        chunk, number, None if differences else unbordered[number], record.border, image, values
                    )
            digests += digest
        seen.digests[config, split] = bytes(digests)


def differing(
    chunk: Chunk, row: DecodedRow | None, border: int, image: Image.Image, values: dict[str, Any]
) -> Iterator[str]:
    """In what an image with a border and its columns differ from the row without; None stands for a row that is lost."""
    base, side = chunk.stored.default_config, chunk.stored.manifest.size
    if row is None:
        yield f"there is no such row in {base} to compare with"
        return
    for name in ("label", *chunk.stored.spec.columns):
        wanted = row.values[name] + border if name in MOVED else row.values[name]
        if values[name] != wanted:
            yield f"{name} is {values[name]!r}, but {wanted!r} by {base}"
    y0, x0, y1, x1 = row.box
    wanted_box = (x0 + border, y0 + border, x1 + border, y1 + border) if row.image.any() else None
    found_box = image.getbbox()
    if found_box != wanted_box:
        yield place_difference(found_box, wanted_box, base)
        return
    centre = np.asarray(image.crop((border, border, border + side, border + side))).reshape(row.image.shape)
    if not np.array_equal(centre, row.image):
        yield f"{first_difference(centre, row.image)} in {base} (rows and columns within the border)"


def place_difference(
    found: tuple[int, int, int, int] | None, wanted: tuple[int, int, int, int] | None, base: str
) -> str:
    """How two bounding boxes (x0, y0, x1, y1) of what is not black differ; None is all black."""
    if found is None or wanted is None:
        return f"the image is {'all' if found is None else 'not all'} black, unlike in {base}"
    down, right = found[1] - wanted[1], found[0] - wanted[0]
    if (found[2] - found[0], found[3] - found[1]) == (wanted[2] - wanted[0], wanted[3] - wanted[1]):
        return f"the content is off by {down:+d} rows and {right:+d} columns against {base}"
    return (
        f"not black from row {found[1]}, column {found[0]} to row {found[3] - 1}, column {found[2] - 1}; by {base} from "
        f"row {wanted[1]}, column {wanted[0]} to row {wanted[3] - 1}, column {wanted[2] - 1}"
    )


def bordered_digest(
    chunk: Chunk, number: int, same: DecodedRow | None, border: int, image: Image.Image, values: dict[str, Any]
) -> bytes:
    """The digest of a row with a border. same: the row without, where the two are known to agree."""
    if same is not None:
        return digest_of(chunk.stored, number, values, whole(same.image).bordered(border), same.box)
    x0, y0, x1, y1 = image.getbbox() or (0, 0, 0, 0)
    return digest_of(chunk.stored, number, values, whole(np.asarray(image)), (y0, x0, y1, x1))
