"""Networks that the tests evaluate: so small that a run takes a moment."""

import os
import signal

import torch
from torch import Tensor, fx, nn


def layers() -> nn.Sequential:
    """Returns two strided convolutions with batch norm: receptive field 7, total stride 4."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3, stride=2, padding=1),
        nn.ReLU(),
    )


def reader() -> nn.Module:
    """Returns a network that sees the edge at border 0, and no longer from a border of 6."""
    return nn.Sequential(layers(), nn.AdaptiveMaxPool2d(1), nn.Flatten())


def classifier(classes: int = 1000) -> nn.Module:
    """Returns a classifier with as many classes as ImageNet."""
    return nn.Sequential(layers(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, classes))


def two_logits() -> nn.Module:
    """Returns a network with two logits."""
    return classifier(2)


def without_statistics() -> nn.Module:
    """Returns a network without batch norm."""
    return nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten())


def dead() -> nn.Module:
    """Returns a network whose last ReLU is closed."""
    network = reader()
    with torch.no_grad():
        network[0][3].bias.fill_(-1e6)
    return network


def not_finite() -> nn.Module:
    """Returns a network whose features are not numbers."""
    network = reader()
    with torch.no_grad():
        network[0][3].weight.fill_(float("nan"))
    return network


def grey() -> nn.Module:
    """Returns a network that takes one channel."""
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveMaxPool2d(1), nn.Flatten())


def with_map() -> nn.Module:
    """Returns a network that returns a map."""
    return layers()


def large_kernel() -> nn.Module:
    """Returns a network that takes images of at least 150 pixels."""
    return nn.Sequential(nn.Conv2d(3, 4, 150), nn.AdaptiveMaxPool2d(1), nn.Flatten())


class Patches(nn.Module):
    """A network of patches: its first layer is a grid of 32-pixel tiles, whose number is fixed."""

    def __init__(self) -> None:
        super().__init__()
        self.tiles = nn.Conv2d(3, 4, 32, stride=32)

    def forward(self, images: Tensor) -> Tensor:
        """Returns the mean of the tiles."""
        if images.shape[-1] % 32:
            raise ValueError(f"{images.shape[-1]} is no multiple of 32")
        return self.tiles(images).mean((2, 3))


class Stopping(nn.Module):
    """A network that asks its own process to end when it sees a patch, except in the checks before the evaluation."""

    seen = 0

    def __init__(self) -> None:
        super().__init__()
        self.inner = reader()

    def forward(self, images: Tensor) -> Tensor:
        """Returns the features of the network inside."""
        if not isinstance(images, fx.Proxy) and images.count_nonzero():
            Stopping.seen += 1
        if Stopping.seen > 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return self.inner(images)


def stopping() -> nn.Module:
    """Returns a network that stops its process."""
    return Stopping()


class Forgetful(nn.Module):
    """A network that runs out of memory with more than `most` images."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.inner = most, reader()

    def forward(self, images: Tensor) -> Tensor:
        """Returns the features of the network inside."""
        if len(images) > self.most:
            raise torch.OutOfMemoryError(f"{len(images)} images")
        return self.inner(images)


def raises() -> nn.Module:
    """Raises an error instead of making a network."""
    raise RuntimeError("there is\nno network")


def no_module() -> str:
    """Returns something that is no network."""
    return "resnet18"
