"""Rook nets trained in plain torch, one seed after the other: the reference for training them together."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from qi_datasets.networks.padding import Padding
from qi_datasets.networks.random_weights import random_seed
from qi_datasets.networks.reference import RookNet
from qi_datasets.protocols.rook import EPOCHS, LEARNING_RATE, MOMENTUM, RookRuns


def train_rook_one_by_one(
    images: torch.Tensor, padding: Padding, seeds: Sequence[int], epochs: int = EPOCHS
) -> RookRuns:
    """Returns the result of `train_rook`, with its arguments."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    runs = [_trained(images, padding, seed, epochs) for seed in seeds]
    torch.set_num_threads(threads)
    return RookRuns(padding, tuple(seeds), *(np.stack(part) for part in zip(*runs, strict=True)))


def _trained(images: torch.Tensor, padding: Padding, seed: int, epochs: int) -> tuple[np.ndarray, ...]:
    with random_seed(seed):
        net = RookNet(padding)
    optimizer = torch.optim.SGD(net.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
    losses = torch.zeros(epochs)
    for epoch in range(epochs):
        for label in range(2):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(images[label : label + 1]), torch.tensor([label]))
            torch.autograd.backward(loss)
            optimizer.step()
            losses[epoch] += loss.detach() / 2
    kernel, *_ = net.parameters()
    return net(images).detach().numpy(), kernel[0, 0].detach().numpy(), losses.numpy()
