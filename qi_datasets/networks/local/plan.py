"""What is computed in windows and what is not, for one network, one size of image and given places of the patch."""

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx import Node
from torch.fx.node import map_arg

from qi_datasets.errors import OptionError
from qi_datasets.networks.local.folding import folded
from qi_datasets.networks.local.functions import step_of_function, step_of_method
from qi_datasets.networks.local.layers import step_of_layer
from qi_datasets.networks.local.pooling import Described, Ending, Whole
from qi_datasets.networks.local.steps import Step
from qi_datasets.networks.local.tracing import Traced, computes_as_torch
from qi_datasets.networks.local.windows import Area, NotLocalError, Span

Place = tuple[int, int]
Values = dict[Node, Any]

_DESCRIBING = {
    "call_method": ("size", "dim", "numel"),
    "call_function": (getattr,),
}
_DESCRIBED = ("shape", "ndim", "dtype", "device", "is_cuda", "requires_grad")
_SHAPES = (("call_function", getattr, "shape"), ("call_method", "size"))


@dataclass(frozen=True)
class Task:
    """A node that depends on the images, and what it does to the maps among its inputs.

    node: the node
    inputs: the distinct maps
    step: its output is a map
    ending: its inputs end, and its output is not a map
    freed: nodes that nothing after it uses
    """

    node: Node
    inputs: tuple[Node, ...]
    step: Step | None = None
    ending: Ending | None = None
    freed: tuple[Node, ...] = ()


class NodeCall:
    """Runs a node on tensors in place of its maps."""

    def __init__(self, runner: "_Runner", task: Task, values: Values) -> None:
        self._runner, self._task, self._values = runner, task, values

    def arguments(self, *maps: Tensor) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The node's positional and named arguments with these maps in them."""
        standing_in = dict(zip(self._task.inputs, maps, strict=True))

        def value(node: Node) -> Any:
            return standing_in[node] if node in standing_in else self._values[node]

        node = self._task.node
        return map_arg(node.args, value), map_arg(node.kwargs, value)

    def __call__(self, *maps: Tensor) -> Any:
        """What the node makes of them."""
        return self._runner.run(self._task.node, *self.arguments(*maps))


