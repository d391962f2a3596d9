"""Rules for elementwise functions: of one tensor, or of several, with gates and constants."""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from qi_datasets.networks.operators import Pair, operator_of, pointwise_functions
from qi_datasets.networks.patched.axes import Axis, join_axes, pick
from qi_datasets.networks.patched.tensor import NCHW, Layout, Once, Patched, Place, empty_like, lay_out, size_of, store
from qi_datasets.networks.patched.windows import take

_COPIES = ("to", "float", "double", "half", "bfloat16", "clone", "detach", "nan_to_num", "type_as", "contiguous")
_DROPOUTS = (
    *("dropout", "dropout1d", "dropout2d", "dropout3d"),
    *("alpha_dropout", "feature_alpha_dropout", "feature_dropout"),
)


@Patched.rules.register(*pointwise_functions())
def pointwise(func: Any, *args: Any, **kwargs: Any) -> Any:
    """Computes windows and backgrounds alike; a constant that differs by position is cropped to match."""
    operands = [one for one in (*args, *kwargs.values()) if isinstance(one, Tensor) and one.ndim]
    if any(isinstance(one, tuple | list) for one in args):
        return NotImplemented

    def compute(*values: Tensor) -> Any:
        def put(one: Any) -> Any:
            return next((value for own, value in zip(operands, values, strict=True) if own is one), one)

        return func(*map(put, args), **{name: put(one) for name, one in kwargs.items()})

    return combine(operands, compute)


def combine(
    operands: Sequence[Tensor],
    compute: Callable[..., Tensor],
    layout: Layout | None = None,
    *,
    free: int = 0,
    joins: bool = False,
) -> Any:
    """Computes a function of several tensors at each position alone, with torch's broadcasting.

    operands: the tensors, at least one of which is a `Patched`
    compute: the function, called with some images and positions of each operand, with the operand's dimensions
    layout: the result's layout, if it is not that of the largest operand
    free: number of last dimensions that need not match, as in products of matrices
    joins: whether it concatenates the channels of maps

    Returns NotImplemented if matching dimensions of the operands run over different things.
    """
    like = max((one for one in operands if isinstance(one, Patched)), key=lambda one: (one.is_map, one.ndim, one.sides))
    held = [_operand(one, like, free) for one in operands]
    if any(one is NotImplemented for one in held):
        return NotImplemented
    varying = [one for one in held if isinstance(one, Patched)]
    if len(varying) == 1:
        return like.each(lambda values: compute(*(values if one is like else one for one in held)), layout)
    maps = [one for one in varying if one.is_map]
    gated = len(maps) < len(varying)
    axes, picks = like.axes, [(None, None)] * len(maps)
    if any(one.is_whole for one in maps) or (gated and is_gated_cheaper_whole(like)):
        held = [one.as_whole() if isinstance(one, Patched) else one for one in held]
        maps = [one for one in held if isinstance(one, Patched) and one.is_map]
        axes = maps[0].axes if maps else axes
    elif maps:
        joined = [join_axes(tuple(one.axes[axis] for one in maps)) for axis in (0, 1)]
        axes, picks = (joined[0][1], joined[1][1]), [*zip(joined[0][0], joined[1][0], strict=True)]  # type: ignore[list-item]
    once, places = Once(), []

    def finished(found: Tensor, sides: Sequence[int]) -> Tensor:
        return store(found, layout or like.dims, sides)

    joins = joins and len(maps) == len(held) and like.dims is NCHW and not torch.is_grad_enabled()
    joins = joins and all(one.dtype == like.dtype for one in held)

    def window(number: int, rows: Pair, columns: Pair) -> Tensor:
        if joins:
            return _beside(held, number, rows, columns)
        parts = [_part(one, number, rows, columns) for one in held]
        return finished(compute(*parts), (rows[1] - rows[0], columns[1] - columns[0]))

    def background(number: int) -> Tensor:
        index, parts = iter(picks), []
        for one in held:
            values = one.places[number].values if isinstance(one, Patched) else one
            if isinstance(one, Patched) and one.is_map:
                values = pick(one.places[number].background, *next(index))  # type: ignore[arg-type]
                sides = values.shape[-2:]
            parts.append(values)
        # One background for all images meets those of each, also where images are joined with channels.
        count = max(len(part) for part, one in zip(parts, held, strict=True) if isinstance(one, Patched))
        parts = [
            lay_out(part.expand(count, *part.shape[1:]), one.dims) if isinstance(one, Patched) else part
            for part, one in zip(parts, held, strict=True)
        ]
        return finished(compute(*parts), sides)

    for number in range(len(like.places)):
        own = [one.places[number] for one in maps or varying]
        rows = min(one.rows[0] for one in own), max(one.rows[1] for one in own)
        columns = min(one.columns[0] for one in own), max(one.columns[1] for one in own)
        key = tuple(
            one.key(one.places[number], rows, columns) if one.is_map else id(one.places[number].values)
            for one in varying
        )
        around = None
        if own[0].background is not None:
            shared = (
                "background",
                *(id(one.places[number].background if one.is_map else one.places[number].values) for one in varying),
            )
            around = once(shared, like.batch.background, background, number)
        places.append(Place(rows, columns, once(key, window, number, rows, columns), around))
    return like.with_places(places, axes, layout)


