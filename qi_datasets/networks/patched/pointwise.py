"""Rules for functions of each position alone, of one map or several, of gates and of constants."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from qi_datasets.networks.operators import Pair, RuledTensor, pointwise_functions
from qi_datasets.networks.patched.axes import Axis, join_axes, pick
from qi_datasets.networks.patched.tensor import Once, Patched, PerImage, Place, size_of

_UNCHANGED = (
    "alpha_dropout",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "feature_alpha_dropout",
    "feature_dropout",
)
_COPIES = ("to", "float", "double", "half", "bfloat16", "clone", "detach", "nan_to_num", "type_as")


def _pointwise(func: Any, *args: Any, **kwargs: Any) -> Any:
    """Computes windows and background alike; an operand that differs by position is cut where the windows are."""
    operands = [one for one in (*args, *kwargs.values()) if isinstance(one, Tensor) and one.ndim]
    maps = [one for one in operands if isinstance(one, Patched)]
    if any(isinstance(one, tuple | list) for one in args):
        return NotImplemented
    if not maps:
        return _pointwise_per_image(func, operands, args, kwargs)
    like = max(maps, key=lambda one: one.sides)
    stored = [_operand(one, like) for one in operands]
    if any(one is NotImplemented for one in stored):
        return NotImplemented
    return _combine(stored, like, lambda *values: _call(func, operands, values, args, kwargs))


for _name in pointwise_functions():
    Patched.rules[_name] = PerImage.rules[_name] = _pointwise


def _call(func: Any, operands: Sequence[Tensor], values: Sequence[Tensor], args: Any, kwargs: Any) -> Any:
    """Calls a function with values in the places of the operands."""

    def put(one: Any) -> Any:
        return next((value for own, value in zip(operands, values, strict=True) if own is one), one)

    return func(*map(put, args), **{key: put(one) for key, one in kwargs.items()})


class Fixed:
    """A map that is the same for all images, (1, *channels, H, W)."""

    def __init__(self, values: Tensor) -> None:
        self.values = values
        self.axes = Axis.unfolded(values.shape[-2]), Axis.unfolded(values.shape[-1])


def _operand(one: Tensor, like: Patched) -> Any:
    """An operand in the stored order of dimensions: a map, a `PerImage`, a constant, or a `Fixed` map."""
    if isinstance(one, Patched | PerImage) and one.batch is not like.batch:
        return NotImplemented
    if isinstance(one, Patched):
        return _map_operand(one, like)
    if one.ndim > like.ndim or (isinstance(one, PerImage) and one.ndim != like.ndim):
        return NotImplemented
    if isinstance(one, PerImage):
        return one.each(like.stored) if all(one.shape[dim] == 1 for dim in like.positions) else NotImplemented
    values = like.stored(one.reshape((1,) * (like.ndim - one.ndim) + tuple(one.shape)))
    spread = values.shape[-2:] != (1, 1)
    if values.shape[0] == 1 or like.batch.count == 1:
        return Fixed(values.expand(*values.shape[:-2], *like.sides)) if spread else values
    return NotImplemented if spread else PerImage(like.batch.apart(values), like.batch)


def _map_operand(one: Patched, like: Patched) -> Any:
    """A map as it is, or one of a single position as a value of each image."""
    if one.letters != like.letters:
        return NotImplemented
    if one.sides == (1, 1) != like.sides:
        return PerImage([place.values for place in one.as_whole().places], one.batch)
    return one if one.sides == like.sides else NotImplemented


def _combine(operands: Sequence[Any], like: Patched, compute: Callable[..., Tensor]) -> Any:
    """The maps that a function of maps, values of each image, and constants computes position by position."""
    mapped = [one for one in operands if isinstance(one, Patched | Fixed)]
    gates = [one for one in operands if isinstance(one, PerImage)]
    if len(mapped) == 1 and not gates:
        return like.each(lambda values: compute(*(values if one is like else one for one in operands)))
    if any(isinstance(one, Patched) and one.is_whole for one in mapped) or (gates and _gated_is_cheaper_whole(like)):
        operands = [one.as_whole() if isinstance(one, Patched) else one for one in operands]
        mapped = [one for one in operands if isinstance(one, Patched | Fixed)]
        like = next(one for one in mapped if isinstance(one, Patched))
        joined = like.axes
        picks: tuple[Any, Any] = ((None,) * len(mapped), (None,) * len(mapped))
    else:
        found = [join_axes(tuple(one.axes[axis] for one in mapped)) for axis in (0, 1)]
        joined, picks = (found[0][1], found[1][1]), (found[0][0], found[1][0])
    once, places = Once(), []

    def window(number: int, rows: Pair, columns: Pair) -> Tensor:
        return compute(*(_part(one, number, rows, columns) for one in operands))

    def background(number: int) -> Tensor:
        index = iter(zip(*picks, strict=True))
        return compute(
            *(_background(one, number, next(index) if isinstance(one, Patched | Fixed) else ()) for one in operands)
        )

    for number in range(len(like.batch.counts)):
        own = [one.places[number] for one in mapped if isinstance(one, Patched)]
        rows = min(one.rows[0] for one in own), max(one.rows[1] for one in own)
        columns = min(one.columns[0] for one in own), max(one.columns[1] for one in own)
        key = tuple(_key(one, number, rows, columns) for one in operands)

        around = None
        if own[0].background is not None:
            around_key = tuple(_background_key(one, number) for one in operands)
            around = once(around_key, like.batch.background, background, number)
        places.append(Place(rows, columns, once((key,), window, number, rows, columns), around))
    return like.with_places(places, joined)


def _key(one: Any, number: int, rows: Pair, columns: Pair) -> Any:
    if isinstance(one, Patched):
        return one.key(one.places[number], rows, columns)
    if isinstance(one, PerImage):
        return id(one.parts[number])
    return (rows, columns) if isinstance(one, Fixed) else None


def _background_key(one: Any, number: int) -> Any:
    if isinstance(one, Patched):
        return id(one.places[number].background)
    return id(one.parts[number]) if isinstance(one, PerImage) else None


def _part(one: Any, number: int, rows: Pair, columns: Pair) -> Any:
    if isinstance(one, Patched):
        return one.block(one.places[number], rows, columns)
    if isinstance(one, Fixed):
        return one.values[..., slice(*rows), slice(*columns)]
    return one.parts[number] if isinstance(one, PerImage) else one


def _background(one: Any, number: int, index: Any) -> Any:
    if isinstance(one, Patched):
        return pick(one.places[number].background, *index)  # type: ignore[arg-type]
    if isinstance(one, Fixed):
        return pick(one.values, *index)
    return one.parts[number] if isinstance(one, PerImage) else one


def _gated_is_cheaper_whole(like: Patched) -> bool:
    """Whether backgrounds of each image's own, and windows, are more than whole maps."""
    if not like.batch.by_area:
        return False
    own = {id(one.values): (len(one.values), one) for one in like.places}.values()
    stored = 0 if like.is_whole else like.places[0].background.shape[-2:].numel()  # type: ignore[union-attr]
    cost = sum(count * (size_of((one.rows, one.columns)) + stored) for count, one in own)
    return cost > like.sides[0] * like.sides[1] * like.batch.count


