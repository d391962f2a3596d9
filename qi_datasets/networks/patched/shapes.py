"""Rules for functions that index, split, permute, expand or reshape a `Patched` tensor."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from qi_datasets.networks.operators import Pair, Window, operator_of
from qi_datasets.networks.patched.alone import combine
from qi_datasets.networks.patched.axes import Axis
from qi_datasets.networks.patched.tensor import Layout, Patched, Place
from qi_datasets.networks.patched.windows import slide, take

Factors = list[tuple[str, int]]
"""Factors of a dimension, outermost first: each is N, H, W or C, with its size."""


@Patched.rules.register("__getitem__")
def getitem(func: Any, x: Any, index: Any) -> Any:
    """Computes `x[index]` for slices of channels, rows and columns, for single channels, and for new dimensions."""
    if not isinstance(x, Patched):
        return NotImplemented
    parts = list(index) if isinstance(index, tuple) else [index]
    if any(not isinstance(one, int | slice | list | type(None) | type(...)) or isinstance(one, bool) for one in parts):
        return NotImplemented
    if any(isinstance(one, list) for one in parts) and sum(isinstance(one, list | int) for one in parts) > 1:
        return NotImplemented
    given = sum(one is not None and one is not ... for one in parts)
    where = next((k for k, one in enumerate(parts) if one is ...), len(parts))
    parts[where : where + 1] = [slice(None)] * (x.ndim - given)
    layout: list[Any] = []
    positions: dict[Any, slice] = {}
    dims = iter(x.dims)
    for place, part in enumerate(parts):
        dim = ("C",) if part is None else next(dims)
        if part is not None and dim != ("C",) and part != slice(None):
            if dim not in (("H",), ("W",)) or not isinstance(part, slice):
                return NotImplemented
            positions[dim[0]], parts[place] = part, slice(None)
        if not isinstance(part, int):
            layout.append(dim)
    x = x.each(lambda one: one[tuple(parts)], tuple(layout))
    if not positions:
        return x
    rows, columns = (
        tuple(range(side))[positions[letter]] if letter in positions else None
        for letter, side in zip("HW", x.sides, strict=True)
    )
    return take(x, rows, columns)


@Patched.rules.register("chunk", "split", "tensor_split", "unbind")
def split(func: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    """Splits the channels into several maps."""
    unbinds = operator_of(func).name == "unbind"
    place = 0 if unbinds else 1
    dim = kwargs.get("dim", args[place] if len(args) > place else 0) % x.ndim
    if not x.has_channels(dim):
        return NotImplemented
    count = len(func(torch.empty(x.shape, device="meta"), *args, **kwargs))
    layout = x.dims[:dim] + x.dims[dim + 1 :] if unbinds else x.dims
    return tuple(x.each(lambda one, k=k: func(one, *args, **kwargs)[k], layout) for k in range(count))


@Patched.rules.register("permute", "transpose", "movedim")
def permute(func: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    """Permutes the dimensions; values in memory are moved only where the order of the channels changes."""
    marked = func(torch.empty(tuple(range(2, x.ndim + 2)), device="meta"), *args, **kwargs).shape
    order = [size - 2 for size in marked]
    channels, numbers = iter(range(1, x.ndim + 8)), []
    for dim in x.dims:
        numbers.append([next(channels) for factor in dim if factor not in ("N", "H", "W")])
    moved = [number for dim in order for number in numbers[dim]]
    layout = tuple(x.dims[dim] for dim in order)
    if moved == sorted(moved):
        return Patched(x.places, layout, x.batch, x.axes)
    behind = [len(moved) + 1, len(moved) + 2] if x.is_map else []
    return x.each_stored(lambda one: one.permute(0, *moved, *behind), layout)


@Patched.rules.register("expand")
def expand(func: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    """Repeats channels of size 1, without copying them."""
    shape = func(torch.empty(x.shape, device="meta"), *args, **kwargs).shape
    added = len(shape) - x.ndim
    if any(size != own and dim != ("C",) for dim, own, size in zip(x.dims, x.shape, shape[added:], strict=True)):
        return NotImplemented
    sizes = [size if dim == ("C",) else -1 for dim, size in zip(x.dims, shape[added:], strict=True)]
    return x.each(lambda one: one.expand(*shape[:added], *sizes), (("C",),) * added + x.dims)


@Patched.rules.register("expand_as")
def expand_as(func: Any, x: Any, other: Any) -> Any:
    """Repeats the values of each image at all positions of another map, without copying them."""
    if not isinstance(other, Patched) or x.ndim != other.ndim:
        return NotImplemented
    return combine([x, other], lambda one, like: one.expand([*map(max, one.shape, like.shape)]))


@Patched.rules.register("reshape", "view", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as", "reshape_as")
def reshape(func: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    """Joins or divides dimensions. Rows and columns become blocks: positions inside a block are stored as channels."""
    if any(isinstance(one, torch.dtype) for one in args) or not x.batch.count:
        return NotImplemented
    args = tuple(torch.empty(one.shape, device="meta") if isinstance(one, Tensor) else one for one in args)
    shape = tuple(func(torch.empty(x.shape, device="meta"), *args, **kwargs).shape)
    if shape == tuple(x.shape):
        return x.each_stored(lambda one: one)
    factors = _find_factors(x)
    groups = _group_factors(factors, shape)
    if groups is None:
        return NotImplemented
    if len(groups) == 2 and groups[0] == [("N", x.batch.count)] and x.is_map:
        return x.each_whole(lambda one: one.flatten(1), (("N",), ("C",)))
    blocks = {name: size for group in groups for name, size in group if name in ("H", "W")}
    if x.is_map and (blocks["H"], blocks["W"]) != x.sides:
        x = _divide(x, [side // blocks[name] for name, side in zip("HW", x.sides, strict=True)])
    layout: list[tuple[str | int, ...]] = []
    channels: list[int] = []
    for group in groups:
        if all(name == "C" for name, _ in group):
            channels.append(math.prod(size for _, size in group))
            layout.append(("C",))
        else:
            channels += [size for name, size in group if name == "C"]
            layout.append(tuple(size if name == "C" else name for name, size in group))
    x = x.each_stored(
        lambda one: one.reshape(len(one), *channels, *(one.shape[-2:] if x.is_map else ())), tuple(layout)
    )
    return _join(x)


def _find_factors(x: Patched) -> Factors:
    sizes, channels = {"N": x.batch.count, "H": x.sides[0], "W": x.sides[1]}, iter(x.places[0].values.shape[1:])
    names = [str(name) if name in sizes else "C" for dim in x.dims for name in dim]
    return [(name, next(channels) if name == "C" else sizes[name]) for name in names]


def _group_factors(factors: Factors, shape: Sequence[int]) -> list[Factors] | None:
    """Returns the factors of each dimension of a shape; None if the shape divides the images, or fits no factors."""
    left, groups = [*factors], []
    for size in shape:
        group, product = [], 1
        if size == 1 and left and left[0][1] == 1:
            group.append(left.pop(0))
        while product < size:
            if not left:
                return None
            name, own = left.pop(0)
            if (name, own) == ("C", 1):
                continue
            needed = size // product
            if size % (product * own) and (size % product or own % needed or name == "N"):
                return None
            if own > needed:
                left.insert(0, ("C", own // needed))
                own = needed
            group.append((name, own))
            product *= own
        groups.append(group or [("C", 1)])
    if any(own != 1 for _, own in left):
        return None
    groups[-1] += [factor for factor in left if factor[0] != "C"]
    return groups


def _divide(x: Patched, blocks: Sequence[int]) -> Patched:
    """Returns a map of blocks of `blocks` (rows, columns); positions in a block are two channel dimensions."""
    count = x.places[0].values.ndim - 3
    inner, order = {"H": count + 2, "W": count + 4}, list[int]()
    for name in (name for dim in x.dims for name in dim if name != "N"):
        order.append(inner[str(name)] if name in inner else 1 + sum(one <= count for one in order))

    def divide(one: Tensor) -> Tensor:
        (height, width), outer = one.shape[-2:], one.shape[:-2]
        apart = one.reshape(*outer, height // blocks[0], blocks[0], width // blocks[1], blocks[1])
        return apart.permute(0, *order, count + 1, count + 3)

    layout: Layout = (("N",), *[("C",)] * (count + 2), ("H",), ("W",))
    window = Window((blocks[0], blocks[1]), (blocks[0], blocks[1]))
    return slide(x, divide, window, divide, layout=layout)  # type: ignore[no-any-return]


def _join(x: Patched) -> Patched:
    """Turns blocks back into rows and columns where a reshape has joined the blocks with the positions inside them."""
    dims = [next((dim for dim in x.dims if letter in dim), ()) for letter in "HW"]
    sizes = [dim[1] if len(dim) == 2 and isinstance(dim[1], int) else 1 for dim in dims]
    if max(map(len, dims)) < 2 or any(
        dim[:1] != (letter,) or len(dim) > 2 for dim, letter in zip(dims, "HW", strict=True)
    ):
        return x
    if any(len(dim) == 2 and not isinstance(dim[1], int) for dim in dims):
        return x
    count, order, last = x.places[0].values.ndim - 3, [], None
    inner: dict[Any, int] = {}
    channel = 0
    for name in (name for dim in x.dims for name in dim if name != "N"):
        if name in ("H", "W"):
            last = name
            continue
        channel += 1
        if isinstance(name, int):
            inner[last] = channel
        else:
            order.append(channel)

    def join(one: Tensor) -> Tensor:
        rows, columns = ([inner[letter]] if letter in inner else [] for letter in "HW")
        apart = one.permute(0, *order, count + 1, *rows, count + 2, *columns)
        return apart.reshape(
            len(one), *apart.shape[1 : 1 + len(order)], one.shape[-2] * sizes[0], one.shape[-1] * sizes[1]
        )

    layout = tuple(dim[:1] if dim[0] in ("H", "W") else dim for dim in x.dims)
    rows, columns = (
        Axis(tuple(size * k + j for k in axis.stored for j in range(size)), axis.endless if size == 1 else None)
        for axis, size in zip(x.axes, sizes, strict=True)
    )
    found = x.each_stored(join, layout)
    places = [
        Place(_scale(one.rows, sizes[0]), _scale(one.columns, sizes[1]), one.values, one.background)
        for one in found.places
    ]
    return Patched(places, layout, x.batch, (rows, columns))


def _scale(span: Pair, size: int) -> Pair:
    return size * span[0], size * span[1]
