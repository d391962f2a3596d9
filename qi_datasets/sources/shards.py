"""The Hub's `imagenet-1k` Parquet shards, local or behind any fsspec URL: raw bytes, each shard read once in order."""

import posixpath
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from qi_datasets.errors import SourceError
from qi_datasets.sources.base import VAL_FILE, Source, SourceImage, SpanLocation, by_name

SPLITS_LEFT_ALONE = ("train", "test")


@dataclass(frozen=True)
class CellLocation:
    """One cell of the image column of a Parquet file."""

    url: str
    row_group: int
    row: int

    def read(self) -> bytes:
        """The cell's bytes. Reads its whole row group: for many cells use `ShardSource.contents`."""
        with fsspec.open(self.url, "rb") as file:
            return image_bytes(pq.ParquetFile(file), self.row_group)[self.row]

    def __str__(self) -> str:
        return f"row {self.row} of row group {self.row_group} in {self.url}"


@dataclass(frozen=True)
class ShardSource(Source):
    """Validation shards of `imagenet-1k`. names: image name -> SourceImage."""

    layout: ClassVar[str] = "Parquet shards"
    on_shared_files: ClassVar[bool] = False

    def image(self, name: str) -> SourceImage:
        """The image of that name."""
        found: SourceImage = self.names[name]
        return found

    def contents(self, images: Sequence[SourceImage]) -> Iterator[tuple[SourceImage, bytes]]:
        """Each image with its bytes, shard by shard, so that no row group is read twice."""
        wanted: dict[str, dict[int, list[SourceImage]]] = defaultdict(lambda: defaultdict(list))
        for image in images:
            wanted[image.location.url][image.location.row_group].append(image)  # type: ignore[attr-defined]
        for url, groups in sorted(wanted.items()):
            with opened(url) as shard:
                for group, members in sorted(groups.items()):
                    cells = image_bytes(shard, group)
                    for image in members:
                        yield image, cells[image.location.row]  # type: ignore[attr-defined]

    @contextmanager
    def at_hand(self, images: Sequence[SourceImage], folder: Path) -> Iterator[list[SourceImage]]:
        """The images copied into one file below `folder`, since a shard is read in its own order or slowly."""
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
        """The source, or None if there are no Parquet files of a validation split at or below `url`."""
        shards = validation_shards(url)
        if not shards:
            return None
        found = (pair for shard in shards for pair in listed(shard))
        return cls(url, by_name(found, url), True)


def validation_shards(url: str) -> list[str]:
    """URLs of the Parquet files below `url` whose names say validation; all, if no name tells a split."""
    try:
        fs, path = fsspec.url_to_fs(url)
        files = [path] if fs.isfile(path) else fs.glob(posixpath.join(path, "**", "*.parquet"))
        urls = sorted(fs.unstrip_protocol(file) for file in files if file.endswith(".parquet"))
    except (OSError, ValueError, ImportError) as error:
        raise SourceError(f"cannot list {url}: {error}; check the URL and your access to it") from error
    validation = [shard for shard in urls if posixpath.basename(shard).startswith("val")]
    named = any(posixpath.basename(shard).startswith(SPLITS_LEFT_ALONE) for shard in urls)
    return validation or ([] if named else urls)


@contextmanager
def opened(url: str) -> Iterator[pq.ParquetFile]:
    """A Parquet file behind a URL; SourceError when it can't be read or is no Parquet."""
    try:
        with fsspec.open(url, "rb") as file:
            yield pq.ParquetFile(file)
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise SourceError(f"cannot read {url} as Parquet ({reason}); fetch the shard again") from error


def image_bytes(shard: pq.ParquetFile, group: int) -> list[bytes]:
    """The image files in one row group."""
    column = shard.read_row_group(group, columns=["image.bytes"]).column("image").combine_chunks()
    return [cell.as_py() for cell in field(column, "bytes")]


def field(column: pa.ChunkedArray | pa.StructArray, name: str) -> Any:
    """One field of a column of structs."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return array.field(name)


def listed(url: str) -> Iterator[tuple[str, SourceImage]]:
    """Name and image of each row of a shard; reads names, not pictures."""
    with opened(url) as shard:
        names = {column.path for column in map(shard.schema.column, range(len(shard.schema)))}
        if not {"image.bytes", "image.path"} <= names:
            raise SourceError(f"{url} has no column image of bytes and path; is it a shard of imagenet-1k?")
        for group in range(shard.num_row_groups):
            paths = field(shard.read_row_group(group, columns=["image.path"]).column("image"), "path")
            for row, path in enumerate(paths.to_pylist()):
                match = VAL_FILE.fullmatch(posixpath.basename(path or ""))
                if match is None:
                    raise SourceError(f"{url} holds {path!r}, which is no name of an ImageNet validation file")
                yield match[1], SourceImage(match[1], match[2] or "", CellLocation(url, group, row))
