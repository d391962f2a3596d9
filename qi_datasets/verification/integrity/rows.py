"""Integrity checks on rows of any set: each yields the faults of a chunk's rows, one line each."""

from collections.abc import Iterator

import numpy as np

from qi_datasets.pixels.geometry import Pixels
from qi_datasets.specs import SPECS
from qi_datasets.verification.integrity.chunk import Chunk


def labels(chunk: Chunk) -> Iterator[str]:
    """Yields labels that are out of range, or differ from the builder's or from that of the row's number."""
    spec = chunk.stored.spec
    for row in chunk.rows:
        wanted = range(-1, len(spec.labels))
        reason = f"the set has the labels 0 to {len(spec.labels) - 1}"
        if row.number in chunk.expected:
            label = chunk.expected[row.number].label
            wanted, reason = range(label, label + 1), f"the specification says {label} ({spec.labels[label]})"
        elif spec.name in SPECS and spec.rows_per_source == len(spec.labels):
            label = row.number % spec.rows_per_source
            wanted, reason = (
                range(label, label + 1),
                f"row {label} of each source has label {label} ({spec.labels[label]})",
            )
        if row.label not in wanted:
            yield f"{chunk.where(row)} has label {row.label}, but {reason}"


def pixels(chunk: Chunk) -> Iterator[str]:
    """Yields images of a generated set that differ from the builder's."""
    for row in chunk.rows:
        if row.number in chunk.expected:
            wanted = chunk.expected[row.number].image.pixels()
            if not np.array_equal(row.image, wanted):
                yield f"{chunk.where(row)}: {first_difference(row.image, wanted)} in the specification"


def columns(chunk: Chunk) -> Iterator[str]:
    """Yields further columns of a generated set that differ from the builder's."""
    for row in chunk.rows:
        if row.number in chunk.expected:
            for name, wanted in chunk.expected[row.number].columns.items():
                if row.values[name] != wanted:
                    yield f"{chunk.where(row)}: {name} is {row.values[name]!r}, but {wanted!r} in the specification"


def first_difference(found: Pixels, wanted: Pixels) -> str:
    """Returns where two (h, w, c) images of one shape first differ, with their values there: "... is 17, but 18"."""
    different = found != wanted
    y, x, c = (int(place[0]) for place in np.nonzero(different))
    count = int(different.any(axis=2).sum())
    pixels = f"{count} pixels differ, the first at" if count > 1 else "1 pixel differs, at"
    return f"{pixels} row {y}, column {x}: it is {found[y, x, c]}, but {wanted[y, x, c]}"
