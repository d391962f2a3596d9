"""Views: data sets that are computed, when they are read, from the one that is stored. Nothing is stored twice."""

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
"""Rows of a stream that a step takes at a time: few, since it reads as many before it yields the first."""

AnyDataset = TypeVar("AnyDataset", datasets.Dataset, datasets.IterableDataset)


def with_border(dataset: AnyDataset, border: int) -> AnyDataset:
    """Returns every image with `border` black pixels added on all four sides; the columns x, y, border say so."""
    features = dataset.features
    moved = [name for name in BORDER_COLUMNS if name in features]
    if isinstance(dataset, datasets.Dataset):
        if moved:
            numbers = dataset.select_columns(moved).with_format("numpy")[:]
            # Under other names first: a dataset loses its rows with its last column.
            for name in moved:
                dataset = dataset.add_column(f"{name}+{border}", numbers[name] + border, feature=features[name])
            dataset = dataset.remove_columns(moved).rename_columns({f"{name}+{border}": name for name in moved})
            dataset = dataset.select_columns(list(features))
    elif moved:
        dataset = stream_tables(dataset, partial(_moved, names=moved, border=border), features)
    return _with_image(dataset, BorderedImage(border))


def with_shift(dataset: AnyDataset, mode: str, shift: int) -> AnyDataset:
    """Returns each image moved by `shift` pixels down and right, as `mode` ("crop", "zero", ...) says."""
    return _with_image(dataset, ShiftedImage(mode, shift))


def _with_image(dataset: AnyDataset, image: ComputedImage) -> AnyDataset:
    """Returns the column `image`, if it is among those that were loaded, as that type computes it."""
    if "image" not in dataset.features:
        return dataset
    image = replace(image, decode=dataset.features["image"].decode)
    if isinstance(dataset, datasets.Dataset):
        return dataset.cast_column("image", image)
    # A cast alone would not do: the next cast of a stream takes its place, and would show the image as it is stored.
    return stream_tables(dataset, partial(_computed, image=image), {**dataset.features, "image": image})


def stream_tables(
    stream: datasets.IterableDataset,
    step: Callable[[pa.Table], pa.Table],
    features: Mapping[str, object],
    rows: int = _STREAMED_ROWS,
) -> datasets.IterableDataset:
    """Returns a stream whose tables go through a step.

    Args:
        stream: The rows.
        step: What is done to a table.
        features: Of the columns that it gives.
        rows: Of a table.
    """
    seen = stream.with_format("arrow").map(step, batched=True, batch_size=rows)
    # `map(features=...)` would say that its rows are decoded already, and a later `map` would get bytes.
    return seen.with_format(None).cast(datasets.Features(features))


def _computed(stored: pa.Table, image: ComputedImage) -> pa.Table:
    column = [image.cast_storage(chunk) for chunk in stored.column("image").chunks]
    return stored.set_column(stored.schema.get_field_index("image"), "image", pa.chunked_array(column, image()))


def _moved(stored: pa.Table, names: list[str], border: int) -> pa.Table:
    for name in names:
        column = pc.add(stored.column(name), pa.scalar(border, stored.field(name).type))
        stored = stored.set_column(stored.schema.get_field_index(name), name, column)
    return stored


def as_stock(dataset: AnyDataset) -> AnyDataset:
    """Returns a view with its images written out as they are seen: what it saves opens without this package."""
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
