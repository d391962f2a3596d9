"""From sources to encoded rows: the work that is done in parallel."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qi_datasets.builder import GeneratedSet, ImageSet, Row
from qi_datasets.pixels.digests import row_digest, sha256_hex
from qi_datasets.pixels.geometry import Box, Pixels, Placed, nonzero_box
from qi_datasets.pixels.png import PatchEncoder, photograph_png
from qi_datasets.sources import SourceImage
from qi_datasets.storage.rows import EncodedRow, EncodedSource

PHOTOGRAPH = 100 * 100
"""Pixels from which an image that has no black around its content is written as a photograph."""


@dataclass(frozen=True)
class _Taken:
    """What a set takes of one source. file: the bytes of its image file."""

    image: SourceImage
    size: int
    sha256: str
    patch: Pixels


def encode_batch(builder: ImageSet, images: Sequence[SourceImage], *, borders: Sequence[int]) -> list[EncodedSource]:
    """The rows of some sources at every border; each source is read and decoded once.

    Raises SourceError for a file that is missing or damaged.
    """
    # Decoding throws our code out of the processor's caches. Encoding one source after the other, it is there again.
    taken = [_take(builder, image) for image in images]
    return [_encode(builder, source, borders) for source in taken]


def _take(builder: ImageSet, image: SourceImage) -> _Taken:
    data = image.read()
    return _Taken(image, len(data), sha256_hex(data), builder.patch(image.decode(data)))


def _encode(builder: ImageSet, source: _Taken, borders: Sequence[int]) -> EncodedSource:
    rows = builder(source.patch, source.image.name, source.image.wnid)
    encoder = RowEncoder(builder.spec.label_in_digest)
    return EncodedSource(
        image=source.image,
        size=source.size,
        sha256=source.sha256,
        patch_sha256=sha256_hex(source.patch.tobytes()),
        rows={border: [encoder.encode(row.bordered(border), source.image.name) for row in rows] for border in borders},
    )


def encode_generated(builder: GeneratedSet, split: str) -> Iterator[EncodedRow]:
    """The rows of one split of a set that needs no input."""
    encoder = RowEncoder(builder.spec.label_in_digest)
    for number, row in enumerate(builder(split)):
        yield encoder.encode(row, str(number))


def is_photograph(image: Placed) -> bool:
    """Whether Pillow writes an image: a large one that is all content, where our own writer has no black to save."""
    height, width, _ = image.content.shape
    return (height, width) == (image.height, image.width) and height * width >= PHOTOGRAPH


class RowEncoder:
    """Encodes rows; what depends on an image's content alone is worked out once per content."""

    def __init__(self, label_in_digest: bool) -> None:
        self.label_in_digest = label_in_digest
        self.content: Pixels | None = None
        self.patch: PatchEncoder | None
        self.box: Box

    def encode(self, row: Row, source: str) -> EncodedRow:
        """The row as it is stored. source: the source's name, or the row's number, for the digest."""
        image = row.image
        if image.content is not self.content:
            self.content, self.patch, self.box = image.content, None, nonzero_box(image.content)
        return EncodedRow(
            png=self.png(image),
            digest=row_digest(image, row.label if self.label_in_digest else "", source, self.box),
            values={"label": row.label, **row.columns},
        )

    def png(self, image: Placed) -> bytes:
        """The PNG file of an image whose content is the present one."""
        if is_photograph(image):
            return photograph_png(image.content)
        if self.patch is None:
            self.patch = PatchEncoder(image.content)
        return self.patch.png(image.y, image.x, image.height, image.width)
