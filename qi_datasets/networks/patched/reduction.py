"""Rules for sums, means, variances and maxima over all positions, over channels, or over both."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from qi_datasets.networks.operators import operator_of, pair
from qi_datasets.networks.patched.resampling import combine_adaptive
from qi_datasets.networks.patched.tensor import NCHW, Layout, Once, Patched, Place
from qi_datasets.networks.patched.windows import combine_positions

Dims = int | tuple[int, ...] | list[int] | None


def occurrences(x: Patched, place: Place) -> Tensor | None:
    """Returns how often each stored position occurs outside of a place's window, (stored rows, stored columns)."""
    if place.background is None:
        return None
    sizes = place.background.shape[-2:]
    whole, inside = (
        torch.outer(*(_counts(axis.counts(*span), size) for axis, span, size in zip(x.axes, spans, sizes, strict=True)))
        for spans in (((0, x.sides[0]), (0, x.sides[1])), (place.rows, place.columns))
    )
    return (whole - inside).to(place.background.device)


def _counts(counts: dict[int, int], size: int) -> Tensor:
    return torch.tensor([counts.get(one, 0) for one in range(size)], dtype=torch.float64)


def reduced(
    x: Patched,
    of: Callable[[Tensor, Tensor | None, Tensor], Tensor],
    layout: Layout,
    *,
    presence: bool = False,
) -> Patched:
    """Returns values of each image, with a layout, that are computed from all positions.

    of: of the background, how often its positions occur outside of the window (both None for none), and the window
    presence: whether it matters only which positions occur, not how often
    """
    once, found = Once(), []
    for place in x.places:
        outside = occurrences(x, place)
        counted = outside if outside is None or not presence else outside > 0
        seen = None if counted is None else tuple(counted.flatten().tolist())
        key = id(place.values), id(place.background), seen
        found.append(once(key, of, place.background, outside, place.values))
    return Patched.of_whole(found, layout, x.batch)


def _sum(background: Tensor | None, outside: Tensor | None, values: Tensor) -> Tensor:
    inside = values.sum((-2, -1))
    if background is None or outside is None:
        return inside
    # Positions that don't occur are left out, since they may be infinite.
    weighted = torch.where(outside > 0, background * outside.to(background.dtype), 0)
    return inside + weighted.sum((-2, -1))


def _max(background: Tensor | None, outside: Tensor | None, values: Tensor) -> Tensor:
    inside = values.amax((-2, -1))
    if background is None or outside is None or not bool((outside > 0).any()):
        return inside
    return torch.maximum(inside, background.masked_fill(outside <= 0, -math.inf).amax((-2, -1)))


def _dims(x: Any, dim: Dims) -> tuple[int, ...]:
    every = range(x.ndim)
    if dim is None or dim in ((), []):
        return tuple(every)
    return tuple(sorted(every[one] for one in (dim if isinstance(dim, tuple | list) else (dim,))))


