"""A border is a view: a feature type that stores the image without its border, and adds it when the image is read."""

import io
import warnings
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import datasets
import pyarrow as pa
import pyarrow.compute as pc
from datasets.features.features import register_feature
from PIL import Image

from qi_datasets.specs import BORDER_COLUMNS

STORED = ".border_0.png"
"""Paths of images end so that are stored without a border; whatever rewrites an image drops its path."""

AnyDataset = TypeVar("AnyDataset", datasets.Dataset, datasets.IterableDataset)


@dataclass
class BorderedImage:
    """An image column to which `border` black pixels per side are added on reading.

    In Arrow, `unbordered` holds the stored PNG; `bytes` and `path` are filled instead where an image was rewritten
    (by `map`, say) and already has its border. Nothing is called `bytes` that lacks its border, so that a cast to the
    stock `Image` fails when it is read, and never yields the image without its border.
    """

    border: int
    decode: bool = True
    id: str | None = field(default=None, repr=False)
    dtype: ClassVar[str] = "PIL.Image.Image"
    pa_type: ClassVar[Any] = pa.struct({"unbordered": pa.binary(), "bytes": pa.binary(), "path": pa.string()})
    _type: str = field(default="BorderedImage", init=False, repr=False)

    def __call__(self) -> pa.StructType:
        """The Arrow type of the column."""
        return self.pa_type

    def encode_example(self, value: Any) -> dict[str, Any]:
        """What is stored of a stock image struct, an image, an array, or a file's path or bytes."""
        if isinstance(value, dict):
            if value.get("unbordered") is not None:
                return {"unbordered": value["unbordered"], "bytes": None, "path": value.get("path")}
            if (value.get("path") or "").endswith(STORED):
                return {"unbordered": value["bytes"], "bytes": None, "path": value["path"]}
        return {"unbordered": None, **datasets.Image().encode_example(value)}

    def decode_example(self, value: Any, token_per_repo_id: dict[str, Any] | None = None) -> Image.Image:
        """The image with its border: PIL, mode L or RGB."""
        if not isinstance(value, dict):
            image: Image.Image = value
            return image
        if value.get("unbordered") is None:
            return datasets.Image().decode_example(value, token_per_repo_id)  # type: ignore[no-any-return]
        stored = Image.open(io.BytesIO(value["unbordered"]))
        image = Image.new(stored.mode, (stored.width + 2 * self.border, stored.height + 2 * self.border))
        image.paste(stored, (self.border, self.border))
        return image

    def cast_storage(self, storage: pa.Array) -> pa.StructArray:
        """From the storage of a stock image column, or of this one."""
        if storage.type == self.pa_type:
            return storage
        stock = datasets.Image().cast_storage(storage)
        data, path = stock.field("bytes"), stock.field("path")
        is_stored = pc.fill_null(pc.ends_with(path, STORED), False)
        nothing = pa.nulls(len(stock), pa.binary())
        return pa.StructArray.from_arrays(
            [pc.if_else(is_stored, data, nothing), pc.if_else(is_stored, nothing, data), path],
            fields=list(self.pa_type),
            mask=stock.is_null(),
        )

    def embed_storage(self, storage: pa.StructArray, **_: Any) -> pa.StructArray:
        """The storage as it is: nothing lies outside it."""
        return storage


with warnings.catch_warnings(action="ignore"):  # it is marked as experimental
    register_feature(BorderedImage, "BorderedImage")


def with_border(dataset: AnyDataset, border: int) -> AnyDataset:
    """A stored border-0 dataset as a view with a border of `border` pixels; columns x, y, border say so."""
    features = dataset.features.copy()
    features["image"] = BorderedImage(border)

    def moved(table: pa.Table) -> pa.Table:
        for name in BORDER_COLUMNS:
            if name in features:
                column = pc.add(table.column(name), pa.scalar(border, table.schema.field(name).type))
                table = table.set_column(table.schema.get_field_index(name), name, column)
        return datasets.table.table_cast(table, features.arrow_schema)

    if isinstance(dataset, datasets.IterableDataset):
        return dataset.with_format("arrow").map(moved, batched=True, features=features).with_format(None)
    info = dataset.info.copy()
    info.features = features
    return datasets.Dataset(moved(dataset.data.table), info=info, split=dataset.split)


def as_stock(dataset: AnyDataset) -> AnyDataset:
    """A view with its borders written into the images: what it saves opens without this package."""
    features = dataset.features.copy()
    features["image"] = datasets.Image()
    return dataset.map(_read_image, features=features)


def _read_image(row: dict[str, Any]) -> dict[str, Any]:
    return {"image": row["image"]}
