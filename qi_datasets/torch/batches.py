"""Batches of tensors from a border view, padded a whole batch at a time, on the device that uses them. Needs torch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from qi_datasets.errors import OptionError
from qi_datasets.loading.computed import BorderedImage, stored_file
from qi_datasets.pixels.decoding import decoded

Batch = dict[str, Any]


def padded_batches(
    view: datasets.Dataset,
    *,
    batch_size: int = 64,
    workers: int = 0,
    shuffle: bool = False,
    device: torch.device | str | None = None,
) -> Iterator[Batch]:
    """The rows of `load_dataset("qi", border=N, split=...)` in batches, N added on the device.

    Workers decode the stored images and hand over these; so no black is decoded, copied between processes or sent to
    the device. view: a map-style view of one split, also one that was filtered, shuffled or selected from. workers:
    decoding processes, 0 for this one. Yields dictionaries: `image` is a uint8 tensor (n, c, side + 2N, side + 2N) on
    `device` (default: the CPU), numeric columns are int64 tensors (n,) on the CPU, the others lists. Raises OptionError
    for anything but a view, and for one whose images were rewritten (by `map`): those have their border.
    """
    feature = view.features.get("image") if isinstance(view, datasets.Dataset) else None
    if not isinstance(feature, BorderedImage):
        raise OptionError('padded_batches takes a view such as load_dataset("qi", border=64, split="test")')
    rows = StoredRows(view.with_format("arrow"))
    loader = DataLoader(rows, batch_size=batch_size, shuffle=shuffle, num_workers=workers, collate_fn=_as_it_is)
    around = (feature.border,) * 4
    for batch in loader:
        batch["image"] = F.pad(batch["image"].to(device), around)
        yield batch


@dataclass(frozen=True)
class StoredRows(Dataset[Batch]):
    """A view's rows with the images as they are stored, fetched a batch at a time."""

    table: datasets.Dataset

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.table)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """The rows at `indices`: images as one uint8 tensor (n, c, h, w)."""
        rows = self.table[indices]
        batch: Batch = {}
        for name in rows.column_names:
            values = rows.column(name)
            if name == "image":
                batch[name] = _stacked([stored_file(cell) for cell in values.to_pylist()])
            elif isinstance(values.type.to_pandas_dtype()(), np.number):
                batch[name] = torch.from_numpy(values.to_numpy().astype(np.int64))
            else:
                batch[name] = values.to_pylist()
        return batch


def _stacked(files: Sequence[bytes | None]) -> torch.Tensor:
    if None in files:
        raise OptionError("the view's images were rewritten (by map?) and have their border; load a fresh view")
    images = [np.asarray(decoded(file)) for file in files if file is not None]
    pixels = np.stack([image[:, :, None] if image.ndim == 2 else image for image in images])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def _as_it_is(batch: Any) -> Any:
    return batch
