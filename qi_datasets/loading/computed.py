"""Image columns that are computed, when they are read, from the image that is stored; and tables of such columns."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, ClassVar

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets.table import InMemoryTable, Table
from PIL import Image

from qi_datasets.pixels.decoding import decoded
from qi_datasets.pixels.geometry import Pixels

STORED = ".border_0.png"
"""Paths of images end so that are as they were stored; whatever rewrites an image drops its path."""


@dataclass
class ComputedImage:
    """An image column whose pixels are computed from the stored image on reading: base of a family of feature types.

    In Arrow, `stored` holds the stored PNG; `bytes` and `path` are filled instead where an image was rewritten (by
    `map`, say) and is what it should be already. Nothing is called `bytes` that still has to be computed, so that a
    cast to the stock `Image` fails when it is read, and never yields the stored image in place of the computed one.
    """

    decode: bool = field(default=True, kw_only=True)
    id: str | None = field(default=None, repr=False, kw_only=True)
    dtype: ClassVar[str] = "PIL.Image.Image"
    pa_type: ClassVar[Any] = pa.struct({"stored": pa.binary(), "bytes": pa.binary(), "path": pa.string()})

    @abstractmethod
    def computed(self, stored: bytes, cell: dict[str, Any]) -> Image.Image:
        """The image, from the stored PNG file; cell: the column's value in Arrow."""

    def __call__(self) -> pa.StructType:
        """The Arrow type of the column."""
        return self.pa_type

    def encode_example(self, value: Any) -> dict[str, Any]:
        """What is stored of a stock image struct, an image, an array, or a file's path or bytes."""
        empty: dict[str, Any] = {part.name: None for part in self.pa_type}
        if isinstance(value, dict):
            if value.get("stored") is not None:
                return {**empty, **value, "bytes": None}
            if (value.get("path") or "").endswith(STORED):
                return empty | {"stored": value["bytes"], "path": value["path"]}
        return {**empty, **datasets.Image().encode_example(value)}

    def decode_example(self, value: Any, token_per_repo_id: dict[str, Any] | None = None) -> Image.Image:
        """The computed image: PIL, mode L or RGB."""
        if not isinstance(value, dict):
            image: Image.Image = value
            return image
        if value.get("stored") is None:
            return datasets.Image().decode_example(value, token_per_repo_id)  # type: ignore[no-any-return]
        return self.computed(value["stored"], value)

    def cast_storage(self, storage: pa.Array) -> pa.StructArray:
        """From the storage of a stock image column, or of this one."""
        if storage.type == self.pa_type:
            return storage
        if pa.types.is_struct(storage.type) and storage.type.get_field_index("stored") >= 0:
            # Rows that went through Python have null for the type of what is always empty.
            types = {part.name: part.type for part in self.pa_type}
            known = {part.name: storage.field(part.name).cast(types[part.name]) for part in storage.type}
        else:
            known = dict(zip(("stored", "bytes", "path"), apart(storage), strict=True))
        parts = [known.get(part.name, pa.nulls(len(storage), part.type)) for part in self.pa_type]
        return pa.StructArray.from_arrays(parts, fields=list(self.pa_type), mask=storage.is_null())

    def flatten(self) -> "ComputedImage":
        """The type itself: one column, as for stock images."""
        return self

    def embed_storage(self, storage: pa.StructArray, **_: Any) -> pa.StructArray:
        """The storage as it is: nothing lies outside it."""
        return storage


@lru_cache(maxsize=1)
def pixels(png: bytes) -> Pixels:
    """The pixels of an image file, read only. The latest is kept: a source's ten windows follow one another."""
    return np.asarray(decoded(png))


def apart(storage: pa.Array) -> tuple[pa.Array, pa.Array, pa.Array]:
    """A stock image column's bytes where they are as they were stored, its bytes where they are not, and its paths."""
    stock = datasets.Image().cast_storage(storage)
    data, path = stock.field("bytes"), stock.field("path")
    is_stored = pc.fill_null(pc.ends_with(path, STORED), False)
    nothing = pa.nulls(len(stock), pa.binary())
    if pc.all(is_stored).as_py():
        # The usual case: the bytes are passed on as they lie, not copied.
        return data, nothing, path
    return pc.if_else(is_stored, data, nothing), pc.if_else(is_stored, nothing, data), path


Step = Callable[[pa.Table], pa.Table]
"""What is done to a table: picklable."""


class ComputedTable(InMemoryTable):  # type: ignore[misc]
    """A table that shares its buffers with the one it is computed from.

    It pickles as that one, which for a file in the cache is its path, and as the steps from there: so neither a worker
    process nor a fingerprint gets a copy of every image.
    """

    def __init__(self, base: Table, steps: tuple[Step, ...]) -> None:
        table = base.table
        for step in steps:
            table = step(table)
        super().__init__(table)
        self.base, self.steps = base, steps

    def __reduce__(self) -> tuple[Any, ...]:
        return ComputedTable, (self.base, self.steps)


def _stock_method(name: str) -> Callable[..., ComputedTable]:
    def method(self: ComputedTable, *args: Any, **kwargs: Any) -> ComputedTable:
        return ComputedTable(self.base, (*self.steps, partial(_stock_step, name, args, kwargs)))

    return method


def _stock_step(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], table: pa.Table) -> pa.Table:
    return getattr(InMemoryTable(table), name)(*args, **kwargs).table


STOCK_METHODS = (
    *("slice", "filter", "flatten", "combine_chunks", "cast", "replace_schema_metadata", "rename_columns"),
    *("add_column", "append_column", "remove_column", "set_column", "drop", "select"),
)
"""The methods of a table that yield a table: each adds a step, as those of `MemoryMappedTable` do for a file."""

for _name in STOCK_METHODS:
    setattr(ComputedTable, _name, _stock_method(_name))
