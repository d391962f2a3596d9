"""A tensor type for maps on an endless canvas: networks run on it, as they are, in another padding than their own.

A `Plane` knows what each of its positions sees of the image, and with that where it stands on an endless map, and what
the map is where the canvas is black. Every layer computes the positions that the padding asks for:

- `full`, `exact`: all that see some of the image, with zeros around them, or with the background;
- `valid`: those that see nothing but the image;
- `circular`, `reflect`, `replicate`: as many as the network's own padding gives, filled from within the map;
- `own`: the network's own computation, followed to learn what a position sees.

Positions are numbered as in the network's own padding, so that a trained network samples the image in the phase that it
was trained with, and maps that meet are brought to the same positions. `Plane` may hold another tensor type of ours.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
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
FROM_WITHIN = ("circular", "reflect", "replicate")
ENDLESS = ("full", "exact", "valid")
"""Paddings in which a map is a part of an endless one; in the others it has the network's own positions."""


@dataclass(frozen=True)
class Reach:
    """The pixels that a map's positions see along one axis: j those from `j * stride - before` to `j * stride + after`.

    Windows of windows are windows, so that three numbers hold for a whole network.
    """

    before: int = 0
    after: int = 0
    stride: int = 1

    @property
    def size(self) -> int:
        """Pixels that one position sees."""
        return self.before + self.after + 1

    def through(self, size: int, stride: int, padding: int) -> "Reach":
        """Returns the reach after a layer whose output j covers `size` inputs from `j * stride - padding` on."""
        before = self.before + self.stride * padding
        return Reach(before, self.after + self.stride * (size - 1 - padding), self.stride * stride)

    def joined(self, other: "Reach") -> "Reach":
        """Returns what a position sees through two branches. Raises `OptionError` if their strides differ."""
        if self.stride != other.stride:
            raise OptionError(f"branches of strides {self.stride} and {other.stride} meet")
        return Reach(max(self.before, other.before), max(self.after, other.after), self.stride)

    def positions(self, side: int, *, inside: bool) -> range:
        """Returns the positions that see some of so many pixels, or `inside`: that see nothing else."""
        if inside:
            return range(-(-self.before // self.stride), (side - 1 - self.after) // self.stride + 1)
        return range(-(self.after // self.stride), (side - 1 + self.before) // self.stride + 1)


Reaches = tuple[Reach, ...]
"""Along rows and along columns."""


@dataclass(frozen=True)
class End:
    """A call at which a map ceased to be one.

    operator: the name of the function that pooled it, or took its positions for something else
    call: which call of a function of that name it was, from 0, where they were counted
    place: the layer that called it, "" if there is none
    is_pooling: whether it pooled over all positions
    keeps_dims: whether what came of it has as many dimensions
    axes: which dimensions were rows and columns, counted from the last
    reaches: what a position saw
    """

    operator: str
    call: int
    place: str
    is_pooling: bool
    keeps_dims: bool
    axes: Pair
    reaches: Reaches


@dataclass
class Run:
    """One run of a network on planes.

    padding: one of `PaddingVariant`
    sides: rows and columns of an image
    maps: those met so far, in `own` padding
    periods: by how many pixels the network's grids of blocks repeat (windows of attention), in `own` padding
    has_padded: whether the network has asked for padding
    running: the layers that are running, outermost first, where that is followed
    layers: layers with weights that were called, in order, where that is followed
    calls: how often functions of each name were called, where that is followed
    ends: where maps ended, and how many of `layers` had been called then
    """

    padding: PaddingVariant
    sides: Pair
    maps: "list[Plane]" = field(default_factory=list)
    periods: set[int] = field(default_factory=set)
    has_padded: bool = False
    running: list[str] = field(default_factory=list)
    layers: list[str] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    ends: dict[End, int] = field(default_factory=dict)

    @property
    def is_endless(self) -> bool:
        """True if maps are parts of endless ones."""
        return self.padding in ENDLESS

    @property
    def where(self) -> str:
        """The layer that is running, for the beginning of a message."""
        return f"layer {self.running[-1]}: " if self.running and self.running[-1] else ""

    def positions(self, reaches: Reaches) -> list[range]:
        """Returns the rows and columns of an endless map that are computed. Raises `TooSmallError` for none."""
        found = [
            one.positions(side, inside=self.padding == "valid") for one, side in zip(reaches, self.sides, strict=True)
        ]
        if not all(found):
            raise TooSmallError("a map has no position whose windows lie inside the image: larger images are needed")
        return found

    def check_has_padded(self) -> None:
        """Raises `OptionError` if the run was to pad from within, and padded nothing."""
        if self.padding in FROM_WITHIN and not self.has_padded:
            raise OptionError(f"the network pads nothing, so that {self.padding} padding would change nothing")


class TooSmallError(OptionError):
    """An image is too small for a network in `valid` padding."""

    code = "too-small"


class Side(int):
    """The number of rows or columns of a map, by which a pooling over all of them is recognised."""


class Plane(RuledTensor):
    """A map: `values` at the positions of `run`, `background` at all others.

    values: the positions that are computed, of any tensor type
    background: the map where the canvas is black, one position, (1 or N, ...); None where that isn't needed
    axes: which dimensions are rows and columns, counted from the last; None for what came of maps and is none itself
        (only in `own` padding)
    reaches: what a position sees
    is_bounded: whether it sees nothing else: False after an operation that mixes all positions, and for
        places that were added to a map (coordinates, learned tables) or kept in a vector
    ends: of what is no map, where the maps that it came of ended
    is_mixed: of what is no map, whether its positions were mixed otherwise than by linear layers
    """

    rules = Rules()
    values: Tensor  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, values: Tensor, *_: Any, **__: Any) -> Self:
        """Makes the tensor; its state is described at the class."""
        return cls._make_wrapper_subclass(cls, values.shape, dtype=values.dtype, device=values.device)

    def __init__(
        self,
        values: Tensor,
        background: Tensor | None,
        run: Run,
        axes: Pair | None = (-2, -1),
        reaches: Reaches = (Reach(), Reach()),
        is_bounded: bool = True,
        ends: frozenset[End] = frozenset(),
        is_mixed: bool = False,
    ) -> None:
        self.values, self.background, self.run, self.axes, self.reaches = values, background, run, axes, reaches
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
        names = ("axes", "reaches", "is_bounded", "ends", "is_mixed")
        return Plane(values, background, self.run, **{name: getattr(self, name) for name in names} | changes)

    def each(self, function: Callable[[Tensor], Tensor], **changes: Any) -> "Plane":
        """Returns the map after a function that takes each position alone."""
        black = None if self.background is None else function(self.background)
        return self.become(function(self.values), black, **changes)

    @property
    def is_standard(self) -> bool:
        """True if the dimensions are images, channels, rows and columns, as layers with windows take them."""
        return self.axes == (-2, -1) and self.values.ndim == 4

    @property
    def sides(self) -> Pair:
        """Rows and columns that are computed."""
        rows, columns = self.axes or (-2, -1)
        return self.values.shape[rows], self.values.shape[columns]

    def is_spatial(self, *dims: int) -> bool:
        """Returns whether any of these dimensions, counted from either end, is the rows or the columns."""
        return any((dim - self.values.ndim if dim >= 0 else dim) in (self.axes or ()) for dim in dims)

    def marked(self, found: Any, dim: int | None = None) -> Any:
        """Returns sizes of the map with those of rows and columns marked as such; `found` are all sizes, or one."""
        if dim is not None:
            return Side(found) if self.is_spatial(dim) else found
        return torch.Size([Side(size) if self.is_spatial(place) else size for place, size in enumerate(found)])

    def beyond(self, spans: Sequence[range]) -> list[Pair]:
        """Returns how many of these rows and columns of the endless map lie before and after those computed."""
        here = self.run.positions(self.reaches)
        return [(one.start - to.start, to.stop - one.stop) for one, to in zip(here, spans, strict=True)]

    def at(self, spans: Sequence[range]) -> Tensor:
        """Returns the values at these rows and columns of the endless map."""
        vertical, horizontal = self.beyond(spans)
        if not any((*vertical, *horizontal)):
            return self.values
        if self.background is not None and self.is_standard:
            return pad_with_background(self.values, (vertical, horizontal), self.background)
        rows, columns = self.axes or (-2, -1)
        sides = [0] * (-2 * min(rows, columns))
        sides[-2 * rows - 2 : -2 * rows], sides[-2 * columns - 2 : -2 * columns] = vertical, horizontal
        if self.background is None:
            return F.pad(self.values, sides)
        return F.pad(self.values - self.background, sides) + self.background

    def slide(self, window: Window, function: Callable[[Tensor, Any], Tensor], *, adds_zeros: bool = False) -> "Plane":
        """Returns the map after a layer with windows.

        function: computes the layer on values; its second argument is the padding that it adds itself: None for the
            layer's own, in `own` padding, else 0, or so many zeros before and after rows and columns if `adds_zeros`
        """
        run, (rows, columns) = self.run, window.padding
        before, has_padding = (rows[0], columns[0]), any((*rows, *columns))
        reaches = tuple(map(Reach.through, self.reaches, window.reach, window.stride, before))
        run.has_padded |= has_padding
        if not run.is_endless:
            within = run.padding != "own" and has_padding
            values = F.pad(self.values, (*columns, *rows), run.padding) if within else self.values
            return self.become(function(values, None if run.padding == "own" else 0), reaches=reaches)
        along = zip(run.positions(reaches), window.stride, before, window.reach, strict=True)
        spans = [range(at[0] * stride - first, at[-1] * stride - first + reach) for at, stride, first, reach in along]
        if self.background is not None:
            black = function(self.background.expand(-1, -1, *window.reach), 0)[:, :, :1, :1]
            return self.become(function(self.at(spans), 0), black, reaches=reaches)
        (above, below), (left, right) = self.beyond(spans)
        if adds_zeros and above == below >= 0 and left == right >= 0:
            return self.become(function(self.values, (above, left)), reaches=reaches)
        return self.become(function(self.at(spans), 0), reaches=reaches)

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Computes a torch function by its rule."""
        operator, kwargs = operator_of(func), kwargs or {}
        if operator.describes and args and isinstance(args[0], Plane) and operator.name != "__hash__":
            # A map that was written into may have other positions than when it was made.
            found = func(args[0].values, *args[1:], **kwargs)
            return args[0].marked(found, *args[1:], **kwargs) if operator.name in ("shape", "size") else found
        try:
            has_map = all(plane.axes is not None for plane in planes_in((args, kwargs)))
            if has_map or operator.name in _TAKE_ANYTHING:
                return super().__torch_function__(func, types, args, kwargs)
        except NotAMapError:
            pass
        return cls.without_rule(operator.name, func, args, kwargs)

    @classmethod
    def without_rule(cls, name: str, func: Any, args: Any, kwargs: Any) -> Any:
        """Computes what may mix positions, in `own` padding. Raises `UnsupportedOperationError` in any other."""
        planes = planes_in((args, kwargs))
        run = planes[0].run
        if run.is_endless:
            raise UnsupportedOperationError(
                f"{run.where}{name} may mix positions, and can't be computed in {run.padding} padding"
            )
        value = func(*values_of(args), **values_of(kwargs))
        if run.padding != "own":
            # The map has all its positions: it is computed as usual, and layers that come later pad from within.
            return map_tensors(value, lambda one: planes[0].become(one, axes=(-2, -1)) if one.ndim > 1 else one)
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


class NotAMapError(UnsupportedOperationError):
    """A rule can't say what becomes of a map: dimensions in another order, places that differ."""


def map_tensors(value: Any, function: Callable[[Tensor], Any]) -> Any:
    """Returns a value with a function of each of its tensors in their place, in tuples, lists and dictionaries."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, dict):
        return type(value)((name, map_tensors(one, function)) for name, one in value.items())
    if isinstance(value, tuple | list) and not isinstance(value, torch.Size):
        parts = [map_tensors(one, function) for one in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return value


def tensors_in(value: Any) -> list[Tensor]:
    """Returns the tensors of a value, in order."""
    found: list[Tensor] = []
    map_tensors(value, found.append)
    return found


def planes_in(value: Any) -> list[Plane]:
    """Returns the planes of a value, in order."""
    return [one for one in tensors_in(value) if isinstance(one, Plane)]


def values_of(value: Any, of: Callable[[Any], Any] = lambda plane: plane.values) -> Any:
    """Returns a value with their values in place of planes, or what else a function makes of each."""
    return map_tensors(value, lambda one: of(one) if isinstance(one, Plane) else one)


def name_of(func: Any) -> str:
    """Returns the name of a torch function, as rules are registered by it."""
    return operator_of(func).name


def _came_of(planes: Sequence[Plane], name: str, value: Any, **what: bool) -> Any:
    """Returns what came of maps, or of what was none, and is none. what: `is_pooling`, `is_mixed`."""
    is_pooling, is_mixed = what.get("is_pooling", False), what.get("is_mixed", False)
    run, ends = planes[0].run, {end for plane in planes for end in plane.ends}
    maps = [plane for plane in planes if plane.axes is not None]
    bounded = (is_pooling or not maps) and all(plane.is_bounded for plane in planes)
    is_mixed |= any(plane.is_mixed for plane in planes)

    def came(one: Tensor) -> Plane:
        found = set(ends)
        for plane in maps:
            call, place = max(run.calls[name] - 1, 0), run.running[-1] if run.running else ""
            keeps_dims = one.ndim == plane.values.ndim
            end = End(name, call, place, is_pooling, keeps_dims, plane.axes or (-2, -1), plane.reaches)
            run.ends.setdefault(end, len(run.layers))
            found.add(end)
        return Plane(one, None, run, None, is_bounded=bounded, ends=frozenset(found), is_mixed=is_mixed)

    return map_tensors(value, came)


# Layers with windows.

_PARAMETERS = {
    "conv2d": ("weight", "bias", "stride", "padding", "dilation", "groups"),
    "max_pool2d": ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"),
    "avg_pool2d": ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"),
}


@Plane.rules.register(*_PARAMETERS)
def windows(func: Any, input: Any, *args: Any, **kwargs: Any) -> Any:
    """Convolves by weights that don't depend on the images, or pools windows; indices of maxima have no rule.

    On an endless map there is no last window to leave out or to round up to, and every position of a mean counts.
    """
    name = name_of(func)
    given = dict(zip(_PARAMETERS[name], args, strict=False)) | kwargs
    if not isinstance(input, Plane) or not input.is_standard or planes_in(given) or given.pop("return_indices", False):
        return NotImplemented
    kernel = given.get("kernel_size")
    if is_whole(kernel) and not given.get("divisor_override"):
        return pool(name, input, keepdim=True)
    placed = {key: given[key] for key in ("weight", "kernel_size", "stride", "padding", "dilation") if key in given}
    window = Window.of_pooling(**placed) if "kernel_size" in given else Window.of_convolution(**placed)
    if input.run.is_endless and "ceil_mode" in given:
        given["ceil_mode"] = False
    if input.run.padding != "own" and name == "avg_pool2d":
        given["count_include_pad"] = True
    function: Any = {"max_pool2d": F.max_pool2d, "avg_pool2d": F.avg_pool2d}.get(name, torch.conv2d)

    def compute(values: Tensor, padding: Any) -> Tensor:
        return function(values, **given if padding is None else given | {"padding": padding})  # type: ignore[no-any-return]

    return input.slide(window, compute, adds_zeros=name == "conv2d")


def is_whole(kernel_size: Any) -> bool:
    """Returns whether a kernel is given as the map's own size, as in `F.avg_pool2d(x, x.shape[-2:])`."""
    return all(isinstance(one, Side) for one in (kernel_size if isinstance(kernel_size, Sequence) else [kernel_size]))


@Plane.rules.register("pad")
def pad(func: Any, input: Plane, pad: Sequence[int], mode: str = "constant", value: Any = None) -> Any:
    """Pads as the network does. An endless map continues there: only its positions are counted from another one."""
    run, others, amounts = input.run, list(pad), []
    for axis in input.axes or ():
        sides = slice(-2 * axis - 2, -2 * axis)
        amounts.append((others[sides] or [0, 0])[:2])
        others[sides] = [0] * len(others[sides])
    reaches = tuple(one.through(1, 1, before) for one, (before, _) in zip(input.reaches, amounts, strict=True))
    fills = any(amount > 0 for sides in amounts for amount in sides)
    bounded = input.is_bounded and not (mode == "circular" and any(map(any, amounts)))
    run.has_padded |= fills
    if run.is_endless:
        x = input.become(input.values, input.background, reaches=reaches, is_bounded=bounded)
        return x.each(lambda values: func(values, others, mode, value)) if any(others) else x
    if run.padding != "own" and fills and any(others):
        raise UnsupportedOperationError(
            f"{run.where}pad pads channels beside positions, which {run.padding} padding can't"
        )
    mode = run.padding if run.padding != "own" and fills else mode
    return input.become(func(input.values, pad, mode, value), reaches=reaches, is_bounded=bounded)


@Plane.rules.register("interpolate", "upsample")
def interpolate(func: Any, input: Plane, *args: Any, **kwargs: Any) -> Any:
    """Follows enlarging by whole numbers."""
    value = func(input.values, *args, **kwargs)
    factors = [new / side for new, side in zip(value.shape[-2:], input.sides, strict=True)]
    divides = all(
        factor.is_integer() and not one.stride % factor for factor, one in zip(factors, input.reaches, strict=True)
    )
    if not input.is_standard or input.run.padding != "own" or not divides:
        return NotImplemented
    # Nearest neighbours read one position, bicubic ones two on each side, all others the next one at most.
    more = 2 if "bicubic" in (*args, *kwargs.values()) else 1
    wider = (Reach(one.before + more * one.stride, one.after + more * one.stride, one.stride) for one in input.reaches)
    steps = (int(one.stride // factor) for one, factor in zip(input.reaches, factors, strict=True))
    return input.become(value, reaches=tuple(replace(one, stride=step) for one, step in zip(wider, steps, strict=True)))


# Pooling over all positions, and statistics.


def pool(name: str, x: Plane, *, keepdim: bool) -> Any:
    """Returns the mean or, for any other name, the maximum over all positions.

    Of an endless map in `exact` padding the mean would be the background: given is the background plus what the image
    adds to it, divided by the number of positions that the image's area holds; and the background takes part in the
    maximum. In other paddings they are those of the positions that are computed.
    """
    is_mean, dims = name in ("mean", "avg_pool2d", "adaptive_avg_pool2d"), x.axes or (-2, -1)
    if x.background is None or not is_mean:
        found = x.values.mean(dims, keepdim) if is_mean else x.values.amax(dims, keepdim)
        if x.run.padding == "own":
            return _came_of([x], name, found, is_pooling=True)
        if x.background is None:
            return found
        return torch.maximum(found, x.background if keepdim else x.background.squeeze(dims))
    (rows, columns), (height, width) = x.reaches, x.run.sides
    excess = x.values.sum(dims, True) - x.background * (x.sides[0] * x.sides[1])
    mean = x.background + excess * (rows.stride * columns.stride / (height * width))
    return mean if keepdim else mean.squeeze(dims)


@Plane.rules.register("adaptive_avg_pool2d", "adaptive_max_pool2d")
def adaptive_pool2d(func: Any, input: Plane, output_size: Any, return_indices: bool = False) -> Any:
    """Pools over all positions. Several positions reveal where things are, also at sides that need no averages."""
    wanted = (output_size, output_size) if output_size is None or isinstance(output_size, int) else output_size
    size = tuple(now if side is None else side for side, now in zip(wanted, input.sides, strict=True))
    if return_indices or not input.is_standard or (size != (1, 1) and input.run.padding != "own"):
        return NotImplemented
    if size == (1, 1):
        return pool(name_of(func), input, keepdim=True)
    return _came_of([input], name_of(func), func(input.values, output_size))


_NORMS = ("norm", "linalg_vector_norm", "linalg_norm")
_REDUCTIONS = ("mean", "amax", "amin", "sum", "std", "var", "std_mean", "var_mean", "logsumexp", *_NORMS)


@Plane.rules.register(*_REDUCTIONS, "softmax", "log_softmax", "glu", "cumsum", "argmax")
def over_dimensions(func: Any, input: Plane, *args: Any, **kwargs: Any) -> Any:
    """Reduces or normalises dimensions: rows and columns together, or neither of them."""
    name = name_of(func)
    options = args[1:] if name in _NORMS else args
    dim = kwargs.get("dim", kwargs.get("axis", options[0] if options else None))
    dims = [dim] if isinstance(dim, int) else [*(dim or ())]
    if not dims or isinstance(dim, bool):
        return NotImplemented
    from_last = {dim % input.values.ndim - input.values.ndim for dim in dims}
    if from_last == {*(input.axes or ())} and name in _REDUCTIONS:
        if name in ("mean", "amax") and not kwargs.get("dtype"):
            keepdim = kwargs.get("keepdim", next((one for one in options if isinstance(one, bool)), False))
            return pool(name, input, keepdim=keepdim)
        # Statistics of a norm: of the positions that are computed, which are the same in both corners.
        value = func(input.values, *args, **kwargs)
        return _came_of([input], name, value, is_pooling=True) if input.run.padding == "own" else value
    mixes = input.is_spatial(*dims) or -input.values.ndim in from_last
    return NotImplemented if mixes else alone(func, input, *args, **kwargs)


@Plane.rules.register("batch_norm")
def batch_norm(func: Any, input: Plane, *args: Any, **kwargs: Any) -> Any:
    """Normalises by running statistics or, in training, by the batch: by the positions that are computed."""
    names = ("running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
    given = dict(zip(names, args, strict=False)) | kwargs
    if not given.get("training"):
        return by_channel(func, input, **given)
    if not input.is_standard:
        return NotImplemented
    values = func(input.values, **given)
    if input.background is None:
        return input.become(values)
    variance, mean = torch.var_mean(input.values, (0, 2, 3), correction=0, keepdim=True)
    black = (input.background - mean) * torch.rsqrt(variance + given.get("eps", 1e-5))
    return input.become(values, scaled(black, given.get("weight"), given.get("bias")))


def scaled(values: Any, weight: Any, bias: Any) -> Any:
    """Returns maps (N, C, H, W) with a factor and a summand for each channel, or without."""
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

    def apart(values: Tensor) -> Tensor:
        return values.reshape(len(values), num_groups, -1, *values.shape[2:])

    variance, mean = torch.var_mean(apart(input.values), (2, 3, 4), correction=0, keepdim=True)
    scale = torch.rsqrt(variance + eps)
    return input.each(lambda values: scaled(((apart(values) - mean) * scale).flatten(1, 2), weight, bias))


@Plane.rules.register("instance_norm")
def instance_norm(func: Any, input: Plane, *args: Any, **kwargs: Any) -> Any:
    """Normalises each channel of each image."""
    names = ("running_mean", "running_var", "weight", "bias", "use_input_stats", "momentum", "eps")
    given = dict(zip(names, args, strict=False)) | kwargs
    if not given.pop("use_input_stats", True):
        return batch_norm(F.batch_norm, input, **given, training=False)
    if given.get("running_mean") is not None and input.run.padding != "own":
        return NotImplemented
    options = (given.get("weight"), given.get("bias"), given.get("eps", 1e-5))
    return group_norm(F.group_norm, input, input.values.shape[1], *options)


# Each position alone, of several maps.


def pointwise(func: Any, *args: Any, **kwargs: Any) -> Any:
    """Computes each position of maps, what came of maps, constants and numbers alone, on maps brought to one place."""
    tensors = tensors_in((args, kwargs))
    planes = [one for one in tensors if isinstance(one, Plane)]
    maps = [plane for plane in planes if plane.axes is not None]
    x = max(maps, key=lambda plane: plane.values.ndim, default=None)
    if x is None or any(plane.axes != x.axes for plane in maps):
        return NotImplemented
    run, axes = x.run, x.axes or (-2, -1)
    adds_places = any(
        one.ndim >= -axis and one.shape[axis] != 1 for one in tensors if not isinstance(one, Plane) for axis in axes
    )
    if adds_places and run.is_endless:
        raise UnsupportedOperationError(
            f"{run.where}{name_of(func)} takes a constant that differs from position to position, which has no place "
            f"in {run.padding} padding"
        )
    reaches = x.reaches
    for plane in maps:
        reaches = tuple(map(Reach.joined, reaches, plane.reaches))
    spans = run.positions(reaches) if run.is_endless else []

    def called(of: Callable[[Any], Any]) -> Any:
        return func(*values_of(args, of), **values_of(kwargs, of))

    value = called(lambda plane: plane.at(spans) if spans else plane.values)
    sides = tuple(map(len, spans)) or x.sides
    if (
        not isinstance(value, Tensor)
        or value.ndim != x.values.ndim
        or (value.shape[axes[0]], value.shape[axes[1]]) != sides
    ):
        return NotImplemented
    black = None if x.background is None else called(lambda plane: plane.background)
    bounded = len(maps) == len(planes) and not adds_places and all(plane.is_bounded for plane in maps)
    return x.become(value, black, reaches=reaches, is_bounded=bounded)


_POINTWISE = {
    *pointwise_functions(),
    *("clone", "contiguous", "detach", "to", "type", "type_as", "float", "double", "half", "bfloat16", "cpu", "cuda"),
    *("zeros_like", "ones_like", "full_like", "where", "positive"),
}
Plane.rules.register(*_POINTWISE)(pointwise)
_TAKE_ANYTHING = frozenset((*_POINTWISE, "cat", "stack"))


@Plane.rules.register("cat")
def cat(func: Any, tensors: Sequence[Any], dim: int = 0) -> Any:
    """Joins maps along another dimension than images, rows and columns."""
    x = next((one for one in tensors if isinstance(one, Plane) and one.axes is not None), None)
    if x is None or not -x.values.ndim <= dim < x.values.ndim or x.is_spatial(dim) or dim % x.values.ndim == 0:
        return NotImplemented
    return pointwise(func, tuple(tensors), dim)


@Plane.rules.register("dropout", "dropout2d", "alpha_dropout", "feature_dropout", "feature_alpha_dropout")
def dropout(func: Any, input: Plane, *args: Any, **kwargs: Any) -> Any:
    """Drops values; black is not dropped, as it would no longer be one value."""
    return input.become(func(input.values, *args, **kwargs), input.background)


# Each position alone, of one map.

_IMAGES, _ROWS, _COLUMNS = 7919, 7927, 7933
"""Sizes that no dimension has, so that the place of images, rows and columns is seen in a result's shape."""
_RESHAPED = ("reshape", "view", "flatten", "unflatten", "view_as", "reshape_as")
_ALONE = ("permute", "transpose", "movedim", "squeeze", "unsqueeze", "chunk", "split", "tensor_split", "linear")


@Plane.rules.register(*_ALONE, "layer_norm", "rms_norm")
def alone(func: Any, input: Any, *args: Any, **kwargs: Any) -> Any:
    """Computes what orders dimensions anew, or takes parts or functions of those that are no positions."""
    if not isinstance(input, Plane) or input.axes is None or planes_in((args, kwargs)):
        return NotImplemented
    sizes = [_IMAGES, *input.values.shape[1:]]
    sizes[input.axes[0]], sizes[input.axes[1]] = _ROWS, _COLUMNS
    probe = torch.empty(sizes, dtype=input.values.dtype, device="meta")
    rest, options = map_tensors((args, kwargs), lambda one: one.detach().to("meta"))
    try:
        shapes = [list(one.shape) for one in tensors_in(func(probe, *rest, **options))]
    except (RuntimeError, IndexError) as error:
        # A list of sizes, weights for each row: what the map itself takes alone.
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
    """Computes what takes the second dimension for channels."""
    is_map = isinstance(input, Plane) and not input.is_spatial(1)
    return alone(func, input, *args, **kwargs) if is_map else NotImplemented


@Plane.rules.register(*_RESHAPED)
def reshape(func: Any, input: Plane, *args: Any, **kwargs: Any) -> Any:
    """Divides or joins dimensions beside rows and columns, or divides those into a grid of blocks."""
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
    """Returns the dimension of a new shape that goes through an old one, and in which steps; None for no step."""
    after, size = math.prod(old[place + 1 :]), old[place]
    for index in range(1, len(new)):
        below = math.prod(new[index + 1 :])
        if below % after == 0 and new[index] * below == size * after and (size > 1 or new[index] == 1):
            step = below // after
            return index, step if step == 1 or new[index + 1] == step else None
    return 0, None


@Plane.rules.register("__getitem__")
def getitem(func: Any, input: Plane, index: Any) -> Any:
    """Takes out some channels, every n-th position, or a map without its first or last positions."""
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
        # An endless map goes on where it is cut: its positions are counted otherwise.
        x = x.slide(window, lambda values, _: values[..., :: steps[0], :: steps[1]])
    return x if all(part == slice(None) for part in parts) else alone(func, x, tuple(parts))


def _is_cut(part: Any, side: int) -> bool:
    """Returns whether a slice leaves out so many rows or columns at the start and the end, at any size of the map."""
    if not isinstance(part, slice):
        return False
    first, stop, step = part.start or 0, part.stop, part.step or 1
    return first >= 0 and step > 0 and (stop is None or stop < 0 or stop >= side)


@Plane.rules.register("expand", "repeat", "expand_as")
def expand(func: Any, input: Plane, *args: Any) -> Any:
    """Leaves a map as it is where it has that shape already."""
    return input if func(input.values, *values_of(args)).shape == input.values.shape else NotImplemented


@Plane.rules.register("roll", "flip")
def roll(func: Any, input: Plane, *args: Any, **kwargs: Any) -> Any:
    """Moves positions around the map: each may then see any."""
    own = input.run.padding == "own"
    return input.become(func(input.values, *args, **kwargs), is_bounded=False) if own else NotImplemented


@Plane.rules.register("new_empty", "new_zeros", "new_ones", "new_full", "new_tensor")
def new(func: Any, input: Plane, *args: Any, **kwargs: Any) -> Tensor:
    """Makes a tensor of a map's type and device."""
    return func(input.values, *args, **kwargs)  # type: ignore[no-any-return]


Plane.rules["_assert"] = lambda func, *args: None

_LINEAR = frozenset(
    (*_POINTWISE, *_ALONE, *_RESHAPED, "batch_norm", "layer_norm", "dropout", "prelu", "cat", "__getitem__", "expand")
) | {"mean", "sum", "adaptive_avg_pool2d"}
"""Functions that leave it to linear layers to mix what is no map: a head on places that were kept is made of them."""
