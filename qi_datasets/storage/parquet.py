"""Writes the rows of a set as Parquet files that the Hub and stock `datasets` read as they are."""

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from qi_datasets.errors import BuilderError, one_line
from qi_datasets.pixels.digests import split_digest
from qi_datasets.set_spec import SetSpec
from qi_datasets.storage.columns import array_of
from qi_datasets.storage.manifest import FileRecord
from qi_datasets.storage.rows import EncodedRow
from qi_datasets.storage.schema import IMAGE, schema_of
from qi_datasets.storage.staging import sync

ROW_GROUP_ROWS = 100
"""The largest number of rows of a row group, so that streaming starts at once."""

PREVIEW_ROWS = 8


@dataclass(frozen=True)
class WrittenSplit:
    """The files of one split of one config.

    Attributes:
        config: The config's name.
        border: The config's border in pixels.
        split: The split's name.
        rows: Number of rows.
        digest: The split's digest, in hex.
        files: Records of the files, by path relative to the set's folder.
        first: PNG files and labels of the first rows, for the preview.
    """

    config: str
    border: int
    split: str
    rows: int
    digest: str
    files: Mapping[str, FileRecord]
    first: Sequence[tuple[bytes, int]]


def file_names(spec: SetSpec, border: int, split: str, rows: int) -> list[str]:
    """Returns the names of a split's files, relative to the set's folder.

    Args:
        spec: The set.
        border: The config's border in pixels.
        split: The split's name.
        rows: Number of rows.
    """
    count = max(1, -(-rows // spec.rows_per_file))
    return [f"{spec.config_of(border)}/{split}-{number:05d}-of-{count:05d}.parquet" for number in range(count)]


def image_path(split: str, number: int, border: int) -> str:
    """Returns the path that is stored with the image of a row; it names the border of the stored image."""
    return f"{split}_{number:05d}.border_{border}.png"


class SplitWriter:
    """Writes one split of one config below a set's folder. After the `with` block, `written` describes the files.

    folder: the set's folder.
    spec: the set.
    border: the config's border in pixels.
    split: the split's name.
    rows: number of rows that will be written, which decides the number of files.
    thread: an executor with one thread, in which the files are written and hashed while further rows are encoded; at
        most two row groups are held in memory.
    """

    def __init__(self, folder: Path, spec: SetSpec, border: int, split: str, rows: int, thread: Executor) -> None:
        self.folder, self.config, self.border, self.split = folder, spec.config_of(border), border, split
        self.spec = spec
        self.schema = schema_of(spec)
        names = file_names(spec, border, split, rows)
        self.files: dict[str, FileRecord] = dict.fromkeys(names, FileRecord(0, ""))
        self.first: list[tuple[bytes, int]] = []
        self.rows = 0
        self._last = rows
        self._digests = bytearray()
        self._group: list[EncodedRow] = []
        self._writer: pq.ParquetWriter | None = None
        self._thread = thread
        self._pending: Future[None] | None = None

    @property
    def written(self) -> WrittenSplit:
        """The split as it was written into files."""
        digest = split_digest([bytes(self._digests)])
        return WrittenSplit(self.config, self.border, self.split, self.rows, digest, self.files, self.first)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._hand_over(ends_file=False)
                self._wait()
                self._thread.submit(self._close).result()
        finally:
            self._thread.submit(self._abandon).result()

    def write(self, row: EncodedRow) -> None:
        """Adds a row. Raises OSError about an earlier row, and BuilderError for values of a wrong type."""
        if len(self.first) < PREVIEW_ROWS:
            self.first.append((row.png, row.values["label"]))
        self._digests += row.digest
        self._group.append(row)
        self.rows += 1
        ends_file = self.rows % self.spec.rows_per_file == 0 or self.rows == self._last
        if len(self._group) == ROW_GROUP_ROWS or ends_file:
            self._hand_over(ends_file)

    def _hand_over(self, ends_file: bool) -> None:
        self._wait()
        if self._group:
            self._pending = self._thread.submit(self._store, self._group, self.rows - len(self._group), ends_file)
            self._group = []

    def _wait(self) -> None:
        if self._pending is not None:
            self._pending.result()

    def _store(self, rows: Sequence[EncodedRow], first: int, ends_file: bool) -> None:
        if self._writer is None:
            self._name = list(self.files)[first // self.spec.rows_per_file]
            path = self.folder / self._name
            path.parent.mkdir(exist_ok=True)
            self._writer = parquet_writer(path, self.schema)
        # This path marks a stored image: on reading, a border is added only to images that still have it.
        paths = [image_path(self.split, number, self.border) for number in range(first, first + len(rows))]
        files = [row.png for row in rows]
        image = pa.StructArray.from_arrays(
            [array_of(files, pa.binary()), array_of(paths, pa.string())], fields=list(IMAGE)
        )
        others = [field for field in self.schema if field.name != "image"]
        columns = [image, *(self._column(rows, field) for field in others)]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self.schema), row_group_size=ROW_GROUP_ROWS)
        if ends_file:
            self._close()

    def _column(self, rows: Sequence[EncodedRow], field: pa.Field) -> pa.Array:
        values = [row.values[field.name] for row in rows]
        try:
            return array_of(values, field.type)
        except (pa.ArrowException, OverflowError, UnicodeError) as error:
            raise BuilderError(
                f"{self.spec.name}: values of column {field.name!r} are not of the spec's type, {field.type} "
                f"({one_line(error)})"
            ) from error

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            self.files[self._name] = file_record(self.folder / self._name)
            sync(self.folder / self._name)  # while others still encode

    def _abandon(self) -> None:
        if self._writer is not None:
            with contextlib.suppress(OSError, pa.ArrowException):  # another error has already ended the set
                self._writer.close()


def parquet_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Returns a writer of files with a set's rows; its tables must have at most ROW_GROUP_ROWS rows."""
    # No PNG file occurs twice, so a dictionary of them is wasted work. Compression shrinks encoded black further.
    others = [column for column in schema.names if column != "image"]
    return pq.ParquetWriter(path, schema, write_page_index=True, use_dictionary=others)


def rewrite_columns(path: Path, schema: pa.Schema, columns: Mapping[str, Sequence[object]]) -> None:
    """Rewrites a Parquet file of a set with other values in some columns; images stay as they are, byte by byte.

    schema: the set's schema, which the file must have. columns: name -> a value for each of the file's rows.
    Raises ValueError for a file of other columns or of another number of rows.
    """
    if any(len(values) != stored_rows(path) for values in columns.values()):
        raise ValueError(f"{path.name} has {stored_rows(path)} rows")
    target = path.with_suffix(".rewritten")
    with pq.ParquetFile(path) as file, parquet_writer(target, schema) as writer:
        start = 0
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            for name, values in columns.items():
                cells = array_of(values[start : start + table.num_rows], schema.field(name).type)
                table = table.set_column(table.schema.get_field_index(name), schema.field(name), cells)
            writer.write_table(table.cast(schema), row_group_size=ROW_GROUP_ROWS)
            start += table.num_rows
    target.replace(path)


def first_rows(path: Path) -> list[tuple[bytes, int]]:
    """Returns the PNG files and labels of the first rows of a Parquet file."""
    with pq.ParquetFile(path) as file:
        rows = next(file.iter_batches(PREVIEW_ROWS, columns=["image", "label"])).to_pylist()
    return [(row["image"]["bytes"], row["label"]) for row in rows]


def stored_rows(path: Path) -> int:
    """Returns the number of rows of a Parquet file, by its metadata."""
    return int(pq.read_metadata(path).num_rows)


def file_record(path: Path) -> FileRecord:
    """Returns size and SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return FileRecord(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())
