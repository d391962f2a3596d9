"""Views: data sets whose images are computed from a stored data set when they are read, so nothing is stored twice."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TypeVar

import datasets
import pyarrow as pa
import pyarrow.compute as pc

from qi_datasets.errors import OptionError
from qi_datasets.loading.computed import BorderedImage, ComputedImage, ShiftedImage
from qi_datasets.specs import BORDER_COLUMNS

_STREAMED_ROWS = 32
"""Rows that a step of a stream takes at a time: few, since all of them are read before the first is yielded."""

AnyDataset = TypeVar("AnyDataset", datasets.Dataset, datasets.IterableDataset)


def with_border(dataset: AnyDataset, border: int) -> AnyDataset:
    """Returns a view with `border` black pixels added on all sides of each image, and to the columns x, y, border."""
    features = dataset.features
    moved = [name for name in BORDER_COLUMNS if name in features]
    if isinstance(dataset, datasets.Dataset):
        if moved:
            numbers = dataset.select_columns(moved).with_format("numpy")[:]
            # New columns are added before the old ones go: a data set without columns loses its rows.
            for name in moved:
                dataset = dataset.add_column(f"{name}+{border}", numbers[name] + border, feature=features[name])
            dataset = dataset.remove_columns(moved).rename_columns({f"{name}+{border}": name for name in moved})
            dataset = dataset.select_columns(list(features))
    elif moved:
        dataset = stream_tables(dataset, partial(_add_border, names=moved, border=border), features)
    return _with_image(dataset, BorderedImage(border))


def with_shift(dataset: AnyDataset, mode: str, shift: int) -> AnyDataset:
    """Returns a view with each image moved `shift` pixels down and right, in a mode ("crop", "zero" or "circular")."""
    return _with_image(dataset, ShiftedImage(mode, shift))


def _with_image(dataset: AnyDataset, image: ComputedImage) -> AnyDataset:
    """Returns a view whose column `image`, if it was loaded, has that type, which computes the images."""
    if "image" not in dataset.features:
        return dataset
    image = replace(image, decode=dataset.features["image"].decode)
    if isinstance(dataset, datasets.Dataset):
        return dataset.cast_column("image", image)
    # A cast alone is not enough: the next cast of a stream replaces it, and would show the stored image.
    return stream_tables(dataset, partial(_compute_images, image=image), {**dataset.features, "image": image})


def stream_tables(
    stream: datasets.IterableDataset,
    step: Callable[[pa.Table], pa.Table],
    features: Mapping[str, object],
    rows: int = _STREAMED_ROWS,
) -> datasets.IterableDataset:
    """Returns a stream with a function applied to its tables.

    Args:
        stream: The stream.
        step: The function, from table to table.
        features: Features of the columns that the function returns.
        rows: Number of rows of a table.
    """
    seen = stream.with_format("arrow").map(step, batched=True, batch_size=rows)
    # `map(features=...)` would say that its rows are decoded already, and a later `map` would get bytes.
    return seen.with_format(None).cast(datasets.Features(features))


def _compute_images(stored: pa.Table, image: ComputedImage) -> pa.Table:
    column = [image.cast_storage(chunk) for chunk in stored.column("image").chunks]
    return stored.set_column(stored.schema.get_field_index("image"), "image", pa.chunked_array(column, image()))


def _add_border(stored: pa.Table, names: list[str], border: int) -> pa.Table:
    for name in names:
        column = pc.add(stored.column(name), pa.scalar(border, stored.field(name).type))
        stored = stored.set_column(stored.schema.get_field_index(name), name, column)
    return stored


def as_stock(dataset: AnyDataset) -> AnyDataset:
    """Returns a view with its images encoded as they are seen, so that saved copies open without this package."""
    if not isinstance(dataset, datasets.Dataset | datasets.IterableDataset):
        what = "; give one split of it" if isinstance(dataset, dict) else ""
        raise OptionError(f"as_stock takes a data set of load_dataset, not a {type(dataset).__name__}{what}")
    images = [name for name, feature in dataset.features.items() if isinstance(feature, ComputedImage)]
    if not images:
        return dataset
    features = datasets.Features({**dataset.features, **{name: datasets.Image() for name in images}})
    return dataset.map(_read_images, fn_kwargs={"names": images}, features=features)


def _read_images(row: Mapping[str, object], names: list[str]) -> dict[str, object]:
    return {name: row[name] for name in names}
