"""Variants of a network on the same weights: in another padding, with a global maximum, without its head."""

import copy
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import fx, nn

from qi_datasets.errors import OptionError
from qi_datasets.networks.convert import to_full_conv
from qi_datasets.networks.planes.layers import LayerFollower
from qi_datasets.networks.planes.plane import End
from qi_datasets.networks.planes.tracing import changed, made_of, trace, where
from qi_datasets.networks.random_weights import seeded
from qi_datasets.networks.receptive_field import last_maps
from qi_datasets.networks.repadding import padded_from_within

PaddingVariant = Literal["own", "full", "exact", "valid", "circular", "reflect", "replicate"]
PADDING_VARIANTS: tuple[PaddingVariant, ...] = get_args(PaddingVariant)

# What timm calls poolings over all positions. Others read a token, or weigh the positions.
_TIMM_POOLS = frozenset(("avg", "max", "avgmax", "catavgmax", "fast", "fastavg", "fastmax", "fastavgmax"))

# Under which of these names a head is known in a network that can't be traced.
_HEADS = ("fc", "classifier", "head", "heads", "head.fc")


def with_padding(model: nn.Module, padding: PaddingVariant, *, background: float | Sequence[float] = 0.0) -> nn.Module:
    """A copy of a network in another padding, in the mode that `model` is in.

    padding: `own` changes nothing;
        `full`, `exact`: full convolution, with zeros or the ground beyond the map, as `to_full_conv` describes it;
        `valid`: no padding: the positions whose windows lie inside the image, in the phase of the network's own
        padding, and where branches meet those that all of them have;
        `circular`, `reflect`, `replicate`: as much padding as the network has, of convolutions and poolings, filled
        with the other side of the map, its mirror image, or its outermost positions.
    background: of `exact` only, as in `to_full_conv`.

    Raises `OptionError` for an unknown padding; for a network that can't be traced (all but `own`) or followed (`full`,
    `exact`, `valid`); and if `circular`, `reflect` or `replicate` is asked of a network that pads nothing.
    """
    if padding not in PADDING_VARIANTS:
        raise OptionError(f"padding is one of {', '.join(PADDING_VARIANTS)}, got {padding!r}")
    if padding != "exact" and background != 0.0:
        raise OptionError(f"a background other than 0 goes with exact padding, got {padding!r}")
    network = copy.deepcopy(model)
    if padding == "own":
        return network
    if padding in ("full", "exact"):
        return to_full_conv(network, padding == "exact", background=background)
    if padding == "valid":
        return LayerFollower(trace(network), "valid").written(f"Valid{type(model).__name__}")
    return padded_from_within(trace(network), padding)


def with_global_max_pool(model: nn.Module) -> nn.Module:
    """A copy of a network whose last pooling over all positions takes the maximum, in the mode that `model` is in.

    A network that flattens its last map, or pools it to several positions, as VGG does, gets a pooling in that place;
    one that answers with a map answers with the maxima (N, C).

    Raises `OptionError` if the network can't be traced, has no such place, or goes on from several positions with
    weights; `without_head` takes those away.
    """
    network = copy.deepcopy(model)
    if is_of_timm(network) and _pools_maximum_by_timm(network):
        return network
    traced = trace(network)
    end, graph = _only_end(traced), traced.graph
    node, x = end.node, end.node.all_input_nodes[0]
    if node.op == "output" and node.args != (x,):
        raise OptionError("the network answers with more than one map")
    if end.keeps is None and _has_weights_after(traced, node):
        place = where(node)
        raise OptionError(f"the head reads several positions, from {place} on: take it off first, by without_head")
    with graph.inserting_before(node):
        if end.plane.is_plain:
            pooled = graph.call_function(F.adaptive_max_pool2d, (x, 1))
        else:
            pooled = graph.call_method("amax", (x, end.plane.axes, True))
        if not end.keeps:
            pooled = graph.call_function(torch.flatten, (pooled, 1))
    if node.op == "output":
        node.args = (pooled,)
    else:
        node.replace_all_uses_with(pooled)
        graph.erase_node(node)
    return changed(traced)


