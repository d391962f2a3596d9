"""Maps on an endless canvas: the computed positions, and the pixels that each of them sees."""

from collections import Counter
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
FROM_WITHIN = ("circular", "reflect", "replicate")
ENDLESS = ("full", "exact", "valid")
"""Paddings in which a map is part of an endless one; in the others it has the network's own positions."""
POINTWISE = {
    *pointwise_functions(),
    *("clone", "contiguous", "detach", "to", "type", "type_as", "float", "double", "half", "bfloat16", "cpu", "cuda"),
    *("zeros_like", "ones_like", "full_like", "where", "positive"),
}
RESHAPED = ("reshape", "view", "flatten", "unflatten", "view_as", "reshape_as")
ALONE = ("permute", "transpose", "movedim", "squeeze", "unsqueeze", "chunk", "split", "tensor_split", "linear")
_TAKE_ANYTHING = frozenset((*POINTWISE, "cat", "stack"))
_LINEAR = frozenset(
    (*POINTWISE, *ALONE, *RESHAPED, "batch_norm", "layer_norm", "dropout", "prelu", "cat", "__getitem__", "expand")
) | {"mean", "sum", "adaptive_avg_pool2d"}
"""Functions that don't mix values other than by linear layers: a head on several positions consists of these."""


@dataclass(frozen=True)
class Reach:
    """The pixels that a map's positions see along one axis: j sees `j * stride - before` to `j * stride + after`.

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
        """Returns the reach of positions that see through two branches. Raises `OptionError` if strides differ."""
        if self.stride != other.stride:
            raise OptionError(f"branches of strides {self.stride} and {other.stride} meet")
        return Reach(max(self.before, other.before), max(self.after, other.after), self.stride)

    def positions(self, side: int, *, inside: bool) -> range:
        """Returns the positions that see some of `side` pixels, or with `inside`, that see no others."""
        if inside:
            return range(-(-self.before // self.stride), (side - 1 - self.after) // self.stride + 1)
        return range(-(self.after // self.stride), (side - 1 + self.before) // self.stride + 1)


Reaches = tuple[Reach, ...]
"""The reaches along rows and along columns."""


@dataclass(frozen=True)
class End:
    """A call whose result is not a map any more.

    operator: the name of the function that pooled it, or took its positions for something else
    call: which call of a function of that name it was, from 0, where they were counted
    place: the layer that called it, "" if there is none
    is_pooling: whether it pooled over all positions
    keeps_dims: whether the result has as many dimensions
    axes: which dimensions were rows and columns, counted from the last
    reaches: the pixels that a position saw
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
    maps: the maps so far, in `own` padding
    periods: by how many pixels the network's grids of blocks repeat (windows of attention), in `own` padding
    has_padded: whether the network has asked for padding
    running: the layers that are running, outermost first, where that is followed
    layers: layers with weights that were called, in order, where that is followed
    calls: how often functions of each name were called, where that is followed
    ends: calls at which maps ended, with the number of `layers` called until then
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
        """Returns the computed rows and columns of an endless map. Raises `TooSmallError` if there are none."""
        found = [
            one.positions(side, inside=self.padding == "valid") for one, side in zip(reaches, self.sides, strict=True)
        ]
        if not all(found):
            raise TooSmallError("a map has no position whose windows lie inside the image: larger images are needed")
        return found

    def check_has_padded(self) -> None:
        """Raises `OptionError` if the run should have padded from within, but the network pads nothing."""
        if self.padding in FROM_WITHIN and not self.has_padded:
            raise OptionError(f"the network pads nothing, so that {self.padding} padding would change nothing")


class TooSmallError(OptionError):
    """An image is too small for a network in `valid` padding."""

    code = "too-small"


class Side(int):
    """The number of rows or columns of a map, by which a pooling over all of them is recognised."""


