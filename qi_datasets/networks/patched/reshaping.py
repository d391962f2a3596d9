"""Rules for slices, pieces and other shapes of the same values."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from qi_datasets.networks.patched.tensor import Once, Patched, PerImage, Place
from qi_datasets.networks.patched.windows import take


@Patched.rules.register("__getitem__")
def getitem(func: Any, x: Any, index: Any) -> Any:
    """Takes slices of channels and of positions; whole numbers of channels; new dimensions."""
    if not isinstance(x, Patched):
        return NotImplemented
    parts = list(index) if isinstance(index, tuple) else [index]
    if any(not isinstance(one, int | slice | type(None) | type(...)) or isinstance(one, bool) for one in parts):
        return NotImplemented
    given = sum(one is not None and one is not ... for one in parts)
    where = next((k for k, one in enumerate(parts) if one is ...), len(parts))
    parts[where : where + 1] = [slice(None)] * (x.ndim - given)
    channels: list[Any] = []
    positions: dict[str, Any] = {}
    layout, dims = "", iter(x.letters)
    for part in parts:
        if part is None:
            layout += "C"
            channels.append(None)
            continue
        letter = next(dims)
        if letter == "C":
            channels.append(part)
            layout += "" if isinstance(part, int) else "C"
            continue
        layout += letter
        if part != slice(None):
            if letter == "N" or not isinstance(part, slice):
                return NotImplemented
            positions[letter] = part
    x = x.each(lambda one: one[(slice(None), *channels)], layout)
    if not positions:
        return x
    index = [positions.get(letter) for letter in "HW"]
    rows, columns = (None if one is None else tuple(range(side))[one] for one, side in zip(index, x.sides, strict=True))
    return take(x, rows, columns)


@PerImage.rules.register("__getitem__")
def getitem_per_image(func: Any, x: Any, index: Any) -> Any:
    """Takes parts of each image's values."""
    parts = index if isinstance(index, tuple) else (index,)
    if not isinstance(x, PerImage) or any(isinstance(one, Tensor | list) for one in parts):
        return NotImplemented
    first = parts[0]
    if not (isinstance(first, slice) and first == slice(None)) and first is not ...:
        return NotImplemented
    if first is ... and len([one for one in parts if one is not None]) > x.ndim - 1:
        return NotImplemented
    return x.each(lambda one: one[index])


