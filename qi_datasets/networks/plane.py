"""A tensor type for maps on an endless canvas: networks run on it, as they are, in another padding than their own.

A `Plane` knows at which positions of an endless map its values lie, what the map is where the canvas is black, and what
each position sees of the image. Every layer computes the positions that the padding asks for:

- `full`, `exact`: all whose windows meet the positions before, with zeros around them, or with the background;
- `valid`: those whose windows lie inside the positions before;
- `circular`, `reflect`, `replicate`: as many as the network's own padding gives, filled from within the map;
- `own`: the network's own computation, followed to learn what a position sees.

Maps that meet are brought to the positions that they have in the network's own padding, so that a trained network
samples the image in the phase that it was trained with. `Plane` may hold another tensor type of ours as its values.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from qi_datasets.errors import OptionError, UnsupportedOperationError
from qi_datasets.networks.operators import (
    Pair,
    RuledTensor,
    Rules,
    Window,
    operator_of,
    pad_with_background,
    pointwise_functions,
)

PaddingVariant = Literal["own", "full", "exact", "valid", "circular", "reflect", "replicate"]

ENDLESS = ("full", "exact", "valid")
"""Paddings in which a map is a part of an endless one; in the others it has the network's own positions."""


@dataclass(frozen=True)
class Reach:
    """What a map sees along one axis: position j the pixels from `j * stride - before` to `j * stride + after`.

    Windows of windows are windows, so that three numbers hold for a whole network.
    """

    before: int = 0
    after: int = 0
    stride: int = 1

    @property
    def size(self) -> int:
        """Pixels that one position sees."""
        return self.before + self.after + 1

    def through(self, reach: int, stride: int, padding: int) -> "Reach":
        """Returns the reach after a layer whose output j covers `reach + 1` inputs from `j * stride - padding` on."""
        before = self.before + self.stride * padding
        after = self.after + self.stride * (reach - padding)
        return Reach(before, after, self.stride * stride)

    def moved(self, positions: int) -> "Reach":
        """Returns the reach after so many positions were put before the map's first; negative: taken away there."""
        return self.through(0, 1, positions)

    def joined(self, other: "Reach") -> "Reach":
        """Returns what a position sees through two branches. Raises `OptionError` if their strides differ."""
        if self.stride != other.stride:
            raise OptionError(f"branches of strides {self.stride} and {other.stride} meet")
        return Reach(max(self.before, other.before), max(self.after, other.after), self.stride)


@dataclass(frozen=True)
class End:
    """Where a map stopped being one.

    operator: the name of the function that pooled it, or took its positions for something else
    call: which call of a function of that name it was, from 0, where they were counted
    place: the layer that called it, "" if that is not known
    is_pooling: whether it pooled over all positions
    keeps_dims: whether what came of it has as many dimensions
    axes: which dimensions were rows and columns, counted from the last
    reaches: what a position saw, along rows and along columns
    """

    operator: str
    call: int
    place: str
    is_pooling: bool
    keeps_dims: bool
    axes: Pair
    reaches: tuple[Reach, Reach]


@dataclass
class Run:
    """One run of a network on planes.

    padding: one of `PaddingVariant`
    area: pixels of an image
    maps: those met so far, in `own` padding
    periods: by how many pixels the network's grids of blocks repeat (windows of attention), in `own` padding
    has_padded: whether the network has asked for padding
    place: gives the layer that is running, for messages
    counted: gives how many functions of a name were called before this one
    ended: takes note that a map ends
    """

    padding: PaddingVariant
    area: int
    maps: "list[Plane]" = field(default_factory=list)
    periods: set[int] = field(default_factory=set)
    has_padded: bool = False
    place: Callable[[], str] = str
    counted: Callable[[str], int] = len
    ended: Callable[["End"], Any] = bool

    @property
    def is_endless(self) -> bool:
        """Whether maps are parts of endless ones."""
        return self.padding in ENDLESS

    def check_has_padded(self) -> None:
        """Raises `OptionError` if the run was to pad from within, and padded nothing."""
        if self.padding not in (*ENDLESS, "own") and not self.has_padded:
            raise OptionError(f"the network pads nothing, so that {self.padding} padding would change nothing")


class Side(int):
    """How many rows or columns a map has, so that a pooling by that many is known to be over all of them."""


