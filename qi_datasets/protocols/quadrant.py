"""Evaluates frozen networks on `qi`: computes features of each picture in both corners once, and fits a linear probe.

Protocol (experiment 1 of arXiv 2003.07064; cards/specification.md, "evaluation on qi"): the network is frozen, and a
new linear layer on its features, the probe, is fitted to the training sources and evaluated on the test sources.
Batch norms keep their statistics, or are calibrated on training images, which is the effect of the paper's code. N is
the number of sources, F the number of features.
"""

from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from qi_datasets.errors import ModelError
from qi_datasets.networks.features import ieee_float32, slices
from qi_datasets.networks.probe import LinearProbe
from qi_datasets.protocols.corners import CornerNetwork, Features
from qi_datasets.scores.location import EQUAL_WITHIN

CALIBRATION_SOURCES, CALIBRATION_BATCH = 64, 32
"""The number of training sources that batch norms are calibrated on, and of images in a batch: part of the protocol."""

PROBE_PENALTY = 1.0
"""Weight of the linear probe's L2 penalty (`networks.probe`)."""


@dataclass(frozen=True)
class CornerAnswers:
    """A network's answers to N test sources.

    Attributes:
        margins: (N, 2), float32, log-odds of "bottom right" for the picture in each corner.
        difference: (N,), float32, the largest difference between the features of the two corners, divided by the
            largest absolute feature of all sources.
        channels: (N,), float32, share of the features that differ.
        equal: Whether the features of the two corners are equal, up to rounding, for every source.
    """

    margins: NDArray[np.float32]
    difference: NDArray[np.float32]
    channels: NDArray[np.float32]
    equal: bool


def normalise_patches(patches: NDArray[np.uint8], mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Returns patches (N, C, h, w), normalised by `mean` and `std`, float32; the black around them stays 0."""
    values = torch.from_numpy(np.ascontiguousarray(patches)).float() / 255
    return (values - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


def batch_norms(network: nn.Module) -> list[_BatchNorm]:
    """Returns the batch norms of a network that have running statistics."""
    return [layer for layer in network.modules() if isinstance(layer, _BatchNorm) and layer.running_mean is not None]


def calibrate(network: nn.Module, patches: Tensor, border: int, *, local: bool = True) -> None:
    """Gives a network's batch norms the statistics of training images, and leaves it in evaluation mode.

    The first 64 sources, in both corners, pass in batches of 32 images, each normalised by its own statistics; the
    running statistics become the mean of those of the batches.

    Args:
        network: The network, on its device; it returns a vector for each image.
        patches: (N, 3, h, w), normalised, of training sources.
        border: Pixels per side.
        local: As in `CornerNetwork`.
    """
    layers = batch_norms(network.eval())
    momenta = [layer.momentum for layer in layers]
    both = patches[:CALIBRATION_SOURCES].repeat_interleave(2, dim=0)
    labels = torch.arange(len(both)) % 2
    for layer in layers:
        layer.reset_running_stats()
        layer.train()
        layer.momentum = None
    reader = CornerNetwork(network, border, local=local, frozen=False)
    with torch.no_grad(), ieee_float32(), ExitStack() as stack:
        for layer in layers:
            stack.callback(layer.register_forward_pre_hook(make_contiguous).remove)
        for batch in slices(len(both), CALIBRATION_BATCH):
            reader(both[batch], labels[batch])
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    network.eval()


def make_contiguous(layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Returns the inputs of a batch norm, ordinary tensors with channels first in memory.

    With channels last, torch (2.14, on CPUs) sums the values one by one in float32, and the mean of a mostly black map
    is off by a thousandth and more.
    """
    return tuple(one.contiguous() if type(one) is Tensor else one for one in inputs)


def check_alive(features: Features) -> None:
    """Raises `ModelError` for a dead network: its features (N, 2, F) are the same for all sources, in both corners."""
    within = EQUAL_WITHIN[str(features.dtype)] * float(np.abs(features).max())
    if len(features) > 1 and np.abs(features - features[0]).max() <= within:
        raise ModelError("the network is dead: it gives the same features to every picture", code="not-finite")


def compare_corners(features: Features) -> CornerAnswers:
    """Returns how much features or logits (N, 2, F) differ between the corners; all margins are 0."""
    scale = float(np.abs(features).max())
    within = EQUAL_WITHIN[str(features.dtype)]
    count, _, width = features.shape
    apart = np.abs(features[:, 0] - features[:, 1]) / (scale or 1.0)
    channels = ((apart >= within).sum(axis=1) / width).astype(np.float32)
    difference = apart.max(axis=1).astype(np.float32)
    return CornerAnswers(np.zeros((count, 2), np.float32), difference, channels, bool((difference < within).all()))


def probe_corners(train: Features, test: Features) -> CornerAnswers:
    """Fits a linear probe to training features (N', 2, F), and returns its answers to test features (N, 2, F).

    No probe is fitted if the corners are equal for every test source: it would give both corners the same answer.
    """
    answers = compare_corners(test)
    if answers.equal:
        return answers
    probe = LinearProbe(train.reshape(-1, train.shape[2]), np.arange(2 * len(train)) % 2, penalty=PROBE_PENALTY)
    margins = probe.decision(test.reshape(-1, test.shape[2])).reshape(-1, 2).astype(np.float32)
    return replace(answers, margins=margins)


def logit_answers(logits: Features) -> CornerAnswers:
    """Returns a trained classifier's answers, from its logits (N, 2, 2) by source, corner of the picture and class."""
    if not np.isfinite(logits).all():
        raise ModelError("the network's logits are not finite numbers; its training diverged", code="not-finite")
    answers = compare_corners(logits)
    margins = (logits[:, :, 1] - logits[:, :, 0]).astype(np.float32)
    return answers if answers.equal else replace(answers, margins=margins)
