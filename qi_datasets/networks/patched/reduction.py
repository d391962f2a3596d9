"""Rules for sums, means and maxima over all positions, over channels, or over both."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from qi_datasets.networks.operators import pair
from qi_datasets.networks.patched.resampling import combine_adaptive
from qi_datasets.networks.patched.tensor import Once, Patched, PerImage, Place

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


def reduced(x: Patched, of: Callable[[Tensor, Tensor | None, Tensor], Tensor], *, presence: bool = False) -> PerImage:
    """Returns values (N, *channels) that are computed from all positions of each image.

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
    return PerImage(found, x.batch)


def _sum(background: Tensor | None, outside: Tensor | None, values: Tensor) -> Tensor:
    inside = values.sum((-2, -1))
    if background is None or outside is None:
        return inside
    # What does not occur is left out, as it may be infinite.
    weighted = torch.where(outside > 0, background * outside.to(background.dtype), 0)
    return inside + weighted.sum((-2, -1))


def _max(background: Tensor | None, outside: Tensor | None, values: Tensor) -> Tensor:
    inside = values.amax((-2, -1))
    if background is None or outside is None or not bool((outside > 0).any()):
        return inside
    return torch.maximum(inside, background.masked_fill(outside <= 0, -math.inf).amax((-2, -1)))


def _highest(x: Patched) -> PerImage:
    # Where gradients are wanted, it is spread over all positions that have the maximum.
    if torch.is_grad_enabled():
        return _of_whole(x, lambda maps: maps.amax((-2, -1)))
    return reduced(x, _max, presence=True)


def _kept(x: Patched, found: PerImage, keepdim: bool) -> PerImage:
    """Values with the positions' dimensions, each of size 1, where the layout has them."""
    if not keepdim:
        return found
    rows, columns = sorted(x.positions)
    return found.each(lambda one: one.unsqueeze(rows).unsqueeze(columns))


def _dims(x: Any, dim: Dims) -> tuple[int, ...]:
    every = range(x.ndim)
    if dim is None or dim in ((), []):
        return tuple(every)
    return tuple(sorted(every[one] for one in (dim if isinstance(dim, tuple | list) else (dim,))))


def means(x: Any, dims: tuple[int, ...], *, keepdim: bool) -> Any:
    """Returns means over all positions, and over some channels."""
    found = torch.sum(x, dims, keepdim=keepdim)
    return found / math.prod(x.shape[one] for one in dims)


def _over(x: Any, dim: Dims, keepdim: bool, positions: Any, channels: Any) -> Any:
    """A reduction over all positions, over channels, or over both, of which the one over both is that of one by one.

    positions: what computes it over positions; channels: over stored dimensions of maps or of values
    """
    dims = _dims(x, dim)
    if not isinstance(x, Patched) or 0 in dims or x.letters[0] != "N":
        return NotImplemented
    places = [one for one in x.positions if one in dims]
    over = tuple(one for one in dims if one not in x.positions)
    if len(places) == 1:
        return NotImplemented
    stored = tuple(1 + x.channels.index(one) for one in over)
    if over:
        layout = x.letters if keepdim or places else "".join(c for k, c in enumerate(x.letters) if k not in over)
        x = x.each(lambda one: channels(one, stored, bool(keepdim or places)), layout)
    if not places:
        return x
    found = _kept(x, positions(x), True)
    return found if keepdim else found.each(lambda one: one.squeeze(dims))


