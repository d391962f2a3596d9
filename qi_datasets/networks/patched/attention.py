"""Rules for products of matrices, and for attention: within blocks of positions, to channels, or to all positions."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from qi_datasets.networks.patched.alone import combine, is_gated_cheaper_whole, over
from qi_datasets.networks.patched.reduction import occurrences, reduced
from qi_datasets.networks.patched.tensor import NCHW, Layout, Once, Patched, Place, lay_out, store

_POSITIONS = ("H", "W")


@Patched.rules.register("matmul", "bmm")
def matmul(func: Any, input: Any, other: Any) -> Any:
    """Computes each position's product, or the sum of the products over all positions."""
    if not isinstance(input, Patched) or not isinstance(other, Tensor) or min(input.ndim, other.ndim) < 2:
        return NotImplemented
    if not isinstance(other, Patched):
        fits = input.has_channels(-1) and other.ndim <= input.ndim
        return combine([input, other], func, input.dims, free=2) if fits else NotImplemented
    (*rows, contracted), (*_, counterpart, columns) = input.dims, other.dims
    if contracted == counterpart == _POSITIONS:
        same = input.dims[:-2] == other.dims[:-2] and input.sides == other.sides
        return _sum_of_products(func, input, other) if same and other.has_channels(-1) else NotImplemented
    # Scores of each position for all positions, and the values that they weigh, which become channels. Called
    # again, so that no background that depends on them is kept for other images.
    if contracted == _POSITIONS:
        return func(_over_channels(input), other)
    if counterpart == _POSITIONS or rows[-1] == columns == _POSITIONS:
        return func(input, _over_channels(other))
    alone = contracted == counterpart == ("C",) in (rows[-1], columns)
    return combine([input, other], func, (*rows, columns), free=2) if alone else NotImplemented


def _over_channels(x: Patched) -> Patched:
    """Returns values of each image whose channels are all positions of a map."""
    layout: Layout = tuple(("C",) if dim == _POSITIONS else dim for dim in x.dims)
    return x.each_whole(lambda maps: store(maps, layout, ()), layout)


def _beside(one: Patched, other: Patched) -> tuple[Patched, Callable[[Tensor], Iterator[Tensor]]]:
    """Returns two maps with concatenated channels, and the function that separates them, for (n, C, positions)."""
    sizes = [x.places[0].values.shape[1:-2] for x in (one, other)]
    apart = [x.each_stored(lambda values: values.flatten(1, -3), NCHW) for x in (one, other)]

    def each(values: Tensor) -> Iterator[Tensor]:
        parts = torch.split(values, [size.numel() for size in sizes], 1)
        for part, size, x in zip(parts, sizes, (one, other), strict=True):
            yield lay_out(part.reshape(len(part), *size, 1, part.shape[-1]), x.dims)

    return torch.cat(apart, 1), each  # type: ignore[return-value, arg-type]


def _sum_of_products(func: Any, one: Patched, other: Patched) -> Patched:
    beside, apart = _beside(one, other)
    layout = (*one.dims[:-1], *other.dims[-1:])

    def of(background: Tensor | None, outside: Tensor | None, values: Tensor) -> Tensor:
        found = func(*apart(values.flatten(2)))
        if background is not None and outside is not None:
            left, right = apart(torch.where(outside > 0, background, 0).flatten(2))
            found = found + func(left * outside.flatten().to(left.dtype), right)
        return store(found, layout, ())

    return reduced(beside, of, layout)


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
    """Computes attention within blocks, from positions to channels, or to all positions (equal ones are one key)."""
    given = [one for one in (query, key, value) if isinstance(one, Patched)]
    if dropout_p or is_causal or len(given) != 3 or not all(one.has_channels(-1) for one in given):
        return NotImplemented

    def attend(*parts: Tensor) -> Tensor:
        return func(*parts[:3], *parts[3:4], **kwargs)  # type: ignore[no-any-return]

    if key.has_channels(-2) and value.has_channels(-2) and (attn_mask is None or query.has_channels(-2)):
        return combine(given if attn_mask is None else [*given, attn_mask], attend, query.dims, free=2)
    others = query.dims[:-2] == key.dims[:-2] and value.dims == key.dims and value.sides == key.sides
    if not others or key.dims[-2] != _POSITIONS or isinstance(attn_mask, Patched):
        return NotImplemented
    if attn_mask is not None and attn_mask.ndim == query.ndim and attn_mask.shape[0] != 1:
        return NotImplemented  # What is added differs from image to image.
    # A term for each pair of positions, such as a table of relative positions, makes all positions different.
    if attn_mask is not None or any(one.is_whole for one in given if one.is_map) or is_gated_cheaper_whole(key):
        return _attend_whole(lambda *parts: func(*parts, attn_mask, **kwargs), [one.as_whole() for one in given])
    return _attend(attend, query, *_beside(key, value))


def _attend_whole(attend: Any, given: list[Patched]) -> Patched:
    once, parts, dims = Once(), [], given[0].dims

    def of(values: list[Tensor]) -> Tensor:
        return store(attend(*map(lay_out, values, [one.dims for one in given])), dims, given[0].sides)

    for places in zip(*(one.places for one in given), strict=True):
        values = [place.values for place in places]
        parts.append(once(tuple(map(id, values)), of, values))
    return Patched.of_whole(parts, dims, given[0].batch)


def _attend(attend: Any, query: Patched, beside: Patched, apart: Any) -> Patched:
    """Computes attention to all positions. A key that occurs k times is one key with a score greater by log k."""
    once, places = Once(), []

    def of(queries: Tensor, place: Place, outside: Tensor) -> Tensor:
        seen = place.values.flatten(2), place.background.flatten(2)[..., outside > 0]  # type: ignore[union-attr]
        count = max(len(queries), *map(len, seen))
        keys, values = apart(torch.cat([one.expand(count, -1, -1) for one in seen], 2))
        asked = lay_out(queries.expand(count, *queries.shape[1:]), query.dims)
        bias = torch.cat([outside.new_zeros(seen[0].shape[2]), outside[outside > 0].log()]).to(asked.dtype)
        return store(attend(asked, keys, values, bias.expand(asked.shape[-2], -1)), query.dims, queries.shape[-2:])

    for own, place in zip(query.places, beside.places, strict=True):
        outside = occurrences(beside, place).flatten()  # type: ignore[union-attr]
        seen = id(place.values), id(place.background), tuple(outside.tolist())
        values = once((id(own.values), *seen), of, own.values, place, outside)
        around = own.background
        if around is not None:
            around = once((id(around), "background", *seen), of, around, place, outside)
        places.append(Place(own.rows, own.columns, values, around))
    return query.with_places(places)


@Patched.rules.register("softmax")
def softmax(func: Any, input: Any, dim: Any = None, *args: Any, **kwargs: Any) -> Any:
    """Computes softmax over the channels of each position, or over all positions of each channel."""
    if dim is None or kwargs.get("dtype") is not None:
        return NotImplemented
    if input.dims[dim] != _POSITIONS:
        return over("dim")(func, input, dim, *args, **kwargs)
    shifted = (input - torch.amax(input, dim, True)).exp()
    return shifted / torch.sum(shifted, dim, True)