def _part(one: Any, number: int, rows: Pair, columns: Pair) -> Any:
    """Returns an operand's values at these positions for a place's images."""
    if not isinstance(one, Patched):
        return one
    place = one.places[number]
    return lay_out(one.block(place, rows, columns) if one.is_map else place.values, one.dims)


def _beside(maps: Sequence[Patched], number: int, rows: Pair, columns: Pair) -> Tensor:
    """Returns the concatenated channels of several maps, each written once."""
    places = [one.places[number] for one in maps]
    sizes, count = [one.values.shape[1] for one in places], max(len(one.values) for one in places)
    found = empty_like(places[0].values, (count, sum(sizes), rows[1] - rows[0], columns[1] - columns[0]))
    for one, place, into in zip(maps, places, torch.split(found, sizes, 1), strict=True):
        one.block(place, rows, columns, into=into)
    return found


def _of_images(dims: Layout) -> Layout:
    """Returns the layout without positions."""
    return tuple(tuple(one for one in dim if one not in ("H", "W")) if "N" in dim else ("C",) for dim in dims)


def _operand(one: Any, like: Patched, free: int) -> Any:
    """Returns an operand as a map with the positions of `like`, as values of each image, or as a constant."""
    if isinstance(one, Patched) and one.batch is not like.batch:
        one = one.whole()
    if one.ndim > like.ndim:
        return NotImplemented
    targets = like.dims[like.ndim - one.ndim :]
    if not isinstance(one, Patched):
        return _constant(one, like, free)
    if one.is_map and one.sides == (1, 1) != like.sides:
        dims, layout = one.dims, _of_images(one.dims)
        parts = [place.values for place in one.as_whole().places]
        one = Patched.of_whole([store(lay_out(part, dims), layout, ()) for part in parts], layout, one.batch)
    if one.is_map and one.sides != like.sides:
        if any(own not in (1, side) for own, side in zip(one.sides, like.sides, strict=True)):
            return NotImplemented
        rows, columns = ((0,) * side if own == 1 else None for own, side in zip(one.sides, like.sides, strict=True))
        one = take(one, rows, columns)
    pairs = [*zip(one.dims, one.shape, targets, strict=True)][: one.ndim - free]
    fits = all(dim == target or (size == 1 and dim == ("C",)) for dim, size, target in pairs)
    return one if fits else NotImplemented


def _constant(one: Tensor, like: Patched, free: int) -> Any:
    """Returns an ordinary tensor as it is, or as a map or values of each image if it differs by position or image."""
    shape = [1] * (like.ndim - one.ndim) + list(one.shape)
    special = [k for k, dim in enumerate(like.dims[: like.ndim - free]) if dim != ("C",) and shape[k] != 1]
    if any(shape[k] != like.shape[k] for k in special):
        return NotImplemented
    if not special:
        return one
    placed = any("H" in like.dims[k] or "W" in like.dims[k] for k in special)
    by_image = any("N" in like.dims[k] for k in special)
    if not placed:
        layout = _of_images(like.dims)
        return Patched.of_whole(like.batch.apart(store(one.reshape(shape), layout, ())), layout, like.batch)
    over = [like.shape[k] if {"H", "W"} & {*dim} else shape[k] for k, dim in enumerate(like.dims)]
    values = store(one.reshape(shape).expand(over), like.dims, like.sides)
    if by_image and len(values) == like.batch.count:
        return Patched.of_whole(like.batch.apart(values), like.dims, like.batch)
    return constant_map(values[:1], like)


def constant_map(values: Tensor, like: Patched) -> Patched:
    """Returns a map that is the same for all images, stored (1, *channels, H, W), with the dimensions of `like`."""
    axes = Axis.unfolded(values.shape[-2]), Axis.unfolded(values.shape[-1])
    corner = values[..., :1, :1]
    places = [Place((0, 1), (0, 1), corner.expand(count, *corner.shape[1:]), values) for count in like.batch.counts]
    return Patched(places, like.dims, like.batch, axes)


