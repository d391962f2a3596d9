"""Makes variants of a network with the same weights: another padding, global max pooling, no head."""

import copy
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, get_args

from torch import Tensor, nn

from qi_datasets.errors import OptionError
from qi_datasets.networks.convert import Forward, convert_network, with_other_padding
from qi_datasets.networks.endless_maps import End, PaddingVariant
from qi_datasets.networks.random_weights import random_seed
from qi_datasets.networks.receptive_field import CallCounter, FollowedRun, follow

__all__ = [
    "PADDING_VARIANTS",
    "PaddingVariant",
    "layers_of_head",
    "with_global_max_pool",
    "with_padding",
    "without_head",
]

PADDING_VARIANTS: tuple[PaddingVariant, ...] = get_args(PaddingVariant)

# timm's names of poolings over all positions. Its other poolings read a token, or weigh the positions.
_TIMM_POOLS = frozenset(("avg", "max", "avgmax", "catavgmax", "fast", "fastavg", "fastmax", "fastavgmax"))


def with_padding(model: nn.Module, padding: PaddingVariant, *, background: float | Sequence[float] = 0.0) -> nn.Module:
    """Returns a copy of a network in another padding, in the mode that `model` is in.

    padding: `own` changes nothing;
        `full`, `exact`: full convolution, with zeros or the background beyond the map, as `to_full_conv` describes it;
        `valid`: no padding: the positions whose windows are inside the image, in the phase of the network's own
        padding; where branches meet, the positions that all of them have;
        `circular`, `reflect`, `replicate`: as much padding as the network has, of convolutions and poolings, filled
        with the other side of the map, its mirror image, or its outermost positions.
    background: for `exact` only, as in `to_full_conv`.

    Raises `OptionError` for an unknown padding; if the network can't have it, as in `to_full_conv`; and if
    `circular`, `reflect` or `replicate` is asked of a network that pads nothing.
    """
    if padding not in PADDING_VARIANTS:
        raise OptionError(f"padding is one of {', '.join(PADDING_VARIANTS)}, got {padding!r}", code="bad-value")
    if padding != "exact" and background != 0.0:
        raise OptionError(f"a background other than 0 goes with exact padding, got {padding!r}", code="contradiction")
    network = copy.deepcopy(model)
    return network if padding == "own" else with_other_padding(network, padding, background)


def with_global_max_pool(model: nn.Module, side: int | None = None) -> nn.Module:
    """Returns a copy of a network whose last pooling over all positions is max pooling, in the mode of `model`.

    model: any network. For networks of timm, timm's own functions replace the pooling if they can. For others the call
        that ends the last map is found by running the network once, and replaced
    side: side of images that it takes, if it doesn't take usual ones

    A network that flattens its last map, or pools it to several positions, as VGG does, gets a max pooling there;
    a network that returns a map returns the maxima (N, C).

    Raises `OptionError` if the network has no such pooling, or if layers with weights follow on several positions;
    `without_head` removes these.
    """
    network = copy.deepcopy(model)
    if is_of_timm(network) and _pools_maximum_by_timm(network):
        return network
    end = _only_end(follow(network, side))
    made = convert_network(network, pool_by_maximum, end)
    if not end.is_pooling and end.operator:
        try:
            follow(made, side)
        except OptionError as error:
            raise OptionError(
                f"the head reads several positions, from {_place(end)} on: remove it first, by without_head"
            ) from error
    return made


def without_head(model: nn.Module, side: int | None = None) -> nn.Module:
    """Returns a copy of a network that returns its features (N, F), in the mode that `model` is in.

    model, side: as in `with_global_max_pool`

    For a network of timm these are its answers without the classifier (`reset_classifier(0)`). For any other they are
    the result of the last pooling over all positions, or the flattened last map; for one without either (vision
    transformers) the input of the last linear layer. A network without any of these is not changed.
    """
    network: Any = copy.deepcopy(model)
    if is_of_timm(network):
        network.reset_classifier(0)
        return network  # type: ignore[no-any-return]
    found = follow(network, side)
    if found.is_lost:
        last = [name for name in found.layers_after[-1:] if isinstance(network.get_submodule(name), nn.Linear)]
        return _without_layers(network, last)
    end = _only_end(found)
    return convert_network(_without_layers(network, found.layers_after), stop_at_end, end) if end.operator else network


