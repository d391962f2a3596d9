"""A network as a graph of layers and functions."""

import inspect
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import fx, nn

from qi_datasets.errors import OptionError


@dataclass(frozen=True)
class Traced:
    """A network's graph; parameters and submodules are the network's own. `reason`: why it is one node, if it is."""

    module: fx.GraphModule
    reason: str | None = None


def trace(network: nn.Module) -> Traced:
    """The graph of a network in the mode, training or evaluation, that it is in.

    A network whose forward pass can't be followed becomes a graph of one node. Raises `OptionError` if it takes more
    than images.
    """
    parameters = list(inspect.signature(network.forward).parameters.values())
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [
        p.name for p in parameters[1:] if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    if needed:
        raise OptionError(
            f"the network takes more than images: {', '.join(needed)}; wrap it in a module that fills it in"
        )
    tracer = _Tracer()
    try:
        graph = tracer.trace(network, {p.name: p.default for p in positional[1:]})
    except Exception as error:  # A forward pass may do anything to the stand-ins for its tensors.
        message = str(error).strip().partition("\n")[0]
        return Traced(_opaque(network), f"its forward pass can't be followed ({type(error).__name__}: {message})")
    module = fx.GraphModule(tracer.root, graph)
    _write_out_padding(module)
    return Traced(module)


def computes_as_torch(layer: nn.Module) -> bool:
    """Whether a layer's forward pass is that of a `torch.nn` class, unchanged and without hooks."""
    own = (type(layer).forward, getattr(type(layer), "_conv_forward", None))
    changed = any(not (method.__module__ or "").startswith("torch.nn.modules.") for method in own if method is not None)
    hooks = layer._forward_hooks or layer._forward_pre_hooks or layer._backward_hooks or layer._backward_pre_hooks
    return not changed and not hooks and "forward" not in vars(layer)


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """As usual, and subclasses of layers that compute as those do."""
        inherits = computes_as_torch(m) and not isinstance(m, nn.Sequential)
        return inherits or super().is_leaf_module(m, module_qualified_name)


def _opaque(network: nn.Module) -> fx.GraphModule:
    """A graph that calls the network."""
    graph = fx.Graph()
    graph.output(graph.call_module("network", (graph.placeholder("images"),)))
    return fx.GraphModule({"network": network}, graph)


def _write_out_padding(module: fx.GraphModule) -> None:
    """Splits convolutions that repeat the map around its edges into that padding and a convolution without."""
    layers: dict[str, Any] = dict(module.named_modules())
    for node in list(module.graph.nodes):
        layer = layers.get(node.target) if node.op == "call_module" else None
        if not isinstance(layer, nn.Conv2d) or layer.padding_mode == "zeros" or not computes_as_torch(layer):
            continue
        with module.graph.inserting_before(node):
            amount = list(layer._reversed_padding_repeated_twice)
            padded = module.graph.call_function(F.pad, (node.args[0], amount, layer.padding_mode))
            weights = [
                None if getattr(layer, name) is None else module.graph.get_attr(f"{node.target}.{name}")
                for name in ("weight", "bias")
            ]
            arguments = (padded, *weights, layer.stride, 0, layer.dilation, layer.groups)
            replacement = module.graph.call_function(F.conv2d, arguments)
        node.replace_all_uses_with(replacement)
        module.graph.erase_node(node)
    module.recompile()
