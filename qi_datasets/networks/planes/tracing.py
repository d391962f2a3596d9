"""Networks as graphs of layers, by `torch.fx`, and how to name a place in one."""

from typing import Any

from torch import fx, nn

from qi_datasets.errors import OptionError

_DROPS_PATHS = ("StochasticDepth", "DropPath")


class _Tracer(fx.Tracer):
    """Keeps whole what `torch.nn` computes, also in subclasses, and layers that are known by what they do."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return (
            super().is_leaf_module(m, module_qualified_name)
            or drops_paths(m)
            or is_blur_pool(m)
            or (_computes_as_torch(m) and not isinstance(m, nn.Sequential))
        )


def _computes_as_torch(layer: nn.Module) -> bool:
    steps = [getattr(type(layer), name) for name in ("forward", "_conv_forward") if hasattr(type(layer), name)]
    return all(step.__module__.startswith("torch.nn.modules.") for step in steps)


def drops_paths(layer: nn.Module) -> bool:
    """Whether a layer is stochastic depth: torchvision's, or timm's."""
    return type(layer).__name__ in _DROPS_PATHS


def is_blur_pool(layer: nn.Module) -> bool:
    """Whether a layer is a blur pool made like timm's `BlurPool2d`: `filt`, `stride`, `padding` and `pad_mode`."""
    return all(hasattr(layer, name) for name in ("filt", "stride", "padding", "pad_mode"))


def trace(network: nn.Module) -> fx.GraphModule:
    """The graph of what a network does in eval mode. Layers and weights are shared, the network is left as it is.

    Raises `OptionError` if the argument is no module, or if `torch.fx` can't trace it.
    """
    if not isinstance(network, nn.Module):
        raise OptionError(f"a network is a torch.nn.Module, got {type(network).__name__}")
    modes = {layer: layer.training for layer in network.modules()}
    attributes = set(vars(network))
    network.eval()
    try:
        graph = _Tracer().trace(network)
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise OptionError(f"{type(network).__name__} can't be traced by torch.fx: {reason}") from error
    finally:
        for layer, training in modes.items():
            layer.training = training
    module = fx.GraphModule(network, graph, type(network).__name__)
    # Tensors that tracing left on the network are now in the module.
    for name in set(vars(network)) - attributes:
        delattr(network, name)
    return module


def where(node: fx.Node) -> str:
    """A place in a network, for messages: the node, and the layer that it is or lies in."""
    stack: dict[str, tuple[str, Any]] = node.meta.get("nn_module_stack") or {}
    paths = [path for path, _ in stack.values() if path]
    inside = f" (in {paths[-1]})" if paths and node.op != "call_module" else ""
    target = f" (layer {node.target})" if node.op == "call_module" else ""
    return f"node {node.name}{target}{inside}"


def made_of(node: fx.Node) -> list[fx.Node]:
    """The nodes that use a node's value, or what was made of it, in the graph's order."""
    after = {node}
    for other in node.graph.nodes:
        if after.intersection(other.all_input_nodes):
            after.add(other)
    return [other for other in node.graph.nodes if other in after and other is not node]


def changed(traced: fx.GraphModule) -> fx.GraphModule:
    """A graph module whose graph was changed, ready to run, without the layers that are not used any more."""
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced
