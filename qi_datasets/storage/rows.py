"""Rows as they are stored: PNG file, digest and values."""

from typing import Any, NamedTuple


class EncodedRow(NamedTuple):
    """A row as it is stored: its PNG file, its digest, and its values by column, the label among them."""

    png: bytes
    digest: bytes
    values: dict[str, Any]
