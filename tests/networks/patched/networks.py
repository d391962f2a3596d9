"""Networks for the tests of local evaluation, and what they answer to whole images."""

import torch
from torch import Tensor, nn


def whole_images(patches: Tensor, y, x, side: int) -> Tensor:
    """Black images (N, C, side, side) with the patches at row `y`, column `x` (one for all, or one for each)."""
    rows, columns = (torch.as_tensor(positions).expand(len(patches)).tolist() for positions in (y, x))
    height, width = patches.shape[2:]
    borders = [
        (column, side - column - width, row, side - row - height) for row, column in zip(rows, columns, strict=True)
    ]
    return torch.stack([nn.functional.pad(patch, border) for patch, border in zip(patches, borders, strict=True)])


def perturbed(network: nn.Module) -> nn.Module:
    """Batch norm as training leaves it: no weight, bias or statistic at its initial value."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.weight.data.uniform_(0.5, 1.5)
            layer.bias.data.uniform_(-0.5, 0.5)
            if layer.running_mean is not None:
                layer.running_mean.uniform_(-0.5, 0.5)
                layer.running_var.uniform_(1, 2)
    return network


def patches_of(count: int, channels: int = 3, size: int = 8, dtype: torch.dtype = torch.float64) -> Tensor:
    """Noise (count, channels, size, size)."""
    return torch.randn(count, channels, size, size, dtype=dtype, generator=torch.Generator().manual_seed(1))


class Branches(nn.Module):
    """Two branches, added, multiplied or concatenated."""

    def __init__(self, first: nn.Module, second: nn.Module, how: str) -> None:
        super().__init__()
        self.first, self.second, self.how = first, second, how

    def forward(self, x: Tensor) -> Tensor:
        one, other = self.first(x), self.second(x)
        if self.how == "cat":
            return torch.cat([one, other], 1)
        return one + other if self.how == "add" else one * other


class Crop(nn.Module):
    """A map without its outer rows and columns, or every n-th of them."""

    def __init__(self, top: int, bottom: int, step: int = 1) -> None:
        super().__init__()
        self.index = (slice(None), slice(None), slice(top, -bottom or None, step), slice(bottom, -top or None, step))

    def forward(self, x: Tensor) -> Tensor:
        return x[self.index]


class Apply(nn.Module):
    """A function as a module."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Dense(nn.Module):
    """A block of layers that each see all that came before, as in DenseNet."""

    def __init__(self, channels: int, growth: int, count: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(channels + n * growth),
                nn.ReLU(inplace=True),
                nn.Conv2d(channels + n * growth, growth, 3, 1, 1, bias=False),
            )
            for n in range(count)
        )

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return x


class ChannelsLastBlock(nn.Module):
    """A block of ConvNeXt: depthwise convolution, layer norm and linear layers over the last axis, a scale."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.linear = nn.Sequential(nn.Linear(channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, channels))
        self.scale = nn.Parameter(torch.full((channels, 1, 1), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        inner = self.linear(self.norm(self.depthwise(x).permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        return x + self.scale * inner


def residual(channels: int, *, bias: bool = False) -> nn.Module:
    """A block of ResNet."""
    branch = [nn.Conv2d(channels, channels, 3, 1, 1, bias=bias), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
    branch += [nn.Conv2d(channels, channels, 3, 1, 1, bias=bias), nn.BatchNorm2d(channels)]
    return nn.Sequential(Branches(nn.Sequential(*branch), nn.Identity(), "add"), nn.ReLU(inplace=True))


class GoingDown(nn.Module):
    """A network without padding whose shortcuts are cropped, as in BagNet."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(channels, channels, 3, bias=False), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.branch(x) + x[:, :, 1:-1, 1:-1]


def pooled(*layers: nn.Module, maximum: bool = True) -> nn.Sequential:
    """Layers, global pooling, features (N, C)."""
    pool = nn.AdaptiveMaxPool2d(1) if maximum else nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(*layers, pool, nn.Flatten())


def small(kind: str, *, maximum: bool = True) -> nn.Sequential:
    """A small network of each kind that there is in large, perturbed, in evaluation mode, float64."""
    torch.manual_seed(0)
    stem = [nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True)]
    layers = {
        "residual": [*stem, nn.MaxPool2d(3, 2, 1), residual(8), nn.Conv2d(8, 8, 3, 2, 1), residual(8)],
        "dense": [*stem, Dense(8, 4, 3), nn.Conv2d(20, 8, 1), nn.AvgPool2d(2), Dense(8, 4, 2)],
        "plain": [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()],
        "inception": [
            *stem,
            Branches(nn.Conv2d(8, 4, 5, padding=2), nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(8, 4, 1)), "cat"),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            nn.Conv2d(8, 8, (1, 5), padding=(0, 2)),
        ],
        "mobile": [*stem, nn.Conv2d(8, 8, 3, 2, 1, groups=8), nn.ReLU6(inplace=True), nn.Conv2d(8, 8, 1)],
        "channels last": [nn.Conv2d(3, 8, 4, 4), ChannelsLastBlock(8), ChannelsLastBlock(8)],
        "going down": [nn.Conv2d(3, 8, 3), GoingDown(8), nn.ReLU(), nn.Conv2d(8, 8, 3, 2), GoingDown(8)],
    }
    return perturbed(pooled(*layers[kind], maximum=maximum)).double().eval()


KINDS = ("residual", "dense", "plain", "inception", "mobile", "channels last", "going down")
