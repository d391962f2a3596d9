"""Goes through the nodes of a traced network, has rules say what each makes of maps, and writes a new graph."""

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.fx.node import map_aggregate

from qi_datasets.errors import OptionError
from qi_datasets.networks.planes.plane import Constant, End, Plane, Size, Unfollowed
from qi_datasets.networks.planes.tracing import where

Call = Callable[..., Any]
"""Writes a node into the new graph: a function, method or layer, called with these arguments."""


class Follower(fx.Transformer):
    """Follows the maps of a traced network, and writes a network on the same layers.

    strict: whether what mixes positions, other than by windows and by a last pooling, is refused; if not, the maps that
        it comes back to are marked as unbounded

    What the nodes do to maps is for subclasses to say.
    """

    def __init__(self, traced: fx.GraphModule, *, strict: bool = True) -> None:
        super().__init__(traced)
        self.extra_traceback = False
        self.strict = strict
        self._ends: dict[fx.Node, End] = {}
        self.image: Any = None
        self._layers: dict[str, Any] = {}
        self._pooled: dict[fx.Node, fx.Node] = {}

    def of_images(self, images: Any) -> Plane:
        """The map that the images are."""
        raise NotImplementedError

    def on_module(self, layer: nn.Module, target: str, args: Any, kwargs: Any) -> Any:
        """What a layer makes of maps. Raises `Unfollowed`.

        layer: the layer
        target: its name in the network
        args, kwargs: what it is called with
        """
        raise NotImplementedError

    def on_function(self, name: str, call: Call, args: Any, kwargs: Any) -> Any:
        """What a function or method makes of maps. Raises `Unfollowed`.

        name: of the function
        call: writes it anew
        args, kwargs: what it is called with
        """
        raise NotImplementedError

    def on_attribute(self, x: Plane, name: str) -> Any:
        """An attribute of a map. Raises `Unfollowed`."""
        raise NotImplementedError

    def ends(self) -> list[End]:
        """Follows the network, and gives where its maps end and don't come back to a map. Raises `OptionError`."""
        self.run(enable_io_processing=False)
        return [*self._ends.values()]

    def written(self, name: str) -> fx.GraphModule:
        """Follows the network, and gives what was written: a module of the class name `name`.

        Raises `OptionError` with the name of the node that can't be followed.
        """
        answer = self.run(enable_io_processing=False)
        self.new_graph.output(map_aggregate(answer, lambda one: one.node if isinstance(one, fx.Proxy) else one))
        module = fx.GraphModule(self._layers, self.new_graph, name)
        module.training = self.module.training
        return module

    # For the rules.

    def layer(self, target: str, layer: nn.Module) -> Call:
        """Writes calls of `layer`, which takes the place of the network's layer of that name."""
        self._layers[target] = layer
        return lambda *args, **kwargs: self._write("call_module", target, args, kwargs)

    def function(self, function: Callable[..., Any]) -> Call:
        """Writes calls of a function."""
        return lambda *args, **kwargs: self._write("call_function", function, args, kwargs)

    def attribute(self, target: str) -> Any:
        """A weight or layer of the network, in the new graph."""
        self._layers.setdefault(target, self.fetch_attr(target))
        return self.tracer.create_proxy("get_attr", target, (), {})

    def overwrite(self, value: Any) -> None:
        """Has later nodes find `value` where the first input of this one was, which works in place."""
        if isinstance(self._node.args[0], fx.Node):
            self.env[self._node.args[0]] = value

    def end(self, x: Plane, *, known: bool = True, keeps: bool | None = None) -> Any:
        """Takes note that a map stops being one here. What is given stands for what comes of it, if nothing better."""
        self._ends[self._node] = End(self._node, x, known, keeps)
        self._pooled[self._node] = self._node
        return self.image

    def mixed(self, x: Plane, how: str) -> Plane:
        """A map each of whose positions depends on all of `x`. Raises `Unfollowed` if that is refused."""
        if self.strict:
            raise Unfollowed(how)
        return x.become(x.values, x.ground, bounded=False)

    # The nodes.

    def run_node(self, n: fx.Node) -> Any:
        """What a node makes of its inputs, with its name on any refusal."""
        self._node = n
        planes = held(Plane, [self.env[node] for node in n.all_input_nodes])
        pools = [self._pooled[node] for node in n.all_input_nodes if node in self._pooled]
        try:
            if planes and pools and n.op != "output":
                value = self.mixed(planes[0], f"brings back to a map what {where(pools[0])} makes of all positions")
                for pool in pools:
                    self._ends.pop(pool, None)
            else:
                value = super().run_node(n)
        except Unfollowed as reason:
            if self.strict:
                raise OptionError(f"{where(n)} can't be followed: it {reason}") from None
            value = self.end(planes[0], known=False)
        except OptionError as error:
            raise OptionError(f"{where(n)}: {error}") from None
        if pools and not isinstance(value, Plane):
            self._pooled[n] = pools[0]
        return value

    def placeholder(self, target: Any, args: Any, kwargs: Any) -> Any:
        """The images; further arguments have to have a default."""
        if self.image is None:
            self.image = super().placeholder(target, args, kwargs)
            return self.of_images(self.image)
        if not args:
            raise OptionError("a network is given images alone, and this one wants more")
        return args[0]

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        """A weight."""
        return Constant(self.attribute(target), self.fetch_attr(target))

    def output(self, target: Any, args: Any, kwargs: Any) -> Any:
        """The network's answer; of a map, the positions that are computed."""
        for plane in held(Plane, args):
            self.end(plane)
        return _plain(args[0])

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        """A layer."""
        layer = self.fetch_attr(target)
        if held(Plane, (args, kwargs)):
            return self.on_module(layer, target, args, kwargs)
        return self.layer(target, layer)(*args, **kwargs)

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        """A function."""
        if target is operator.getitem and isinstance(args[0], tuple):
            return args[0][args[1]]
        if not held(Plane, (args, kwargs)):
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
        if not held(Plane, (args, kwargs)):
            return self._beside("call_method", target, getattr(Tensor, target, None), args, kwargs)
        name, in_place = _out_of_place(target)
        return self._on_maps("call_method", name, name, in_place, args, kwargs)

    def _on_maps(self, op: str, target: Any, name: str, in_place: bool, args: Any, kwargs: Any) -> Any:
        kwargs = dict(kwargs)
        if "input" in kwargs:
            args = (kwargs.pop("input"), *args)
        in_place = bool(kwargs.pop("inplace", False)) or in_place
        value = self.on_function(name, lambda *args, **kwargs: self._write(op, target, args, kwargs), args, kwargs)
        if in_place:
            self.overwrite(value)
        return value

    def _beside(self, op: str, target: Any, now: Any, args: Any, kwargs: Any) -> Any:
        """A call that no map takes part in. Of constants it is one, so that its shape is known."""
        proxy = self._write(op, target, args, kwargs)
        if now is None or held(fx.Proxy, (args, kwargs)) or held(Size, (args, kwargs)):
            return proxy
        with torch.no_grad():
            value = now(*_now(args), **_now(kwargs))
        return Constant(proxy, value) if isinstance(value, Tensor) else value

    def _write(self, op: str, target: Any, args: Any, kwargs: Any) -> Any:
        return self.tracer.create_proxy(op, target, _plain(args), _plain(kwargs))


def held(kind: type, value: Any) -> list[Any]:
    """All instances of a class within nested tuples, lists, dictionaries and slices."""
    found: list[Any] = []
    map_aggregate(value, lambda inner: found.append(inner) if isinstance(inner, kind) else None)
    return found


def _out_of_place(name: str) -> tuple[str, bool]:
    """The name of what does the same and leaves its input as it is, and whether this one does not."""
    if name.endswith("_") and not name.endswith("__"):
        return name[:-1], True
    if name.startswith("i") and hasattr(operator, f"__{name}__") and hasattr(operator, name[1:]):
        return name[1:], True
    return name, False


def _plain(value: Any) -> Any:
    """The same arguments for the new graph."""

    def plain(inner: Any) -> Any:
        if isinstance(inner, Plane):
            return inner.values
        return inner.proxy if isinstance(inner, Constant | Size) else inner

    return map_aggregate(value, plain)


def _now(value: Any) -> Any:
    return map_aggregate(value, lambda inner: inner.now if isinstance(inner, Constant) else inner)
