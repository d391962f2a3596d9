"""The Hub's `imagenet-1k` Parquet shards, local or behind any fsspec URL, each read once in order."""

import posixpath
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from qi_datasets.errors import SourceError, one_line
from qi_datasets.imagenet import IMAGENET_VAL
from qi_datasets.sources.base import ArchiveSource, SourceImage, SpanLocation, UnnamedError, by_name
from qi_datasets.sources.reading import open_regular
from qi_datasets.sources.splits import of_validation

BYTES = (pa.binary(), pa.large_binary(), pa.binary_view())
TEXT = (pa.string(), pa.large_string(), pa.string_view())
"""Types of the two fields of images; polars writes views."""

MOST_ROWS, MOST_BYTES = 1_000_000, 2_000_000_000
"""Largest row group in rows and unpacked bytes, since it is read whole: those of `imagenet-1k` have 100 images."""


@dataclass(frozen=True)
class CellLocation:
    """One cell of the image column of a Parquet file.

    Attributes:
        url: URL of the file.
        row_group: Number of the row group.
        row: The cell's number in the row group.
        member: The name of the image file.
    """

    url: str
    row_group: int
    row: int
    member: str

    def read(self) -> bytes:
        """Returns the cell's bytes. Reads its whole row group: for many cells use `ShardSource.contents`."""
        with open_parquet(self.url) as shard:
            return cells(shard, self.row_group, "bytes")[self.row] or b""

    def __str__(self) -> str:
        return f"{self.member} in {self.url}"


@dataclass(frozen=True)
class ShardSource(ArchiveSource):
    """Validation shards of `imagenet-1k`. names: image name -> SourceImage."""

    layout: ClassVar[str] = "Parquet shards"
    on_shared_files: ClassVar[bool] = False

    def contents(self, images: Sequence[SourceImage]) -> Iterator[tuple[SourceImage, bytes]]:
        """Yields each image with its bytes, shard by shard, so that no row group is read twice."""
        wanted: dict[str, dict[int, list[SourceImage]]] = defaultdict(lambda: defaultdict(list))
        for image in images:
            wanted[image.location.url][image.location.row_group].append(image)  # type: ignore[attr-defined]
        for url, groups in sorted(wanted.items()):
            with open_parquet(url) as shard:
                for group, members in sorted(groups.items()):
                    files = cells(shard, group, "bytes")
                    for image in members:
                        data = files[image.location.row]  # type: ignore[attr-defined]
                        if data is None:
                            raise SourceError(f"{image.location} has no bytes; fetch the shard again", code="damaged")
                        yield image, data

    @contextmanager
    def at_hand(self, images: Sequence[SourceImage], folder: Path) -> Iterator[list[SourceImage]]:
        """Yields the images copied into one file below `folder`: a shard is only fast to read in its own order."""
        spool = folder / "images.spool"
        spans: dict[str, SpanLocation] = {}
        with spool.open("wb") as file:
            for image, data in self.contents(images):
                spans[image.name] = SpanLocation(str(spool), file.tell(), len(data), str(image.location))
                file.write(data)
        try:
            yield [SourceImage(image.name, image.wnid, spans[image.name]) for image in images]
        finally:
            spool.unlink()

    @classmethod
    def find(cls, url: str) -> Self | None:
        """Returns the source; None without Parquet files of a validation split at or below a URL."""
        try:
            fs, path = fsspec.url_to_fs(url)
            found = [path] if fs.isfile(path) else sorted(fs.find(path))
        except Exception as error:  # a file system of fsspec may raise any exception, also those of its HTTP client
            raise SourceError(
                f"cannot list {url}: {one_line(error)}; check the URL and your access to it", code="cannot-read"
            ) from error
        files = [fs.unstrip_protocol(file) for file in found if file.endswith(".parquet")]
        return cls.of_files(files, url)

    @classmethod
    def of_files(cls, files: Sequence[str], top: str) -> Self | None:
        """Returns the source of the validation split among Parquet files at or below `top`; None if there is none.

        The names of files or folders show the split; if no name mentions a split, the columns do.
        """
        if list(files) == [top]:
            shards = [top]
        else:
            validation, unnamed = of_validation(files, top)
            shards = validation or list(filter(is_of_imagenet, unnamed))
        return cls.of_images(top, by_name((pair for shard in shards for pair in list_images(shard)), top))