class _Runner:
    """Runs single nodes of a graph, and those that do not depend on the images.

    `sizes` are nodes whose value is known without running them: rows and columns of maps.
    """

    def __init__(self, module: fx.GraphModule) -> None:
        self._interpreter = fx.Interpreter(module)
        self.sizes: dict[Node, int] = {}

    def run(self, node: Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A node's value."""
        if node.op == "placeholder":
            return node.args[0] if node.args else None
        if node.op == "output":
            return args[0]
        return getattr(self._interpreter, node.op)(node.target, args, kwargs)

    def value(self, node: Node) -> Any:
        """The value of a node that does not depend on the images."""
        if node in self.sizes:
            return self.sizes[node]
        return self.run(node, map_arg(node.args, self.value), map_arg(node.kwargs, self.value))

    def values(self, nodes: Iterable[Node]) -> Values:
        """The values of such nodes, in the graph's order."""
        found: Values = {}
        for node in nodes:
            if node in self.sizes:
                found[node] = self.sizes[node]
            else:
                found[node] = self.run(node, map_arg(node.args, found.get), map_arg(node.kwargs, found.get))
        return found


class Plan:
    """For each node of a network where the window of its map lies, and how it is computed.

    traced: the network
    side: rows and columns of the images
    patch: rows and columns of the patch
    places: row and column of the patch's first pixel, for each place that it may have

    `reasons` names the nodes from which on whole maps are computed because the layer is not local, and says why.
    Raises `OptionError` if a patch does not lie inside the image.
    """

    def __init__(self, traced: Traced, side: int, patch: tuple[int, int], places: Sequence[Place]) -> None:
        for y, x in places:
            if min(y, x) < 0 or min(patch) < 1 or y + patch[0] > side or x + patch[1] > side:
                at = f"row {y}, column {x}"
                raise OptionError(f"a patch of {patch[0]} x {patch[1]} pixels at {at} leaves an image of side {side}")
        self.module = traced.module
        self.runner = _Runner(traced.module)
        self.areas: dict[Node, tuple[Area, ...]] = {}
        self.constants: list[Node] = []
        self.tasks: list[Task] = []
        self.reasons: list[str] = [] if traced.reason is None else [traced.reason]
        self._opaque = traced.reason is not None
        self._images = [Area(Span(side, y, y + patch[0]), Span(side, x, x + patch[1])) for y, x in places]
        self._read(traced.module.graph)
        self._free()
        self.folds, self.blank_side = folded(self.image, side, self.tasks, self.areas)

    @property
    def image(self) -> Node:
        """The node of the images."""
        first: Node = next(iter(self.module.graph.nodes))
        return first

    def pixel(self, channels: int) -> Tensor:
        """A black pixel (1, channels, 1, 1) of the network's type, on its device."""
        like = next((p for p in self.module.parameters() if p.is_floating_point()), torch.empty(0))
        return torch.zeros(1, channels, 1, 1, dtype=like.dtype, device=like.device)

    def area(self, node: Any) -> Area | None:
        """Where the window of a node's map is, for the first place; None for anything but a map."""
        return self.areas[node][0] if isinstance(node, Node) and node in self.areas else None

    def value(self, node: Any) -> Any:
        """The value of what does not depend on the images. Raises `NotLocalError` for what does."""
        if not isinstance(node, Node):
            return node
        if node not in self._constant:
            raise NotLocalError("it takes a value of the whole image beside the map")
        with torch.no_grad():
            return self.runner.value(node)

    def _read(self, graph: fx.Graph) -> None:
        self._constant: set[Node] = set()
        for node in graph.nodes:
            inputs = node.all_input_nodes
            maps = tuple(one for one in inputs if one in self.areas)
            if node is self.image:
                self.areas[node] = tuple(self._images)
            elif (size := self._size(node)) is not None:
                self.runner.sizes[node] = size
                self._constant.add(node)
                self.constants.append(node)
            elif node.op != "output" and all(one in self._constant for one in inputs):
                self._constant.add(node)
                self.constants.append(node)
            elif not maps:
                self.tasks.append(Task(node, ()))
            else:
                self.tasks.append(self._task(node, maps))

    def _size(self, node: Node) -> int | None:
        """The rows or columns of a map, where a node reads their number."""
        args: tuple[Any, ...] = node.args
        if (node.op, node.target, len(args)) == ("call_method", "size", 2):
            of, dim = args
        elif node.target is operator.getitem and isinstance(args[0], Node):
            shape, dim = args
            if (shape.op, shape.target, *shape.args[1:]) not in _SHAPES:
                return None
            of = shape.args[0]
        else:
            return None
        area = self.area(of)
        if area is None or not isinstance(dim, int) or dim % area.ndim not in area.axes:
            return None
        return area.spans[area.axes.index(dim % area.ndim)].length

    def _task(self, node: Node, maps: tuple[Node, ...]) -> Task:
        try:
            found = self._recognised(node, maps)
            if isinstance(found, Ending):
                return Task(node, maps, ending=found)
            places = zip(*(self.areas[one] for one in maps), strict=True)
            self.areas[node] = tuple(found.area(*areas) for areas in places)
        except NotLocalError as reason:
            if not self._opaque:
                self.reasons.append(f"{node.name}: {reason}")
            return Task(node, maps, ending=Whole())
        return Task(node, maps, step=found)

    def _recognised(self, node: Node, maps: tuple[Node, ...]) -> Step | Ending:
        if node.op == "output":
            return Whole()
        if node.target in _DESCRIBING.get(node.op, ()) and (node.target is not getattr or node.args[1] in _DESCRIBED):
            return Described()
        if any(one not in maps and one not in self._constant for one in node.all_input_nodes):
            raise NotLocalError("it combines a map with a value of the whole image")
        args, kwargs = node.args, dict(node.kwargs)
        if node.op == "call_function":
            return step_of_function(node.target, self, args, kwargs)
        if node.op == "call_method":
            return step_of_method(str(node.target), self, args, kwargs)
        layer = self.module.get_submodule(str(node.target))
        if len(args) != 1 or kwargs or not computes_as_torch(layer):
            raise NotLocalError(f"what a {type(layer).__name__} layer computes is not known")
        return step_of_layer(layer, self.areas[maps[0]][0])

    def _free(self) -> None:
        """Says after which task a value is used no more."""
        last = {one: task.node for task in self.tasks for one in task.node.all_input_nodes}
        freed: dict[Node, list[Node]] = {}
        for one, user in last.items():
            if one not in self._constant:
                freed.setdefault(user, []).append(one)
        self.tasks = [
            Task(task.node, task.inputs, task.step, task.ending, tuple(freed.get(task.node, ()))) for task in self.tasks
        ]