def layers_of_head(network: nn.Module, side: int | None = None) -> tuple[list[str], list[str]]:
    """Returns the layers with weights of a network's head before and after its pooling over all positions.

    network, side: as in `with_global_max_pool`. Layers before the pooling count as the head's only in networks
        of timm, which say what their features are.

    Raises `OptionError` if the network does not run.
    """
    found = follow(network, side)
    if not any(end.is_pooling for end in found.ends):
        return [], []
    before: list[str] = []
    if is_of_timm(network):
        features = set(follow(convert_network(network, features_alone, network), side).layers)
        before = [name for name in dict.fromkeys(found.layers) if name not in {*features, *found.layers_after}]
    return before, list(dict.fromkeys(found.layers_after))


def features_alone(forward: Forward, network: Any, *args: Any) -> Any:
    """Runs a network of timm up to its features."""
    return network.forward_features(*args)


def is_of_timm(network: nn.Module) -> bool:
    """Returns whether a network has timm's functions to change its head and pooling."""
    return all(hasattr(network, name) for name in ("reset_classifier", "forward_features", "forward_head"))


def _pools_maximum_by_timm(network: Any) -> bool:
    """Makes a network of timm pool by maximum. Returns False if it can't, or has no pooling over all positions."""
    if _timm_pool(network) not in _TIMM_POOLS:
        return False
    state = network.state_dict()
    with random_seed(0), suppress(AssertionError, TypeError, ValueError):
        network.reset_classifier(network.num_classes, "max")
        # The classifier was replaced, by one with weights of its own.
        network.load_state_dict(state)
    return _timm_pool(network) == "max"


def _timm_pool(network: Any) -> str:
    """Returns timm's name of the pooling before a network's classifier; "" if there is none by that name."""
    for owner in (network, getattr(network, "head", None)):
        for name in ("global_pool", "pool_type"):
            pool = getattr(owner, name, None)
            kind = getattr(pool, "pool_type", pool)
            if isinstance(kind, str) and kind:
                return kind
    return ""


class _AtEnd(CallCounter):
    """Computes the torch function that ends a network's last map by `compute_end`, in the block."""

    def __init__(self, end: End) -> None:
        super().__init__()
        self.end = end

    def compute(self, name: str, func: Any, args: Any, kwargs: Any) -> Any:
        """Returns the function's result, but at the end of the last map that of `compute_end`."""
        if (name, self.calls[name] - 1) != (self.end.operator, self.end.call):
            return func(*args, **kwargs)
        return self.compute_end([*args, *kwargs.values()][0], lambda: func(*args, **kwargs))

    def compute_end(self, x: Any, value: Callable[[], Tensor]) -> Tensor:
        """Returns the replacement for the call on the map `x`; `value` computes the call itself."""
        raise NotImplementedError


class _Maximum(_AtEnd):
    def compute_end(self, x: Any, value: Callable[[], Tensor]) -> Tensor:
        return x.amax(self.end.axes, self.end.keeps_dims)  # type: ignore[no-any-return]


class _Features(_AtEnd):
    def compute_end(self, x: Any, value: Callable[[], Tensor]) -> Tensor:
        raise _Reached(value())


class _Reached(Exception):  # noqa: N818
    """The features are computed; the rest of the network is not needed."""

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.features = features


def pool_by_maximum(forward: Forward, end: End, *args: Any, **kwargs: Any) -> Any:
    """Runs a network with max pooling over all positions at the end of its last map."""
    if not end.operator:
        return forward(*args, **kwargs).amax(end.axes)
    with _Maximum(end):
        return forward(*args, **kwargs)


def stop_at_end(forward: Forward, end: End, *args: Any, **kwargs: Any) -> Tensor:
    """Runs a network up to the end of its last map, and returns the result there: features (N, F)."""
    try:
        with _Features(end):
            forward(*args, **kwargs)
    except _Reached as reached:
        return reached.features.flatten(1)
    raise OptionError(f"the network does not reach {_place(end)} on these images")


def _only_end(found: FollowedRun) -> End:
    if len(found.ends) > 1:
        places = " and ".join(map(_place, found.ends))
        raise OptionError(f"the network's maps end in more than one place: {places}")
    if found.is_lost:
        raise OptionError(f"the network's last map is not pooled: {_place(found.ends[0])} takes its positions apart")
    return found.ends[0]


def _place(end: End) -> str:
    return f"{end.operator or 'the answer'}{f' in layer {end.place}' if end.place else ''}"


def _without_layers(network: nn.Module, names: Sequence[str]) -> nn.Module:
    """Returns the network with identities in place of its layers of these names."""
    for name in names:
        owner, _, attribute = name.rpartition(".")
        setattr(network.get_submodule(owner), attribute, nn.Identity())
    return network
