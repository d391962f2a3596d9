"""Rules for products of matrices, and for attention: within blocks of positions, to channels, or to all positions."""

from typing import Any

import torch
from torch import Tensor

from qi_datasets.networks.patched.alone import combine, is_gated_cheaper_whole, over
from qi_datasets.networks.patched.reduction import occurrences, reduced
from qi_datasets.networks.patched.tensor import NCHW, Layout, Once, Patched, Place, lay_out, store

_POSITIONS = ("H", "W")


@Patched.rules.register("matmul", "bmm")
def matmul(func: Any, input: Any, other: Any) -> Any:
    """Computes each position's product, or the sum over all positions of those of each."""
    if not isinstance(input, Patched) or not isinstance(other, Tensor) or min(input.ndim, other.ndim) < 2:
        return NotImplemented
    if not isinstance(other, Patched):
        if not input.has_channels(-1) or other.ndim > input.ndim:
            return NotImplemented
        return combine([input, other], func, input.dims, free=2)
    layout = input.dims[:-1] + other.dims[-1:]
    if input.dims[-1] == other.dims[-2] == _POSITIONS:
        alone = input.dims[0] == ("N",) and input.has_channels(*range(1, input.ndim - 1)) and other.has_channels(-1)
        same = input.dims[:-2] == other.dims[:-2] and input.sides == other.sides
        return _sum_of_products(input, other) if alone and same else NotImplemented
    if not (input.has_channels(-1) and other.has_channels(-2) and (input.has_channels(-2) or other.has_channels(-1))):
        return NotImplemented
    return combine([input, other], func, layout, free=2)


def _beside(one: Patched, other: Patched) -> Patched:
    """Two maps, whose channels are put one after another, as (N, C, H, W)."""
    apart = [x.each_stored(lambda values: values.flatten(1, -3), NCHW) for x in (one, other)]
    return torch.cat(apart, 1)  # type: ignore[return-value, arg-type]


def _sum_of_products(one: Patched, other: Patched) -> Patched:
    sizes = [x.places[0].values.shape[1:-2] for x in (one, other)]

    def product(values: Tensor) -> tuple[Tensor, ...]:
        parts = values.split([size.numel() for size in sizes], 1)
        return tuple(part.unflatten(1, size).flatten(-2) for part, size in zip(parts, sizes, strict=True))

    def of(background: Tensor | None, outside: Tensor | None, values: Tensor) -> Tensor:
        left, right = product(values)
        found = left @ right.transpose(-1, -2)
        if background is not None and outside is not None:
            left, right = product(torch.where(outside > 0, background, 0))
            found = found + left * outside.flatten().to(left.dtype) @ right.transpose(-1, -2)
        return found

    layout: Layout = one.dims[:-1] + (("C",),)
    return reduced(_beside(one, other), of, layout)


@Patched.rules.register("scaled_dot_product_attention")
def attention(
    func: Any,
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    **kwargs: Any,
) -> Any:
    """Computes attention within blocks, from positions to channels, or to all positions, those alike being one key."""
    given = [one for one in (query, key, value) if isinstance(one, Patched)]
    if dropout_p or is_causal or len(given) != 3 or not query.has_channels(-1):
        return NotImplemented
    layout = query.dims
    if key.has_channels(-2, -1) and value.has_channels(-2, -1):
        if attn_mask is not None and not query.has_channels(-2):
            return NotImplemented
        operands = given if attn_mask is None else [*given, attn_mask]
        return combine(operands, lambda q, k, v, mask=None: func(q, k, v, mask, **kwargs), layout, free=2)
    if key.dims[-2] != _POSITIONS or value.dims != key.dims or value.sides != key.sides:
        return NotImplemented
    if query.is_map and query.dims != key.dims:
        return NotImplemented
    if any(one.dims[0] != ("N",) or not one.has_channels(*range(1, one.ndim - 2), -1) for one in given):
        return NotImplemented
    if attn_mask is not None or any(one.is_whole and one.is_map for one in given) or is_gated_cheaper_whole(key):
        if attn_mask is not None and not all(one.is_whole for one in given):
            return NotImplemented
        return _whole_attention(func, [one.as_whole() for one in given], attn_mask, kwargs)
    return _attend(func, query, key, value, kwargs)


def _whole_attention(func: Any, given: list[Patched], mask: Any, kwargs: Any) -> Patched:
    """Attention where windows are whole maps, one after another."""
    once, parts = Once(), []
    for places in zip(*(one.places for one in given), strict=True):
        values = [place.values for place in places]

        def of(values: list[Tensor] = values) -> Tensor:
            laid = [lay_out(one, x.dims) for one, x in zip(values, given, strict=True)]
            return store(func(*laid, mask, **kwargs), given[0].dims, given[0].sides)

        parts.append(once(tuple(map(id, values)), of))
    return Patched.of_whole(parts, given[0].dims, given[0].batch)


def _attend(func: Any, query: Patched, key: Patched, value: Patched, kwargs: Any) -> Patched:
    """Attention to all positions. A key that occurs k times is one key whose score is greater by log k."""
    beside, once, places = _beside(key, value), Once(), []
    sizes = [x.places[0].values.shape[1:-2] for x in (key, value)]

    def attend(queries: Tensor, place: Place, outside: Tensor) -> Tensor:
        asked = lay_out(queries, query.dims)
        seen = place.values.flatten(2), place.background.flatten(2)[..., outside > 0]  # type: ignore[union-attr]
        count = max(len(asked), len(seen[0]))
        both = torch.cat([one.expand(count, -1, -1) for one in seen], 2)
        keys, values = (
            part.unflatten(1, size).transpose(-1, -2)
            for part, size in zip(both.split([size.numel() for size in sizes], 1), sizes, strict=True)
        )
        bias = torch.cat([outside.new_zeros(seen[0].shape[2]), outside[outside > 0].log()]).to(asked.dtype)
        found = func(asked.expand(count, *asked.shape[1:]), keys, values, bias.expand(asked.shape[-2], -1), **kwargs)
        return store(found, query.dims, queries.shape[-2:])

    for own, place in zip(query.places, beside.places, strict=True):
        outside = occurrences(beside, place)
        assert outside is not None  # noqa: S101
        outside = outside.flatten()
        seen = id(place.values), id(place.background), tuple(outside.tolist())
        values = once((id(own.values), *seen), attend, own.values, place, outside)
        around = own.background
        if around is not None:
            around = once((id(around), "background", *seen), attend, around, place, outside)
        places.append(Place(own.rows, own.columns, values, around))
    return query.with_places(places)


@Patched.rules.register("softmax")
def softmax(func: Any, input: Any, dim: Any = None, *args: Any, **kwargs: Any) -> Any:
    """Computes each position over channels, or each channel over all positions."""
    if dim is None or kwargs.get("dtype") is not None:
        return NotImplemented
    if input.dims[dim] != _POSITIONS:
        return over("dim")(func, input, dim, *args, **kwargs)
    shifted = (input - torch.amax(input, dim, True)).exp()
    return shifted / torch.sum(shifted, dim, True)
