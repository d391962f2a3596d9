"""Rules for functions that index, permute or reshape a map, and for functions of each position of one map."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from qi_datasets.networks.endless_maps.tensor import (
    ALONE,
    RESHAPED,
    NotAMapError,
    Plane,
    map_tensors,
    planes_in,
    tensors_in,
    values_of,
)
from qi_datasets.networks.operators import Window

_IMAGES, _ROWS, _COLUMNS = 7919, 7927, 7933
"""Sizes that no dimension has: they show where images, rows and columns are in the shape of a result."""


@Plane.rules.register(*ALONE, "layer_norm", "rms_norm")
def alone(func: Any, input: Any, *args: Any, **kwargs: Any) -> Any:
    """Computes functions of each position of one map, and functions that permute or reduce its other dimensions."""
    if not isinstance(input, Plane) or input.axes is None or planes_in((args, kwargs)):
        return NotImplemented
    sizes = [_IMAGES, *input.values.shape[1:]]
    sizes[input.axes[0]], sizes[input.axes[1]] = _ROWS, _COLUMNS
    probe = torch.empty(sizes, dtype=input.values.dtype, device="meta")
    rest, options = map_tensors((args, kwargs), lambda one: one.detach().to("meta"))
    try:
        shapes = [list(one.shape) for one in tensors_in(func(probe, *rest, **options))]
    except (RuntimeError, IndexError) as error:
        # Arguments such as a list of sizes, or weights for each row, fit the map alone, not the probe.
        raise NotAMapError(str(error)) from error
    if any(shape[:1] != [_IMAGES] or shape.count(_ROWS) != 1 or shape.count(_COLUMNS) != 1 for shape in shapes):
        return NotImplemented
    axes = [(shape.index(_ROWS) - len(shape), shape.index(_COLUMNS) - len(shape)) for shape in shapes]
    values = func(input.values, *args, **kwargs)
    blacks = values if input.background is None else func(input.background, *args, **kwargs)
    if any([one.ndim for one in tensors_in(found)] != [len(shape) for shape in shapes] for found in (values, blacks)):
        return NotImplemented
    parts = zip(tensors_in(values), tensors_in(blacks), axes, strict=True)
    maps = [input.become(one, None if blacks is values else black, axes=place) for one, black, place in parts]
    return maps[0] if isinstance(values, Tensor) else tuple(maps)


@Plane.rules.register("prelu", "local_response_norm", "channel_shuffle")
def by_channel(func: Any, input: Any, *args: Any, **kwargs: Any) -> Any:
    """Computes functions whose channels are the second dimension."""
    is_map = isinstance(input, Plane) and not input.is_spatial(1)
    return alone(func, input, *args, **kwargs) if is_map else NotImplemented


@Plane.rules.register(*RESHAPED)
def reshape(func: Any, input: Plane, *args: Any, **kwargs: Any) -> Any:
    """Divides or joins dimensions other than rows and columns, or divides rows and columns into a grid of blocks."""
    value, old = func(input.values, *values_of(args), **values_of(kwargs)), input.values
    if value.dtype != old.dtype or value.shape[0] != old.shape[0]:
        return NotImplemented
    found = [_dimension_of(old.shape, old.ndim + axis, value.shape) for axis in input.axes or ()]
    axes = tuple(index - value.ndim for index, _ in found)
    if axes[0] == axes[1] or None in [step for _, step in found]:
        return NotImplemented
    steps = [step or 1 for _, step in found]
    if steps == [1, 1]:
        sizes = [1 if place - value.ndim in axes else size for place, size in enumerate(value.shape)]
        black = None if input.background is None else input.background.reshape(-1, *sizes[1:])
        return input.become(value, black, axes=axes)
    if input.run.padding != "own":
        return NotImplemented
    # Position j of the grid holds the positions from j * step to (j + 1) * step - 1 in dimensions of their own.
    reaches = tuple(reach.through(step, step, 0) for reach, step in zip(input.reaches, steps, strict=True))
    input.run.periods |= {reach.stride for reach in reaches}
    return input.become(value, axes=axes, reaches=reaches)


def _dimension_of(old: Sequence[int], place: int, new: Sequence[int]) -> tuple[int, int | None]:
    """Returns the dimension of a new shape that replaces an old one, and its step; None for no step."""
    after, size = math.prod(old[place + 1 :]), old[place]
    for index in range(1, len(new)):
        below = math.prod(new[index + 1 :])
        if below % after == 0 and new[index] * below == size * after and (size > 1 or new[index] == 1):
            step = below // after
            return index, step if step == 1 or new[index + 1] == step else None
    return 0, None


@Plane.rules.register("__getitem__")
def getitem(func: Any, input: Plane, index: Any) -> Any:
    """Computes `x[index]` for some channels, for every n-th position, and without the first or last positions."""
    count, axes, run = input.values.ndim, input.axes or (), input.run
    parts = list(index) if isinstance(index, tuple) else [index]
    if not all(isinstance(part, int | slice) or part is ... for part in parts):
        return NotImplemented
    place = parts.index(...) if ... in parts else len(parts)
    parts[place : place + 1] = [slice(None)] * (count - len(parts) + (... in parts))
    cuts = [parts[axis] for axis in axes]
    if not all(_is_cut(part, side) for part, side in zip(cuts, input.sides, strict=True)):
        return NotImplemented
    steps = [part.step or 1 for part in cuts]
    reaches = tuple(one.through(1, 1, -(part.start or 0)) for one, part in zip(input.reaches, cuts, strict=True))
    x = input.become(input.values, input.background, reaches=reaches)
    window = Window((1, 1), (steps[0], steps[1]))
    for axis in axes:
        parts[axis] = slice(None)
    if not run.is_endless:
        only = tuple(
            cuts[axes.index(place - count)] if place - count in axes else slice(None) for place in range(count)
        )
        x = x.become(
            x.values[only], reaches=tuple(one.through(1, step, 0) for one, step in zip(reaches, steps, strict=True))
        )
    elif steps != [1, 1]:
        # An endless map continues where it is cut: only the numbers of its positions change.
        x = x.slide(window, lambda values, _: values[..., :: steps[0], :: steps[1]])
    return x if all(part == slice(None) for part in parts) else alone(func, x, tuple(parts))


def _is_cut(part: Any, side: int) -> bool:
    """Returns whether a slice leaves out this many rows or columns at start and end, for every size of the map."""
    if not isinstance(part, slice):
        return False
    first, stop, step = part.start or 0, part.stop, part.step or 1
    return first >= 0 and step > 0 and (stop is None or stop < 0 or stop >= side)


@Plane.rules.register("expand", "repeat", "expand_as")
def expand(func: Any, input: Plane, *args: Any) -> Any:
    """Returns the map unchanged if it has that shape already."""
    return input if func(input.values, *values_of(args)).shape == input.values.shape else NotImplemented


@Plane.rules.register("roll", "flip")
def roll(func: Any, input: Plane, *args: Any, **kwargs: Any) -> Any:
    """Moves positions around the map; each may then see any pixel."""
    own = input.run.padding == "own"
    return input.become(func(input.values, *args, **kwargs), is_bounded=False) if own else NotImplemented


@Plane.rules.register("new_empty", "new_zeros", "new_ones", "new_full", "new_tensor")
def new(func: Any, input: Plane, *args: Any, **kwargs: Any) -> Tensor:
    """Makes a tensor of a map's type, on its device."""
    return func(input.values, *args, **kwargs)  # type: ignore[no-any-return]


Plane.rules["_assert"] = lambda func, *args: None
