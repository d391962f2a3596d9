"""Writes the rows of a set as Parquet files that the Hub and stock `datasets` read as they are."""

import hashlib
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from qi_datasets.digests import split_digest
from qi_datasets.encoding import EncodedRow
from qi_datasets.features import features_of
from qi_datasets.specs import SetSpec

ROW_GROUP_ROWS = 100
"""At most so many rows a row group, so that streaming starts at once."""

PREVIEW_ROWS = 8


class SplitWriter:
    """Writes one split of one config below a set's folder; holds one row group in memory.

    rows: how many will be written, which decides the number of files. After the `with` block: `digest` (hex), `files`
    (paths relative to the set's folder), `bytes`, and `first` (a few rows, for the preview).
    """

    def __init__(self, folder: Path, spec: SetSpec, border: int, split: str, rows: int) -> None:
        self.folder, self.config, self.border, self.split = folder, spec.config_of(border), border, split
        self.schema = features_of(spec).arrow_schema
        self.rows_per_file = spec.rows_per_file
        count = max(1, -(-rows // self.rows_per_file))
        self.files = [f"{self.config}/{split}-{number:05d}-of-{count:05d}.parquet" for number in range(count)]
        self.first: list[EncodedRow] = []
        self.rows = self.bytes = 0
        self._digests = bytearray()
        self._group: list[EncodedRow] = []
        self._writer: pq.ParquetWriter | None = None

    @property
    def digest(self) -> str:
        """The split digest of the rows written so far."""
        return split_digest([bytes(self._digests)])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._flush()
        finally:
            self._close()

    def write(self, row: EncodedRow) -> None:
        """Adds a row; raises OSError when the file system does."""
        if self.rows and self.rows % self.rows_per_file == 0:
            self._flush()
            self._close()
        if len(self.first) < PREVIEW_ROWS:
            self.first.append(row)
        self._digests += row.digest
        self._group.append(row)
        self.rows += 1
        if len(self._group) == ROW_GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        rows, self._group = self._group, []
        if not rows:
            return
        first = self.rows - len(rows)
        if self._writer is None:
            path = self.folder / self.files[first // self.rows_per_file]
            path.parent.mkdir(exist_ok=True)
            self._writer = pq.ParquetWriter(path, self.schema, write_page_index=True)
        columns = {name: [row.values[name] for row in rows] for name in self.schema.names if name != "image"}
        # The path marks a stored image: a border is added on reading only where it is still there.
        columns["image"] = [
            {"bytes": row.png, "path": f"{self.split}_{number:05d}.border_{self.border}.png"}
            for number, row in enumerate(rows, start=first)
        ]
        self.bytes += sum(len(row.png) for row in rows)
        self._writer.write_table(pa.table(columns, schema=self.schema), row_group_size=ROW_GROUP_ROWS)

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hex, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
