"""Rows as they are stored: their PNG file, their digest, their values."""

from dataclasses import dataclass
from typing import Any

from qi_datasets.sources import SourceImage


@dataclass(frozen=True)
class EncodedRow:
    """A row as it is stored: its PNG file, its digest, and its values by column, the label among them."""

    png: bytes
    digest: bytes
    values: dict[str, Any]


@dataclass(frozen=True)
class EncodedSource:
    """All rows of one source, by border, and what tells later whether its file or its decoder differs."""

    image: SourceImage
    size: int
    sha256: str
    patch_sha256: str
    rows: dict[int, list[EncodedRow]]