def is_gated_cheaper_whole(x: Patched) -> bool:
    """Returns whether backgrounds for each image, with windows, are larger than whole maps."""
    if not x.batch.by_area or not x.is_map:
        return False
    own = {id(one.values): (len(one.values), one) for one in x.places}.values()
    stored = 0 if x.is_whole else x.places[0].background.shape[-2:].numel()  # type: ignore[union-attr]
    cost = sum(count * (size_of((one.rows, one.columns)) + stored) for count, one in own)
    return cost > x.sides[0] * x.sides[1] * x.batch.count


@Patched.rules.register(*_COPIES)
def copied(func: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    """Computes each part; the order of parts in memory is our own."""
    if not isinstance(x, Patched):
        return NotImplemented
    kwargs.pop("memory_format", None)
    args = tuple(args[0].dtype if isinstance(one, Tensor) else one for one in args)
    return x.each_stored(lambda one: one if operator_of(func).name == "contiguous" else func(one, *args, **kwargs))


@Patched.rules.register(*_DROPOUTS)
def dropout(func: Any, input: Any, p: float = 0.5, training: bool = True, **_: Any) -> Any:
    """Does nothing in evaluation mode; random numbers are drawn for whole maps."""
    return NotImplemented if training and p else input.each_stored(lambda one: one)


def over(*wanted: int | str) -> Callable[..., Any]:
    """Returns a rule for a function of one tensor over dimensions of channels, which keeps them.

    wanted: the dimensions, or the name of the first argument after the tensor, which has the dimensions or, if it
        is a shape, how many of the last ones
    """

    def rule(func: Any, input: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(input, Patched) or any(isinstance(one, Patched) for one in (*args, *kwargs.values())):
            return NotImplemented
        dims: Any = wanted
        if isinstance(wanted[0], str):
            given = kwargs.get(wanted[0], args[0] if args else None)
            dims = (given,) if isinstance(given, int) else () if given is None else tuple(range(-len(given), 0))
        if not dims or max(dims) >= input.ndim or not input.has_channels(*dims):
            return NotImplemented
        return input.each(lambda one: func(one, *args, **kwargs))

    return rule


Patched.rules.register("log_softmax", "cumsum", "glu")(over("dim"))
Patched.rules.register("rms_norm")(over("normalized_shape"))
Patched.rules.register("prelu", "local_response_norm", "channel_shuffle")(over(1))
Patched.rules.register("linear")(over(-1))


@Patched.rules.register("cat")
def cat(func: Any, tensors: Any, dim: int = 0) -> Any:
    """Concatenates channels of several tensors."""
    like = max(tensors, key=lambda one: (isinstance(one, Patched), getattr(one, "is_map", False)))
    if not like.has_channels(dim) or any(one.ndim != like.ndim for one in tensors):
        return NotImplemented
    dim %= like.ndim

    def together(*parts: Tensor) -> Tensor:
        shape = [max(sizes) for sizes in zip(*(part.shape for part in parts), strict=True)]
        return torch.cat([part.expand(*shape[:dim], -1, *shape[dim + 1 :]) for part in parts], dim)

    # DenseNet concatenates all earlier maps in each layer: all but the last have been concatenated already.
    key = dim, torch.is_grad_enabled()
    first, maps = tensors[0], [one.places if isinstance(one, Patched) else one for one in tensors]
    seen, parts = getattr(first, "joined", None), tensors
    if seen is not None and seen.key == key and len(seen.maps) < len(maps) and all(map(operator.is_, maps, seen.maps)):
        parts = [seen.result, *tensors[len(seen.maps) :]]
    found = combine(parts, together, joins=dim == 1)
    ours = all(isinstance(one, Patched) and not one.is_written_elsewhere for one in tensors)
    if ours and isinstance(found, Patched):
        first.joined = Joined(key, maps, Patched(found.places, found.dims, found.batch, found.axes))
    return found


@dataclass(frozen=True)
class Joined:
    """The maps that were concatenated last, and their concatenation.

    key: in which dimension, and whether gradients were wanted
    """

    key: tuple[int, bool]
    maps: Sequence[Any]
    result: Patched


@Patched.rules.register("stack")
def stack(func: Any, tensors: Any, dim: int = 0) -> Any:
    """Stacks tensors in a new dimension."""
    return torch.cat([one.unsqueeze(dim) for one in tensors], dim)


@Patched.rules.register("normalize")
def normalize(func: Any, input: Any, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: Any = None) -> Any:
    """Divides by norms."""
    return input / torch.norm(input, p, dim, keepdim=True).clamp_min(eps)
