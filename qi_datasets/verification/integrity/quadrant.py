"""Integrity checks on the rows of `qi`: black outside the patch, the patch in its corner, the same in both corners."""

from collections.abc import Iterator

import numpy as np

from qi_datasets.pixels.digests import sha256_hex
from qi_datasets.specs import CORNERS, QI, QUADRANT
from qi_datasets.verification.integrity.chunk import Chunk, ExaminedRows
from qi_datasets.verification.integrity.decoded import patch_of
from qi_datasets.verification.integrity.rows import first_difference
from qi_datasets.verification.stored_folder import StoredFolder


def place(chunk: Chunk) -> Iterator[str]:
    """Yields rows whose x, y, border don't fit the corner that follows from the row's number."""
    far = chunk.stored.manifest.size - QUADRANT.patch
    for row in chunk.rows:
        corner = row.number % len(CORNERS)
        found, wanted = tuple(row.values[name] for name in ("x", "y", "border")), (corner * far, corner * far, 0)
        if found != wanted:
            yield f"{chunk.where(row)}: x, y, border are {found}, but {wanted} is {CORNERS[corner]}"


def background(chunk: Chunk) -> Iterator[str]:
    """Yields rows with a pixel outside of the patch at x, y that is not black."""
    for row in chunk.rows:
        y, x = row.values["y"], row.values["x"]
        y0, x0, y1, x1 = row.box
        if y0 < y or x0 < x or y1 > y + QUADRANT.patch or x1 > x + QUADRANT.patch:
            outside = row.image.copy()
            outside[max(y, 0) : y + QUADRANT.patch, max(x, 0) : x + QUADRANT.patch] = 0
            if outside.any():
                at_y, at_x, channel = (int(place[0]) for place in np.nonzero(outside))
                value = outside[at_y, at_x, channel]
                yield f"{chunk.where(row)}: row {at_y}, column {at_x} is {value} outside the patch, where all is black"


def same_patch(chunk: Chunk) -> Iterator[str]:
    """Yields sources whose patch differs between the corners, or from the one in the manifest."""
    rows = {row.number: row for row in chunk.rows}
    recorded = chunk.stored.manifest.sources.get(chunk.split, [])
    for number in range(chunk.start, chunk.stop, len(CORNERS)):
        pair = [rows[corner] for corner in (number, number + 1) if corner in rows]
        patches = [patch_of(row) for row in pair]
        if len(pair) < len(CORNERS) or patches[0] is None or patches[1] is None:
            continue
        source = pair[0].values["source"]
        if not np.array_equal(patches[0], patches[1]):
            difference = first_difference(patches[0], patches[1])
            yield f"{chunk.where(pair[0])} and {number + 1} ({source}): {difference} in the other corner"
        index = number // len(CORNERS)
        if index < len(recorded) and sha256_hex(patches[0].tobytes()) != recorded[index].patch_sha256:
            name = recorded[index].name
            yield f"{chunk.where(pair[0])} ({source}): the patch is not the one that the manifest recorded for {name}"


def constant(chunk: Chunk) -> Iterator[str]:
    """Yields sources of a single colour, such as those of a camera with its cap on: they show nothing."""
    pictures = patch_of if chunk.stored.spec.name == QI.name else lambda row: row.image
    for row in chunk.rows:
        if row.number % chunk.stored.spec.rows_per_source == 0:
            picture = pictures(row)
            # Of most pictures, the first row says it.
            if picture is not None and all((part == picture[0, 0]).all() for part in (picture[0], picture)):
                yield f"{chunk.where(row)} ({row.values['source']}) is of one colour"


def displacement(stored: StoredFolder, seen: ExaminedRows) -> Iterator[str]:
    """Yields the total strides at which the two corners fall into different phases of a network's sampling."""
    distance = stored.manifest.size - QUADRANT.patch
    leaks = leaking_strides(distance)
    if leaks:
        strides = ", ".join(map(str, leaks))
        yield (
            f"the corners are {distance} pixels apart on a canvas of {stored.manifest.size}, no multiple of "
            f"{QUADRANT.displacement}: networks of total stride {strides} read location from their sampling phase, "
            "at any border, with any padding"
        )


def leaking_strides(distance: int) -> list[int]:
    """Returns the usual total strides that don't divide `distance`."""
    return [stride for stride in QUADRANT.total_strides if distance % stride]


def displacement_figure(stored: StoredFolder, seen: ExaminedRows) -> str:
    """Returns the displacement in pixels."""
    return f"{stored.manifest.size - QUADRANT.patch} pixels"


def sources_figure(stored: StoredFolder, seen: ExaminedRows) -> str:
    """Returns the number of compared sources."""
    return f"{sum(map(len, seen.sources.values())) // len(CORNERS)} sources"
