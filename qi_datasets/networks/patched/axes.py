"""How the background of a map is stored: equal positions along an axis are stored once."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

PADDING = -1
"""Stands for a stored position: the position is outside of the map and has the padding's value."""


@dataclass(frozen=True)
class Axis:
    """Maps each position to the stored row (or column) of the background.

    stored: one number for each position
    endless: the number of the one that a map of an endless black canvas would have; None if there is no such map
    """

    stored: tuple[int, ...]
    endless: int | None

    @cached_property
    def _hash(self) -> int:
        return hash((self.stored, self.endless))

    def __hash__(self) -> int:
        return self._hash

    @classmethod
    def black(cls, length: int) -> "Axis":
        """Returns the axis of a map that is the same everywhere."""
        return cls((0,) * length, 0)

    @classmethod
    def unfolded(cls, length: int) -> "Axis":
        """Returns the axis of a map that stores every position."""
        return cls(tuple(range(length)), None)

    def __len__(self) -> int:
        return len(self.stored)

    def read(self, start: int, stop: int, padding: int = PADDING) -> tuple[int, ...]:
        """Returns what is stored for these positions, which may leave the map."""
        length = len(self.stored)
        if start >= 0 and stop <= length:
            return self.stored[start:stop]
        inside = self.stored[max(start, 0) : max(stop, 0)]
        before = min(stop, 0) - min(start, 0)
        return (padding,) * before + inside + (padding,) * (stop - start - before - len(inside))

    def counts(self, start: int, stop: int) -> dict[int, int]:
        """Returns how often each stored position occurs among these positions."""
        found: dict[int, int] = {}
        for one in self.stored[start:stop]:
            found[one] = found.get(one, 0) + 1
        return found


@dataclass(frozen=True)
class Folded:
    """How to compute the stored positions of an operation's output.

    source: stored positions of the input, one after another; the operation is run on them
    kept: which of its outputs are stored; None for all
    axis: of the output
    """

    source: tuple[int, ...]
    kept: tuple[int, ...] | None
    axis: Axis


@lru_cache(4096)
def fold_slide(
    axis: Axis,
    taps: tuple[int, int, int],
    before: int,
    count: int,
    padding: int,
    *,
    order_matters: bool = True,
    marks: tuple[Hashable, ...] | None = None,
) -> Folded:
    """Returns how to store `count` outputs of a window operation: outputs that read the same are stored once.

    taps: kernel, stride and dilation
    before: positions of padding before the first
    padding: the stored position for positions outside of the map
    order_matters: whether a window's value depends on the order of what it reads, as it does not for a maximum
    marks: one more value for each output, which must agree for outputs to be stored once
    """
    kernel, stride, dilation = taps
    reach = dilation * (kernel - 1) + 1
    line = axis.read(-before, (count - 1) * stride + reach - before, padding)
    seen: list[Hashable] = [line[j * stride : j * stride + reach : dilation] for j in range(count)]
    endless: Hashable = None if axis.endless is None else (axis.endless,) * kernel
    if not order_matters:
        seen = [frozenset(one) - {PADDING} for one in seen]  # type: ignore[call-overload]
        endless = None if endless is None else frozenset((axis.endless,))
    if marks is not None:
        seen = list(zip(seen, marks, strict=True))
        endless = None if endless is None else (endless, None)
    numbers: dict[Hashable, int] = {}
    firsts = []
    for j, one in enumerate(seen):
        if one not in numbers:
            numbers[one] = len(numbers)
            firsts.append(j)
    source: list[int] = []
    kept: list[int] = []
    for first, last in _runs(firsts):
        source += [PADDING] * (-len(source) % stride)
        kept += range(len(source) // stride, len(source) // stride + last - first + 1)
        source += line[first * stride : last * stride + reach]
    if endless is not None and endless not in numbers:
        numbers[endless] = len(numbers)
        source += [PADDING] * (-len(source) % stride)
        kept.append(len(source) // stride)
        source += [axis.endless or 0] * reach
    outputs = (len(source) - reach) // stride + 1
    stored = Axis(tuple(numbers[one] for one in seen), None if endless is None else numbers[endless])
    return Folded(tuple(source), None if kept == [*range(outputs)] else tuple(kept), stored)


@lru_cache(4096)
def fold_take(axis: Axis, positions: tuple[int, ...], padding: int = PADDING) -> Folded:
    """Returns how to store the map that has these positions of the input, in this order; PADDING for padding."""
    read = [padding if one == PADDING else axis.stored[one] for one in positions]
    numbers = {one: number for number, one in enumerate(dict.fromkeys(read))}
    if axis.endless is not None:
        numbers.setdefault(axis.endless, len(numbers))
    endless = None if axis.endless is None else numbers[axis.endless]
    return Folded(tuple(numbers), None, Axis(tuple(numbers[one] for one in read), endless))


@lru_cache(4096)
def join_axes(axes: tuple[Axis, ...]) -> tuple[tuple[tuple[int, ...] | None, ...], Axis]:
    """Returns, for maps of one size, the stored positions of each in the joint map (None: all), and its axis."""
    if all(axis == axes[0] for axis in axes):
        return (None,) * len(axes), axes[0]
    seen = [*zip(*(axis.stored for axis in axes), strict=True)]
    numbers = {one: number for number, one in enumerate(dict.fromkeys(seen))}
    endless = None
    ends = [axis.endless for axis in axes]
    if None not in ends:
        endless = numbers.setdefault(tuple(ends), len(numbers))
    picks = tuple(tuple(one[k] for one in numbers) for k in range(len(axes)))
    return picks, Axis(tuple(numbers[one] for one in seen), endless)


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Returns first and last of each run of successive numbers."""
    runs: list[tuple[int, int]] = []
    for one in numbers:
        if runs and one == runs[-1][1] + 1:
            runs[-1] = runs[-1][0], one
        else:
            runs.append((one, one))
    return runs


def pick(values: Tensor, rows: tuple[int, ...] | None, columns: tuple[int, ...] | None, padding: float = 0.0) -> Tensor:
    """Returns these rows and columns (the last two dimensions) of a map; PADDING for rows and columns of `padding`."""
    height, width = values.shape[-2:]
    outside = PADDING in (rows or ()), PADDING in (columns or ())
    if any(outside):
        values = F.pad(values, (0, int(outside[1]), 0, int(outside[0])), value=padding)
    parts = [(-2, rows, height), (-1, columns, width)]
    # What is left of fewer rows than columns is smaller after the rows.
    for axis, index, side in parts if len(rows or ()) <= len(columns or ()) else parts[::-1]:
        values = _picked(values, axis, index, side)
    return values


def _picked(values: Tensor, axis: int, index: tuple[int, ...] | None, outside: int) -> Tensor:
    if index is None or (index == (*range(len(index)),) and len(index) == values.shape[axis]):
        return values
    if PADDING in index:
        index = tuple(outside if one == PADDING else one for one in index)
    if index.count(index[0]) == len(index):
        sizes = [*values.shape]
        sizes[axis] = len(index)
        return values.narrow(axis, index[0], 1).expand(sizes)
    if index[-1] - index[0] == len(index) - 1 and index == (*range(index[0], index[-1] + 1),):
        return values.narrow(axis, index[0], len(index))
    return values.index_select(axis, _index(index, values.device))


@lru_cache(1024)
def _index(index: tuple[int, ...], device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor(index, device=device)
