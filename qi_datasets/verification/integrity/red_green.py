"""Integrity checks on `red_green`: boxes of pure colour in place, no image twice, tests that match row by row."""

from collections.abc import Iterator

import numpy as np

from qi_datasets.specs import RED_GREEN
from qi_datasets.verification.integrity.chunk import Chunk, ExaminedRows, Stretch, read_chunk
from qi_datasets.verification.integrity.rows import first_difference
from qi_datasets.verification.stored_folder import StoredFolder

RED, GREEN = (255, 0, 0), (0, 255, 0)
SIMILAR, DISSIMILAR = "test_similar", "test_dissimilar"


def boxes(chunk: Chunk) -> Iterator[str]:
    """Yields images that are not a red and a green box at lx, ly and rx, ry, in the label's order, on black."""
    side = RED_GREEN.box
    for row in chunk.rows:
        wanted = np.zeros_like(row.image)
        lx, ly, rx, ry = (row.values[name] for name in ("lx", "ly", "rx", "ry"))
        for x, y, colour in zip((lx, rx), (ly, ry), colours(row.label), strict=True):
            wanted[max(y, 0) : max(y + side, 0), max(x, 0) : max(x + side, 0)] = colour
        if not np.array_equal(row.image, wanted):
            yield f"{chunk.where(row)}: {first_difference(row.image, wanted)} by its columns and label {row.label}"


def colours(label: int) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Returns the colours of the left and of the right box."""
    return (RED, GREEN) if label == 0 else (GREEN, RED)


def pairs(chunk: Chunk) -> Iterator[str]:
    """Yields rows of the dissimilar test that are not the similar test's, moved down (label 0) or up (label 1)."""
    if chunk.split != DISSIMILAR:
        return
    similar = read_chunk(chunk.stored, Stretch(SIMILAR, chunk.start, chunk.stop), ExaminedRows())
    others = {row.number: row for row in similar.rows}
    for row in chunk.rows:
        if row.number not in others:
            yield f"{chunk.where(row)} has no counterpart in {SIMILAR}"
            continue
        other = others[row.number]
        move = RED_GREEN.shift if other.label == 0 else -RED_GREEN.shift
        if row.label != other.label:
            yield f"{chunk.where(row)} has label {row.label}, its counterpart in {SIMILAR} has label {other.label}"
        elif not np.array_equal(row.image, np.roll(other.image, move, axis=0)):
            yield f"{chunk.where(row)} is not the image of {SIMILAR} row {row.number} moved by {move} rows"


def repeats(stored: StoredFolder, seen: ExaminedRows) -> Iterator[str]:
    """Yields images that occur twice, in any splits."""
    first: dict[bytes, str] = {}
    for split, images in seen.images.items():
        for number, image in zip(seen.numbers[split], images, strict=True):
            here = f"{split} row {number}"
            if image in first:
                yield f"{here} repeats the image of {first[image]}"
            first.setdefault(image, here)
