"""Image columns that are computed, when they are read, from the image that is stored."""

import io
import warnings
from abc import abstractmethod
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets.features.features import register_feature
from PIL import Image

from qi_datasets.pixels.geometry import SHIFTS, Pixels, bordered, window
from qi_datasets.specs import SHIFTED_GEOMETRY

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


@dataclass
class BorderedImage(ComputedImage):
    """The stored image with `border` black pixels added on all four sides."""

    border: int
    _type: str = field(default="BorderedImage", init=False, repr=False)

    def computed(self, stored: bytes, cell: dict[str, Any]) -> Image.Image:
        """The bordered image."""
        return bordered(Image.open(io.BytesIO(stored)), self.border)


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


@lru_cache(maxsize=1)
def pixels(png: bytes) -> Pixels:
    """The pixels of an image file, read only. The latest is kept: a source's ten windows follow one another."""
    return np.asarray(Image.open(io.BytesIO(png)))


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
