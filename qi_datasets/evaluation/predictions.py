"""A model's answers, one row per image: columns for each task, file and digest. Needs no torch."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray

from qi_datasets.errors import EntryError, one_line
from qi_datasets.sources.reading import open_regular
from qi_datasets.specs import CORNER, QI, RED_GREEN_SET, ROOK, SHIFTED

PREDICTIONS = "predictions.parquet"
MOST_ROWS = 20_000_000
"""Largest number of rows of a file: no evaluation of these sets has more."""

MOST_BYTES = 500_000_000

COLUMNS: Mapping[str, pa.DataType] = {
    "task": pa.string(),
    "border": pa.int32(),
    "init": pa.string(),
    "seed": pa.int32(),
    "source": pa.string(),
    "label": pa.int32(),
    "prediction": pa.int32(),
    "margin": pa.float32(),
    "difference": pa.float32(),
}
"""Columns of every task.

margin: by how much the answer won: log-odds of label 1 where there are two labels, else the distance of the two largest
    logits
difference: between the features (of frozen networks) or logits of the two images that belong together, the largest one,
    relative to the largest value of all; for `shifted` the largest change of a logit from the unmoved image, absolute,
    and 0 for pairs
"""

FURTHER: Mapping[str, Mapping[str, pa.DataType]] = {
    QI.name: {"channels": pa.float32()},
    ROOK.name: {"channels": pa.float32()},
    CORNER.name: {"channels": pa.float32()},
    RED_GREEN_SET.name: {"split": pa.string()},
    SHIFTED.name: {"mode": pa.string(), "shift": pa.int32(), "pair": pa.int32(), "side": pa.int32()},
}
"""Further columns, by task.

channels: share of the features that differ between the two images of a pair
shift: pixels down and right
pair: -1 for images of the diagonal, else the number of the source's pair
side: which of the pair's two images it is, 0 or 1
"""

Column = NDArray[Any]


def schema_of(task: str) -> pa.Schema:
    """Returns the columns of a task's predictions."""
    return pa.schema(list({**COLUMNS, **FURTHER[task]}.items()))


@dataclass(frozen=True)
class Predictions:
    """The answers of one entry: a table with the columns of its task, in the entry's order."""

    task: str
    table: pa.Table

    @classmethod
    def of(cls, task: str, columns: Mapping[str, ArrayLike]) -> Self:
        """Makes predictions from columns (arrays, lists, or one value for all rows); adds the column `task`."""
        arrays = {name: np.asarray(values) for name, values in {**columns, "task": task}.items()}
        rows = max(values.size for values in arrays.values() if values.ndim)
        schema = schema_of(task)
        full = {name: np.broadcast_to(arrays[name], rows) for name in schema.names}
        return cls(task, pa.table({name: pa.array(full[name], schema.field(name).type) for name in full}))

    @classmethod
    def joined(cls, task: str, parts: list["Predictions"]) -> Self:
        """Joins several parts, one after another."""
        return cls(task, pa.concat_tables([part.table for part in parts]).combine_chunks())

    def __len__(self) -> int:
        """Returns the number of rows."""
        return int(self.table.num_rows)

    def column(self, name: str) -> Column:
        """Returns a column as an array; strings are objects."""
        values: Column = self.table.column(name).to_numpy()
        return values

    def where(self, **values: str | int) -> "Predictions":
        """Returns the rows that have these values in these columns, in order."""
        equal = [pc.equal(self.table.column(name), value) for name, value in values.items()]
        return Predictions(self.task, self.table.filter(reduce(pc.and_, equal)))

    @property
    def sha256(self) -> str:
        """SHA-256 (hex) of the values, column by column, which does not depend on the file's encoding."""
        digest = hashlib.sha256()
        for field in self.table.schema:
            values = self.table.column(field.name).combine_chunks()
            digest.update(f"{field.name}:{field.type}:{len(values)}\n".encode())
            if pa.types.is_string(field.type):
                digest.update("\n".join([*values.to_pylist(), ""]).encode())
            else:
                numbers = values.to_numpy()
                digest.update(numbers.astype(numbers.dtype.newbyteorder("<")).tobytes())
        return digest.hexdigest()

    def write(self, path: Path) -> None:
        """Writes the file; the same rows give the same bytes."""
        pq.write_table(self.table, path, compression="zstd", compression_level=9)

    @classmethod
    def read(cls, path: Path, task: str) -> Self:
        """Reads the file's rows. Raises EntryError unless it is Parquet with the task's columns, all of them filled."""
        wanted = schema_of(task)
        try:
            if not path.is_file():
                raise EntryError(
                    f"{path} is missing; an entry is entry.json and {PREDICTIONS}, in one folder",
                    code="unreadable-entry",
                )
            open_regular(str(path)).close()  # this names a pointer of git-lfs
            if path.stat().st_size > MOST_BYTES or pq.read_metadata(path).num_rows > MOST_ROWS:
                raise EntryError(f"{path} is larger than any evaluation of {task} can be", code="unreadable-entry")
            table = pq.read_table(path)
            found = {field.name: field.type for field in table.schema}
            if found != {field.name: field.type for field in wanted}:
                raise EntryError(f"{path} has {describe_columns(found)}; {task} has {describe_columns(columns(task))}")
            if unfilled := [name for name in table.schema.names if table.column(name).null_count]:
                raise EntryError(f"{path} lacks values in the column {unfilled[0]}", code="unreadable-entry")
            return cls(task, table.select(wanted.names).replace_schema_metadata(None).combine_chunks())
        except (OSError, ValueError, pa.ArrowException) as error:
            raise EntryError(
                f"{path} can't be read as Parquet: {one_line(error)[:200]}", code="unreadable-entry"
            ) from error


def columns(task: str) -> Mapping[str, pa.DataType]:
    """Returns name -> type of a task's columns."""
    return {field.name: field.type for field in schema_of(task)}


def describe_columns(found: Mapping[str, pa.DataType]) -> str:
    """Returns a short description of columns."""
    return "the columns " + ", ".join(f"{name[:40]} ({kind})" for name, kind in list(found.items())[:20])