class Plane(RuledTensor):
    """A map: `values` at the positions of `run`, `background` at all others.

    values: the computed positions, of any tensor type
    background: the map where the canvas is black, one position, (1 or N, ...); None if it isn't needed
    axes: which dimensions are rows and columns, counted from the last; None for values from maps that are no map
        (only in `own` padding)
    reaches: the pixels that a position sees
    is_bounded: whether it sees nothing else: False after an operation that mixes all positions, and for
        places that were added to a map (coordinates, learned tables) or kept in a vector
    ends: for values that are no map, the calls at which their maps ended
    is_mixed: for values that are no map, whether positions were mixed other than by linear layers
    """

    rules = Rules()
    values: Tensor  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, values: Tensor, *_: Any, **__: Any) -> Self:
        """Makes the tensor; the class describes its state."""
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
        """Returns images (N, C, H, W) on a canvas with this background, for all channels or for each."""
        if run.padding != "exact":
            return cls(images, None, run)
        numbers = list(background) if isinstance(background, Sequence) else [background] * images.shape[1]
        black = torch.tensor(numbers, dtype=images.dtype, device=images.device)
        return cls(images, black[None, :, None, None], run)

    def become(self, values: Tensor, background: Tensor | None = None, **changes: Any) -> "Plane":
        """Returns a map on the same canvas with other values, and the changes in `changes`."""
        names = ("axes", "reaches", "is_bounded", "ends", "is_mixed")
        return Plane(values, background, self.run, **{name: getattr(self, name) for name in names} | changes)

    def each(self, function: Callable[[Tensor], Tensor], **changes: Any) -> "Plane":
        """Returns the map after a function of each position."""
        black = None if self.background is None else function(self.background)
        return self.become(function(self.values), black, **changes)

    @property
    def is_standard(self) -> bool:
        """True if the dimensions are images, channels, rows and columns, as layers with windows take them."""
        return self.axes == (-2, -1) and self.values.ndim == 4

    @property
    def sides(self) -> Pair:
        """Number of computed rows and columns."""
        rows, columns = self.axes or (-2, -1)
        return self.values.shape[rows], self.values.shape[columns]

    def is_spatial(self, *dims: int) -> bool:
        """Returns whether any of these dimensions, counted from either end, is the rows or the columns."""
        return any((dim - self.values.ndim if dim >= 0 else dim) in (self.axes or ()) for dim in dims)

    def marked(self, found: Any, dim: int | None = None) -> Any:
        """Returns sizes of the map with rows and columns marked as such; `found` has all sizes, or one."""
        if dim is not None:
            return Side(found) if self.is_spatial(dim) else found
        return torch.Size([Side(size) if self.is_spatial(place) else size for place, size in enumerate(found)])

    def beyond(self, spans: Sequence[range]) -> list[Pair]:
        """Returns how many of these rows and columns of the endless map are before and after the computed ones."""
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
        if operator.is_query and args and isinstance(args[0], Plane) and operator.name != "__hash__":
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
        """Computes a function that may mix positions, in `own` padding. Raises `UnsupportedOperationError` if not."""
        planes = planes_in((args, kwargs))
        run = planes[0].run
        if run.is_endless:
            raise UnsupportedOperationError(
                f"{run.where}{name} may mix positions, and can't be computed in {run.padding} padding"
            )
        value = func(*values_of(args), **values_of(kwargs))
        if run.padding != "own":
            # The map has all its positions: it is computed as usual, and later layers pad from within.
            return map_tensors(value, lambda one: planes[0].become(one, axes=(-2, -1)) if one.ndim > 1 else one)
        for earlier in reversed(run.maps) if isinstance(value, Tensor) else ():
            rows, columns = earlier.axes or (-2, -1)
            sides = (value.shape[rows], value.shape[columns]) if value.ndim == earlier.values.ndim else (0, 0)
            if sides == earlier.sides and min(sides) > 1:
                # Attention that returns a map, or a norm over positions.
                return earlier.become(value, is_bounded=False)
        return came_of(planes, name, value, is_mixed=name not in _LINEAR)

    def write(self, name: str, func: Any, args: Any, kwargs: Any) -> Any:
        """Writes in place without a rule, in `own` padding. Raises `UnsupportedOperationError` in any other."""
        if self.run.is_endless:
            return super().write(name, func, args, kwargs)
        found = self.without_rule(name, func, args, kwargs)
        if isinstance(found, Plane):
            self.overwrite(found)
        self.is_bounded &= self.axes is None
        return self

    def overwrite(self, value: Any) -> None:
        """Takes the state of another map."""
        self.__dict__.update({name: held for name, held in vars(value).items() if name != "_views"})


class NotAMapError(UnsupportedOperationError):
    """A rule can't keep a map: its dimensions have another order, or its positions differ."""


def map_tensors(value: Any, function: Callable[[Tensor], Any]) -> Any:
    """Returns a value with each of its tensors replaced by a function of it, in tuples, lists and dictionaries."""
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
    """Returns a value with planes replaced by their values, or by a function of each."""
    return map_tensors(value, lambda one: of(one) if isinstance(one, Plane) else one)


def name_of(func: Any) -> str:
    """Returns the name by which rules for a torch function are registered."""
    return operator_of(func).name


def came_of(planes: Sequence[Plane], name: str, value: Any, **what: bool) -> Any:
    """Returns a value computed from maps that is no map itself. what: `is_pooling`, `is_mixed`."""
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
