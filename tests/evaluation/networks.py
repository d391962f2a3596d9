"""Networks that the tests evaluate: so small that a run takes a moment."""

import os
import signal

import torch
from torch import Tensor, fx, nn


def layers() -> nn.Sequential:
    """Two strided convolutions with batch norm: receptive field 7, total stride 4."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3, stride=2, padding=1),
        nn.ReLU(),
    )


def reader() -> nn.Module:
    """A network that sees the edge at border 0, and from a border of 6 on not any more."""
    return nn.Sequential(layers(), nn.AdaptiveMaxPool2d(1), nn.Flatten())


def classifier(classes: int = 1000) -> nn.Module:
    """A classifier with as many classes as ImageNet."""
    return nn.Sequential(layers(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, classes))


def two_logits() -> nn.Module:
    """A network that answers two logits."""
    return classifier(2)


def without_statistics() -> nn.Module:
    """A network without batch norm."""
    return nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten())


def dead() -> nn.Module:
    """A network whose last ReLU is closed."""
    network = reader()
    with torch.no_grad():
        network[0][3].bias.fill_(-1e6)
    return network


def not_finite() -> nn.Module:
    """A network whose features are no numbers."""
    network = reader()
    with torch.no_grad():
        network[0][3].weight.fill_(float("nan"))
    return network


def grey() -> nn.Module:
    """A network that takes one channel."""
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveMaxPool2d(1), nn.Flatten())


def with_map() -> nn.Module:
    """A network that answers a map."""
    return layers()


def large_kernel() -> nn.Module:
    """A network that takes images of at least 150 pixels."""
    return nn.Sequential(nn.Conv2d(3, 4, 150), nn.AdaptiveMaxPool2d(1), nn.Flatten())


class Patches(nn.Module):
    """A network of patches: its first layer is a grid of tiles of 32 pixels, whose number it insists on."""

    def __init__(self) -> None:
        super().__init__()
        self.tiles = nn.Conv2d(3, 4, 32, stride=32)

    def forward(self, images: Tensor) -> Tensor:
        """The mean of the tiles."""
        if images.shape[-1] % 32:
            raise ValueError(f"{images.shape[-1]} is no multiple of 32")
        return self.tiles(images).mean((2, 3))


class Stopping(nn.Module):
    """A network that asks its own process to end when it sees a patch, but for the looks before the work."""

    seen = 0

    def __init__(self) -> None:
        super().__init__()
        self.inner = reader()

    def forward(self, images: Tensor) -> Tensor:
        """The features of the network inside."""
        if not isinstance(images, fx.Proxy) and images.count_nonzero():
            Stopping.seen += 1
        if Stopping.seen > 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return self.inner(images)


def stopping() -> nn.Module:
    """A network that stops its process."""
    return Stopping()


class Forgetful(nn.Module):
    """A network that runs out of memory with more than `most` images."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.inner = most, reader()

    def forward(self, images: Tensor) -> Tensor:
        """The features of the network inside."""
        if len(images) > self.most:
            raise torch.OutOfMemoryError(f"{len(images)} images")
        return self.inner(images)


def raises() -> nn.Module:
    """No network at all."""
    raise RuntimeError("there is\nno network")


def no_module() -> str:
    """No network either."""
    return "resnet18"
