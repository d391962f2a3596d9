"""The reference networks that show what a data set measures: small, and in every padding.

Inputs are images (N, C, H, W), floating point, range [0, 1], black 0.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qi_datasets.errors import OptionError
from qi_datasets.networks.convert import to_full_conv
from qi_datasets.networks.padding import Padding, make_conv2d, padding_per_side
from qi_datasets.networks.random_weights import random_seed
from qi_datasets.networks.receptive_field import ReceptiveField, receptive_field


def conv_stack(
    channels: Sequence[int], strides: Sequence[int], padding: Padding, *, kernel_size: int = 3, bias: bool
) -> nn.Sequential:
    """Returns convolutions of one padding, each followed by ReLU.

    Args:
        channels: Channels of the input and of each layer's output, one entry more than `strides`.
        strides: Stride of each layer.
        padding: The padding's name.
        kernel_size: Rows and columns of the kernels.
        bias: Whether the layers have biases.

    Raises:
        OptionError: If there is another number of channels.
    """
    if len(channels) != len(strides) + 1:
        raise OptionError(
            f"{len(strides)} strides need {len(strides) + 1} channel counts, got {len(channels)}", code="bad-shape"
        )
    layers: list[nn.Module] = []
    for before, after, stride in zip(channels, channels[1:], strides, strict=False):
        layers += [make_conv2d(before, after, kernel_size, padding, stride=stride, bias=bias), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class ReferenceNetwork(nn.Module):
    """`layers`, then global max pooling: features (N, C_out). Subclasses may add a head."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = layers

    @property
    def field(self) -> ReceptiveField:
        """Receptive field and total stride in input pixels, computed from the layers."""
        return receptive_field(self.layers)

    def features(self, images: Tensor) -> Tensor:
        """Returns the global maximum of each channel, (N, C_out)."""
        pooled: Tensor = F.adaptive_max_pool2d(self.layers(images), 1)
        return pooled.flatten(1)

    def forward(self, images: Tensor) -> Tensor:
        """Returns features, (N, C_out)."""
        return self.features(images)


class RookNet(ReferenceNetwork):
    """One 5x5 filter without bias, ReLU, global max pooling, linear: images (N, 1, H, W) to logits (N, 2).

    Source: arXiv 2003.07064, figure 1; the specification of `rook`.
    """

    def __init__(self, padding: Padding) -> None:
        super().__init__(conv_stack((1, 1), (1,), padding, kernel_size=5, bias=False))
        self.linear = nn.Linear(1, 2)

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits (N, 2)."""
        logits: Tensor = self.linear(self.features(images))
        return logits


class RedGreenNet(ReferenceNetwork):
    """Four 3x3 layers 3-32-32-64-64 of strides 1, 2, 2, 2 without biases, global max pooling, linear to 2 logits.

    Images (N, 3, H, W) to logits (N, 2). Receptive field 17, total stride 8.
    Source: arXiv 2003.07064, experiment 2; the specification of `red_green`.
    """

    def __init__(self, padding: Padding) -> None:
        super().__init__(conv_stack((3, 32, 32, 64, 64), (1, 2, 2, 2), padding, bias=False))
        self.linear = nn.Linear(64, 2)

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits (N, 2)."""
        logits: Tensor = self.linear(self.features(images))
        return logits


class QuadrantNet(ReferenceNetwork):
    """The baseline for Quadrant ImageNet: 3x3 layers, ReLU, global max pooling.

    Images (N, 3, H, W) to features (N, channels[-1]). By default receptive field 31 and total stride 16. The weights
    are random and fixed by `seed`; versions of one seed that differ in padding alone have the same weights. Full
    convolution without biases keeps black at 0, and is therefore the version that can't read location; with biases it
    can, unless it is made `exact()`.

    Source: in small, the frozen random networks of experiment 1 in arXiv 2003.07064; the specification of `qi`.
    """

    def __init__(
        self,
        padding: Padding,
        *,
        bias: bool = False,
        strides: Sequence[int] = (2, 2, 2, 2),
        channels: Sequence[int] = (3, 32, 32, 64, 64),
        seed: int = 0,
    ) -> None:
        with random_seed(seed):
            super().__init__(conv_stack(channels, strides, padding, bias=bias))
        self.requires_grad_(False)

    def exact(self) -> nn.Module:
        """Returns the same weights by exact full convolution."""
        return to_full_conv(self)


def one_hot_filters(size: int = 3) -> Tensor:
    """Returns all size * size filters with a single weight, 1: (size * size, 1, size, size), float32, in row order.

    Source: arXiv 2003.07064, figure 2, reduced to one weight and one pixel; the specification of `corner`.
    """
    return torch.eye(size * size).reshape(size * size, 1, size, size)


def corner_maxima(images: Tensor, padding: Padding, filters: Tensor | None = None) -> Tensor:
    """Returns the maximum of each filter's feature map: images (N, 1, H, W), filters (K, 1, k, k), result (N, K).

    By default the filters are all nine one-hot 3x3 ones. Dtype and device are those of the images; rows and columns of
    the filters are equal in number.

    Raises:
        OptionError: As in `padding_per_side`.
    """
    filters = one_hot_filters() if filters is None else filters
    per_side = padding_per_side(padding, filters.shape[-1])
    mode = "circular" if padding == "circular" else "constant"
    padded = F.pad(images, (per_side,) * 4, mode=mode)
    return F.conv2d(padded, filters.to(images)).amax((2, 3))
