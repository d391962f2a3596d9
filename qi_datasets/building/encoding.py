"""From sources to encoded rows: the work that is done in parallel. Imports little, since every worker pays for it."""

from collections.abc import Iterator, Sequence

from qi_datasets.builder import GeneratedSet, ImageSet, Row
from qi_datasets.pixels.digests import row_digest, sha256_hex
from qi_datasets.pixels.geometry import Box, Pixels, nonzero_box
from qi_datasets.pixels.png import PatchEncoder
from qi_datasets.sources import SourceImage
from qi_datasets.storage.rows import EncodedRow, EncodedSource


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
