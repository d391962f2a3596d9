"""Padding with what is in the map: its other side, its mirror image, its outermost positions."""

from typing import Any

import torch.nn.functional as F
from torch import fx, nn

from qi_datasets.errors import OptionError
from qi_datasets.networks.planes.geometry import Window
from qi_datasets.networks.planes.layers import PADDING_LAYERS
from qi_datasets.networks.planes.tracing import changed, is_blur_pool, where

# Names of a function's first arguments.
_ARGUMENTS = {
    "pad": ("input", "pad"),
    "conv2d": ("input", "weight", "bias", "stride", "padding", "dilation"),
    "max_pool2d": ("input", "kernel_size", "stride", "padding"),
    "avg_pool2d": ("input", "kernel_size", "stride", "padding"),
}
_LAYERS = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)


def padded_from_within(traced: fx.GraphModule, mode: str) -> fx.GraphModule:
    """The network itself, with its own amounts of padding filled as `torch.nn.functional.pad` does in `mode`.

    Raises `OptionError` if it pads nothing, and for padding whose amount is not known.
    """
    padded = [(node, amounts) for node in traced.graph.nodes if any(amounts := _own_padding(traced, node))]
    if not padded:
        raise OptionError(f"the network pads nothing, so that {mode} padding would change nothing")
    for node, amounts in padded:
        (x, *_) = node.all_input_nodes
        with traced.graph.inserting_before(node):
            pad = traced.graph.call_function(F.pad, (x, amounts, mode))
        if _only_pads(traced, node):
            node.replace_all_uses_with(pad)
            traced.graph.erase_node(node)
            continue
        node.replace_input_with(x, pad)
        if node.op == "call_module":
            layer: Any = traced.get_submodule(str(node.target))
            layer.padding = [0] * 4 if is_blur_pool(layer) else (0, 0)
            if isinstance(layer, nn.Conv2d):
                layer.padding_mode = "zeros"
        elif "padding" in node.kwargs:
            node.update_kwarg("padding", 0)
        else:
            node.update_arg(_ARGUMENTS[node.target.__name__].index("padding"), 0)
    return changed(traced)


def _only_pads(traced: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return isinstance(traced.get_submodule(str(node.target)), tuple(PADDING_LAYERS))
    return getattr(node.target, "__name__", "") == "pad"


def _own_padding(traced: fx.GraphModule, node: fx.Node) -> list[Any]:
    """What a node adds to its map: left, right, above, below; nothing for a node that does not pad."""
    if node.op == "call_module":
        layer: Any = traced.get_submodule(str(node.target))
        if is_blur_pool(layer) or isinstance(layer, tuple(PADDING_LAYERS)):
            return list(layer.padding)
        dilation = getattr(layer, "dilation", 1)
        return _around(layer.kernel_size, layer.padding, dilation) if isinstance(layer, _LAYERS) else []
    name = getattr(node.target, "__name__", "")
    if node.op != "call_function" or name not in _ARGUMENTS:
        return []
    given = _arguments(node)
    if name == "pad":
        return _explicit(node, list(given["pad"]))
    padding = given.get("padding", 0)
    if padding != "same":
        return _around(1, padding, 1)
    weight = given["weight"]
    if weight.op != "get_attr":
        raise OptionError(f"{where(node)} pads by its kernel, whose size is not known")
    owner, _, attribute = weight.target.rpartition(".")
    kernel = tuple(getattr(traced.get_submodule(owner), attribute).shape[-2:])
    return _around(kernel, padding, given.get("dilation", 1))


def _explicit(node: fx.Node, amounts: list[Any]) -> list[Any]:
    """Padding of rows and columns by `F.pad`. Padding of channels, and cutting off, stay as they are."""
    if not any(amounts[:4]) or all(isinstance(amount, int) and amount <= 0 for amount in amounts):
        return []
    if any(amounts[4:]):
        raise OptionError(f"{where(node)} pads channels too, which zeros alone can")
    return amounts[:4]


def _around(kernel: Any, padding: Any, dilation: Any) -> list[int]:
    window = Window.of(kernel, 1, padding, dilation)
    (above, left), (rows, columns) = window.padding, window.reach
    if padding == "same":
        return [left, columns - left, above, rows - above]
    return [left, left, above, above]


def _arguments(node: fx.Node) -> dict[str, Any]:
    names = _ARGUMENTS[getattr(node.target, "__name__", "")]
    return dict(zip(names, node.args, strict=False)) | node.kwargs
