"""What the layers of `torch.nn` do to a map."""

import copy
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.modules.padding import _CircularPadNd, _ConstantPadNd, _ReflectionPadNd, _ReplicationPadNd

from qi_datasets.networks.follow import Unfollowed
from qi_datasets.networks.functions import FunctionFollower, window_of
from qi_datasets.networks.planes import Plane, Sides
from qi_datasets.networks.tracing import drops_paths, is_blur_pool

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


def changed(layer: nn.Module, **attributes: Any) -> nn.Module:
    """A layer with the weights of `layer` itself, and other attributes."""
    twin = copy.copy(layer)
    for name, value in attributes.items():
        setattr(twin, name, value)
    return twin


def black_after_batch_norm(layer: Any, values: Tensor, ground: Tensor) -> Tensor:
    """The ground (1, C, 1, 1) after batch norm, which in train mode goes by the statistics of `values` (N, C, H, W)."""
    if not layer.training:
        after: Tensor = layer(ground)
        return after
    variance, mean = torch.var_mean(values, (0, 2, 3), correction=0)
    after = (ground - mean[:, None, None]) * torch.rsqrt(variance + layer.eps)[:, None, None]
    return after if layer.weight is None else after * layer.weight[:, None, None] + layer.bias[:, None, None]


class LayerFollower(FunctionFollower):
    """Follows the layers and functions that convolutional networks are made of."""

    def on_module(self, layer: Any, target: str, args: Any, kwargs: Any) -> Any:
        """What a layer makes of a map. Raises `Unfollowed`."""
        x = args[0] if args else kwargs["input"]
        if not isinstance(x, Plane) or x.pieces:
            raise Unfollowed("takes several maps at once")
        if isinstance(layer, nn.Conv2d):
            return self._convolved(layer, target, x)
        if is_blur_pool(layer):
            return self._blurred(layer, target, x)
        if isinstance(layer, _BatchNorm):
            return self._normalised(layer, target, x)
        if isinstance(layer, _ELEMENTWISE):
            if not getattr(layer, "inplace", False):
                return self.elementwise(self.layer(target, layer), (x,), {})
            value = self.elementwise(self.layer(target, changed(layer, inplace=False)), (x,), {})
            self.overwrite(value)
            return value
        if isinstance(layer, _DROPOUTS) or drops_paths(layer):
            # In train mode black is not dropped: it has no other value than the ground.
            return x.become(self.layer(target, layer)(x.values), x.ground)
        if isinstance(layer, nn.LayerNorm):
            return self.along(self.layer(target, layer), x, len(layer.normalized_shape))
        if isinstance(layer, nn.Linear):
            return self.along(self.layer(target, layer), x, 1)
        if isinstance(layer, nn.GroupNorm | _InstanceNorm):
            return self.mixed(x, "normalises over all positions")
        return self._weightless(layer, x)

    def _weightless(self, layer: Any, x: Plane) -> Any:
        """Layers that are functions of their arguments alone."""
        for kind, mode in PADDING_LAYERS.items():
            if isinstance(layer, kind):
                return self._pad(self.function(F.pad), x, layer.padding, mode)
        if isinstance(layer, nn.MaxPool2d):
            sizes = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
            return self._max_pool2d(self.function(F.max_pool2d), x, *sizes, return_indices=layer.return_indices)
        if isinstance(layer, nn.AvgPool2d):
            sizes = (layer.kernel_size, layer.stride, layer.padding)
            function = self.function(F.avg_pool2d)
            return self._avg_pool2d(function, x, *sizes, divisor_override=layer.divisor_override)
        if isinstance(layer, nn.AdaptiveAvgPool2d):
            return self._adaptive_avg_pool2d(self.function(F.adaptive_avg_pool2d), x, layer.output_size)
        if isinstance(layer, nn.AdaptiveMaxPool2d):
            function = self.function(F.adaptive_max_pool2d)
            return self._adaptive_max_pool2d(function, x, layer.output_size, layer.return_indices)
        if isinstance(layer, nn.Flatten):
            return self._flatten(self.function(torch.flatten), x, layer.start_dim, layer.end_dim)
        raise Unfollowed(f"is a {type(layer).__name__} layer")

    def _convolved(self, layer: nn.Conv2d, target: str, x: Plane) -> Plane:
        window = window_of(layer.kernel_size, layer.stride, layer.padding, layer.dilation)

        def convolved(values: Any, padding: Sides) -> Any:
            return self.layer(target, changed(layer, padding=padding, padding_mode="zeros"))(values)

        seen = self.window(x, window, convolved, pads_zeros=True)
        wraps = layer.padding_mode == "circular" and any(window.padding)
        return replace(seen, bounded=seen.bounded and not wraps)

    def _blurred(self, layer: Any, target: str, x: Plane) -> Plane:
        left, _, above, _ = layer.padding
        window = window_of(tuple(layer.filt.shape[-2:]), layer.stride, (above, left))
        blurred = self.layer(target, changed(layer, padding=[0] * 4))
        return self.window(x, window, lambda values, _: blurred(values))

    def _normalised(self, layer: Any, target: str, x: Plane) -> Plane:
        if layer.running_mean is None:
            raise Unfollowed("normalises by the batch, as it keeps no running statistics")
        if not x.is_plain:
            raise Unfollowed("normalises another dimension than the channels")
        values = self.layer(target, layer)(x.values)
        if x.ground is None:
            return x.become(values, None)
        itself = self.tracer.create_proxy("get_attr", target, (), {})
        return x.become(values, self.function(black_after_batch_norm)(itself, x.values, x.ground))
