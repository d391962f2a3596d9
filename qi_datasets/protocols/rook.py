"""Trains the rook net from many seeds, all together.

Protocol (the specification of `rook`; arXiv 2003.07064, figure 1): SGD with learning rate 0.1 and momentum 0.9, 100
epochs of the two images one by one, torch's default initialisation.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from qi_datasets.errors import OptionError
from qi_datasets.networks.features import ieee_float32
from qi_datasets.networks.padding import Padding, padding_per_side
from qi_datasets.networks.random_weights import random_seed
from qi_datasets.networks.reference import RookNet

EPOCHS = 100
LEARNING_RATE = 0.1
MOMENTUM = 0.9


@dataclass(frozen=True)
class RookRuns:
    """S trained rook nets; all arrays are float32.

    Attributes:
        padding: Padding of the nets.
        seeds: S seeds.
        logits: (S, 2, 2): seed, image, class.
        filters: (S, 5, 5).
        losses: (S, epochs), cross-entropy, mean of the two images.
    """

    padding: Padding
    seeds: tuple[int, ...]
    logits: NDArray[np.float32]
    filters: NDArray[np.float32]
    losses: NDArray[np.float32]

    @property
    def accuracies(self) -> NDArray[np.float64]:
        """The share of the two images that get the right label, for each net, (S,): 0, 0.5 or 1."""
        right: NDArray[np.float64] = (self.logits.argmax(2) == np.arange(2)).mean(1)
        return right

    @property
    def solved(self) -> int:
        """The number of nets that give both images the right label."""
        return int((self.accuracies == 1).sum())

    @property
    def largest_logit_difference(self) -> float:
        """The largest difference between the two images' logits, over all nets."""
        return float(np.abs(self.logits[:, 0] - self.logits[:, 1]).max())


@contextmanager
def _one_thread() -> Iterator[None]:
    # The arrays are so small that threads only wait for each other, for seconds if other programs run.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@_one_thread()
def train_rook(images: Tensor, padding: Padding, seeds: Sequence[int], epochs: int = EPOCHS) -> RookRuns:
    """Trains one net per seed, all together; up to rounding the result is that of training them one by one.

    The images never change, so a convolution is a product of their windows, extracted once, with all filters; only the
    window of each filter's maximum has a gradient. The logits in the result are computed by convolution. Global random
    state is left as it is.

    Args:
        images: (2, 1, H, W), float32 in [0, 1], of labels 0 and 1.
        padding: Padding of the nets.
        seeds: A seed for each net.
        epochs: Number of epochs of the two images, one by one.

    Raises:
        OptionError: If the images have another shape or dtype, there is no seed, or the padding is unknown.
    """
    _check(images, seeds)
    nets = []
    for seed in seeds:
        with random_seed(seed):
            nets.append(RookNet(padding))
    per_side = padding_per_side(padding, 5)
    padded = F.pad(images, (per_side,) * 4, mode="circular" if padding == "circular" else "constant")
    windows = [_distinct_windows(image) for image in (padded[:1], padded[1:])]
    # One column per net: 25 weights of the filter, 2 weights and 2 biases of the linear layer.
    weights = torch.stack([nn.utils.parameters_to_vector(net.parameters()).detach() for net in nets], dim=1)
    kernel, slope, offset = weights[:25], weights[25:27], weights[27:]
    gradient, velocity = torch.empty_like(weights), torch.zeros_like(weights)
    losses = torch.zeros(epochs, len(nets))
    for epoch in range(epochs):
        for label in range(2):
            highest, place = (windows[label] @ kernel).max(0)
            feature = highest.clamp(min=0)
            log_probability = (slope * feature + offset).log_softmax(0)
            losses[epoch] -= log_probability[label] / 2
            error = log_probability.exp()
            error[label] -= 1
            gradient[27:] = error
            gradient[25:27] = error * feature
            gradient[:25] = windows[label][place].T * ((error * slope).sum(0) * (highest > 0))
            velocity.mul_(MOMENTUM).add_(gradient)
            weights.sub_(velocity, alpha=LEARNING_RATE)
    filters = kernel.T.reshape(-1, 1, 5, 5)
    features = F.relu(F.conv2d(padded, filters)).amax((2, 3))
    logits = features.T[:, :, None] * slope.T[:, None] + offset.T[:, None]
    arrays = (logits, filters[:, 0], losses.T)
    return RookRuns(padding, tuple(seeds), *(np.ascontiguousarray(array.numpy()) for array in arrays))


@_one_thread()
def train_on_pair(
    network: nn.Module,
    images: Tensor,
    seed: int,
    epochs: int = EPOCHS,
    after_epoch: Callable[[], object] = lambda: None,
) -> Tensor:
    """Trains any network by the protocol; returns its logits (2, 2) of the two images.

    Args:
        network: The network, on its device; it returns two logits, and is trained in place.
        images: (2, C, H, W), floating point, of labels 0 and 1, on the same device.
        seed: Decides the network's own random draws.
        epochs: Number of epochs of the two images, one by one.
        after_epoch: Called at the end of each epoch.
    """
    optimizer = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
    labels = torch.arange(2, device=images.device)
    network.train()
    with random_seed(seed), ieee_float32():
        for _ in range(epochs):
            for label in range(2):
                optimizer.zero_grad()
                loss = F.cross_entropy(network(images[label : label + 1]), labels[label : label + 1])
                torch.autograd.backward(loss)
                optimizer.step()
            after_epoch()
        with torch.inference_mode():
            logits: Tensor = network.eval()(images)
    return logits


def _distinct_windows(image: Tensor) -> Tensor:
    """Returns the different 5x5 windows of an image (1, 1, H, W): (windows, 25)."""
    windows: Tensor = torch.unique(F.unfold(image, 5)[0].T, dim=0)
    return windows


def _check(images: Tensor, seeds: Sequence[int]) -> None:
    if images.ndim != 4 or images.shape[:2] != (2, 1) or images.dtype != torch.float32:
        shape = tuple(images.shape)
        raise OptionError(
            f"rook takes two images (2, 1, H, W) in float32, got {shape} in {images.dtype}", code="bad-shape"
        )
    if len(seeds) == 0:
        raise OptionError("at least one seed is needed to train a rook net", code="nothing-asked")