@Patched.rules.register("sum", "mean", "amax", "amin", "logsumexp")
def reduce(func: Any, input: Any, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Computes a reduction over channels, then over positions, for functions where one after the other is the same."""
    name, dims = operator_of(func).name, _dims(input, dim)
    if dtype is not None or any("N" in input.dims[one] for one in dims):
        return NotImplemented
    channels = tuple(one for one in dims if input.has_channels(one))
    placed = tuple(one for one in dims if one not in channels)
    if channels:
        keeps = keepdim or bool(placed)
        layout = input.dims if keeps else tuple(part for k, part in enumerate(input.dims) if k not in channels)
        input = input.each(lambda one: func(one, channels, keeps), layout)
    if not placed:
        return input
    factors = [name for one in placed for name in input.dims[one]]
    if factors in (["H"], ["W"]) and keepdim and name in ("sum", "mean"):
        return _of_lines(input, factors[0], 1 if name == "sum" else input.shape[placed[0]])
    if sorted(map(str, factors)) != ["H", "W"] or name == "logsumexp":
        return NotImplemented
    found = _over_positions(name, input, placed)
    return found if keepdim else found.each(lambda one: one.squeeze(dims), _without(found.dims, dims))


def _without(layout: Layout, dims: tuple[int, ...]) -> Layout:
    return tuple(part for k, part in enumerate(layout) if k not in dims)


def _over_positions(name: str, x: Patched, placed: tuple[int, ...]) -> Patched:
    """Returns a reduction over the positions, whose dimensions stay, with size 1."""
    of_image = _without(x.dims, placed)
    if name == "amin":
        return torch.neg(_over_positions("amax", torch.neg(x), placed))  # type: ignore[arg-type, return-value]
    if name == "amax" and torch.is_grad_enabled():
        # The gradient is spread over all positions that have the maximum.
        found = x.each_whole(lambda maps: maps.amax(placed), of_image)
    else:
        found = reduced(x, _max if name == "amax" else _sum, of_image, presence=name == "amax")
    for one in placed:
        found = found.unsqueeze(one)  # type: ignore[assignment]
    return found / (x.sides[0] * x.sides[1]) if name == "mean" else found  # type: ignore[return-value]


def _of_lines(x: Patched, letter: str, count: int) -> Patched:
    """Returns sums over rows, or over columns, divided by a number."""
    matrices = [torch.eye(side, dtype=torch.float64) for side in x.sides]
    axis = "HW".index(letter)
    matrices[axis] = torch.full((1, x.sides[axis]), 1 / count, dtype=torch.float64)
    return combine_positions(x, (matrices[0], matrices[1]))


def means(x: Any, dims: tuple[int, ...], *, keepdim: bool) -> Any:
    """Returns means over all positions, and over some channels."""
    return torch.sum(x, dims, keepdim=keepdim) / math.prod(x.shape[one] for one in dims)


@Patched.rules.register("var", "std", "var_mean", "std_mean")
def variance(
    func: Any,
    input: Any,
    dim: Dims = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: Any = None,
) -> Any:
    """Computes variances from the differences to the mean."""
    dims, name = _dims(input, dim), operator_of(func).name
    if isinstance(dim, bool) or not isinstance(unbiased, bool) or any("N" in input.dims[one] for one in dims):
        return NotImplemented
    count = math.prod(input.shape[one] for one in dims)
    correction = int(unbiased) if correction is None else correction
    centred = input - means(input, dims, keepdim=True)
    found = torch.sum(centred * centred, dims, keepdim=keepdim) / max(count - correction, 0)
    found = _root(found) if name.startswith("std") else found
    return (found, torch.mean(input, dims, keepdim=keepdim)) if name.endswith("mean") else found


@Patched.rules.register("norm", "linalg_vector_norm", "linalg_norm")
def norm(func: Any, input: Any, *args: Any, **kwargs: Any) -> Any:
    """Computes Euclidean norms."""
    names = ("p" if operator_of(func).name == "norm" else "ord", "dim", "keepdim")
    given = dict(zip(names, args, strict=False)) | kwargs
    order = given.pop(names[0], 2)
    dim, keepdim = given.pop("dim", None), given.pop("keepdim", False)
    if order not in (2, 2.0, "fro", None) or any(value is not None for value in given.values()):
        return NotImplemented
    return _root(torch.sum(input * input, _dims(input, dim), keepdim=keepdim))


def _root(x: Any) -> Any:
    """Returns square roots, whose gradient at 0 is 0, as that of torch's norms and deviations."""
    if not torch.is_grad_enabled():
        return x.sqrt()
    zero = x == 0
    return x.masked_fill(zero, 1).sqrt().masked_fill(zero, 0)


@Patched.rules.register("adaptive_avg_pool2d", "adaptive_max_pool2d")
def adaptive_pool2d(func: Any, input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Computes the mean or the maximum over all positions, or means over parts of them."""
    sizes = output_size if isinstance(output_size, tuple | list) else (output_size,)
    averages = operator_of(func).name == "adaptive_avg_pool2d"
    if input.dims != NCHW or return_indices or None in sizes:
        return NotImplemented
    if pair(output_size) != (1, 1):
        return combine_adaptive(input, pair(output_size)) if averages else _largest_of_parts(input, pair(output_size))
    if averages:
        return torch.mean(input, (2, 3), True)
    if torch.is_grad_enabled():
        # The gradient goes to the first of the positions that have the maximum.
        return input.each_whole(lambda maps: func(maps, 1), (("N",), ("C",), ("C",), ("C",)))
    return torch.amax(input, (2, 3), True)


def _largest_of_parts(x: Patched, size: tuple[int, int]) -> Any:
    """Returns maxima over the parts of `F.adaptive_max_pool2d`, one by one."""
    spans = [
        [(k * side // count, -(-(k + 1) * side // count)) for k in range(count)]
        for side, count in zip(x.sides, size, strict=True)
    ]
    parts = [
        torch.nn.functional.adaptive_max_pool2d(x[:, :, slice(*rows), slice(*columns)], 1)
        for rows in spans[0]
        for columns in spans[1]
    ]
    count, channels = x.shape[:2]
    return torch.cat(parts, -1).reshape(count, channels, *size)
