"""Grids of `qi`: each source's patch in each of K x K cells of one canvas (cards/specification.md, "grids of qi")."""

from functools import partial

import datasets
import numpy as np
import pyarrow as pa

from qi_datasets.loading.computed import GridImage, from_stock
from qi_datasets.loading.expand import expand_rows
from qi_datasets.loading.views import AnyDataset, stream_tables
from qi_datasets.specs import QUADRANT

_KEPT = ("source", "wnid")
_PLACES = ("x", "y", "border", "row", "column")
COLUMNS = ("image", "label", *_KEPT, *_PLACES)

_READ = 0
"""Label of the stored rows that are read; those of the other label hold the same patches."""


def cell_names(grid: int) -> list[str]:
    """Returns the names of the labels of a grid, in order: row by row, from the upper left."""
    return [f"row_{row}_column_{column}" for row in range(grid) for column in range(grid)]


def with_grid(dataset: AnyDataset, grid: int, border: int) -> AnyDataset:
    """Returns a data set with each source's patch in every cell: K x K rows a source, in the order of the labels.

    Args:
        dataset: All stored rows of a split of `qi`.
        grid: K, cells per side.
        border: Black pixels added on all four sides.
    """
    stored = dataset.features
    features = datasets.Features(
        {"image": GridImage(grid, border, decode=stored["image"].decode)}
        | {"label": datasets.ClassLabel(names=cell_names(grid))}
        | {name: stored[name] for name in _KEPT}
        | {name: datasets.Value("int32") for name in _PLACES}
    )
    step = partial(_grid_table, features=features)
    if isinstance(dataset, datasets.IterableDataset):
        # Tables of one stored row: then the table's order, by cell, is the order by source.
        return stream_tables(dataset, partial(_first_corner, step=step), features, rows=1)
    read = np.flatnonzero(np.asarray(dataset.with_format("numpy")["label"][:]) == _READ)
    order = (np.arange(grid * grid) * len(dataset) + read[:, None]).ravel()
    return expand_rows(dataset, step, features, order)


def _first_corner(stored: pa.Table, step: partial[pa.Table]) -> pa.Table:
    """Returns the grid's rows for stored rows of both corners; only those of the first corner give any."""
    return step(stored.filter(pa.array(np.asarray(stored.column("label")) == _READ)))


def _grid_table(stored: pa.Table, features: datasets.Features) -> pa.Table:
    """Returns the rows of the grid, cell by cell."""
    grid = features["image"].grid
    batches = stored.to_batches()
    cells = [_grid_batch(batch, cell, features) for cell in range(grid * grid) for batch in batches]
    return pa.Table.from_batches(cells, schema=features.arrow_schema)


def _grid_batch(stored: pa.RecordBatch, cell: int, features: datasets.Features) -> pa.RecordBatch:
    image = features["image"]
    row, column = divmod(cell, image.grid)
    y, x = (image.border + QUADRANT.displacement * place for place in (row, column))
    numbers = {"label": cell, "x": x, "y": y, "border": image.border, "row": row, "column": column}
    columns = {
        name: pa.repeat(pa.scalar(value, features[name].pa_type), stored.num_rows) for name, value in numbers.items()
    }
    columns |= {name: stored.column(name) for name in _KEPT}
    photos = stored.column("image")
    columns["image"] = image.column(photos.is_null(), **from_stock(photos), y=columns["y"], x=columns["x"])
    return pa.RecordBatch.from_arrays([columns[name] for name in features], schema=features.arrow_schema)
