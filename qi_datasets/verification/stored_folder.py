"""Reads stored sets for verification: the manifest, and rows directly from Parquet, without the library `datasets`.

A set under verification may be damaged in any way, so nothing here trusts the manifest beyond its types.
"""

import hashlib
import io
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, UnidentifiedImageError

from qi_datasets.errors import StoredSetError, one_line
from qi_datasets.pixels.decoding import decode_file
from qi_datasets.pixels.geometry import Pixels
from qi_datasets.registry import look_up_spec
from qi_datasets.renamed import give_renamed
from qi_datasets.set_spec import SetSpec
from qi_datasets.storage.location import Place, folder_name, join_place, open_file
from qi_datasets.storage.manifest import FileRecord, Manifest
from qi_datasets.storage.schema import schema_of

UNDECODABLE = (OSError, SyntaxError, ValueError, EOFError, zlib.error, Image.DecompressionBombError)
UNREADABLE = (OSError, ValueError, pa.ArrowException)


@dataclass(frozen=True)
class StoredFolder:
    """A set in its folder. Files are opened when rows are read."""

    folder: Place
    spec: SetSpec
    manifest: Manifest

    @classmethod
    def open(cls, folder: Place) -> Self:
        """Opens the set in a folder. Raises StoredSetError or UnknownSetError if its manifest can't be used."""
        manifest = Manifest.read(folder)
        return cls(folder, look_up_spec(manifest.name), manifest)

    @property
    def name(self) -> str:
        """The folder's name, which distinguishes a set of another size (`qi-canvas_N`) from the official one."""
        return folder_name(self.folder)

    @property
    def default_config(self) -> str:
        """The name of the config without border."""
        return self.spec.config_of(0)

    @cached_property
    def columns(self) -> pa.Schema:
        """The names and types of the columns that each file must have."""
        return schema_of(self.spec).remove_metadata()

    def border(self, config: str) -> int:
        """Returns the border of a config in pixels, as the manifest says."""
        return self.manifest.configs[config].border

    @contextmanager
    def file(self, name: str) -> Iterator[Any]:
        """Opens a file of the set for reading. Raises OSError if it does not exist."""
        with open_file(join_place(self.folder, name)) as file:
            yield file

    def file_record(self, name: str) -> FileRecord:
        """Returns size and SHA-256 of a file of the set. Raises OSError if it can't be read."""
        with self.file(name) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return FileRecord(file.seek(0, io.SEEK_END), digest)

    def row_groups(self, config: str, split: str) -> Iterator[tuple[pq.ParquetFile, int, int]]:
        """Yields every row group of a split: its file, its number there, its number of rows."""
        for name in self.manifest.configs[config].splits[split].files:
            with self._parquet(name) as file:
                for group in range(file.num_row_groups):
                    yield file, group, file.metadata.row_group(group).num_rows

    @cached_property
    def _metadata(self) -> dict[str, pq.FileMetaData]:
        """The metadata of Parquet files by name, read once, since rows are read in many small parts."""
        return {}

    @contextmanager
    def _parquet(self, name: str) -> Iterator[pq.ParquetFile]:
        with ExitStack() as stack:
            # Arrow reads local files without holding the GIL.
            place = join_place(self.folder, name)
            if isinstance(place, Path):
                open_file(place).close()  # Arrow would wait for ever at a pipe.
            source = place if isinstance(place, Path) else stack.enter_context(self.file(name))
            file = stack.enter_context(pq.ParquetFile(source, metadata=self._metadata.get(name)))
            self._metadata[name] = file.metadata
            yield file

    def count(self, config: str, split: str) -> int:
        """Returns the number of rows in the files of a split. Raises StoredSetError if a file can't be opened."""
        try:
            return sum(rows for _, _, rows in self.row_groups(config, split))
        except UNREADABLE as error:
            raise StoredSetError(f"{self.name}/{config}/{split}: {one_line(error)}") from error

    def rows(self, config: str, split: str, start: int, stop: int) -> list[dict[str, Any]]:
        """Reads the rows of a split in a range, as far as they exist. Raises StoredSetError if they can't be read.

        `image` is the struct as it is stored: `bytes` and `path`. Reads no more than the row groups it needs.

        Args:
            config: The rows' config.
            split: The rows' split.
            start: The first row.
            stop: The row after the last.
        """
        rows: list[dict[str, Any]] = []
        first = 0
        try:
            for file, group, count in self.row_groups(config, split):
                if first < stop and first + count > start:
                    if not file.schema_arrow.remove_metadata().equals(self.columns):
                        raise ValueError("the columns have other names or types than specified")
                    table = file.read_row_group(group, use_threads=False)
                    rows += table.slice(
                        max(0, start - first), min(count, stop - first) - max(0, start - first)
                    ).to_pylist()
                first += count
        except UNREADABLE as error:
            raise StoredSetError(
                f"{self.name}/{config}/{split} rows {start} to {stop - 1} can't be read: {one_line(error)}"
            ) from error
        return rows

    def images(self, config: str, split: str, start: int, stop: int) -> Pixels:
        """Reads images of a split, (rows, c, h, w) uint8. Raises StoredSetError if one can't be read.

        Args:
            config: As in `rows`.
            split: As in `rows`.
            start: As in `rows`.
            stop: As in `rows`.
        """
        return self.rows_and_images(config, split, start, stop)[1]

    def rows_and_images(
        self, config: str, split: str, start: int, stop: int
    ) -> tuple[list[dict[str, Any]], npt.NDArray[np.uint8]]:
        """Reads rows of a split with their images; arguments and errors as in `images`."""
        rows = self.rows(config, split, start, stop)
        try:
            images = [np.asarray(open_image(row["image"])) for row in rows]
            if not images:
                raise ValueError("there are no rows")
            stacked = np.stack([image[:, :, None] if image.ndim == 2 else image for image in images])
        except UNDECODABLE as error:
            raise StoredSetError(
                f"{self.name}/{config}/{split}: an image can't be decoded: {one_line(error)}"
            ) from error
        return rows, np.ascontiguousarray(stacked.transpose(0, 3, 1, 2))


def open_image(stored: object) -> Image.Image:
    """Decodes the image in a stored image struct. Raises one of UNDECODABLE for a struct without one."""
    data = stored.get("bytes") if isinstance(stored, dict) else None
    if data is None:
        raise ValueError("no image is stored")
    try:
        return decode_file(data)
    except UnidentifiedImageError as error:  # its text names a buffer
        raise ValueError("it is no image file") from error


__getattr__ = give_renamed(__name__, {"StoredSet": "StoredFolder"})