class Plane(RuledTensor):
    """A map: `values` at positions from `start` on, `background` at all others.

    values: the positions that are computed, of any tensor type
    background: the map where the canvas is black, one position, (1 or N, ...); None where that isn't needed
    start: row and column of the first position, in the network's own numbering
    axes: which dimensions are rows and columns, counted from the last; None for what came of maps and is none itself
        (only in `own` padding)
    reaches: what a position sees along rows and along columns
    is_bounded: whether it sees nothing else: False after whatever carries information over all positions, and for
        places that were added to a map (coordinates, learned tables) or kept in a vector
    ends: of what is no map, where the maps that it came of ended
    is_mixed: of what is no map, whether its positions were mixed otherwise than by linear layers
    """

    rules = Rules()
    values: Tensor  # type: ignore[assignment]
    background: Tensor | None
    run: Run
    start: Pair
    axes: Pair | None
    reaches: tuple[Reach, Reach]
    is_bounded: bool
    ends: frozenset[End]
    is_mixed: bool

    @staticmethod
    def __new__(cls, values: Tensor, background: Tensor | None, run: Run, **state: Any) -> Self:
        """Makes the map; the state is described at the class."""
        return cls._make_wrapper_subclass(cls, values.shape, dtype=values.dtype, device=values.device)

    def __init__(
        self,
        values: Tensor,
        background: Tensor | None,
        run: Run,
        *,
        start: Pair = (0, 0),
        axes: Pair | None = (-2, -1),
        reaches: tuple[Reach, Reach] = (Reach(), Reach()),
        is_bounded: bool = True,
        ends: frozenset[End] = frozenset(),
        is_mixed: bool = False,
    ) -> None:
        self.values, self.background, self.run = values, background, run
        self.start, self.axes, self.reaches = start, axes, reaches
        self.is_bounded, self.ends, self.is_mixed = is_bounded, ends, is_mixed
        if run.padding == "own" and axes is not None:
            run.maps.append(self)

    @classmethod
    def of_images(cls, images: Tensor, run: Run, background: float | Sequence[float] = 0.0) -> "Plane":
        """Returns images (N, C, H, W) on a canvas of that background, of all channels or of each."""
        if run.padding != "exact":
            return cls(images, None, run)
        numbers = list(background) if isinstance(background, Sequence) else [background] * images.shape[1]
        black = torch.tensor(numbers, dtype=images.dtype, device=images.device)
        return cls(images, black[None, :, None, None], run)

    def become(self, values: Tensor, background: Tensor | None = None, **changes: Any) -> "Plane":
        """Returns a map with other values, and in what is given else, on the same canvas."""
        state: dict[str, Any] = {"start": self.start, "axes": self.axes, "reaches": self.reaches}
        state |= {"is_bounded": self.is_bounded, "ends": self.ends, "is_mixed": self.is_mixed}
        return Plane(values, background, self.run, **state | changes)

    def each(self, function: Callable[[Tensor], Tensor], **changes: Any) -> "Plane":
        """Returns the map after a function that takes each position alone."""
        black = None if self.background is None else function(self.background)
        return self.become(function(self.values), black, **changes)

    @property
    def is_standard(self) -> bool:
        """Whether the dimensions are images, channels, rows and columns, as layers with windows take them."""
        return self.axes == (-2, -1) and self.values.ndim == 4

    @property
    def sides(self) -> Pair:
        """Rows and columns that are computed."""
        rows, columns = self.axes or (-2, -1)
        return self.values.shape[rows], self.values.shape[columns]

    def marked(self, found: Any, dim: int | None = None) -> Any:
        """Returns sizes of the map with those of rows and columns marked as such; `found` are all sizes, or one."""
        if dim is not None:
            return Side(found) if self.is_spatial(dim) else found
        return torch.Size([Side(size) if self.is_spatial(place) else size for place, size in enumerate(found)])

    def is_spatial(self, *dims: int) -> bool:
        """Returns whether any of these dimensions, counted from either end, is the rows or the columns."""
        return any((dim - self.values.ndim if dim >= 0 else dim) in (self.axes or ()) for dim in dims)

    def placed(self, amounts: tuple[Pair, Pair]) -> Tensor:
        """Returns the values with positions before and after the rows and columns; negative amounts crop."""
        if not any(any(sides) for sides in amounts):
            return self.values
        if self.background is not None and self.is_standard:
            return pad_with_background(self.values, amounts, self.background)
        axes = self.axes or (-2, -1)
        sides = [0] * (-2 * min(axes))
        for axis, both in zip(axes, amounts, strict=True):
            sides[2 * (-axis - 1) : 2 * -axis] = both
        if self.background is None:
            return F.pad(self.values, sides)
        return F.pad(self.values - self.background, sides) + self.background

    def slide(self, window: Window, function: Callable[[Tensor, Any], Tensor], *, adds_zeros: bool = False) -> "Plane":
        """Returns the map after a layer with windows.

        window: the layer's windows, with its own padding
        function: computes the layer on values; its second argument is the padding that it adds itself, as torch takes
            it: the layer's own in `own` padding, or some zeros if `adds_zeros`; else None for none
        adds_zeros: whether the layer can add zeros around the map itself
        """
        if not self.is_standard:
            raise NotAMapError
        before, run = tuple(sides[0] for sides in window.padding), self.run
        along = zip(self.reaches, window.reach, window.stride, before, strict=True)
        reaches = tuple(seen.through(reach - 1, stride, above) for seen, reach, stride, above in along)
        has_padding = any(any(sides) for sides in window.padding)
        run.has_padded |= has_padding
        if run.padding == "own":
            return self.become(function(self.values, "own"), reaches=reaches)
        if not run.is_endless:
            filled = F.pad(self.values, _as_torch(window.padding), run.padding) if has_padding else self.values
            return self.become(function(filled, None), reaches=reaches)
        start, amounts = [], []
        for axis in (0, 1):
            first, length = self.start[axis], self.sides[axis]
            reach, stride, above = window.reach[axis], window.stride[axis], before[axis]
            if run.padding == "valid":
                one, last = -(-(first + above) // stride), (first + length + above - reach) // stride
            else:
                one, last = -(-(first + above - reach + 1) // stride), (first + length - 1 + above) // stride
            opens, closes = one * stride - above, last * stride - above + reach
            if last < one:
                raise TooSmallError(f"no window of {reach} positions lies inside a map: larger images are needed")
            start.append(one)
            amounts.append((first - opens, closes - first - length))
        black = None
        if self.background is not None:
            black = function(self.background.expand(-1, -1, *window.reach), None)[:, :, :1, :1]
        around = [sides[0] for sides in amounts]
        if adds_zeros and black is None and min(around) >= 0 and all(a == b for a, b in amounts):
            values = function(self.values, tuple(around))
        else:
            values = function(self.placed((amounts[0], amounts[1])), None)
        return self.become(values, black, start=(start[0], start[1]), reaches=reaches)

    def lost(self, operator: str, value: Any, *, is_pooling: bool = False, is_mixed: bool = False) -> Any:
        """Returns what came of a map and is none itself, with where it ended; in `own` padding only."""
        return _came_of([self], operator, value, is_pooling=is_pooling, is_mixed=is_mixed)

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Computes a torch function by its rule."""
        operator = operator_of(func)
        if operator.describes and args and isinstance(args[0], Plane) and operator.name != "__hash__":
            # A map that was written into may have other positions than when it was made.
            found = func(args[0].values, *args[1:], **(kwargs or {}))
            return args[0].marked(found, *args[1:], **(kwargs or {})) if operator.name in ("shape", "size") else found
        planes = planes_in((args, kwargs))
        try:
            if any(plane.axes is None for plane in planes) and operator.name not in _TAKE_ANYTHING:
                return cls.without_rule(operator.name, func, args, kwargs or {})
            return super().__torch_function__(func, types, args, kwargs)
        except NotAMapError:
            return cls.without_rule(operator.name, func, args, kwargs or {})

    @classmethod
    def without_rule(cls, name: str, func: Any, args: Any, kwargs: Any) -> Any:
        """Computes what may mix positions, in `own` padding. Raises `UnsupportedOperationError` in any other."""
        planes = planes_in((args, kwargs))
        run = planes[0].run
        if run.is_endless:
            raise UnsupportedOperationError(
                f"{_where(run)}{name} may mix positions, and can't be computed in {run.padding} padding"
            )
        if run.padding != "own":
            # The map has all its positions: it is computed as usual, and layers that come later pad from within.
            return _kept(planes[0], func(*_values(args), **_values(kwargs)))
        value = func(*_values(args), **_values(kwargs))
        for earlier in reversed(run.maps) if isinstance(value, Tensor) else ():
            rows, columns = earlier.axes or (-2, -1)
            sides = (value.shape[rows], value.shape[columns]) if value.ndim == earlier.values.ndim else (0, 0)
            if sides == earlier.sides and min(sides) > 1:
                # Attention that goes back to a map, a norm over positions.
                return earlier.become(value, is_bounded=False)
        return _came_of(planes, name, value, is_mixed=name not in _LINEAR)

    def write(self, name: str, func: Any, args: Any, kwargs: Any) -> Any:
        """Writes in place where no rule does, in `own` padding. Raises `UnsupportedOperationError` in any other."""
        if self.run.is_endless:
            return super().write(name, func, args, kwargs)
        found = self.without_rule(name, func, args, kwargs)
        if isinstance(found, Plane):
            self.overwrite(found)
        self.is_bounded &= self.axes is None
        return self

    def overwrite(self, value: Any) -> None:
        """Takes the state of another map."""
        self.__dict__.update({name: held for name, held in vars(value).items() if name != "_seen_by"})


class TooSmallError(OptionError):
    """An image is too small for a network in `valid` padding."""

    code = "too-small"


class NotAMapError(UnsupportedOperationError):
    """A rule can't say what becomes of a map: dimensions in another order, places that differ."""

    def __init__(self, why: str = "takes a map in a way that has no rule") -> None:
        super().__init__(why)


_LINEAR = {
    *(
        "linear",
        "add",
        "sub",
        "mul",
        "div",
        "batch_norm",
        "layer_norm",
        "dropout",
        "relu",
        "relu6",
        "leaky_relu",
        "elu",
    ),
    *("gelu", "silu", "mish", "prelu", "sigmoid", "tanh", "softplus", "hardswish", "hardsigmoid", "hardtanh", "cat"),
    *("reshape", "view", "flatten", "unflatten", "permute", "transpose", "squeeze", "unsqueeze", "__getitem__"),
    *("chunk", "split", "expand", "contiguous", "clone", "to", "float", "mean", "sum", "adaptive_avg_pool2d"),
}
"""Functions that leave it to linear layers to mix what is no map: a head on places that were kept is made of them."""


def planes_in(arguments: Any) -> list[Plane]:
    """Returns the planes in arguments of a function, in order."""
    if isinstance(arguments, Plane):
        return [arguments]
    if isinstance(arguments, dict):
        arguments = list(arguments.values())
    if isinstance(arguments, tuple | list):
        return [plane for one in arguments for plane in planes_in(one)]
    return []


def _replaced(arguments: Any, of: Callable[[Plane], Any]) -> Any:
    if isinstance(arguments, Plane):
        return of(arguments)
    if isinstance(arguments, dict):
        return {name: _replaced(one, of) for name, one in arguments.items()}
    if type(arguments) in (tuple, list):
        return type(arguments)(_replaced(one, of) for one in arguments)
    return arguments


def _values(arguments: Any) -> Any:
    return _replaced(arguments, lambda plane: plane.values)


def _kept(x: Plane, value: Any) -> Any:
    """Returns a value with its tensors as maps on the same canvas."""
    if isinstance(value, tuple | list) and not isinstance(value, torch.Size):
        parts = [_kept(x, one) for one in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    is_map = isinstance(value, Tensor) and value.ndim > 1
    return x.become(value, axes=(-2, -1)) if is_map else value


def _where(run: Run) -> str:
    return f"layer {place}: " if (place := run.place()) else ""


def _as_torch(amounts: Sequence[Sequence[int]]) -> list[int]:
    """Returns amounts of rows and columns as `F.pad` takes them: columns first."""
    return [*amounts[1], *amounts[0]]


def _came_of(
    planes: Sequence[Plane], name: str, value: Any, *, is_pooling: bool = False, is_mixed: bool = False
) -> Any:
    """Returns what came of maps, or of what was none, and is none."""
    if isinstance(value, tuple | list) and not isinstance(value, torch.Size):
        parts = [_came_of(planes, name, one, is_pooling=is_pooling, is_mixed=is_mixed) for one in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if not isinstance(value, Tensor):
        return value
    run, ends = planes[0].run, {end for plane in planes for end in plane.ends}
    maps = [plane for plane in planes if plane.axes is not None]
    for plane in maps:
        keeps_dims = value.ndim == plane.values.ndim
        end = End(name, run.counted(name), run.place(), is_pooling, keeps_dims, plane.axes or (-2, -1), plane.reaches)
        ends.add(end)
        run.ended(end)
    bounded = (is_pooling or not maps) and all(plane.is_bounded for plane in planes)
    mixed = is_mixed or any(plane.is_mixed for plane in planes)
    return Plane(value, None, run, axes=None, is_bounded=bounded, ends=frozenset(ends), is_mixed=mixed)


# Layers with windows.


@Plane.rules.register("conv2d")
def conv2d(
    func: Any,
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """Convolves by weights that don't depend on the images."""
    if not isinstance(input, Plane) or planes_in((weight, bias)):
        return NotImplemented

    def convolved(values: Tensor, own: Any) -> Tensor:
        amount = padding if own == "own" else own or 0
        return func(values, weight, bias, stride, amount, dilation, groups)  # type: ignore[no-any-return]

    return input.slide(Window.of_convolution(weight, stride, padding, dilation), convolved, adds_zeros=True)


@Plane.rules.register("max_pool2d")
def max_pool2d(
    func: Any,
    input: Plane,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Takes maxima over windows; over all positions where the window is the map. Indices have no rule."""
    if return_indices:
        return NotImplemented
    if _is_whole(kernel_size):
        return pooled_maximum(func, input, (-2, -1), keepdim=True)
    ceil_mode = ceil_mode and not input.run.is_endless

    def highest(values: Tensor, own: Any) -> Tensor:
        return F.max_pool2d(values, kernel_size, stride, padding if own == "own" else 0, dilation, ceil_mode)

    return input.slide(Window.of_pooling(kernel_size, stride, padding, dilation), highest)


@Plane.rules.register("avg_pool2d")
def avg_pool2d(
    func: Any,
    input: Plane,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """Takes means over windows; on an endless map every position counts."""
    if _is_whole(kernel_size) and divisor_override is None:
        return pooled_mean(func, input, (-2, -1), keepdim=True)
    endless = input.run.is_endless

    def mean(values: Tensor, own: Any) -> Tensor:
        if own == "own":
            return F.avg_pool2d(values, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
        return F.avg_pool2d(values, kernel_size, stride, 0, ceil_mode and not endless, True, divisor_override)

    return input.slide(Window.of_pooling(kernel_size, stride, padding), mean)


def _is_whole(kernel_size: Any) -> bool:
    """Returns whether a kernel is said to be as large as the map, as in `F.avg_pool2d(x, x.shape[-2:])`."""
    return all(isinstance(one, Side) for one in (kernel_size if isinstance(kernel_size, Sequence) else [kernel_size]))


@Plane.rules.register("pad")
def pad(func: Any, input: Plane, pad: Sequence[int], mode: str = "constant", value: Any = None) -> Any:
    """Pads as the network does. An endless map goes on there: its positions are counted otherwise, that is all."""
    run, others = input.run, list(pad)
    amounts = [(0, 0), (0, 0)]
    for index, axis in enumerate(input.axes or ()):
        place = 2 * (-axis - 1)
        if place < len(others):
            amounts[index] = (others[place], others[place + 1])
            others[place : place + 2] = [0, 0]
    before = (amounts[0][0], amounts[1][0])
    reaches = tuple(reach.moved(first) for reach, first in zip(input.reaches, before, strict=True))
    wraps = mode == "circular" and any(map(any, amounts))
    bounded = input.is_bounded and not wraps
    fills = any(amount > 0 for sides in amounts for amount in sides)
    run.has_padded |= fills
    if run.padding == "own":
        return input.become(func(input.values, pad, mode, value), reaches=reaches, is_bounded=bounded)
    if not run.is_endless:
        if fills and any(others):
            raise UnsupportedOperationError(
                f"{_where(run)}pad pads channels beside positions, which {run.padding} padding can't"
            )
        return input.become(func(input.values, pad, run.padding if fills else mode), reaches=reaches)
    start = (input.start[0] + before[0], input.start[1] + before[1])
    input = input.become(input.values, input.background, start=start, reaches=reaches, is_bounded=bounded)
    return input.each(lambda values: func(values, others, mode, value)) if any(others) else input


@Plane.rules.register("interpolate", "upsample")
def interpolate(func: Any, input: Plane, *args: Any, **kwargs: Any) -> Any:
    """Follows enlarging by whole numbers."""
    value = func(input.values, *args, **kwargs)
    factors = [new / old for new, old in zip(value.shape[-2:], input.sides, strict=True)]
    divides = all(
        factor.is_integer() and not reach.stride % factor for factor, reach in zip(factors, input.reaches, strict=True)
    )
    if not input.is_standard or input.run.padding != "own" or not divides:
        return NotImplemented
    # Nearest neighbours read one position, all others the next one too at most.
    reaches = tuple(
        Reach(reach.before + reach.stride, reach.after + reach.stride, int(reach.stride // factor))
        for reach, factor in zip(input.reaches, factors, strict=True)
    )
    return input.become(value, reaches=reaches)


# Pooling over all positions.


def pooled_mean(func: Any, x: Plane, dims: Pair, *, keepdim: bool) -> Any:
    """Returns the mean over all positions.

    Of an endless map in `exact` padding it would be the background: given is the background plus what the image adds to
    it, divided by the number of positions that the image's area holds. In other paddings it is that of the positions
    that are computed.
    """
    if x.run.padding == "own":
        return x.lost(_name(func), x.values.mean(dims, keepdim), is_pooling=True)
    if x.background is None:
        return x.values.mean(dims, keepdim)
    count, area = x.sides[0] * x.sides[1], x.run.area
    excess = x.values.sum(dims, True) - x.background * count
    mean = x.background + excess * (x.reaches[0].stride * x.reaches[1].stride / area)
    return mean if keepdim else mean.squeeze(dims)


def pooled_maximum(func: Any, x: Plane, dims: Pair, *, keepdim: bool) -> Any:
    """Returns the maximum over all positions; of an endless map, in `exact` padding, the background takes part."""
    if x.run.padding == "own":
        return x.lost(_name(func), x.values.amax(dims, keepdim), is_pooling=True)
    highest = x.values.amax(dims, keepdim)
    if x.background is None:
        return highest
    return torch.maximum(highest, x.background if keepdim else x.background.squeeze(dims))


def _name(func: Any) -> str:
    return operator_of(func).name


@Plane.rules.register("adaptive_avg_pool2d", "adaptive_max_pool2d")
def adaptive_pool2d(func: Any, input: Plane, output_size: Any, return_indices: bool = False) -> Any:
    """Pools over all positions. More positions than one tell where things are, at sides that leave them alone too."""
    wanted = (output_size, output_size) if output_size is None or isinstance(output_size, int) else output_size
    size = tuple(now if side is None else side for side, now in zip(wanted, input.sides, strict=True))
    if return_indices or not input.is_standard or (size != (1, 1) and input.run.padding != "own"):
        return NotImplemented
    if size != (1, 1):
        return input.lost(_name(func), func(input.values, output_size))
    pool = pooled_mean if "avg" in _name(func) else pooled_maximum
    return pool(func, input, (-2, -1), keepdim=True)


_REDUCTIONS = ("mean", "amax", "amin", "sum", "std", "var", "norm", "linalg_vector_norm", "linalg_norm", "logsumexp")


@Plane.rules.register(*_REDUCTIONS, "softmax", "log_softmax", "glu", "cumsum", "argmax", "std_mean", "var_mean")
def over_dimensions(func: Any, input: Plane, *args: Any, **kwargs: Any) -> Any:
    """Reduces or normalises dimensions: rows and columns together, or neither of them."""
    name = _name(func)
    place = 1 if name in ("norm", "linalg_vector_norm", "linalg_norm") else 0
    dim = kwargs.get("dim", kwargs.get("axis", args[place] if len(args) > place else None))
    dims = () if dim is None or isinstance(dim, bool) else (dim,) if isinstance(dim, int) else tuple(dim)
    if not dims or input.axes is None:
        return NotImplemented
    negative = [one - input.values.ndim if one >= 0 else one for one in dims]
    keepdim = kwargs.get("keepdim", next((one for one in args[place + 1 :] if isinstance(one, bool)), False))
    if sorted(negative) == sorted(input.axes) and name in _REDUCTIONS:
        if name == "mean" and not kwargs.get("dtype"):
            return pooled_mean(func, input, input.axes, keepdim=keepdim)
        if name == "amax":
            return pooled_maximum(func, input, input.axes, keepdim=keepdim)
        # Statistics of a norm: of the positions that are computed, which are the same in both corners.
        value = func(input.values, *args, **kwargs)
        return input.lost(name, value, is_pooling=True) if input.run.padding == "own" else value
    if input.is_spatial(*dims) or -input.values.ndim in negative or name.endswith("_mean"):
        return NotImplemented
    value = func(input.values, *args, **kwargs)
    gone = negative if value.ndim < input.values.ndim else []
    axes = tuple(axis + sum(one > axis for one in gone) for axis in input.axes)
    black = None if input.background is None else func(input.background, *args, **kwargs)
    return input.become(value, black, axes=axes)


# Normalisation.


@Plane.rules.register("batch_norm")
def batch_norm(
    func: Any,
    input: Plane,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Normalises by running statistics or, in training, by the batch: by the positions that are computed."""
    if not input.is_standard:
        return NotImplemented
    rest = (running_mean, running_var, weight, bias)
    if not training:
        return input.each(lambda values: func(values, *rest, False, momentum, eps))
    values = func(input.values, *rest, True, momentum, eps)
    if input.background is None:
        return input.become(values)
    variance, mean = torch.var_mean(input.values, (0, 2, 3), correction=0, keepdim=True)
    black = (input.background - mean) * torch.rsqrt(variance + eps)
    return input.become(values, _scaled(black, weight, bias))


def _scaled(values: Any, weight: Any, bias: Any) -> Any:
    values = values if weight is None else values * weight[:, None, None]
    return values if bias is None else values + bias[:, None, None]


@Plane.rules.register("group_norm")
def group_norm(
    func: Any, input: Plane, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """Normalises by the positions that are computed, which are the same in both corners."""
    if not input.is_standard:
        return NotImplemented
    if input.run.padding == "own":
        return input.become(func(input.values, num_groups, weight, bias, eps), is_bounded=False)
    count, channels = input.values.shape[:2]

    def of_groups(statistic: Tensor) -> Tensor:
        groups = statistic.reshape(count, num_groups, -1).mean(2, keepdim=True)
        return groups.expand(-1, -1, channels // num_groups).reshape(count, channels, 1, 1)

    mean = of_groups(input.values.mean((2, 3)))
    centred = input.each(lambda values: values - mean)
    scale = torch.rsqrt(of_groups(centred.values.square().mean((2, 3))) + eps)
    return centred.each(lambda values: _scaled(values * scale, weight, bias))


@Plane.rules.register("instance_norm")
def instance_norm(
    func: Any,
    input: Plane,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Normalises each channel of each image."""
    if not use_input_stats:
        return batch_norm(F.batch_norm, input, running_mean, running_var, weight, bias, False, momentum, eps)
    if running_mean is not None and input.run.padding != "own":
        return NotImplemented
    return group_norm(F.group_norm, input, input.values.shape[1], weight, bias, eps)


@Plane.rules.register("layer_norm")
def layer_norm(func: Any, input: Plane, normalized_shape: Sequence[int], *args: Any, **kwargs: Any) -> Any:
    """Normalises the last dimensions, which may not be rows or columns."""
    return _over_last(func, input, len(normalized_shape), normalized_shape, *args, **kwargs)


@Plane.rules.register("rms_norm")
def rms_norm(func: Any, input: Plane, normalized_shape: Sequence[int], *args: Any, **kwargs: Any) -> Any:
    """Scales the last dimensions, which may not be rows or columns."""
    return _over_last(func, input, len(normalized_shape), normalized_shape, *args, **kwargs)


@Plane.rules.register("linear")
def linear(func: Any, input: Any, weight: Any, bias: Any = None) -> Any:
    """Multiplies the last dimension, which may not be rows or columns."""
    if not isinstance(input, Plane) or planes_in((weight, bias)):
        return NotImplemented
    return _over_last(func, input, 1, weight, bias)


def _over_last(func: Any, x: Plane, count: int, *args: Any, **kwargs: Any) -> Any:
    if x.is_spatial(*range(-count, 0)):
        return NotImplemented
    return x.each(lambda values: func(values, *args, **kwargs))


# Each position alone.


def pointwise(func: Any, *args: Any, **kwargs: Any) -> Any:
    """Computes each position of maps, what came of maps, constants and numbers alone, on maps brought to one place."""
    planes = [plane for plane in planes_in((args, kwargs)) if plane.axes is not None]
    others = [plane for plane in planes_in((args, kwargs)) if plane.axes is None]
    if not planes:
        return NotImplemented
    x = max(planes, key=lambda plane: plane.values.ndim)
    if any(plane.axes != x.axes for plane in planes):
        return NotImplemented
    bounded = not others and all(plane.is_bounded for plane in planes)
    if any(adds_places(one, x) for one in _tensors((args, kwargs))):
        if x.run.is_endless:
            where = _where(x.run)
            raise UnsupportedOperationError(
                f"{where}{_name(func)} takes a constant that differs from position to position, which has no place in "
                f"{x.run.padding} padding"
            )
        bounded = False
    reaches = x.reaches
    for plane in planes:
        reaches = tuple(one.joined(other) for one, other in zip(reaches, plane.reaches, strict=True))  # type: ignore[assignment]
    start, values = _aligned(planes) if x.run.is_endless else (x.start, [plane.values for plane in planes])
    now = dict(zip(map(id, planes), values, strict=True))

    def called(of: Callable[[Plane], Any]) -> Any:
        return func(*_replaced(args, of), **_replaced(kwargs, of))

    black = called(lambda plane: plane.background) if x.background is not None else None
    value = called(lambda plane: now.get(id(plane), plane.values))
    if not isinstance(value, Tensor):
        return NotImplemented
    sides = tuple(value.shape[axis] for axis in x.axes or ())
    if value.ndim != x.values.ndim or sides != tuple(now[id(x)].shape[axis] for axis in x.axes or ()):
        return NotImplemented
    return x.become(value, black, start=start, reaches=reaches, is_bounded=bounded)


def adds_places(one: Tensor, x: Plane) -> bool:
    """Returns whether a tensor has something of its own for each position, so that it says where things are."""
    return any(one.ndim >= -axis and one.shape[axis] != 1 for axis in x.axes or ())


def _tensors(arguments: Any) -> list[Tensor]:
    """Returns the tensors in arguments that are no planes."""
    if isinstance(arguments, Tensor):
        return [] if isinstance(arguments, Plane) else [arguments]
    if isinstance(arguments, dict):
        arguments = list(arguments.values())
    return [one for part in arguments for one in _tensors(part)] if isinstance(arguments, tuple | list) else []


def _aligned(planes: Sequence[Plane]) -> tuple[Pair, list[Tensor]]:
    """Returns the values of maps at the same positions: all of them or, in `valid` padding, those that all have."""
    first, last = [], []
    for axis in (0, 1):
        starts = [plane.start[axis] for plane in planes]
        stops = [plane.start[axis] + plane.sides[axis] for plane in planes]
        valid = planes[0].run.padding == "valid"
        first.append(max(starts) if valid else min(starts))
        last.append(min(stops) if valid else max(stops))
        if first[-1] >= last[-1]:
            raise TooSmallError("branches that meet have no position in common: larger images are needed")
    values = []
    for plane in planes:
        amounts = [(plane.start[a] - first[a], last[a] - plane.start[a] - plane.sides[a]) for a in (0, 1)]
        values.append(plane.placed((amounts[0], amounts[1])))
    return (first[0], first[1]), values


_ALONE = {
    *pointwise_functions(),
    *("clone", "contiguous", "detach", "to", "type", "type_as", "float", "double", "half", "bfloat16", "cpu", "cuda"),
    *("zeros_like", "ones_like", "full_like", "local_response_norm", "channel_shuffle", "where", "positive"),
}
Plane.rules.register(*_ALONE)(pointwise)


@Plane.rules.register("prelu")
def prelu(func: Any, input: Plane, weight: Tensor) -> Any:
    """Leaky ReLU by a weight for each channel."""
    return input.each(lambda values: func(values, weight))


_TAKE_ANYTHING = frozenset((*_ALONE, "cat", "stack"))


@Plane.rules.register("dropout", "dropout2d", "alpha_dropout", "feature_dropout", "feature_alpha_dropout")
def dropout(func: Any, input: Plane, *args: Any, **kwargs: Any) -> Any:
    """Drops values; black is not dropped, as it would no longer be one value."""
    return input.become(func(input.values, *args, **kwargs), input.background)


@Plane.rules.register("cat", "stack")
def cat(func: Any, tensors: Sequence[Any], dim: int = 0) -> Any:
    """Joins maps along another dimension than images, rows and columns."""
    x = next((one for one in tensors if isinstance(one, Plane) and one.axes is not None), None)
    if x is None or not -x.values.ndim <= dim < x.values.ndim:
        return NotImplemented
    if x.is_spatial(dim) or dim in (0, -x.values.ndim) or _name(func) == "stack":
        return NotImplemented
    return pointwise(func, tuple(tensors), dim)


@Plane.rules.register("chunk", "split", "tensor_split")
def chunk(func: Any, input: Plane, sizes: Any = None, dim: int = 0, **kwargs: Any) -> Any:
    """Takes maps apart along another dimension than images, rows and columns."""
    if sizes is None:
        sizes = next(iter(kwargs.values()))
    if input.is_spatial(dim) or dim in (0, -input.values.ndim):
        return NotImplemented
    parts = func(input.values, sizes, dim)
    blacks = [None] * len(parts) if input.background is None else func(input.background, sizes, dim)
    return tuple(input.become(part, black) for part, black in zip(parts, blacks, strict=True))


# Dimensions.


@Plane.rules.register("permute", "transpose")
def permute(func: Any, input: Plane, *dims: Any) -> Any:
    """Gives the dimensions another order. Images stay first."""
    count = input.values.ndim
    given = dims[0] if len(dims) == 1 and not isinstance(dims[0], int) else dims
    order = [dim % count for dim in given]
    if _name(func) == "transpose":
        order = list(range(count))
        order[given[0]], order[given[1]] = order[given[1]], order[given[0]]
    if order[0] != 0:
        return NotImplemented
    axes = tuple(order.index(count + axis) - count for axis in input.axes or ())
    return input.each(lambda values: values.permute(order), axes=axes)


@Plane.rules.register("unsqueeze", "squeeze")
def squeeze(func: Any, input: Plane, *dim: int) -> Any:
    """Adds or takes away a dimension of size 1."""
    value = func(input.values, *dim)
    if not dim or not isinstance(dim[0], int):
        return NotImplemented
    adds = _name(func) == "unsqueeze"
    place = dim[0] % (input.values.ndim + adds)
    if place == 0 or (not adds and (input.is_spatial(place) or value.ndim == input.values.ndim)):
        return NotImplemented if value.ndim != input.values.ndim else input
    count = input.values.ndim
    change = -1 if adds else 1
    moves = [(count + axis < place) for axis in input.axes or ()]
    axes = tuple(axis + change * move for axis, move in zip(input.axes or (), moves, strict=True))
    return input.each(lambda values: func(values, *dim), axes=axes)


@Plane.rules.register("reshape", "view", "flatten", "unflatten", "view_as", "reshape_as")
def reshape(func: Any, input: Plane, *args: Any, **kwargs: Any) -> Any:
    """Divides or joins dimensions beside rows and columns, or divides those into a grid of blocks."""
    value = func(input.values, *_values(args), **_values(kwargs))
    if value.dtype != input.values.dtype or value.shape[0] != input.values.shape[0]:
        return NotImplemented
    axes, steps = [], []
    for axis in input.axes or ():
        found = _dimension_of(input.values.shape, input.values.ndim + axis, value.shape)
        if found is None:
            return NotImplemented
        axes.append(found[0] - value.ndim)
        steps.append(found[1])
    if axes[0] == axes[1]:
        return NotImplemented
    if steps == [1, 1]:
        sizes = [1 if place - value.ndim in axes else size for place, size in enumerate(value.shape)]
        black = None if input.background is None else input.background.reshape(-1, *sizes[1:])
        return input.become(value, black, axes=(axes[0], axes[1]))
    if input.run.padding != "own":
        return NotImplemented
    # Position j of the grid holds the positions from j * step to (j + 1) * step - 1 in dimensions of their own.
    reaches = tuple(reach.through(step - 1, step, 0) for reach, step in zip(input.reaches, steps, strict=True))
    input.run.periods |= {reach.stride for reach in reaches}
    return input.become(value, axes=(axes[0], axes[1]), reaches=reaches)


def _dimension_of(old: Sequence[int], place: int, new: Sequence[int]) -> tuple[int, int] | None:
    """Returns the dimension of a new shape that goes through an old one in steps of so many; None if there is none."""
    after, size = math.prod(old[place + 1 :]), old[place]
    for index in range(1, len(new)):
        below = math.prod(new[index + 1 :])
        if below % after == 0 and new[index] * below == size * after and (size > 1 or new[index] == 1):
            step = below // after
            return (index, step) if step == 1 or new[index + 1] == step else None
    return None


@Plane.rules.register("__getitem__")
def getitem(func: Any, input: Plane, index: Any) -> Any:
    """Takes out some channels, every n-th position, or a map without its first or last positions."""
    count, axes, run = input.values.ndim, input.axes or (), input.run
    parts = list(index) if isinstance(index, tuple) else [index]
    if Ellipsis in [part for part in parts if not isinstance(part, Tensor)]:
        place = parts.index(Ellipsis)
        parts[place : place + 1] = [slice(None)] * (count - len(parts) + 1)
    parts += [slice(None)] * (count - len(parts))
    spatial = [parts[count + axis] for axis in axes]
    cuts = all(_is_cut(part, side) for part, side in zip(spatial, input.sides, strict=True))
    if not cuts or parts[0] != slice(None) or not all(isinstance(part, int | slice) for part in parts):
        return NotImplemented
    first, step = [part.start or 0 for part in spatial], [part.step or 1 for part in spatial]
    gone = [place for place, part in enumerate(parts) if isinstance(part, int)]
    left = tuple(axis + sum(place > count + axis for place in gone) for axis in axes)
    reaches = tuple(reach.moved(-cut) for reach, cut in zip(input.reaches, first, strict=True))
    if not run.is_endless:
        reaches = tuple(reach.through(0, one, 0) for reach, one in zip(reaches, step, strict=True))
        return input.become(func(input.values, tuple(parts)), axes=left, reaches=reaches)
    # An endless map goes on where it is cut: its positions are counted otherwise.
    for axis in axes:
        parts[count + axis] = slice(None)
    start = (input.start[0] - first[0], input.start[1] - first[1])
    x = input.become(input.values, input.background, start=start, reaches=reaches)
    if step != [1, 1]:
        every = (..., slice(None, None, step[0]), slice(None, None, step[1]))
        x = x.slide(Window((1, 1), (step[0], step[1])), lambda values, _: values[every])
    return x if all(part == slice(None) for part in parts) else x.each(lambda values: values[tuple(parts)], axes=left)


def _is_cut(part: Any, side: int) -> bool:
    """Returns whether a slice leaves out so many rows or columns at the start and the end, whatever the map's size."""
    if not isinstance(part, slice):
        return False
    first, stop, step = part.start or 0, part.stop, part.step or 1
    return first >= 0 and step > 0 and (stop is None or stop < 0 or stop >= side)


@Plane.rules.register("expand", "repeat", "expand_as")
def expand(func: Any, input: Plane, *args: Any) -> Any:
    """Leaves a map as it is where it has that shape already."""
    value = func(input.values, *_values(args))
    return input if value.shape == input.values.shape else NotImplemented


@Plane.rules.register("roll", "flip")
def roll(func: Any, input: Plane, *args: Any, **kwargs: Any) -> Any:
    """Moves positions around the map: each may then see any."""
    if input.run.padding != "own":
        return NotImplemented
    return input.become(func(input.values, *args, **kwargs), is_bounded=False)


@Plane.rules.register("new_empty", "new_zeros", "new_ones", "new_full", "new_tensor")
def new(func: Any, input: Plane, *args: Any, **kwargs: Any) -> Tensor:
    """Makes a tensor of a map's type and device."""
    return func(input.values, *args, **kwargs)  # type: ignore[no-any-return]


Plane.rules["_assert"] = lambda func, *args: None
