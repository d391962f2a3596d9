"""Batches of tensors, padded a whole batch at a time on the device that uses them."""

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import datasets
import numpy as np
import pyarrow as pa
import torch
from torch.utils.data import DataLoader, Dataset

from qi_datasets.errors import OptionError, one_line
from qi_datasets.loading.computed import BorderedImage, Cell, ComputedImage, GridImage, stored_file
from qi_datasets.pixels.geometry import Placed, whole
from qi_datasets.registry import nearest
from qi_datasets.torch.placed import Places
from qi_datasets.torch.sets import StoredSet

Batch: TypeAlias = dict[str, Any]

_SET_HERE = ("dataset", "collate_fn", "batch_sampler")
"""Arguments of DataLoader that `padded_batches` sets itself."""


def padded_batches(
    rows: datasets.Dataset | StoredSet,
    *,
    batch_size: int = 64,
    shuffle: bool = False,
    num_workers: int = 0,
    drop_last: bool = False,
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
    **loader: object,
) -> "PaddedBatches":
    """Returns batches of a split whose borders are added on the device; no black is decoded, copied or sent.

    Args:
        rows: A split from `load_dataset(..., split=...)`, of any border or none, also one that was filtered,
            shuffled or selected from; or a set of this package such as QuadrantImageNet, without transforms.
        batch_size: As in `torch.utils.data.DataLoader`.
        shuffle: As in `torch.utils.data.DataLoader`.
        num_workers: As in `torch.utils.data.DataLoader`.
        drop_last: As in `torch.utils.data.DataLoader`.
        generator: As in `torch.utils.data.DataLoader`.
        device: Device on which batches are padded and yielded, default the CPU.
        **loader: Further arguments of DataLoader (`sampler`, `pin_memory`, `persistent_workers`, ...).

    Returns a DataLoader of dictionaries. `image` is a uint8 tensor (n, c, h, w) on `device`. Columns of integers are
    int64 tensors (n,) on the CPU, those of floats and booleans tensors of their own type, all others lists.

    Raises OptionError for anything but a split of images, for one whose images were rewritten (by `map`) under a
    border, which they have already, and for images of different sizes in one batch.
    """
    if isinstance(rows, StoredSet):
        if rows.transforms is not None:
            raise OptionError("padded_batches applies no transform; make the set without one and transform the batches")
        rows = rows.rows
    image = rows.features.get("image") if isinstance(rows, datasets.Dataset) else None
    if not isinstance(image, datasets.Image | ComputedImage):
        raise OptionError('padded_batches takes a split such as load_dataset("qi", border=64, split="test")')
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise OptionError(f"batch_size must be an integer of 1 or more, not {batch_size!r}", code="bad-value")
    options = {"shuffle": shuffle, "num_workers": num_workers, "drop_last": drop_last, "generator": generator}
    known = dict.fromkeys(("device", *inspect.signature(DataLoader).parameters))
    for option in loader:
        if option not in known or option in _SET_HERE:
            raise OptionError(
                f"padded_batches takes no argument {option!r}{nearest(option, known)}", code="unknown-argument"
            )
    try:
        stored = _StoredRows(rows.with_format("arrow"), image)
        return PaddedBatches(stored, device, batch_size=batch_size, **options, **loader)
    except (TypeError, ValueError) as error:
        raise OptionError(f"DataLoader can't take these arguments: {one_line(error)}") from error


class PaddedBatches(DataLoader[Batch]):
    """A DataLoader of images without borders that pads each batch on a device: see `padded_batches`."""

    def __init__(self, rows: "_StoredRows", device: torch.device | str | None, **loader: Any) -> None:
        super().__init__(rows, collate_fn=_as_it_is, **loader)
        self.device = device

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        """Yields the batches of one epoch."""
        for batch in super().__iter__():
            content, places = batch["image"]
            yield batch | {"image": places.fill(content.to(self.device))}


@dataclass(frozen=True)
class _StoredRows(Dataset[Batch]):
    """Rows whose images have no border yet, read a batch at a time."""

    table: datasets.Dataset
    image: datasets.Image | ComputedImage

    def __len__(self) -> int:
        """Returns the number of rows."""
        return len(self.table)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Returns the rows at `indices`: images as their rectangles, (n, c, h, w) uint8, and their positions."""
        rows = self.table[indices]
        return {
            name: self._rectangles(rows.column(name)) if name == "image" else _column(rows.column(name))
            for name in rows.column_names
        }

    def _rectangles(self, column: pa.ChunkedArray) -> tuple[torch.Tensor, Places]:
        images = [self._placed(cell) for cell in column.to_pylist()]
        if len(shapes := {image.shape for image in images}) > 1:
            raise OptionError(
                f"images of one batch must have one size, not (h, w, c) = {sorted(shapes)}", code="missing-argument"
            )
        ((height, width, channels),) = shapes
        if len({image.content.shape for image in images}) > 1:
            images = [whole(image.pixels()) for image in images]
        content = np.empty((len(images), channels, *images[0].content.shape[:2]), np.uint8)
        for one, image in zip(content, images, strict=True):
            one[:] = image.content.transpose(2, 0, 1)
        y, x = tuple(image.y for image in images), tuple(image.x for image in images)
        return torch.from_numpy(content), Places(y, x, height, width)

    def _placed(self, cell: Cell | None) -> Placed:
        if cell is None:
            raise OptionError("a row has no image; filter such rows out")
        stored = stored_file(cell) if isinstance(self.image, ComputedImage) else None
        if stored is not None:
            return self.image.placed(stored, cell)
        if isinstance(self.image, BorderedImage | GridImage):
            raise OptionError("the view's images were rewritten (by map?) and have their border; load a fresh view")
        return whole(np.asarray(self.image.decode_example(cell)))


def _column(values: pa.ChunkedArray) -> torch.Tensor | list[object]:
    """Returns a tensor for numbers without missing values, else a list."""
    kind = values.type
    if values.null_count or not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        there: list[object] = values.to_pylist()
        return there
    numbers = values.to_numpy()
    return torch.from_numpy(numbers.astype(np.int64) if pa.types.is_integer(kind) else numbers.copy())


def _as_it_is(batch: Any) -> Any:
    return batch
