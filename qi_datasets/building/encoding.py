"""Turns sources into encoded rows in two parts: the work of Pillow, and the work that holds the GIL.

Pillow decodes, resizes and compresses without holding the GIL, so that threads do this side by side. The rest holds
it most of the time, whichever thread it runs in.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qi_datasets.builder import GeneratedSet, ImageSet, Row
from qi_datasets.pixels.digests import row_digest, sha256_hex
from qi_datasets.pixels.geometry import Box, Pixels, Placed, nonzero_box
from qi_datasets.pixels.png import PatchEncoder, photograph_png
from qi_datasets.sources import SourceImage
from qi_datasets.storage.manifest import SourceRecord
from qi_datasets.storage.rows import EncodedRow

PHOTOGRAPH = 100 * 100
"""Number of pixels from which an image that is not black at the sides of its content is written as a photograph."""


@dataclass(frozen=True)
class DecodedSource:
    """The decoded part of a source: small, so that handing it to another process is cheap.

    Attributes:
        image: The source.
        size: Size of its file in bytes.
        sha256: SHA-256 of its file, in hex.
        patch_sha256: SHA-256 of its patch, in hex; it shows later whether a file or a decoder differs.
        rows: Its rows at border 0.
        photographs: For each row, the PNG file of an image that is stored as a photograph, else None.
        remark: A sentence on what was lost of the file; "" if nothing was.
    """

    image: SourceImage
    size: int
    sha256: str
    patch_sha256: str
    rows: list[Row]
    photographs: list[bytes | None]
    remark: str = ""

    @property
    def record(self) -> SourceRecord:
        """The source's record in the manifest."""
        return SourceRecord(self.image.name, self.image.wnid, self.size, self.sha256, self.patch_sha256)


def decode_source(builder: ImageSet, image: SourceImage) -> DecodedSource:
    """Decodes one source and returns its rows.

    Raises:
        SourceError: If the file is missing or damaged.
    """
    data = image.read()
    picture, remark = image.decode_with_remark(data)
    patch = builder.patch(picture)
    rows = builder(patch, image.name, image.wnid)
    return DecodedSource(
        image=image,
        size=len(data),
        sha256=sha256_hex(data),
        patch_sha256=sha256_hex(patch.tobytes()),
        rows=rows,
        photographs=[photograph_png(row.image.content) if is_photograph(row.image) else None for row in rows],
        remark=remark,
    )


@dataclass(frozen=True)
class EncodedSource:
    """All stored rows of one source, by border, and the record of its file."""

    decoded: DecodedSource
    rows: dict[int, list[EncodedRow]]


def encode_source(borders: Sequence[int], label_in_digest: bool, source: DecodedSource) -> EncodedSource:
    """Returns the rows of a source at every border."""
    encoder = RowEncoder(label_in_digest)
    name = source.image.name
    rows = {border: [encoder.encode(row.bordered(border), name) for row in source.rows] for border in borders if border}
    if 0 in borders:
        pairs = zip(source.rows, source.photographs, strict=True)
        rows[0] = [encoder.encode(row, name, photograph) for row, photograph in pairs]
    return EncodedSource(source, rows)


def encode_generated(builder: GeneratedSet, split: str) -> Iterator[EncodedRow]:
    """Yields the rows of one split of a set that needs no input."""
    encoder = RowEncoder(builder.spec.label_in_digest)
    for number, row in enumerate(builder(split)):
        yield encoder.encode(row, str(number))


def is_photograph(image: Placed) -> bool:
    """Returns True for a large image whose content has no black sides; Pillow writes it as small as our own writer."""
    height, width, _ = image.content.shape
    return (height, width) == (image.height, image.width) and height * width >= PHOTOGRAPH


class RowEncoder:
    """Encodes rows; values that depend only on an image's content are computed once per content."""

    def __init__(self, label_in_digest: bool) -> None:
        self.label_in_digest = label_in_digest
        self.content: Pixels | None = None
        self.patch: PatchEncoder | None
        self.box: Box

    def encode(self, row: Row, source: str, png: bytes | None = None) -> EncodedRow:
        """Returns the row as it is stored.

        Args:
            row: The row that a builder made.
            source: The source's name, or the row's number, for the digest.
            png: The image's PNG file, if there is one already.
        """
        image = row.image
        if image.content is not self.content:
            self.content, self.patch, self.box = image.content, None, nonzero_box(image.content)
        return EncodedRow(
            png=png or self.png(image),
            digest=row_digest(image, row.label if self.label_in_digest else "", source, self.box),
            values={"label": row.label, **row.columns},
        )

    def png(self, image: Placed) -> bytes:
        """Returns the PNG file of an image with the current content."""
        if is_photograph(image):
            return photograph_png(image.content)
        if self.patch is None:
            self.patch = PatchEncoder(image.content)
        return self.patch.png(image.y, image.x, image.height, image.width)
