"""Arrow files as `datasets` writes them: `save_to_disk`, and its cache. Images are read in place."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Self, TypeAlias

import pyarrow as pa

from qi_datasets.errors import SourceError, one_line
from qi_datasets.sources.base import ArchiveSource, SourceImage, SpanLocation, by_name
from qi_datasets.sources.reading import open_regular
from qi_datasets.sources.shards import has_image_column, image_of_row

_DAMAGE = (OSError, pa.ArrowException, ValueError, IndexError, KeyError, TypeError, MemoryError)


Reader: TypeAlias = pa.ipc.RecordBatchFileReader | pa.ipc.RecordBatchStreamReader


@dataclass(frozen=True)
class ArrowSource(ArchiveSource):
    """Arrow files of the validation split. names: image name -> SourceImage."""

    layout: ClassVar[str] = "Arrow files"

    @classmethod
    def find(cls, files: Sequence[str], where: str) -> Self | None:
        """Returns the source of these files; None if there are none.

        Raises:
            SourceError: If a file has other images than ImageNet's.
        """
        return cls.of_images(where, by_name((pair for file in files for pair in _listed(file)), where))


def has_images(path: str) -> bool:
    """Returns whether an Arrow file has a column of images."""
    with _open_arrow(path) as (stream, _):
        return has_image_column(stream.schema)


def _listed(path: str) -> Iterator[tuple[str, SourceImage]]:
    """Yields name and image of each row of an Arrow file; reads no picture."""
    for name, start, size in image_spans(path):
        image = image_of_row(name, path)
        location = SpanLocation(path, start, size, f"{image[2]} in {path}")
        yield image[0], SourceImage(image[0], image[1], location)


def image_spans(path: str) -> Iterator[tuple[str | None, int, int]]:
    """Yields path, offset and size in the file of each image of an Arrow file.

    Arrow maps a file into memory unchanged, so that a value's address gives its offset in the file.

    Raises:
        SourceError: If the file is damaged, compressed, or has no images.
    """
    with _open_arrow(path) as (stream, mapped):
        if not has_image_column(stream.schema):
            raise SourceError(f"{path} has no column image of bytes and path; is it of imagenet-1k?", code="bad-image")
        for batch in _batches(stream):
            batch.validate(full=False)
            column = batch.column("image")
            cells, names = column.field("bytes"), column.field("path").to_pylist()
            if not (pa.types.is_binary(cells.type) or pa.types.is_large_binary(cells.type)):
                raise SourceError(
                    f"{path} holds images as {cells.type}; write it with save_to_disk of datasets", code="bad-image"
                )
            sizes = pa.compute.binary_length(cells).to_pylist()
            _, offsets, values = cells.buffers()
            kind = pa.int64() if pa.types.is_large_binary(cells.type) else pa.int32()
            starts = pa.Array.from_buffers(kind, len(cells) + 1, [None, offsets], offset=cells.offset).to_pylist()
            first = values.address - mapped.address if values is not None else 0
            for name, size, start in zip(names, sizes, starts[:-1], strict=True):
                if size is None or not 0 <= first <= first + start <= first + start + size <= mapped.size:
                    raise SourceError(
                        f"{path}: {name} has no bytes in the file, or compressed ones; write it with save_to_disk of "
                        "datasets",
                        code="damaged",
                    )
                yield name, first + start, size


def _batches(stream: Reader) -> Iterator[pa.RecordBatch]:
    if isinstance(stream, pa.ipc.RecordBatchFileReader):
        return (stream.get_batch(number) for number in range(stream.num_record_batches))
    return iter(stream)


@contextmanager
def _open_arrow(path: str) -> Iterator[tuple[Reader, pa.Buffer]]:
    """Yields an Arrow file of either format, and the memory that it is mapped to; SourceError for other files."""
    try:
        with open_regular(path) as file:  # which refuses everything but regular files
            begin = file.read(6)
        with pa.memory_map(path) as mapped:
            whole = mapped.read_buffer(mapped.size())
            mapped.seek(0)
            yield pa.ipc.open_file(mapped) if begin == b"ARROW1" else pa.ipc.open_stream(mapped), whole
    except _DAMAGE as error:
        raise SourceError(
            f"cannot read {path} as Arrow ({one_line(error)}); fetch the file again", code="cannot-read"
        ) from error
