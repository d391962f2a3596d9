"""Digests: they decide a set's order and draws, and identify its pixels (cards/specification.md, "Determinism")."""

import hashlib
from collections.abc import Iterable

import numpy as np

from qi_datasets.pixels.geometry import Box, Placed, nonzero_box
from qi_datasets.specs import DRAW_PREFIX


def draw(text: str) -> bytes:
    """Returns the 32 bytes that decide every random choice about the thing that `text` names."""
    return hashlib.sha256(f"{DRAW_PREFIX}/{text}".encode()).digest()


def sha256_hex(data: bytes) -> str:
    """Returns the SHA-256 of `data`, in hex."""
    return hashlib.sha256(data).hexdigest()


def row_digest(image: Placed, label: int | str, source: str, box: Box | None = None) -> bytes:
    """Returns the digest (32 bytes) of one row: it depends on every pixel, but no black is hashed.

    Args:
        image: The row's image.
        label: The row's label, "" in sets whose digest leaves it out.
        source: The source's name, or the row's number in its split.
        box: `nonzero_box(image.content)`, for callers that place one content many times.
    """
    y0, x0, y1, x1 = nonzero_box(image.content) if box is None else box
    block = np.ascontiguousarray(image.content[y0:y1, x0:x1])
    if block.size:
        y0, x0, y1, x1 = y0 + image.y, x0 + image.x, y1 + image.y, x1 + image.x
    size = f"{image.height}x{image.width}x{image.channels}"
    digest = hashlib.sha256(f"{size}|{y0},{x0},{y1},{x1}|{label}|{source}|".encode())
    digest.update(block.data)
    return digest.digest()


def split_digest(row_digests: Iterable[bytes]) -> str:
    """Returns the digest of a split, in hex: SHA-256 over its rows' digests in row order."""
    return sha256_hex(b"".join(row_digests))
