"""Image columns whose images are computed, when they are read, from the stored image."""

import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar, TypedDict, cast

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets.features.features import register_feature
from PIL import Image

from qi_datasets.errors import StoredSetError
from qi_datasets.loading.formats import register_formats
from qi_datasets.pixels.decoding import decode_file
from qi_datasets.pixels.geometry import SHIFTS, Pixels, Placed, whole, window
from qi_datasets.pixels.placed_image import MODES, image_of
from qi_datasets.specs import QUADRANT, SHIFTED_GEOMETRY

UNCHANGED = ".border_0.png"
"""Suffix of the path of an image that is still as it was stored: any rewriting of an image drops the path."""

AS_STORED = "image as stored, qi_datasets.as_stock(view) gives the one that is seen"
"""Field inside of `bytes` that holds the stored PNG of an image that is not computed yet."""

AS_WRITTEN = (
    "this view is written with its stored images, and how to compute the visible ones: the files open only after "
    "`import qi_datasets`; qi_datasets.as_stock(view) has the visible images, and its files open anywhere"
)

REWRITTEN: pa.StructType = datasets.Image.pa_type


def make_computed_type(**further: pa.DataType) -> pa.StructType:
    """Returns the Arrow type of a column of computed images; further fields say what to compute."""
    stored = pa.struct({AS_STORED: pa.binary()})
    return pa.struct({"bytes": stored, "path": pa.string(), **further, "rewritten": REWRITTEN})


class Cell(TypedDict, total=False):
    """A value of a computed column in Arrow; it has `y` and `x` where each row has its own position."""

    bytes: dict[str, bytes] | None
    path: str | None
    rewritten: dict[str, object] | None
    y: int
    x: int


@dataclass
class ComputedImage:
    """An image column whose pixels are computed from the stored image on reading: base of a family of feature types.

    In Arrow, `bytes` is not a file but a struct. The name of its one field says that it holds the stored file, and how
    to get the visible image. So nobody takes one for the other: that name is in every row of `to_pandas()`, and in
    the error of a cast to the stock `Image`. If an image was rewritten (by `map`, for example), `bytes` is null, and
    `rewritten` holds the visible image as a stock image.
    """

    decode: bool = field(default=True, kw_only=True)
    id: str | None = field(default=None, repr=False, kw_only=True)
    dtype: ClassVar[str] = "PIL.Image.Image"
    pa_type: ClassVar[Any] = make_computed_type()

    def __str__(self) -> str:
        # `concatenate_datasets` quotes the types that it can't combine.
        return f"{self!r}, which qi_datasets.as_stock(view) turns into stock images"

    @abstractmethod
    def placed(self, stored: bytes, cell: "Cell") -> Placed:
        """Computes the image from the stored PNG file.

        Args:
            stored: The file's bytes.
            cell: The column's value in Arrow.
        """

    def __call__(self) -> pa.StructType:
        """Returns the Arrow type of the column."""
        return self.pa_type

    def encode_example(self, value: object) -> dict[str, object]:
        """Returns the storage of a stock image struct, an image, an array, or a file's path or bytes."""
        empty: dict[str, object] = {part.name: None for part in self.pa_type}
        if isinstance(value, dict):
            if stored_file(value) or value.get("rewritten"):
                return {**empty, **value}
            if (value.get("path") or "").endswith(UNCHANGED):
                return {**empty, "bytes": {AS_STORED: value["bytes"]}, "path": value["path"]}
        return {**empty, "rewritten": datasets.Image().encode_example(value)}

    def decode_example(
        self, value: object, token_per_repo_id: dict[str, str | bool | None] | None = None
    ) -> Image.Image:
        """Returns the computed image: PIL, mode L or RGB, which adds its black pixels when they are asked for."""
        if not isinstance(value, dict):
            return cast("Image.Image", value)
        stored = stored_file(value)
        if stored is None:
            return datasets.Image().decode_example(value["rewritten"], token_per_repo_id)  # type: ignore[no-any-return]
        return image_of(self.placed(stored, cast("Cell", value)))

    def cast_storage(self, storage: pa.Array) -> pa.StructArray:
        """Returns the storage of this column from that of a stock image column, or of this one."""
        if storage.type == self.pa_type:
            return storage
        if pa.types.is_struct(storage.type) and storage.type.get_field_index("rewritten") >= 0:
            # In rows that went through Python, a field that is always empty has the type null.
            types = {part.name: part.type for part in self.pa_type}
            known = {part.name: storage.field(part.name).cast(types[part.name]) for part in storage.type}
        else:
            known = from_stock(storage)
        return self.column(storage.is_null(), **known)

    def column(self, nulls: pa.BooleanArray, **fields: pa.Array) -> pa.StructArray:
        """Returns a column with these fields, the others null. nulls: True where the row has no image."""
        parts = [fields.get(part.name, pa.nulls(len(nulls), part.type)) for part in self.pa_type]
        return pa.StructArray.from_arrays(parts, fields=list(self.pa_type), mask=nulls)

    def flatten(self) -> "ComputedImage":
        """Returns the type itself, since it is one column, as stock images are."""
        return self

    @property
    def embed_storage(self) -> Callable[..., pa.StructArray]:
        """The function that embeds outside files in the storage; a view has none.

        `datasets` looks for it only when a data set is written (`to_parquet`, `save_to_disk`, `push_to_hub`), so that
        a view can warn here.
        """
        # Python shows a warning once per line: attributed to this one, it is shown once, whoever calls.
        warnings.warn(AS_WRITTEN, stacklevel=1)
        return lambda storage, **_: storage


