"""Exact full convolution: full convolution that stays blind to location when black does not stay 0.

Biases and batch norm turn a black input into some constant per channel. Zero padding ends that constant at the image
boundary, and the edge tells location. Here each layer knows the value that its input takes on endless black, its
*ground*, and is padded with it: for a convolution, `full(x - ground) + (sum of the kernel over space) @ ground + bias`.
The output is what a valid convolution gives on an endless black canvas around the image.

Extends the full convolution of arXiv 2003.07064 (figure 2).
"""

from dataclasses import dataclass
from functools import singledispatch
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qi_datasets.errors import OptionError
from qi_datasets.networks.padding import padding_per_side


@dataclass(frozen=True)
class Grounded:
    """A feature map and the value that each of its channels takes on endless black.

    `values` (N, C, H, W); `ground` (1, C, 1, 1), same dtype and device. With `exact=False` the ground is held at 0:
    every layer is then padded with zeros, which is ordinary full convolution.
    """

    values: Tensor
    ground: Tensor
    exact: bool = True

    @classmethod
    def on_black(cls, images: Tensor, *, exact: bool = True) -> Self:
        """Images (N, C, H, W), floating point, whose black is 0."""
        return cls(images, images.new_zeros(1, images.shape[1], 1, 1), exact)

    def become(self, values: Tensor, ground: Tensor) -> "Grounded":
        """The output of a layer that turned this map into `values` and its ground into `ground`."""
        return Grounded(values, ground if self.exact else torch.zeros_like(ground), self.exact)

    def padded(self, top: int, bottom: int, left: int, right: int) -> "Grounded":
        """With so many rows and columns of ground around the map."""
        count, _, height, width = self.values.shape
        canvas = self.ground.repeat(count, 1, top + height + bottom, left + width + right)
        canvas[:, :, top : top + height, left : left + width] = self.values
        return Grounded(canvas, self.ground, self.exact)


@singledispatch
def exactly(layer: nn.Module, x: Grounded) -> Grounded:
    """What `layer` makes of `x` on an endless black plane, at every position that can differ from black.

    Knows `nn.Sequential`, `nn.Conv2d` (any stride, dilation, groups; its own padding is ignored), `nn.BatchNorm2d` in
    eval mode, `nn.ReLU`, `nn.MaxPool2d` (fully padded too) and `nn.Identity`; further layer types are registered on
    this function. Raises `OptionError` for any other layer, and for batch norm that normalises by its batch.
    """
    raise OptionError(f"exact full convolution is not defined for a {type(layer).__name__} layer")


@exactly.register
def _(layer: nn.Sequential, x: Grounded) -> Grounded:
    for inner in layer:
        x = exactly(inner, x)
    return x


@exactly.register
def _(layer: nn.Conv2d, x: Grounded) -> Grounded:
    kernel_sum = layer.weight.sum((2, 3), keepdim=True)
    ground = F.conv2d(x.ground, kernel_sum, layer.bias, groups=layer.groups)
    full = tuple(padding_per_side("full", k, d) for k, d in zip(layer.kernel_size, layer.dilation, strict=True))
    response = F.conv2d(x.values - x.ground, layer.weight, None, layer.stride, full, layer.dilation, layer.groups)
    return x.become(response + ground, ground)


@exactly.register
def _(layer: nn.BatchNorm2d, x: Grounded) -> Grounded:
    if layer.training or layer.running_mean is None or layer.running_var is None:
        raise OptionError("exact full convolution needs batch norm in eval mode, with running statistics")
    # Map and ground go through the same two operations, so that black and ground stay equal to the last bit.
    scale = torch.rsqrt(layer.running_var + layer.eps)
    if layer.weight is not None:
        scale = scale * layer.weight
    shift = -layer.running_mean * scale
    if layer.bias is not None:
        shift = shift + layer.bias
    scale, shift = scale[:, None, None], shift[:, None, None]
    return x.become(x.values * scale + shift, x.ground * scale + shift)


@exactly.register
def _(layer: nn.ReLU, x: Grounded) -> Grounded:
    return x.become(F.relu(x.values), F.relu(x.ground))


@exactly.register
def _(layer: nn.MaxPool2d, x: Grounded) -> Grounded:
    (kernel_y, kernel_x), (dilation_y, dilation_x) = _pair(layer.kernel_size), _pair(layer.dilation)
    y, x_ = padding_per_side("full", kernel_y, dilation_y), padding_per_side("full", kernel_x, dilation_x)
    padded = x.padded(y, y, x_, x_).values
    return x.become(F.max_pool2d(padded, layer.kernel_size, layer.stride, 0, layer.dilation), x.ground)


@exactly.register
def _(layer: nn.Identity, x: Grounded) -> Grounded:
    return x


def add(first: Grounded, second: Grounded) -> Grounded:
    """Sum of two branches of a residual block, the smaller map padded with its ground to the size of the larger.

    Half of the missing rows and columns go on each side, an odd one to the top and to the left. Maps (N, C, H, W) of
    one N and C. Raises `OptionError` if they differ in those, or if neither is the larger in both directions.
    """
    small, large = sorted((first, second), key=lambda x: x.values.shape[2:].numel())
    missing_y, missing_x = (b - a for a, b in zip(small.values.shape[2:], large.values.shape[2:], strict=True))
    if small.values.shape[:2] != large.values.shape[:2] or missing_y < 0 or missing_x < 0:
        shapes = f"{tuple(first.values.shape)} and {tuple(second.values.shape)}"
        raise OptionError(f"the branches of a residual block do not fit together: {shapes}")
    small = small.padded(missing_y - missing_y // 2, missing_y // 2, missing_x - missing_x // 2, missing_x // 2)
    return first.become(small.values + large.values, small.ground + large.ground)


class ExactFull(nn.Module):
    """A network's layers by exact full convolution, then the maximum over the endless plane.

    Input (N, C, H, W), floating point, black 0; output (N, C_out). Shares its weights with `layers`, and ignores the
    paddings that those were made with. `exact=False` pads every layer with zeros instead, to show what that lets
    through. Raises `OptionError` as `exactly`.
    """

    def __init__(self, layers: nn.Module, *, exact: bool = True) -> None:
        super().__init__()
        self.layers = layers
        self.exact = exact

    def forward(self, images: Tensor) -> Tensor:
        """Features, (N, C_out)."""
        features = exactly(self.layers, Grounded.on_black(images, exact=self.exact))
        highest = features.values.amax((2, 3))
        # Black goes on beyond the computed map, so its value takes part in the maximum.
        return torch.maximum(highest, features.ground[:, :, 0, 0]) if self.exact else highest


def _pair(size: int | tuple[int, ...]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])