def _pointwise_per_image(func: Any, operands: Sequence[Tensor], args: Any, kwargs: Any) -> Any:
    """Values of each image with others, or with what is the same for all."""
    own = [one for one in operands if isinstance(one, PerImage)]
    if not own:
        return NotImplemented
    ndim, batch = max(one.ndim for one in operands), own[0].batch
    parts: list[Sequence[Tensor]] = []
    for one in operands:
        if isinstance(one, PerImage):
            if one.ndim != ndim or one.batch is not batch:
                return NotImplemented
            parts.append(one.parts)
        elif one.ndim < ndim or one.shape[0] == 1:
            parts.append([one] * len(own[0].parts))
        else:
            parts.append(batch.apart(one))
    once = Once()
    return PerImage(
        [
            once(tuple(map(id, values)), _call, func, operands, values, args, kwargs)
            for values in zip(*parts, strict=True)
        ],
        batch,
    )


@Patched.rules.register(*_COPIES)
@PerImage.rules.register(*_COPIES)
def copied(func: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    """Computes each part; a memory format is that of the parts."""
    if not isinstance(x, RuledTensor):
        return NotImplemented
    kwargs.pop("memory_format", None)
    args = tuple(args[0].dtype if isinstance(one, Tensor) else one for one in args)
    return x.each(lambda one: func(one, *args, **kwargs))  # type: ignore[attr-defined]


@Patched.rules.register("contiguous")
@PerImage.rules.register("contiguous")
def contiguous(func: Any, x: Any, **_: Any) -> Any:
    """Computes nothing: how parts lie in memory is ours."""
    return x.each(lambda one: one)


@Patched.rules.register(*_UNCHANGED)
@PerImage.rules.register(*_UNCHANGED)
def dropout(func: Any, input: Any, p: float = 0.5, training: bool = True, **_: Any) -> Any:
    """Computes nothing in evaluation mode; what is drawn at random is drawn for whole maps."""
    return NotImplemented if training and p else input.each(lambda one: one)


@Patched.rules.register("prelu")
def prelu(func: Any, input: Any, weight: Tensor) -> Any:
    """Computes a slope for each channel, which is dimension 1."""
    if input.letters[:2] != "NC" or input.letters.count("C") != 1:
        return NotImplemented
    return input.each(lambda one: F.prelu(one, weight))


@Patched.rules.register("cat")
def cat(func: Any, tensors: Any, dim: int = 0) -> Any:
    """Puts channels of several maps one after another."""
    like = next((one for one in tensors if isinstance(one, Patched)), None)
    if like is None or like.letters[dim] != "C":
        return NotImplemented
    operands = [_operand(one, like) if one.ndim == like.ndim else NotImplemented for one in tensors]
    if any(not isinstance(one, Patched | Fixed) for one in operands):
        return NotImplemented
    stored = 1 + like.channels.index(dim % like.ndim)

    def together(*maps: Tensor) -> Tensor:
        count = max(map(len, maps))
        return torch.cat([one if len(one) == count else one.expand(count, *one.shape[1:]) for one in maps], stored)

    return _combine(operands, like, together)


@Patched.rules.register("stack")
@PerImage.rules.register("stack")
def stack(func: Any, tensors: Any, dim: int = 0) -> Any:
    """Puts maps or values one after another in a dimension of their own."""
    dim %= tensors[0].ndim + 1
    if dim == 0 or not all(isinstance(one, Patched | PerImage) for one in tensors):
        return NotImplemented
    return torch.cat([one.unsqueeze(dim) for one in tensors], dim)


@PerImage.rules.register("cat")
def cat_per_image(func: Any, tensors: Any, dim: int = 0) -> Any:
    """Puts values of each image one after another."""
    own = [one for one in tensors if isinstance(one, PerImage)]
    if len(own) != len(tensors) or dim % own[0].ndim == 0 or any(one.batch is not own[0].batch for one in own):
        return NotImplemented
    once = Once()
    return PerImage(
        [once(tuple(map(id, one)), torch.cat, one, dim) for one in zip(*(x.parts for x in own), strict=True)],
        own[0].batch,
    )


@Patched.rules.register("pad_with_background")
def pad_with_endless_black(func: Any, x: Any, amounts: tuple[Pair, Pair], background: Tensor) -> Any:
    """Pads with the endless black that the maps have themselves, if `background` equals it up to rounding."""
    from qi_datasets.networks.patched.resampling import padded

    rows, columns = x.axes[0].endless, x.axes[1].endless
    if isinstance(background, Patched | PerImage) or x.letters != "NCHW":
        return NotImplemented
    if x.is_whole or rows is None or columns is None:
        return padded(x - background, amounts) + background
    own = x.places[0].background
    same = len(own) == 1 and all(one.background is own for one in x.places)
    tolerance = 1e4 * torch.finfo(own.dtype).eps
    if not same or not torch.allclose(own[..., rows, columns], background[..., 0, 0], tolerance, tolerance):
        return padded(x - background, amounts) + background
    return padded(x, amounts, endless=True)
