"""What the layers of `torch.nn` do to maps, and the follower that knows all rules."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.modules.padding import _CircularPadNd, _ConstantPadNd, _ReflectionPadNd, _ReplicationPadNd

from qi_datasets.networks.planes import dimensions, functions
from qi_datasets.networks.planes.follower import Call
from qi_datasets.networks.planes.geometry import Sides, Window
from qi_datasets.networks.planes.maps import MapFollower
from qi_datasets.networks.planes.plane import Plane, Unfollowed
from qi_datasets.networks.planes.tracing import drops_paths, is_blur_pool

# What acts on each position and each channel alone.
_ELEMENTWISE = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Threshold),
    *(nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.Sigmoid, nn.Tanh, nn.LogSigmoid, nn.Softplus, nn.Softsign),
    *(nn.Tanhshrink, nn.Softshrink, nn.Hardshrink, nn.Identity, nn.LocalResponseNorm, nn.ChannelShuffle),
)
_DROPOUTS = (nn.Dropout, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout)
PADDING_LAYERS: dict[type[nn.Module], str] = {
    _ConstantPadNd: "constant",
    _ReflectionPadNd: "reflect",
    _ReplicationPadNd: "replicate",
    _CircularPadNd: "circular",
}
"""Layers that pad, and the name that `F.pad` has for it."""

_Rule = Callable[["LayerFollower", str, Any, Plane], Any]


class LayerFollower(MapFollower):
    """Follows the layers and functions that convolutional networks are made of."""

    def on_module(self, layer: nn.Module, target: str, args: Any, kwargs: Any) -> Any:
        """What a layer makes of a map. Raises `Unfollowed`."""
        x = args[0] if args else kwargs["input"]
        if not isinstance(x, Plane) or x.pieces:
            raise Unfollowed("takes several maps at once")
        if is_blur_pool(layer):
            return _blurred(self, target, layer, x)
        if drops_paths(layer):
            return _dropped(self, target, layer, x)
        for kind, rule in _RULES:
            if isinstance(layer, kind):
                return rule(self, target, layer, x)
        raise Unfollowed(f"is a {type(layer).__name__} layer")

    def on_function(self, name: str, call: Call, args: Any, kwargs: Any) -> Any:
        """What a function or method of that name makes of maps. Raises `Unfollowed`."""
        if name in functions.IN_PLACE_BY_POSITION and len(args) > 1:
            if args[1]:
                self.overwrite(value := self.elementwise(call, args[:1], kwargs))
                return value
            args = args[:1]
        if name in functions.ELEMENTWISE:
            return self.elementwise(call, args, kwargs)
        if name in functions.DROPOUTS:
            return args[0].become(call(*args, **kwargs), args[0].ground)
        rule = functions.FUNCTIONS.get(name)
        if rule is None:
            raise Unfollowed(f"calls {name}")
        if name != "getitem" and any(isinstance(x, Plane) and x.pieces for x in args):
            raise Unfollowed(f"calls {name} on a tuple of maps")
        try:
            return rule(self, call, *args, **kwargs)
        except TypeError as error:
            raise Unfollowed(f"calls {name} in a way that is not known: {error}") from error

    def on_attribute(self, x: Plane, name: str) -> Any:
        """An attribute of a map. Raises `Unfollowed`."""
        if name == "shape":
            return dimensions.size(self, None, x)
        if name == "ndim":
            return x.dims
        if name in ("dtype", "device", "is_cuda", "requires_grad"):
            return getattr(x.values, name)
        raise Unfollowed(f"reads {name}")


def _twin_of(layer: nn.Module, **attributes: Any) -> nn.Module:
    """A layer with the weights of `layer` itself, and other attributes."""
    twin = copy.copy(layer)
    for name, value in attributes.items():
        setattr(twin, name, value)
    return twin


def _black_after_batch_norm(layer: Any, values: Tensor, ground: Tensor) -> Tensor:
    """The ground (1, C, 1, 1) after batch norm, which in train mode goes by the statistics of `values` (N, C, H, W)."""
    if not layer.training:
        after: Tensor = layer(ground)
        return after
    variance, mean = torch.var_mean(values, (0, 2, 3), correction=0)
    after = (ground - mean[:, None, None]) * torch.rsqrt(variance + layer.eps)[:, None, None]
    return after if layer.weight is None else after * layer.weight[:, None, None] + layer.bias[:, None, None]


def _convolved(follow: LayerFollower, target: str, layer: nn.Conv2d, x: Plane) -> Plane:
    def convolved(values: Any, padding: Sides) -> Any:
        return follow.layer(target, _twin_of(layer, padding=padding, padding_mode="zeros"))(values)

    window = Window.of(layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    seen = follow.window(x, window, convolved, adds_zeros=True)
    wraps = layer.padding_mode == "circular" and any(window.padding)
    return replace(seen, bounded=seen.bounded and not wraps)


def _blurred(follow: LayerFollower, target: str, layer: Any, x: Plane) -> Plane:
    left, _, above, _ = layer.padding
    blurred = follow.layer(target, _twin_of(layer, padding=[0] * 4))
    window = Window.of(tuple(layer.filt.shape[-2:]), layer.stride, (above, left))
    return follow.window(x, window, lambda values, _: blurred(values))


def _normalised(follow: LayerFollower, target: str, layer: Any, x: Plane) -> Plane:
    if layer.running_mean is None:
        raise Unfollowed("normalises by the batch, as it keeps no running statistics")
    if not x.is_plain:
        raise Unfollowed("normalises another dimension than the channels")
    values = follow.layer(target, layer)(x.values)
    if x.ground is None:
        return x.become(values, None)
    black = follow.function(_black_after_batch_norm)
    return x.become(values, black(follow.attribute(target), x.values, x.ground))


def _alone(follow: LayerFollower, target: str, layer: Any, x: Plane) -> Plane:
    if not getattr(layer, "inplace", False):
        return follow.elementwise(follow.layer(target, layer), (x,))
    value = follow.elementwise(follow.layer(target, _twin_of(layer, inplace=False)), (x,))
    follow.overwrite(value)
    return value


def _dropped(follow: LayerFollower, target: str, layer: nn.Module, x: Plane) -> Plane:
    # In train mode, black is not dropped: it would no longer be one value.
    return x.become(follow.layer(target, layer)(x.values), x.ground)


def _maxima(follow: LayerFollower, target: str, layer: nn.MaxPool2d, x: Plane) -> Any:
    sizes = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    call = follow.function(F.max_pool2d)
    return functions.max_pool2d(follow, call, x, *sizes, return_indices=layer.return_indices)


def _means(follow: LayerFollower, target: str, layer: nn.AvgPool2d, x: Plane) -> Any:
    sizes = (layer.kernel_size, layer.stride, layer.padding)
    call = follow.function(F.avg_pool2d)
    return functions.avg_pool2d(follow, call, x, *sizes, divisor_override=layer.divisor_override)


def _mean(follow: LayerFollower, target: str, layer: nn.AdaptiveAvgPool2d, x: Plane) -> Any:
    call = follow.function(F.adaptive_avg_pool2d)
    return functions.adaptive_pool(mean=True)(follow, call, x, layer.output_size)


def _maximum(follow: LayerFollower, target: str, layer: nn.AdaptiveMaxPool2d, x: Plane) -> Any:
    call = follow.function(F.adaptive_max_pool2d)
    return functions.adaptive_pool(mean=False)(follow, call, x, layer.output_size, layer.return_indices)


def _flattened(follow: LayerFollower, target: str, layer: nn.Flatten, x: Plane) -> Any:
    return dimensions.flatten(follow, follow.function(torch.flatten), x, layer.start_dim, layer.end_dim)


def _padded(follow: LayerFollower, target: str, layer: Any, x: Plane) -> Plane:
    mode = next(mode for kind, mode in PADDING_LAYERS.items() if isinstance(layer, kind))
    return functions.pad(follow, follow.function(F.pad), x, layer.padding, mode)


def _on_last(count: Callable[[Any], int]) -> _Rule:
    return lambda follow, target, layer, x: functions.over_last(follow, follow.layer(target, layer), x, count(layer))


_RULES: tuple[tuple[Any, _Rule], ...] = (
    (nn.Conv2d, _convolved),
    (_BatchNorm, _normalised),
    (_ELEMENTWISE, _alone),
    (_DROPOUTS, _dropped),
    (nn.MaxPool2d, _maxima),
    (nn.AvgPool2d, _means),
    (nn.AdaptiveAvgPool2d, _mean),
    (nn.AdaptiveMaxPool2d, _maximum),
    (nn.Flatten, _flattened),
    (tuple(PADDING_LAYERS), _padded),
    (nn.LayerNorm, _on_last(lambda layer: len(layer.normalized_shape))),
    (nn.Linear, _on_last(lambda layer: 1)),
    ((nn.GroupNorm, _InstanceNorm), lambda follow, target, layer, x: follow.mixed(x, functions.OVER_ALL)),
)
