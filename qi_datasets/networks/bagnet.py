"""BagNet-33: a network as deep as ResNet-50 whose outputs see 33 pixels, without any padding."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

_WIDTHS = (64, 128, 256, 512)
_DEPTHS = (3, 4, 6, 3)
_STRIDES = (2, 2, 2, 1)
_EXPANSION = 4


class _BagBottleneck(nn.Module):
    """A 1x1, a 3x3 or 1x1, and a 1x1 convolution, plus the shortcut: (N, inputs, H, W) to (N, 4 * width, H', W').

    kernel: 3 without padding, or 1
    stride: stride of the middle convolution, 1 or 2
    """

    def __init__(self, inputs: int, width: int, kernel: int, stride: int) -> None:
        super().__init__()
        outputs = _EXPANSION * width
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, kernel, stride, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or inputs != outputs:
            shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(outputs))
        self.crop = kernel - 1

    def forward(self, x: Tensor) -> Tensor:
        """Returns the block's map; with a 3x3 kernel the shortcut leaves out its last two rows and columns."""
        beside = x[:, :, : -self.crop, : -self.crop] if self.crop else x
        if self.downsample is not None:
            beside = self.downsample(beside)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        summed: Tensor = self.relu(self.bn3(self.conv3(x)) + beside)
        return summed


class BagNet(nn.Module):
    """BagNet-33: images (N, 3, H, W) of at least 33 pixels per side to logits (N, classes).

    It has a 1x1 and a valid 3x3 convolution to 64 channels, then four stages of 3, 4, 6 and 3 bottlenecks with strides
    2, 2, 2 and 1. The middle convolution of a stage's first bottleneck is a valid 3x3 one, all others are 1x1. A global
    mean and a linear layer follow. Receptive field 33, total stride 8: from a black border of 32 pixels on, no output
    that sees a pixel inside the border is missing.

    Source: the specification of `qi`; the network is that of arXiv 1904.00760.
    """

    def __init__(
        self, classes: int = 1000, *, widths: Sequence[int] = _WIDTHS, depths: Sequence[int] = _DEPTHS
    ) -> None:
        super().__init__()
        channels = widths[0]
        self.conv1 = nn.Conv2d(3, channels, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        stages = []
        for width, depth, stride in zip(widths, depths, _STRIDES, strict=True):
            blocks = [_BagBottleneck(channels, width, 3, stride)]
            channels = _EXPANSION * width
            blocks += [_BagBottleneck(channels, width, 1, 1) for _ in range(depth - 1)]
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Returns logits, (N, classes)."""
        x = self.relu(self.bn1(self.conv2(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        logits: Tensor = self.fc(torch.flatten(self.avgpool(x), 1))
        return logits


def bagnet33(classes: int = 1000) -> BagNet:
    """Returns BagNet-33 with random weights, drawn from torch's global state."""
    return BagNet(classes)
