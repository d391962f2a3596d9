"""Trains networks from scratch on `qi`.

Protocol (experiment 1 of arXiv 2003.07064; cards/specification.md, "evaluation on qi"): cross-entropy; SGD of rate
1e-3, momentum 0.9 with Nesterov's correction, weight decay 5e-5; batches of 8 images, shuffled again in each epoch; the
rate falls to a tenth after 5 epochs without a better validation loss; 30 epochs, whose last weights count.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qi_datasets.errors import ModelError
from qi_datasets.networks.features import ieee_float32, slices
from qi_datasets.networks.random_weights import random_seed
from qi_datasets.protocols.corners import CornerNetwork
from qi_datasets.protocols.quadrant import CornerAnswers, logit_answers
from qi_datasets.storage.writing import write_atomically

EPOCHS = 30
BATCH_SIZE = 8
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 1e-3, 0.9, 5e-5
PATIENCE = 5


@dataclass
class Progress:
    """The state of a training.

    Attributes:
        epoch: Number of finished epochs.
        rate: The learning rate.
        best: The best validation loss.
        stale: Number of epochs since then.
    """

    epoch: int = 0
    rate: float = LEARNING_RATE
    best: float = float("inf")
    stale: int = 0


@dataclass(frozen=True)
class TrainedNetwork:
    """A trained network.

    Attributes:
        network: The network, which returns two logits.
        epochs: Number of epochs.
        accuracy, loss: Accuracy and loss on the training images.
    """

    network: nn.Module
    epochs: int
    accuracy: float
    loss: float


def train_corners(
    network: nn.Module,
    train: Tensor,
    validation: Tensor,
    border: int,
    seed: int,
    *,
    local: bool = True,
    epochs: int | None = None,
    checkpoint: Path | None = None,
    after_epoch: Callable[[], None] | None = None,
) -> TrainedNetwork:
    """Trains a network to distinguish the corners of patches.

    Args:
        network: The network, on its device; it returns two logits for each image, and is trained in place.
        train: Patches (N, 3, h, w), normalised, on the same device; each is seen in both corners.
        validation: Patches (N, 3, h, w), normalised, on the same device; each is seen in both corners.
        border: Pixels per side.
        seed: Decides the order of the images, and the network's own random draws.
        local: As in `CornerNetwork`.
        epochs: Number of epochs; None for the protocol's.
        checkpoint: File for the state after each epoch; an interrupted training continues from there.
        after_epoch: Called after each epoch.

    Raises:
        ModelError: If the loss is not finite.
    """
    optimizer = torch.optim.SGD(
        network.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, nesterov=True, weight_decay=WEIGHT_DECAY
    )
    at = Progress() if checkpoint is None else resume_training(checkpoint, network, optimizer)
    reader = CornerNetwork(network, border, local=local, frozen=False)
    with ieee_float32():
        while at.epoch < (EPOCHS if epochs is None else epochs):
            # An epoch draws by its own number, so that repeating it gives the same.
            with random_seed(seed * 10_007 + at.epoch):
                train_epoch(network.train(), reader, optimizer, train, at.rate)
            network.eval()
            loss, _ = measure_network(network, validation, border, local)
            if not np.isfinite(loss):
                raise ModelError(
                    f"the loss is not a finite number after {at.epoch + 1} epochs at border {border}", code="not-finite"
                )
            at.best, at.stale = (loss, 0) if loss < at.best else (at.best, at.stale + 1)
            if at.stale == PATIENCE:
                at.rate, at.stale = at.rate / 10, 0
            at.epoch += 1
            if checkpoint is not None:
                save_checkpoint(checkpoint, network, optimizer, at)
            if after_epoch is not None:
                after_epoch()
        loss, accuracy = measure_network(network.eval(), train, border, local)
    return TrainedNetwork(network, at.epoch, accuracy, loss)


def train_epoch(
    network: nn.Module, reader: CornerNetwork, optimizer: torch.optim.Optimizer, patches: Tensor, rate: float
) -> None:
    """Trains once on all patches in both corners, in an order that torch's random state decides.

    Args:
        network: The network, which is trained in place.
        reader: The network on images of its border.
        optimizer: Optimizer of its parameters.
        patches: (N, 3, h, w), normalised.
        rate: The learning rate.
    """
    for group in optimizer.param_groups:
        group["lr"] = rate
    order = torch.randperm(2 * len(patches))
    for batch in slices(len(order), BATCH_SIZE):
        rows, labels = order[batch] // 2, order[batch] % 2
        optimizer.zero_grad()
        loss = F.cross_entropy(reader(patches[rows.to(patches.device)], labels), labels.to(patches.device))
        torch.autograd.backward(loss)
        optimizer.step()


def measure_network(network: nn.Module, patches: Tensor, border: int, local: bool) -> tuple[float, float]:
    """Returns mean cross-entropy and accuracy of a network in evaluation mode on patches in both corners.

    Args:
        network: The network, which returns two logits.
        patches: (N, 3, h, w), normalised.
        border: Pixels per side.
        local: As in `CornerNetwork`.
    """
    logits = torch.from_numpy(CornerNetwork(network, border, local=local).features(patches))
    labels = torch.arange(2).expand(len(patches), 2)
    loss = F.cross_entropy(logits.double().flatten(0, 1), labels.flatten())
    return loss.item(), (logits.argmax(2) == labels).double().mean().item()


def answer_patches(network: nn.Module, test: Tensor, border: int, *, local: bool = True) -> CornerAnswers:
    """Returns the answers of a trained network to test patches.

    Args:
        network: The network, in evaluation mode; it returns two logits.
        test: Patches (N, 3, h, w), normalised.
        border: Pixels per side.
        local: As in `CornerNetwork`.
    """
    return logit_answers(CornerNetwork(network, border, local=local).features(test))


def resume_training(checkpoint: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> Progress:
    """Restores a network and its optimizer from an interrupted training; a damaged file counts as missing."""
    if not checkpoint.exists():
        return Progress()
    try:
        kept: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception:  # a damaged file can raise anything
        return Progress()
    network.load_state_dict(kept["network"])
    optimizer.load_state_dict(kept["optimizer"])
    return Progress(**kept["progress"])


def save_checkpoint(checkpoint: Path, network: nn.Module, optimizer: torch.optim.Optimizer, at: Progress) -> None:
    """Writes the state after an epoch, atomically.

    Args:
        checkpoint: The file.
        network: The network.
        optimizer: Optimizer of its parameters.
        at: The state of the training.
    """
    content = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "progress": asdict(at)}
    write_atomically(checkpoint, lambda file: torch.save(content, file))