def without_head(model: nn.Module) -> nn.Module:
    """A copy of a network that answers with its features (N, F), in the mode that `model` is in.

    They are what the last pooling over all positions gives, or the flattened last map. Of a network without such a
    place (vision transformers) they are what its last linear layer takes. One that has none of these stays as it is.
    Raises `OptionError` for a network that can't be traced, unless its head has one of the usual names.
    """
    network: Any = copy.deepcopy(model)
    if is_of_timm(network):
        network.reset_classifier(0)
        return network  # type: ignore[no-any-return]
    try:
        traced = trace(network)
    except OptionError:
        return _without_named_head(network)
    graph = traced.graph
    output = next(node for node in graph.nodes if node.op == "output")
    try:
        features: fx.Node | None = _only_end(traced).node
    except OptionError:
        features = _before_last_linear(traced, output)
    if features is None or features is output:
        return traced
    with graph.inserting_before(output):
        output.args = (graph.call_function(torch.flatten, (features, 1)),)
    for node in reversed(made_of(features)):
        if not node.users and node is not output:
            graph.erase_node(node)
    return changed(traced)


def is_of_timm(network: nn.Module) -> bool:
    """Whether a network has timm's functions for its head and pooling, by which these are changed."""
    return all(hasattr(network, name) for name in ("reset_classifier", "forward_features", "forward_head"))


def _pools_maximum_by_timm(network: Any) -> bool:
    """Has a network of timm pool by maximum. False if it can't, or doesn't end in a pooling over all positions."""
    if _timm_pool(network) not in _TIMM_POOLS:
        return False
    state = network.state_dict()
    with seeded(0), suppress(AssertionError, TypeError, ValueError):
        network.reset_classifier(network.num_classes, "max")
        # The classifier was made anew, with weights of its own.
        network.load_state_dict(state)
    return _timm_pool(network) == "max"


def _timm_pool(network: Any) -> str:
    """What timm calls the pooling before a network's classifier; "" where there is none by that name."""
    for owner in (network, getattr(network, "head", None)):
        for name in ("global_pool", "pool_type"):
            pool = getattr(owner, name, None)
            kind = getattr(pool, "pool_type", pool)
            if isinstance(kind, str) and kind:
                return kind
    return ""


def _only_end(traced: fx.GraphModule) -> End:
    ends = last_maps(traced)
    if len(ends) > 1:
        places = " and ".join(where(end.node) for end in ends)
        raise OptionError(f"the network's maps end in more than one place: {places}")
    return ends[0]


def _has_weights_after(traced: fx.GraphModule, node: fx.Node) -> bool:
    """Whether weights take part in what is made of a node's value."""
    after = made_of(node)
    layers = [traced.get_submodule(str(one.target)) for one in after if one.op == "call_module"]
    return any([*layer.parameters()] for layer in layers) or any(
        weight.op == "get_attr" for one in after for weight in one.all_input_nodes
    )


def _before_last_linear(traced: fx.GraphModule, output: fx.Node) -> fx.Node | None:
    node = output
    while len(node.all_input_nodes) == 1:
        node = node.all_input_nodes[0]
        if node.op == "call_module" and isinstance(traced.get_submodule(str(node.target)), nn.Linear):
            return node.all_input_nodes[0]
    return node.all_input_nodes[0] if node.target is F.linear else None


def _without_named_head(network: nn.Module) -> nn.Module:
    layers = dict(network.named_modules())
    for name in _HEADS:
        head = layers.get(name)
        last = f"{name}.{len(head) - 1}" if isinstance(head, nn.Sequential) else name
        if isinstance(layers.get(last), nn.Linear):
            owner, _, attribute = last.rpartition(".")
            setattr(layers[owner], attribute, nn.Identity())
            return network
    names = ", ".join(_HEADS)
    raise OptionError(f"{type(network).__name__} can't be traced, and has no linear layer under the names {names}")