@Patched.rules.register("chunk", "split", "tensor_split", "unbind")
def pieces(func: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    """Cuts channels into pieces."""
    given, is_unbound = dict(kwargs), func in (torch.unbind, Tensor.unbind)
    dim = given.pop("dim", args[0 if is_unbound else 1] if len(args) > (0 if is_unbound else 1) else 0)
    if x.letters[dim] != "C":
        return NotImplemented
    stored = 1 + x.channels.index(dim % x.ndim)
    layout = x.letters if not is_unbound else x.letters[: dim % x.ndim] + x.letters[dim % x.ndim + 1 :]
    sizes = [] if is_unbound else [*args[:1], *given.values()]
    once = Once()

    def cut(one: Tensor) -> Any:
        return once(id(one), lambda: func(one, *sizes, dim=stored))

    count = len(cut(x.places[0].values))
    return tuple(x.each(lambda one, k=k: cut(one)[k], layout) for k in range(count))


@PerImage.rules.register("chunk", "split", "unbind")
def pieces_per_image(func: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    """Cuts each image's values into pieces."""
    is_unbound = func in (torch.unbind, Tensor.unbind)
    dim = kwargs.get("dim", args[0 if is_unbound else 1] if len(args) > (0 if is_unbound else 1) else 0)
    if dim % x.ndim == 0:
        return NotImplemented
    parts = [
        x.each(lambda one, k=k: func(one, *args, **kwargs)[k]) for k in range(len(func(x.parts[0], *args, **kwargs)))
    ]
    return tuple(parts)


@Patched.rules.register("permute", "transpose", "movedim")
def permute(func: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    """Orders dimensions anew; stored ones only if they are channels."""
    order = func(torch.empty(tuple(range(2, x.ndim + 2)), device="meta"), *args, **kwargs).shape
    order = [one - 2 for one in order]
    layout = "".join(x.letters[one] for one in order)
    channels = [1 + x.channels.index(one) for one in order if x.letters[one] == "C"]
    if layout[0] != "N":
        return NotImplemented
    if layout.index("H") > layout.index("W"):
        x, layout = _turned(x), layout.translate({ord("H"): "W", ord("W"): "H"})
    if channels == [*range(1, len(channels) + 1)]:
        return Patched(x.places, x.axes, layout, x.batch)
    count = len(channels) + 1
    return x.each(lambda one: one.permute(0, *channels, count, count + 1), layout)


def _turned(x: Patched) -> Patched:
    """Maps whose rows are the columns of `x`; what it stores as rows is its columns."""
    turned = x.each(lambda one: one.transpose(-1, -2))
    places = [Place(one.columns, one.rows, one.values, one.background) for one in turned.places]
    return Patched(places, (x.axes[1], x.axes[0]), x.letters, x.batch)


@Patched.rules.register("unsqueeze")
def unsqueeze(func: Any, x: Any, dim: int) -> Any:
    """Adds a dimension of channels."""
    dim %= x.ndim + 1
    if dim == 0:
        return NotImplemented
    stored = 1 + x.letters[:dim].count("C")
    return x.each(lambda one: one.unsqueeze(stored), x.letters[:dim] + "C" + x.letters[dim:])


@Patched.rules.register("squeeze")
def squeeze(func: Any, x: Any, dim: Any = None) -> Any:
    """Takes a dimension of channels away if its size is 1."""
    if not isinstance(dim, int) or x.letters[dim] != "C" or x.shape[dim] != 1:
        return NotImplemented
    stored = 1 + x.channels.index(dim % x.ndim)
    return x.each(lambda one: one.squeeze(stored), x.letters[: dim % x.ndim] + x.letters[dim % x.ndim + 1 :])


@Patched.rules.register("reshape", "view", "flatten", "unflatten")
def reshape(func: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    """Divides or joins neighbouring dimensions of channels; or joins all but the first, which ends the maps."""
    if any(isinstance(one, torch.dtype) for one in args) or not x.batch.count or x.letters[0] != "N":
        return NotImplemented
    shape = tuple(func(torch.empty(x.shape, device="meta"), *args, **kwargs).shape)
    if shape == tuple(x.shape):
        return x.each(lambda one: one)
    if shape == (x.batch.count, math.prod(x.shape[1:])):
        return flattened(x)
    layout = _letters(x, shape)
    if layout is None:
        return NotImplemented
    channels = [size for size, letter in zip(shape, layout, strict=True) if letter == "C"]
    return x.each(lambda one: one.reshape(len(one), *channels, *one.shape[-2:]), layout)


def flattened(x: Patched) -> PerImage:
    """Returns each image's whole map as one vector (N, C * H * W)."""
    once, full = Once(), ((0, x.sides[0]), (0, x.sides[1]))

    def of(place: Place) -> Tensor:
        return x.laid_out(x.whole_block(place)).flatten(1)

    return PerImage([once(x.key(one, *full), of, one) for one in x.places], x.batch)


def _letters(x: Patched, shape: Sequence[int]) -> str | None:
    """The layout of a shape in which rows, columns and images are dimensions as before; None if they are not."""
    if shape[:1] != tuple(x.shape[:1]):
        return None
    layout, left, start = "N", list(shape[1:]), 1
    while start < len(x.letters):
        stop = start
        while stop < len(x.letters) and x.letters[stop] == "C":
            stop += 1
        size, found = math.prod(x.shape[start:stop]), 1
        # Dimensions of size 1 are channels, unless none are left for rows and columns.
        while left and (found < size or (left[0] == 1 and len(left) > len(x.letters) - stop)):
            found *= left.pop(0)
            layout += "C"
        if found != size:
            return None
        if stop < len(x.letters):
            if not left or left.pop(0) != x.shape[stop]:
                return None
            layout += x.letters[stop]
        start = stop + 1
    return None if left else layout


@PerImage.rules.register(
    "reshape", "view", "flatten", "unflatten", "squeeze", "unsqueeze", "permute", "transpose", "expand"
)
def shaped_per_image(func: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    """Gives each image's values another shape."""
    shape = func(torch.empty(tuple(x.shape), device="meta"), *args, **kwargs).shape
    name = func.__name__
    first, last = x.batch.count, math.prod(x.shape[1:])
    if not shape or shape[0] != first:
        return NotImplemented
    if name in ("permute", "transpose"):
        marked = func(torch.empty(tuple(range(2, x.ndim + 2)), device="meta"), *args, **kwargs).shape
        return NotImplemented if marked[0] != 2 else x.each(lambda one: func(one, *args, **kwargs))
    if name == "expand":
        return x.each(lambda one: one.expand(len(one), *shape[1:]))
    if math.prod(shape[1:]) != last:
        return NotImplemented
    return x.each(lambda one: one.reshape(len(one), *shape[1:]))