@dataclass
class BorderedImage(ComputedImage):
    """The stored image with `border` black pixels added on all four sides."""

    border: int
    _type: str = field(default="BorderedImage", init=False, repr=False)

    def placed(self, stored: bytes, cell: "Cell") -> Placed:
        """Returns the stored image inside its border."""
        return whole(pixels(stored)).bordered(self.border)


@dataclass
class ShiftedImage(ComputedImage):
    """The stored image moved by `shift` pixels down and right, in a mode ("crop", "zero" or "circular")."""

    mode: str
    shift: int
    _type: str = field(default="ShiftedImage", init=False, repr=False)

    def placed(self, stored: bytes, cell: "Cell") -> Placed:
        """Returns the moved image."""
        return whole(SHIFTS[self.mode](pixels(stored), self.shift, SHIFTED_GEOMETRY.view))


@dataclass
class WindowImage(ComputedImage):
    """A window of the stored image; each row has its own position (`y`, `x`: the window's top-left pixel)."""

    _type: str = field(default="WindowImage", init=False, repr=False)
    pa_type: ClassVar[Any] = make_computed_type(y=pa.int32(), x=pa.int32())

    def placed(self, stored: bytes, cell: "Cell") -> Placed:
        """Returns the window."""
        return whole(window(pixels(stored), cell["y"], cell["x"], SHIFTED_GEOMETRY.view))


@dataclass
class GridImage(ComputedImage):
    """The patch of a stored `qi` image in a cell of a grid; each row has its own cell (`y`, `x`: the first pixel).

    grid: K, cells per side.
    border: black pixels on all four sides of the canvas, which has 64 K - 8 pixels per side.
    """

    grid: int
    border: int
    _type: str = field(default="GridImage", init=False, repr=False)
    pa_type: ClassVar[Any] = make_computed_type(y=pa.int32(), x=pa.int32())

    def placed(self, stored: bytes, cell: "Cell") -> Placed:
        """Returns the patch on its canvas."""
        patch = pixels(stored)[: QUADRANT.patch, : QUADRANT.patch]
        side = QUADRANT.grid_side(self.grid) + 2 * self.border
        return Placed(patch, cell["y"], cell["x"], side, side)


with warnings.catch_warnings(action="ignore"):  # it is marked as experimental
    for _kind in (BorderedImage, ShiftedImage, WindowImage, GridImage):
        register_feature(_kind, _kind.__name__)
register_formats()


@lru_cache(maxsize=1)
def pixels(png: bytes) -> Pixels:
    """Returns the pixels of an image file, read only. The latest is cached: a source's windows follow each other.

    Raises StoredSetError for an image of a kind that no set stores.
    """
    image = decode_file(png)
    if image.mode not in MODES.values():
        raise StoredSetError(f"a stored image has mode {image.mode}, not L or RGB; build the set again with qi-build")
    return np.asarray(image)


def stored_file(cell: Mapping[str, object]) -> bytes | None:
    """Returns the stored PNG in a value of a computed column; None for a rewritten image, and for a stock value."""
    stored = cell.get("bytes")
    return stored.get(AS_STORED) if isinstance(stored, Mapping) else None


def from_stock(storage: pa.Array) -> dict[str, pa.Array]:
    """Returns the fields of a computed column for a stock one: images that are not as stored become `rewritten`."""
    stock = datasets.Image().cast_storage(storage)
    data, path = stock.field("bytes"), stock.field("path")
    unchanged = pc.fill_null(pc.ends_with(path, UNCHANGED), False)
    if not pc.all(unchanged).as_py():
        nothing = pa.nulls(len(stock), REWRITTEN)
        rewritten = pc.if_else(unchanged, nothing, stock)
        path, data = (pc.if_else(unchanged, part, pa.nulls(len(stock), part.type)) for part in (path, data))
        bytes_ = pa.StructArray.from_arrays([data], [AS_STORED], mask=pc.invert(unchanged))
        return {"bytes": bytes_, "path": path, "rewritten": rewritten}
    # The usual case: the bytes are passed on without a copy.
    return {"bytes": pa.StructArray.from_arrays([data], [AS_STORED]), "path": path}