def _register(name: str, positions: Any, channels: Any) -> None:
    @Patched.rules.register(name)
    def rule(func: Any, input: Any, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
        return NotImplemented if dtype is not None else _over(input, dim, keepdim, positions, channels)

    @PerImage.rules.register(name)
    def per_image(func: Any, input: Any, dim: Dims = None, keepdim: bool = False, **kwargs: Any) -> Any:
        if 0 in _dims(input, dim):
            return NotImplemented
        return input.each(lambda one: func(one, dim, keepdim, **kwargs))


def _total(x: Patched) -> PerImage:
    return reduced(x, _sum)


_register("sum", _total, lambda one, dims, keep: one.sum(dims, keep))
_register("mean", lambda x: _total(x) / (x.sides[0] * x.sides[1]), lambda one, dims, keep: one.mean(dims, keep))
_register("amax", _highest, lambda one, dims, keep: one.amax(dims, keep))
_register("amin", lambda x: -_highest(-x), lambda one, dims, keep: one.amin(dims, keep))


@Patched.rules.register("var", "std")
def variance(
    func: Any,
    input: Any,
    dim: Dims = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: Any = None,
) -> Any:
    """Computes variances over all positions from the differences to the mean."""
    dims = _dims(input, dim)
    if isinstance(dim, bool) or not isinstance(unbiased, bool) or 0 in dims:
        return NotImplemented
    count = math.prod(input.shape[one] for one in dims)
    correction = int(unbiased) if correction is None else correction
    centred = input - means(input, dims, keepdim=True)
    found = torch.sum(centred * centred, dims, keepdim=keepdim) / max(count - correction, 0)
    return found.sqrt() if func in (torch.std, Tensor.std) else found


@Patched.rules.register("var_mean", "std_mean")
def variance_and_mean(func: Any, input: Any, dim: Dims = None, *args: Any, keepdim: bool = False, **kwargs: Any) -> Any:
    """Computes both."""
    first = torch.var if func is torch.var_mean else torch.std
    return first(input, dim, *args, keepdim=keepdim, **kwargs), torch.mean(input, _dims(input, dim), keepdim=keepdim)


@Patched.rules.register("norm", "linalg_vector_norm", "linalg_norm")
def norm(func: Any, input: Any, *args: Any, **kwargs: Any) -> Any:
    """Computes Euclidean norms."""
    names = ("p", "dim", "keepdim") if func in (torch.norm, Tensor.norm) else ("ord", "dim", "keepdim")
    given = dict(zip(names, args, strict=False)) | kwargs
    order = given.pop(names[0], 2)
    dim, keepdim = given.pop("dim", None), given.pop("keepdim", False)
    if order not in (2, 2.0, "fro", None) or any(value is not None for value in given.values()):
        return NotImplemented
    return torch.sum(input * input, _dims(input, dim), keepdim=keepdim).sqrt()


@Patched.rules.register("adaptive_avg_pool2d")
def adaptive_avg_pool2d(func: Any, input: Any, output_size: Any) -> Any:
    """Computes the mean over all positions, or over parts of them."""
    if input.letters != "NCHW":
        return NotImplemented
    if output_size is None or (isinstance(output_size, tuple | list) and None in output_size):
        return NotImplemented
    if pair(output_size) == (1, 1):
        return torch.mean(input, (2, 3), True)
    return combine_adaptive(input, pair(output_size))


@Patched.rules.register("adaptive_max_pool2d")
def adaptive_max_pool2d(func: Any, input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Computes the maximum over all positions."""
    if (
        input.letters != "NCHW"
        or return_indices
        or None in (output_size if isinstance(output_size, tuple | list) else ())
    ):
        return NotImplemented
    if pair(output_size) != (1, 1):
        return NotImplemented
    if torch.is_grad_enabled():
        # The gradient goes to the first of the positions that have the maximum.
        return _of_whole(input, lambda maps: func(maps, 1))
    return reduced(input, _max, presence=True).each(lambda one: one[:, :, None, None])


def _of_whole(x: Patched, of: Callable[[Tensor], Tensor]) -> PerImage:
    """What a function computes of each image's whole map."""
    x, once = x.as_whole(), Once()
    return PerImage([once(id(one.values), of, one.values) for one in x.places], x.batch)


def _channelwise(func: Any, input: Any, dim: int | None = None, *args: Any, **kwargs: Any) -> Any:
    """A function over one dimension of channels that keeps it."""
    if dim is None or input.letters[dim] != "C":
        return NotImplemented
    stored = 1 + input.channels.index(dim % input.ndim)
    return input.each(lambda one: func(one, stored, *args, **kwargs))


for _name in ("softmax", "log_softmax", "cumsum"):
    Patched.rules[_name] = _channelwise


@Patched.rules.register("local_response_norm", "channel_shuffle")
def over_channels(func: Any, input: Any, *args: Any, **kwargs: Any) -> Any:
    """Computes each position over its channels, which are dimension 1."""
    return input.each(lambda one: func(one, *args, **kwargs)) if input.letters == "NCHW" else NotImplemented


@PerImage.rules.register("softmax", "log_softmax")
def softmax_per_image(func: Any, input: Any, dim: int | None = None, *args: Any, **kwargs: Any) -> Any:
    """Computes each image by itself."""
    if dim is None or dim % input.ndim == 0:
        return NotImplemented
    return input.each(lambda one: func(one, dim, *args, **kwargs))