@contextmanager
def open_parquet(url: str) -> Iterator[pq.ParquetFile]:
    """Opens a Parquet file behind a URL. Raises SourceError if it can't be read or is not Parquet."""
    try:
        fs, path = fsspec.url_to_fs(url)
        with open_regular(path) if isinstance(fs, LocalFileSystem) else fs.open(path, "rb") as file:
            yield pq.ParquetFile(file)
    except (OSError, pa.ArrowException, ValueError, TypeError, KeyError, OverflowError, MemoryError) as error:
        raise SourceError(
            f"cannot read {url} as Parquet ({one_line(error)}); fetch the shard again", code="cannot-read"
        ) from error


def cells(shard: pq.ParquetFile, group: int, name: str) -> list[Any]:
    """Returns one field of the image column, "bytes" or "path", in one row group, without reading the other."""
    return list(_field(shard, group, name).to_pylist())


def _field(shard: pq.ParquetFile, group: int, name: str) -> pa.ChunkedArray:
    facts = shard.metadata.row_group(group)
    size = sum(facts.column(number).total_uncompressed_size for number in range(facts.num_columns))
    if not (0 <= facts.num_rows <= MOST_ROWS and 0 <= size <= MOST_BYTES):
        raise ValueError(f"row group {group} claims {facts.num_rows} rows in {size} bytes")
    column = shard.read_row_group(group, columns=[f"image.{name}"]).column("image")
    field = pa.chunked_array([chunk.field(name) for chunk in column.chunks], column.type.field(name).type)
    # pyarrow has no functions for views, not even for their lengths
    return field.cast(pa.large_binary() if name == "bytes" else pa.large_string())


def has_image_column(schema: pa.Schema) -> bool:
    """Returns whether a table has a column `image` of `bytes` and `path`, as the Hub and `datasets` store images."""
    if schema.names.count("image") != 1 or not pa.types.is_struct(schema.field("image").type):
        return False
    fields = {field.name: field.type for field in schema.field("image").type}
    return fields.get("bytes") in BYTES and fields.get("path") in TEXT


def image_of_row(path: str | None, where: str) -> tuple[str, str, str]:
    """Returns name, synset ("" if there is none) and file name of an image, from the path in its row.

    Raises:
        UnnamedError: If the path is empty, or not a name of ImageNet's.
    """
    file = posixpath.basename(path or "")
    names = IMAGENET_VAL.named(file)
    if names:
        return (*names, file)
    if path:
        raise UnnamedError(f"{where} holds {path!r}, which is no name of an ImageNet validation file")
    raise UnnamedError(
        f"{where} holds images without names: `map` of datasets, even one that only looks at them, writes them again "
        "as JPEG of quality 75, so that names and pixels are gone; give the files that it was made from, or cast the "
        "column to Image(decode=False) before `map`"
    )


def is_of_imagenet(url: str) -> bool:
    """Returns whether a Parquet file has a column of images, so that it may be a shard."""
    with open_parquet(url) as shard:
        return has_image_column(shard.schema_arrow)


def image_cells(url: str) -> Iterator[tuple[int, int, str, int]]:
    """Yields row group, row, name ("" if there is none) and number of bytes of each image of a shard.

    Raises:
        SourceError: If the shard has no images.
    """
    with open_parquet(url) as shard:
        require_images(shard, url)
        for group in range(shard.num_row_groups):
            sizes = pc.binary_length(_field(shard, group, "bytes")).to_pylist()
            for row, (path, size) in enumerate(zip(cells(shard, group, "path"), sizes, strict=True)):
                yield group, row, posixpath.basename(path or ""), size or 0


def require_images(shard: pq.ParquetFile, url: str) -> None:
    """Raises SourceError for a Parquet file without a column of images."""
    if not has_image_column(shard.schema_arrow):
        raise SourceError(
            f"{url} has no column image of bytes and path; is it a shard of imagenet-1k?", code="bad-image"
        )


def list_images(url: str) -> Iterator[tuple[str, SourceImage]]:
    """Yields name and image of each row of a shard; reads names, not pictures."""
    with open_parquet(url) as shard:
        require_images(shard, url)
        for group in range(shard.num_row_groups):
            for row, path in enumerate(cells(shard, group, "path")):
                name, wnid, file = image_of_row(path, url)
                yield name, SourceImage(name, wnid, CellLocation(url, group, row, file))
