"""Views: data sets that are computed, when they are read, from the one that is stored. Nothing is stored twice."""

import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, TypeVar

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets.features.features import register_feature
from datasets.table import InMemoryTable, table_cast
from PIL import Image

from qi_datasets.loading.computed import ComputedImage, ComputedTable, apart, pixels
from qi_datasets.pixels.decoding import decoded
from qi_datasets.pixels.geometry import SHIFTS, bordered, window
from qi_datasets.specs import BORDER_COLUMNS, SHIFTED_GEOMETRY

OFFSETS = ("y0", "x0", "y1", "x1")

STREAMED_ROWS = 32
"""Rows that a stream turns into a view at a time: few, since it reads as many before it yields the first."""

AnyDataset = TypeVar("AnyDataset", datasets.Dataset, datasets.IterableDataset)


@dataclass
class BorderedImage(ComputedImage):
    """The stored image with `border` black pixels added on all four sides."""

    border: int
    _type: str = field(default="BorderedImage", init=False, repr=False)

    def computed(self, stored: bytes, cell: dict[str, Any]) -> Image.Image:
        """The bordered image."""
        return bordered(decoded(stored), self.border)


@dataclass
class ShiftedImage(ComputedImage):
    """The stored image moved by `shift` pixels, down and right, in the way that `mode` names."""

    mode: str
    shift: int
    _type: str = field(default="ShiftedImage", init=False, repr=False)

    def computed(self, stored: bytes, cell: dict[str, Any]) -> Image.Image:
        """The moved image."""
        return Image.fromarray(SHIFTS[self.mode](pixels(stored), self.shift, SHIFTED_GEOMETRY.view))


@dataclass
class WindowImage(ComputedImage):
    """A window of the stored image; each row has its own place (`y`, `x`: the window's top-left pixel)."""

    _type: str = field(default="WindowImage", init=False, repr=False)
    pa_type: ClassVar[Any] = pa.struct(
        {"stored": pa.binary(), "y": pa.int32(), "x": pa.int32(), "bytes": pa.binary(), "path": pa.string()}
    )

    def computed(self, stored: bytes, cell: dict[str, Any]) -> Image.Image:
        """The window."""
        return Image.fromarray(window(pixels(stored), cell["y"], cell["x"], SHIFTED_GEOMETRY.view))


with warnings.catch_warnings(action="ignore"):  # it is marked as experimental
    for _kind in (BorderedImage, ShiftedImage, WindowImage):
        register_feature(_kind, _kind.__name__)


@dataclass(frozen=True)
class View(ABC):
    """A way to see a stored set: the columns that it has, and how they come from the stored ones."""

    streamed_rows: ClassVar[int] = STREAMED_ROWS

    @abstractmethod
    def features(self, stored: datasets.Features) -> datasets.Features:
        """The columns of the view."""

    @abstractmethod
    def table(self, stored: pa.Table, features: datasets.Features) -> pa.Table:
        """The view of some stored rows, with those columns; it shares the images' bytes."""

    def order(self, rows: int) -> np.ndarray | None:
        """For each row of the view its place in the table made of `rows` stored rows; None if it is its own."""
        return None


@dataclass(frozen=True)
class BorderView(View):
    """Every image with a border of `border` pixels; the columns x, y, border say so."""

    border: int

    def features(self, stored: datasets.Features) -> datasets.Features:
        """The stored columns."""
        return datasets.Features({**stored, "image": BorderedImage(self.border)})

    def table(self, stored: pa.Table, features: datasets.Features) -> pa.Table:
        """The stored rows, with the places moved."""
        for name in BORDER_COLUMNS:
            if name in features:
                column = pc.add(stored.column(name), pa.scalar(self.border, stored.schema.field(name).type))
                stored = stored.set_column(stored.schema.get_field_index(name), name, column)
        return table_cast(stored, features.arrow_schema)


