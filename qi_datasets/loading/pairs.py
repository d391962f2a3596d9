"""The pairs of `shifted`: five rows for each stored row, which share the bytes of its image."""

from functools import partial

import datasets
import numpy as np
import pyarrow as pa

from qi_datasets.loading.computed import WindowImage, from_stock
from qi_datasets.loading.expand import expand_rows
from qi_datasets.loading.views import AnyDataset, stream_tables
from qi_datasets.specs import SHIFTED_GEOMETRY

_OFFSETS = ("y0", "x0", "y1", "x1")
_KEPT = ("label", "source")
COLUMNS = ("image_a", "image_b", *_KEPT, *_OFFSETS)


def with_pairs(dataset: AnyDataset) -> AnyDataset:
    """Returns a data set of all pairs of all sources: row 5i+k is pair k of source i.

    Columns: `image_a`, `image_b` (windows of 224x224), `label`, `source`, and the windows' top-left pixels `y0`, `x0`
    and `y1`, `x1`.
    """
    image = WindowImage(decode=dataset.features["image"].decode)
    features = datasets.Features(
        {"image_a": image, "image_b": image}
        | {name: dataset.features[name] for name in _KEPT}
        | {name: datasets.Value("int32") for name in _OFFSETS}
    )
    step = partial(_pair_table, features=features)
    if isinstance(dataset, datasets.IterableDataset):
        # Tables of one stored row: then the table's order, by k, is the order by source.
        return stream_tables(dataset, step, features, rows=1)
    order = np.arange(len(dataset) * SHIFTED_GEOMETRY.pairs).reshape(SHIFTED_GEOMETRY.pairs, -1).T.ravel()
    return expand_rows(dataset, step, features, order)


def _pair_table(stored: pa.Table, features: datasets.Features) -> pa.Table:
    """Returns the rows of pairs: for each k, the k-th pair of every stored row."""
    batches = stored.to_batches()
    # Done once, because it copies the names of 1,000 classes.
    schema = features.arrow_schema
    pairs = [_pair_batch(batch, k, features, schema) for k in range(SHIFTED_GEOMETRY.pairs) for batch in batches]
    return pa.Table.from_batches(pairs, schema=schema)


def _pair_batch(stored: pa.RecordBatch, k: int, features: datasets.Features, schema: pa.Schema) -> pa.RecordBatch:
    pairs = stored.column("pairs").flatten().flatten().to_numpy(zero_copy_only=False)
    offsets = pairs.reshape(stored.num_rows, SHIFTED_GEOMETRY.pairs, len(_OFFSETS))[:, k]
    columns = {name: pa.array(offsets[:, place], pa.int32()) for place, name in enumerate(_OFFSETS)}
    columns |= {name: stored.column(name) for name in _KEPT}
    photos = stored.column("image")
    shared = from_stock(photos)
    for image, y, x in (("image_a", *_OFFSETS[:2]), ("image_b", *_OFFSETS[2:])):
        columns[image] = features[image].column(photos.is_null(), **shared, y=columns[y], x=columns[x])
    return pa.RecordBatch.from_arrays([columns[name] for name in features], schema=schema)
