"""Trains the red-green net, or any other network, from one seed.

Protocol (the specification of `red_green`; experiment 2 of arXiv 2003.07064): Adadelta with rate 1, rho 0.9, eps 1e-6
and weight decay 5e-5, batches of 200, up to 50 epochs, stopped after 8 without a better validation loss, best weights
restored. The training images are shuffled again in each epoch.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from qi_datasets.errors import OptionError
from qi_datasets.networks.features import as_input, ieee_float32, slices
from qi_datasets.networks.padding import Padding
from qi_datasets.networks.random_weights import random_seed
from qi_datasets.networks.reference import RedGreenNet

EPOCHS = 50
PATIENCE = 8
BATCH_SIZE = 200

# A batch's gradient is summed over parts whose activations fit a core's cache: twice as fast on a CPU as in one piece.
_CPU_PART = 40
_GPU_PART = BATCH_SIZE


@dataclass(frozen=True)
class LabelledImages:
    """`images` (N, C, H, W), uint8 or floating point in [0, 1]; `labels` (N,), integers from 0."""

    images: Tensor | NDArray[np.generic]
    labels: Tensor | NDArray[np.integer]


@dataclass(frozen=True)
class Epoch:
    """One epoch.

    Attributes:
        number: Its number, from 1.
        train_loss, validation_loss: Mean cross-entropies.
        validation_accuracy: Accuracy in [0, 1].
    """

    number: int
    train_loss: float
    validation_loss: float
    validation_accuracy: float


@dataclass(frozen=True)
class RedGreenRun:
    """One trained net.

    Attributes:
        padding: Padding of the reference net; None for any other network.
        seed: Seed of the training.
        epochs: All epochs.
        best_epoch: The number of the epoch whose weights were kept.
        logits: Logits (N, 2), float32, per test set.
        accuracies: Accuracy in [0, 1] per test set.
    """

    padding: Padding | None
    seed: int
    epochs: tuple[Epoch, ...]
    best_epoch: int
    logits: dict[str, NDArray[np.float32]]
    accuracies: dict[str, float]


def train_red_green(
    train: LabelledImages,
    validation: LabelledImages,
    tests: Mapping[str, LabelledImages],
    padding: Padding,
    seed: int,
    *,
    epochs: int = EPOCHS,
    patience: int = PATIENCE,
    device: str | torch.device = "cpu",
    progress: Callable[[Epoch], None] | None = None,
) -> RedGreenRun:
    """Trains the reference net on one set of images, stops by another, and tests it on several.

    Global random state is left as it is.

    Args:
        train: The training images.
        validation: The images whose loss decides when it stops.
        tests: The test images, by name.
        padding: Padding of the net.
        seed: Decides the initial weights and the order of the training images, on every device.
        epochs: Largest number of epochs.
        patience: Largest number of epochs without a better validation loss.
        device: Device of torch.
        progress: Called after each epoch.

    Raises:
        OptionError: If images or labels have another shape, type or range, or the padding is unknown.
    """
    with random_seed(seed):
        net = RedGreenNet(padding).to(device)
    if padding != "circular":
        # The fastest memory format, except for circular padding, which undoes it in every layer.
        net = net.to(memory_format=torch.channels_last)
    run = train_on_red_green(net, train, validation, tests, seed, epochs=epochs, patience=patience, progress=progress)
    return replace(run, padding=padding)


def train_on_red_green(
    net: nn.Module,
    train: LabelledImages,
    validation: LabelledImages,
    tests: Mapping[str, LabelledImages],
    seed: int,
    *,
    epochs: int = EPOCHS,
    patience: int = PATIENCE,
    progress: Callable[[Epoch], None] | None = None,
) -> RedGreenRun:
    """Trains and tests any network by the protocol; errors as in `train_red_green`.

    Args:
        net: The network, on its device; it returns two logits, and is trained in place.
        train: As in `train_red_green`.
        validation: As in `train_red_green`.
        tests: As in `train_red_green`.
        epochs: As in `train_red_green`.
        patience: As in `train_red_green`.
        progress: As in `train_red_green`.
        seed: Decides the order of the training images, and the network's own random draws.
    """
    if epochs < 1 or patience < 1:
        raise OptionError(f"epochs and patience are at least 1, got {epochs} and {patience}", code="bad-value")
    device = next(net.parameters()).device
    with random_seed(seed), ieee_float32():
        order = torch.Generator().manual_seed(seed)
        known, unseen = _load(train, device), _load(validation, device)
        history, best_epoch = _fit(net, known, unseen, order, epochs, patience, progress)
        logits, accuracies = {}, {}
        for name, test in tests.items():
            images, labels = _load(test, device)
            answers = _logits(net, images)
            logits[name] = answers.cpu().numpy()
            accuracies[name] = _accuracy(answers, labels)
    return RedGreenRun(None, seed, tuple(history), best_epoch, logits, accuracies)


def _fit(
    net: nn.Module,
    train: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    order: torch.Generator,
    epochs: int,
    patience: int,
    progress: Callable[[Epoch], None] | None,
) -> tuple[list[Epoch], int]:
    optimizer = torch.optim.Adadelta(net.parameters(), lr=1.0, rho=0.9, eps=1e-6, weight_decay=5e-5)
    history: list[Epoch] = []
    best_loss, best_epoch, best_weights = float("inf"), 0, copy.deepcopy(net.state_dict())
    for number in range(1, epochs + 1):
        train_loss = _train_epoch(net, *train, order, optimizer)
        answers = _logits(net, validation[0])
        validation_loss = F.cross_entropy(answers, validation[1]).item()
        history.append(Epoch(number, train_loss, validation_loss, _accuracy(answers, validation[1])))
        if progress is not None:
            progress(history[-1])
        if validation_loss < best_loss:
            best_loss, best_epoch, best_weights = validation_loss, number, copy.deepcopy(net.state_dict())
        elif number - best_epoch >= patience:
            break
    net.load_state_dict(best_weights)
    return history, best_epoch


def _train_epoch(
    net: nn.Module, images: Tensor, labels: Tensor, order: torch.Generator, optimizer: torch.optim.Optimizer
) -> float:
    total = 0.0
    net.train()
    # Drawn on the CPU, so that a seed gives the same order on every device.
    shuffled = torch.randperm(len(images), generator=order).to(images.device)
    for batch in slices(len(images), BATCH_SIZE):
        rows = shuffled[batch]
        optimizer.zero_grad()
        for piece in slices(len(rows), _part(images)):
            part = rows[piece]
            loss = F.cross_entropy(net(images[part]), labels[part], reduction="sum")
            torch.autograd.backward(loss / len(rows))
            total += loss.item()
        optimizer.step()
    return total / len(images)


@torch.inference_mode()
def _logits(net: nn.Module, images: Tensor) -> Tensor:
    net.eval()
    return torch.cat([net(images[rows]) for rows in slices(len(images), _part(images))])


def _accuracy(logits: Tensor, labels: Tensor) -> float:
    return (logits.argmax(1) == labels).double().mean().item()


def _part(images: Tensor) -> int:
    return _CPU_PART if images.device.type == "cpu" else _GPU_PART


def _load(data: LabelledImages, device: str | torch.device) -> tuple[Tensor, Tensor]:
    images = as_input(data.images, device=device).contiguous()
    labels = torch.as_tensor(data.labels, device=device).long()
    if labels.shape != images.shape[:1] or len(labels) == 0:
        raise OptionError(
            f"one label per image is needed, got {tuple(labels.shape)} for {len(images)} images", code="bad-shape"
        )
    if images.shape[1] != 3 or labels.min() < 0 or labels.max() > 1:
        raise OptionError("red-green takes images (N, 3, H, W) and labels 0 and 1", code="bad-shape")
    return images, labels