@dataclass(frozen=True)
class ShiftView(View):
    """Every image moved by `shift` pixels in the way that `mode` names."""

    mode: str
    shift: int

    def features(self, stored: datasets.Features) -> datasets.Features:
        """The stored columns."""
        return datasets.Features({**stored, "image": ShiftedImage(self.mode, self.shift)})

    def table(self, stored: pa.Table, features: datasets.Features) -> pa.Table:
        """The stored rows."""
        return table_cast(stored, features.arrow_schema)


@dataclass(frozen=True)
class PairView(View):
    """Every pair of every source: row 5i+k is pair k of source i, two windows and their places.

    The rows of one k stand together in the table, all with the same bytes; `order` brings a source's pairs together.
    """

    streamed_rows: ClassVar[int] = 1

    def features(self, stored: datasets.Features) -> datasets.Features:
        """`image_a`, `image_b`, `label`, `source`, and the places `y0`, `x0` of the one and `y1`, `x1` of the other."""
        columns: dict[str, Any] = {"image_a": WindowImage(), "image_b": WindowImage()}
        columns |= {name: stored[name] for name in ("label", "source")}
        return datasets.Features(columns | {name: datasets.Value("int32") for name in OFFSETS})

    def table(self, stored: pa.Table, features: datasets.Features) -> pa.Table:
        """For each k, the k-th pair of every stored row."""
        batches = stored.to_batches()
        pairs = [_pair_batch(batch, k, features) for k in range(SHIFTED_GEOMETRY.pairs) for batch in batches]
        return pa.Table.from_batches(pairs, schema=features.arrow_schema)

    def order(self, rows: int) -> np.ndarray:
        """Source by source."""
        return np.arange(rows * SHIFTED_GEOMETRY.pairs).reshape(SHIFTED_GEOMETRY.pairs, rows).T.ravel()


def _pair_batch(stored: pa.RecordBatch, k: int, features: datasets.Features) -> pa.RecordBatch:
    pairs = stored.column("pairs").flatten().flatten().to_numpy(zero_copy_only=False)
    offsets = pairs.reshape(stored.num_rows, SHIFTED_GEOMETRY.pairs, len(OFFSETS))[:, k]
    columns = {name: pa.array(offsets[:, place], pa.int32()) for place, name in enumerate(OFFSETS)}
    columns |= {name: stored.column(name) for name in ("label", "source")}
    data, rewritten, path = apart(stored.column("image"))
    for image, y, x in (("image_a", *OFFSETS[:2]), ("image_b", *OFFSETS[2:])):
        parts = [data, columns[y], columns[x], rewritten, path]
        columns[image] = pa.StructArray.from_arrays(parts, fields=list(WindowImage.pa_type))
    return pa.RecordBatch.from_arrays([columns[name] for name in features], schema=features.arrow_schema)


def viewed(dataset: AnyDataset, view: View) -> AnyDataset:
    """A stored dataset as `view` shows it; nothing is computed until a row is read, and nothing is written."""
    features = view.features(dataset.features)
    step = partial(view.table, features=features)
    if isinstance(dataset, datasets.IterableDataset):
        seen = dataset.with_format("arrow").map(step, batched=True, batch_size=view.streamed_rows)
        # `map(features=...)` would say that its rows are decoded already, and a later `map` would get bytes.
        return seen.with_format(None).cast(features)
    info = dataset.info.copy()
    info.features = features
    order = view.order(len(dataset))
    indices = None if order is None else InMemoryTable(pa.table({"indices": pa.array(order, pa.uint64())}))
    return datasets.Dataset(ComputedTable(dataset.data, (step,)), info, dataset.split, indices)


def as_stock(dataset: AnyDataset) -> AnyDataset:
    """A view with its images written out as they are seen: what it saves opens without this package."""
    images = [name for name, feature in dataset.features.items() if isinstance(feature, ComputedImage)]
    if not images:
        return dataset
    features = datasets.Features({**dataset.features, **{name: datasets.Image() for name in images}})
    return dataset.map(_read_images, fn_kwargs={"names": images}, features=features)


def _read_images(row: dict[str, Any], names: list[str]) -> dict[str, Any]:
    return {name: row[name] for name in names}
