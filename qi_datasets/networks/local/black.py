"""What black becomes in each map, by number: two things of one number are equal there, in exact arithmetic.

Exact full convolution computes the ground of each map beside it, by the same layers, and pads with it. That a map less
its ground is 0 on endless black is seen from how the two are made, never from their values: they are the same
operations on the same things.
"""

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx import Node
from torch.fx.node import map_arg

from qi_datasets.networks.local.functions import COMBINING, POINTWISE
from qi_datasets.networks.local.layers import POINTWISE as POINTWISE_LAYERS
from qi_datasets.networks.local.plan import Plan, Task
from qi_datasets.networks.local.tracing import computes_as_torch

ZERO = 0
"""The number of what is 0."""

_SLIDING = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
_LAYERS = (*POINTWISE_LAYERS, *_SLIDING, nn.BatchNorm2d, nn.LayerNorm, nn.Linear, nn.PReLU)
_POOLS = ("max_pool2d", "avg_pool2d")
_FUNCTIONS = frozenset((*POINTWISE, *COMBINING, *_POOLS, "cat", "permute", "layer_norm", "linear"))
_SUBTRACTIONS, _ADDITIONS = ("sub",), ("add",)


class Black:
    """The numbers of a plan's constants and of the maps that `add` was told of. values: of the constants."""

    def __init__(self, plan: Plan, values: Mapping[Node, Any]) -> None:
        self._plan, self._values = plan, values
        self._numbers: dict[Node, int] = {plan.image: ZERO}
        self._made: dict[str, int] = {}
        for node in plan.constants:
            value = values[node]
            zero = isinstance(value, Tensor) and not value.count_nonzero()
            self._numbers[node] = ZERO if zero else self._number(node, self._of_constant(node))

    def add(self, task: Task, zero: Tensor | None) -> Tensor | None:
        """Numbers what black becomes in a map. Gives one pixel of it if that is 0, `zero` if it is known to be."""
        node = task.node
        if zero is None and (found := self._difference(node)) is not None:
            zero = found
        if zero is not None:
            self._numbers[node] = ZERO
        elif node.target is F.pad and len(task.inputs) == 1:
            # Black that goes on; whether the padding continues it is for the ground to say.
            self._numbers[node] = self._numbers[task.inputs[0]]
        else:
            self._numbers[node] = self._number(node, self._made_of(node))
        return zero

    def _difference(self, node: Node) -> Tensor | None:
        """Zeros, if a node takes from a map what black has become in it."""
        if _name(node) not in _SUBTRACTIONS or len(node.args) != 2 or node.kwargs:
            return None
        first, second = node.args
        if not isinstance(first, Node) or not isinstance(second, Node) or second not in self._values:
            return None
        same = self._numbers.get(first) == self._numbers.get(second)
        value = self._values[second]
        return value.new_zeros(value.shape) if same and isinstance(value, Tensor) and value.ndim == 4 else None

    def _number(self, node: Node, made: int | str | None) -> int:
        """The number of what is made in this way; one of its own if that is not known."""
        if isinstance(made, int):
            return made
        return self._made.setdefault(f"{node.name} alone" if made is None else made, len(self._made) + 1)

    def _of_constant(self, node: Node) -> int | str | None:
        """How a constant is made, if each of its positions is made alike: its number, or by which operation."""
        if node.op == "get_attr":
            return f"attribute {node.target}"
        if _name(node) == "expand":
            of: Any = node.args[0]
            alike = node.args[1:3] == (-1, -1) and self._values[of].shape[2:] == (1, 1)
            return self._numbers[of] if alike else None
        if node.op == "call_module" and isinstance(layer := self._layer(node), _SLIDING):
            alike = layer.padding in (0, (0, 0), "valid") and not getattr(layer, "ceil_mode", False)
            return self._made_of(node) if alike else None
        if _name(node) in _POOLS:
            options = {**dict(zip(("stride", "padding", "ceil_mode"), node.args[2:], strict=False)), **node.kwargs}
            alike = options.get("padding", 0) in (0, (0, 0), [0, 0]) and not options.get("ceil_mode", False)
            return self._made_of(node) if alike else None
        return self._made_of(node)

    def _made_of(self, node: Node) -> int | str | None:
        """A node's operation on numbers; None for one that may treat positions unlike each other."""
        if node.op == "call_module":
            layer = self._layer(node)
            by_batch = isinstance(layer, nn.BatchNorm2d) and (layer.training or layer.running_mean is None)
            known = isinstance(layer, _LAYERS) and computes_as_torch(layer) and not by_batch
        else:
            known = _name(node) in _FUNCTIONS
        if not known or any(one not in self._numbers for one in node.all_input_nodes):
            return None
        numbers = [self._numbers[one] for one in node.all_input_nodes]
        if _name(node) in _ADDITIONS and len(node.args) == len(numbers) == 2 and not node.kwargs and ZERO in numbers:
            return sum(numbers)
        args, kwargs = (map_arg(those, lambda one: f"#{self._numbers[one]}") for those in (node.args, node.kwargs))
        return f"{node.op} {node.target} {args} {kwargs}"

    def _layer(self, node: Node) -> nn.Module:
        return self._plan.module.get_submodule(str(node.target))


def _name(node: Node) -> str:
    """What a function or method is called; "" for layers and weights."""
    if node.op == "call_method":
        return str(node.target)
    return getattr(node.target, "__name__", "") if node.op == "call_function" else ""
