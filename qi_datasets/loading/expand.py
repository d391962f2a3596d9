"""Data sets with several rows for each stored row, which share the bytes of its image."""

from collections.abc import Callable
from functools import partial

import datasets
import numpy as np
import pyarrow as pa
from datasets.table import InMemoryTable, Table
from numpy.typing import NDArray

Step = Callable[[pa.Table], pa.Table]
"""A function of tables that can be pickled."""


class ComputedTable(InMemoryTable):  # type: ignore[misc]
    """A table that shares its buffers with the table that it is computed from.

    It pickles as that table (a path, for a file in the cache) and the steps from it: so neither a worker
    process nor a fingerprint gets five copies of every image.
    """

    def __init__(self, base: Table, steps: tuple[Step, ...]) -> None:
        table = base.table
        for step in steps:
            table = step(table)
        super().__init__(table)
        self.base, self.steps = base, steps

    def __reduce__(self) -> tuple[type["ComputedTable"], tuple[Table, tuple[Step, ...]]]:
        return ComputedTable, (self.base, self.steps)


def _stock_method(name: str) -> Callable[..., ComputedTable]:
    def method(self: ComputedTable, *args: object, **kwargs: object) -> ComputedTable:
        return ComputedTable(self.base, (*self.steps, partial(_stock_step, name, args, kwargs)))

    return method


def _stock_step(name: str, args: tuple[object, ...], kwargs: dict[str, object], table: pa.Table) -> pa.Table:
    return getattr(InMemoryTable(table), name)(*args, **kwargs).table


for _name in ("slice", "cast", "flatten", "replace_schema_metadata", "rename_columns", "drop", "select"):
    # `Dataset` calls these to change columns and types: each adds a step, as `MemoryMappedTable` does for a file.
    setattr(ComputedTable, _name, _stock_method(_name))


def expand_rows(
    dataset: datasets.Dataset, step: Step, features: datasets.Features, order: NDArray[np.integer]
) -> datasets.Dataset:
    """Returns a data set of the rows that a step makes from the stored table.

    Args:
        dataset: The stored rows, as they were loaded.
        step: Makes the new table.
        features: Features of the new rows.
        order: Numbers of the new table's rows, in the order of the result; others are left out.
    """
    info = dataset.info.copy()
    info.features = features
    indices = InMemoryTable(pa.table({"indices": pa.array(order, pa.uint64())}))
    return datasets.Dataset(ComputedTable(dataset.data, (step,)), info, dataset.split, indices)
