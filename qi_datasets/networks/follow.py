"""A traced network, followed node by node with maps on an endless plane, and written anew on the way."""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.fx.node import map_aggregate

from qi_datasets.errors import OptionError
from qi_datasets.networks.planes import Extent, Plane, Reach, Sides, Window
from qi_datasets.networks.tracing import where

Call = Callable[..., Any]
"""Writes the node that is being followed once more, with these arguments."""

Ends = tuple[Any, Any]
"""Positions to add at either end of an axis, or, negative, to take away there."""


class Unfollowed(Exception):  # noqa: N818
    """What a node does to a map can't be followed; says what that is, for after the node's name."""


@dataclass(frozen=True)
class Constant:
    """A value that does not depend on the images: in the graph that is written, and as it is now."""

    proxy: Any
    now: Tensor


@dataclass(frozen=True)
class Size:
    """How many images there are, or rows or columns of a map (`dim` 0, -2, -1)."""

    dim: int
    proxy: Any


@dataclass(frozen=True)
class End:
    """Where a map stops being one. known: pooled over all positions or made a vector, not mixed in some other way."""

    node: fx.Node
    plane: Plane
    known: bool


class Follower(fx.Transformer):
    """Follows the maps of a traced network through its layers, and writes a graph that computes them to some extent.

    extent: which positions are computed; see `planes.Extent`.
    strict: whether what mixes positions other than by windows and a last pooling is refused; else the maps that it
        reaches are marked as unbounded.
    background: the value of each channel, or of all, outside the images (`exact`).

    What the layers do is for the subclass to say: `on_module`, `on_function`, `on_attribute`.
    """

    def __init__(
        self,
        traced: fx.GraphModule,
        extent: Extent,
        *,
        strict: bool = True,
        background: float | Sequence[float] = 0.0,
    ) -> None:
        super().__init__(traced)
        self.extra_traceback = False
        self.extent, self.strict, self.background = extent, strict, background
        self.layers: dict[str, Any] = {}
        self.ends: list[End] = []
        self._pooled: dict[fx.Node, fx.Node] = {}
        self._image: Any = None

    def on_module(self, layer: nn.Module, target: str, args: Any, kwargs: Any) -> Any:
        """What a layer makes of maps. Raises `Unfollowed`."""
        raise NotImplementedError

    def on_function(self, name: str, call: Call, args: Any, kwargs: Any) -> Any:
        """What a function or method of that name makes of maps. Raises `Unfollowed`."""
        raise NotImplementedError

    def on_attribute(self, x: Plane, name: str) -> Any:
        """An attribute of a map. Raises `Unfollowed`."""
        raise NotImplementedError

    def written(self, name: str) -> fx.GraphModule:
        """Follows the network, and gives what was written: a module of the class name `name`, on the same layers.

        Raises `OptionError` with the name of the node that can't be followed.
        """
        answer = self.run(enable_io_processing=False)
        written = map_aggregate(answer, lambda value: value.node if isinstance(value, fx.Proxy) else value)
        self.new_graph.output(written)
        module = fx.GraphModule(self.layers, self.new_graph, name)
        module.graph.eliminate_dead_code()
        module.recompile()
        return module

    # One node.

    def run_node(self, n: fx.Node) -> Any:
        """What a node makes of its inputs, with its name on any refusal."""
        self._node = n
        planes = _held(Plane, [self.env[node] for node in n.all_input_nodes])
        pools = [self._pooled[node] for node in n.all_input_nodes if node in self._pooled]
        try:
            if planes and pools:
                value = self.mixed(planes[0], f"brings back to a map what {where(pools[0])} makes of all positions")
            else:
                value = super().run_node(n)
        except Unfollowed as reason:
            if self.strict:
                raise OptionError(f"{where(n)} can't be followed: it {reason}") from None
            value = self._stop(planes[0], known=False)
        except OptionError as error:
            raise OptionError(f"{where(n)}: {error}") from None
        if pools and not isinstance(value, Plane):
            self._pooled[n] = pools[0]
        return value

    def placeholder(self, target: Any, args: Any, kwargs: Any) -> Any:
        """The images; further arguments have to have a default."""
        if self._image is None:
            self._image = super().placeholder(target, args, kwargs)
            return Plane(self._image, self._black() if self.extent == "exact" else None)
        if not args:
            raise OptionError(f"a network takes images alone, this one {target} too")
        return args[0]

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Constant:
        """A weight."""
        self.layers[target] = self.fetch_attr(target)
        return Constant(super().get_attr(target, args, kwargs), self.layers[target])

    def output(self, target: Any, args: Any, kwargs: Any) -> Any:
        """The network's answer; of a map, the positions that are computed."""
        for plane in _held(Plane, args):
            self._stop(plane, known=True)
        return _plain(args[0])

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        """A layer."""
        layer = self.fetch_attr(target)
        if _held(Plane, (args, kwargs)):
            return self.on_module(layer, target, args, kwargs)
        return self.layer(target, layer)(*_plain(args), **_plain(kwargs))

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        """A function."""
        if target is operator.getitem and isinstance(args[0], tuple):
            return args[0][args[1]]
        if not _held(Plane, (args, kwargs)):
            return self._beside("call_function", target, target, args, kwargs)
        if target is getattr:
            return self.on_attribute(*args)
        name, in_place = _out_of_place(target.__name__)
        if in_place:
            homes = (operator, F, torch)
            target = next((getattr(home, name) for home in homes if hasattr(home, name)), target)
        return self._on_maps("call_function", target, name, in_place, args, kwargs)

    def call_method(self, target: Any, args: Any, kwargs: Any) -> Any:
        """A method of a tensor."""
        if not _held(Plane, (args, kwargs)):
            return self._beside("call_method", target, getattr(Tensor, target, None), args, kwargs)
        name, in_place = _out_of_place(target)
        return self._on_maps("call_method", name, name, in_place, args, kwargs)

    def _on_maps(self, op: str, target: Any, name: str, in_place: bool, args: Any, kwargs: Any) -> Any:
        kwargs = dict(kwargs)
        if "input" in kwargs:
            args = (kwargs.pop("input"), *args)
        in_place = bool(kwargs.pop("inplace", False)) or in_place

        def call(*args: Any, **kwargs: Any) -> Any:
            return self.tracer.create_proxy(op, target, _plain(args), _plain(kwargs))

        value = self.on_function(name, call, args, kwargs)
        if in_place:
            self.overwrite(value)
        return value

    def _beside(self, op: str, target: Any, now: Any, args: Any, kwargs: Any) -> Any:
        """A call that no map takes part in. Of constants it is one, so that its shape is known."""
        proxy = self.tracer.create_proxy(op, target, _plain(args), _plain(kwargs))
        if now is None or _held(fx.Proxy | Size, (args, kwargs)):
            return proxy
        with torch.no_grad():
            value = now(*_now(args), **_now(kwargs))
        return Constant(proxy, value) if isinstance(value, Tensor) else value

    def _black(self) -> Any:
        ground = torch.zeros_like(self._image[:1, :, :1, :1])
        if isinstance(self.background, Sequence):
            return ground + self._image.new_tensor([float(value) for value in self.background]).view(1, -1, 1, 1)
        return ground + float(self.background) if self.background else ground

    # What subclasses make their layers of.

    def layer(self, target: str, layer: nn.Module) -> Call:
        """Writes a call of `layer`, which takes the place of the network's layer of that name."""
        self.layers[target] = layer
        return lambda *args, **kwargs: self.tracer.create_proxy("call_module", target, args, kwargs)

    def function(self, function: Callable[..., Any]) -> Call:
        """Writes a call of a function."""
        return lambda *args, **kwargs: self.tracer.create_proxy("call_function", function, _plain(args), _plain(kwargs))

    def overwrite(self, value: Any) -> None:
        """Has later nodes find `value` where the first input of this one was, which works in place."""
        if isinstance(self._node.args[0], fx.Node):
            self.env[self._node.args[0]] = value

    def mixed(self, x: Plane, how: str) -> Plane:
        """A map each of whose positions depends on all of `x`. Raises `Unfollowed` if that is refused."""
        if self.strict:
            raise Unfollowed(how)
        return replace(x, bounded=False)

    def vector(self, x: Plane, how: str) -> Any:
        """What depends on where each position is, and is a map no more. Raises `Unfollowed` if that is refused."""
        value = self._stop(x, known=True)
        if self.strict:
            raise Unfollowed(how)
        return value

    def pool(self, call: Call, x: Plane, *, mean: bool, keep: bool) -> Any:
        """The mean or the maximum over all positions; `keep` leaves dimensions of size 1.

        On the endless plane the ground takes part in the maximum. A mean over it is the ground; given is the ground
        plus what the map adds to it, divided by the number of positions that an image's area holds.
        """
        self._stop(x, known=True)
        if self.extent != "exact":
            return call(x.values)
        if mean:
            excess = (x.values - x.ground).sum(x.axes, True)
            area = self._image.shape[-2] * self._image.shape[-1]
            value = x.ground + excess * (x.rows.stride * x.columns.stride) / area
        else:
            value = torch.maximum(x.values.amax(x.axes, True), x.ground)
        return value if keep else value.squeeze(x.axes)

    def window(self, x: Plane, window: Window, apply: Callable[[Any, Sides], Any], *, pads_zeros: bool = False) -> Plane:
        """What a layer with windows makes of a map: `apply(values, padding)` runs it without its own padding.

        pads_zeros: whether `apply` takes the padding, the same at both ends, that it then adds as zeros.
        """
        if not x.is_plain:
            raise Unfollowed("has windows over other dimensions than rows and columns")
        sides = list(zip(x.reaches, window.reach, window.stride, window.padding, strict=True))
        seen = [before.through(reach, stride, padding) for before, reach, stride, padding in sides]
        ends = [
            (before.first(self.extent) - after.first(self.extent) * stride + padding, 0 if self.extent == "valid" else reach)
            for (before, reach, stride, padding), after in zip(sides, seen, strict=True)
        ]
        ground = None
        if x.ground is not None:
            ground = apply(x.ground.expand(-1, -1, *(reach + 1 for reach in window.reach)), (0, 0))
        if pads_zeros and self.extent == "full" and window.stride == (1, 1):
            values = apply(x.values, window.reach)
        else:
            values = apply(self.padded(x, ends), (0, 0))
        return x.become(values, ground, rows=seen[0], columns=seen[1])

    def padded(self, x: Plane, ends: Sequence[Ends]) -> Any:
        """A map's values with positions of ground, or zeros, at the ends of the rows and of the columns."""
        amounts: list[Any] = [0] * (2 * max(-axis for axis in x.axes))
        for axis, pair in zip(x.axes, ends, strict=True):
            amounts[2 * (-axis - 1) : 2 * -axis] = pair
        known = [amount for amount in amounts if isinstance(amount, int)]
        if len(known) == len(amounts) and not any(known):
            return x.values
        pad = self.tracer.create_proxy
        if x.ground is None or (len(known) == len(amounts) and max(known) <= 0):
            return pad("call_function", F.pad, (x.values, amounts), {})
        return pad("call_function", F.pad, (x.values - x.ground, amounts), {}) + x.ground

    def elementwise(self, call: Call, args: Any, kwargs: Any) -> Plane:
        """What a function that takes each position alone makes of maps, constants and numbers."""
        planes = _held(Plane, (args, kwargs))
        for constant in _held(Constant, (args, kwargs)):
            if any(constant.now.ndim >= -axis and constant.now.shape[axis] != 1 for axis in planes[0].axes):
                raise Unfollowed("takes a constant that differs from position to position")
        values, rows, columns = self._aligned(planes)
        value_of = dict(zip(map(id, planes), values, strict=True))

        def with_maps(of: Callable[[Plane], Any]) -> Any:
            new_args, new_kwargs = _replaced((args, kwargs), of)
            return call(*new_args, **new_kwargs)

        ground = with_maps(lambda x: x.ground) if self.extent == "exact" else None
        value = with_maps(lambda x: value_of[id(x)])
        bounded = all(x.bounded for x in planes)
        dims = max(x.dims for x in planes)
        return planes[0].become(value, ground, rows=rows, columns=columns, bounded=bounded, dims=dims)

    def _aligned(self, planes: list[Plane]) -> tuple[list[Any], Reach, Reach]:
        """The values of maps at the same positions, and what those see."""
        if any(x.axes != planes[0].axes or x.pieces for x in planes):
            raise Unfollowed("takes maps whose rows and columns are different dimensions")
        seen = [reduce(Reach.joined, reaches) for reaches in zip(*(x.reaches for x in planes), strict=True)]
        ends = [self._ends(planes, axis, joined) for axis, joined in enumerate(seen)]
        return [self.padded(x, pairs) for x, *pairs in zip(planes, *ends, strict=True)], seen[0], seen[1]

    def _ends(self, planes: list[Plane], axis: int, joined: Reach) -> list[Ends]:
        """What each map lacks, or has too many of, along one axis beside `joined`."""
        reaches = [x.reaches[axis] for x in planes]
        starts = [reach.first(self.extent) - joined.first(self.extent) for reach in reaches]
        lacks = [joined.last_edge(self.extent) - reach.last_edge(self.extent) for reach in reaches]
        if all(lack % joined.stride == 0 for lack in lacks):
            return [(start, lack // joined.stride) for start, lack in zip(starts, lacks, strict=True)]
        # How far apart the ends are depends on the image's side, so it is computed from the sizes of the maps.
        lengths = [x.values.shape[x.axes[axis]] + start for x, start in zip(planes, starts, strict=True)]
        longest = lengths[lacks.index(0)]
        return [
            (start, longest - length if lack else 0) for start, length, lack in zip(starts, lengths, lacks, strict=True)
        ]

    def _stop(self, x: Plane, *, known: bool) -> Any:
        self.ends.append(End(self._node, x, known))
        self._pooled[self._node] = self._node
        return self._image


def _out_of_place(name: str) -> tuple[str, bool]:
    """The name of a function that does the same and leaves its input, and whether this one does not."""
    if name.endswith("_") and not name.endswith("__"):
        return name[:-1], True
    if name.startswith("i") and hasattr(operator, f"__{name}__") and hasattr(operator, name[1:]):
        return name[1:], True
    return name, False


def _held(kind: Any, value: Any) -> list[Any]:
    """All instances of a class within nested tuples, lists, dictionaries and slices."""
    found: list[Any] = []
    map_aggregate(value, lambda inner: found.append(inner) if isinstance(inner, kind) else None)
    return found


def _replaced(value: Any, of: Callable[[Plane], Any]) -> Any:
    return map_aggregate(value, lambda inner: of(inner) if isinstance(inner, Plane) else inner)


def _plain(value: Any) -> Any:
    """The same arguments for the graph that is written."""

    def plain(inner: Any) -> Any:
        if isinstance(inner, Plane):
            return inner.values
        return inner.proxy if isinstance(inner, Constant | Size) else inner

    return map_aggregate(value, plain)


def _now(value: Any) -> Any:
    return map_aggregate(value, lambda inner: inner.now if isinstance(inner, Constant) else inner)
