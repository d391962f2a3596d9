"""From sources to encoded rows: the work that is done in parallel. Imports little, since every worker pays for it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from qi_datasets.builder import GeneratedSet, ImageSet, Row
from qi_datasets.digests import row_digest, sha256_hex
from qi_datasets.geometry import Box, Pixels, nonzero_box
from qi_datasets.png import PatchEncoder
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


def encode_batch(builder: ImageSet, images: Sequence[SourceImage], *, borders: Sequence[int]) -> list[EncodedSource]:
    """The rows of some sources at every border; each source is read and decoded once."""
    return [encode_source(builder, image, borders) for image in images]


def encode_source(builder: ImageSet, image: SourceImage, borders: Sequence[int]) -> EncodedSource:
    """The rows of one source at every border. Raises SourceError for a file that is missing or damaged."""
    data = image.read()
    patch = builder.patch(image.decode(data))
    rows = builder(patch, image.name, image.wnid)
    encoder = RowEncoder(builder.spec.label_in_digest)
    return EncodedSource(
        image=image,
        size=len(data),
        sha256=sha256_hex(data),
        patch_sha256=sha256_hex(patch.tobytes()),
        rows={border: [encoder.encode(row.bordered(border), image.name) for row in rows] for border in borders},
    )


def encode_generated(builder: GeneratedSet, split: str) -> Iterator[EncodedRow]:
    """The rows of one split of a set that needs no input."""
    encoder = RowEncoder(builder.spec.label_in_digest)
    for number, row in enumerate(builder(split)):
        yield encoder.encode(row, str(number))


class RowEncoder:
    """Encodes rows; what depends on an image's content alone is worked out once per content."""

    def __init__(self, label_in_digest: bool) -> None:
        self.label_in_digest = label_in_digest
        self.content: Pixels | None = None
        self.png: PatchEncoder
        self.box: Box

    def encode(self, row: Row, source: str) -> EncodedRow:
        """The row as it is stored. source: the source's name, or the row's number, for the digest."""
        image = row.image
        if image.content is not self.content:
            self.content, self.png, self.box = image.content, PatchEncoder(image.content), nonzero_box(image.content)
        return EncodedRow(
            png=self.png.png(image.y, image.x, image.height, image.width),
            digest=row_digest(image, row.label if self.label_in_digest else "", source, self.box),
            values={"label": row.label, **row.columns},
        )
