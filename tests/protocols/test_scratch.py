"""Training from scratch: it learns what can be learned, continues after an interruption, and is repeatable."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from qi_datasets.errors import ModelError
from qi_datasets.networks.random_weights import random_seed
from qi_datasets.protocols.scratch import LEARNING_RATE, Progress, answer_patches, resume_training, train_corners
from tests.refusals import refused

PATCHES = torch.rand(12, 3, 56, 56, generator=torch.Generator().manual_seed(0))


def network(seed: int = 0) -> nn.Module:
    with random_seed(seed):
        return nn.Sequential(
            nn.Conv2d(3, 8, 5, padding=2, stride=2),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(128, 2),
        )


def state(trained: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in trained.state_dict().items()}


@pytest.mark.parametrize("local", [True, False])
def test_a_network_that_sees_places_learns_them(local: bool) -> None:
    trained = train_corners(network(), PATCHES, PATCHES[:4], 0, 0, local=local, epochs=6)

    assert trained.epochs == 6
    assert trained.accuracy == 1.0
    found = answer_patches(trained.network, PATCHES, 0, local=local)
    assert ((found.margins > 0) == np.arange(2)).all()
    assert not found.equal


def test_a_blind_network_does_not() -> None:
    with random_seed(0):
        blind = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    trained = train_corners(blind, PATCHES, PATCHES[:4], 0, 0, epochs=2)

    assert trained.accuracy == 0.5
    assert answer_patches(trained.network, PATCHES, 0).equal


def test_a_training_that_is_cut_off_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    whole = state(train_corners(network(), PATCHES, PATCHES[:4], 0, 7, epochs=4).network)
    checkpoint = tmp_path / "training.pt"

    class Cut(Exception):  # noqa: N818
        pass

    for _ in range(4):
        done = 0

        def cut() -> None:
            nonlocal done
            done += 1
            raise Cut

        with pytest.raises(Cut):
            train_corners(network(), PATCHES, PATCHES[:4], 0, 7, epochs=4, checkpoint=checkpoint, after_epoch=cut)
        assert done == 1
    resumed_network = train_corners(network(1), PATCHES, PATCHES[:4], 0, 7, epochs=4, checkpoint=checkpoint).network

    for name, tensor in state(resumed_network).items():
        assert torch.equal(tensor, whole[name]), name


def test_every_epoch_sees_each_picture_in_both_corners_in_an_order_of_its_own() -> None:
    seen: list[tuple[int, int]] = []
    trained = network()
    brightness = [round(float(patch.sum()), 2) for patch in PATCHES]

    def note(module: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        if module.training:
            for image in inputs[0]:
                seen.append((brightness.index(round(float(image.sum()), 2)), int(image[:, 64:, 64:].any())))

    trained.register_forward_pre_hook(note)
    train_corners(trained, PATCHES, PATCHES[:4], 0, 0, local=False, epochs=2)

    first, second = seen[: 2 * len(PATCHES)], seen[2 * len(PATCHES) :]
    assert sorted(first) == sorted(second) == [(source, corner) for source in range(len(PATCHES)) for corner in (0, 1)]
    assert first != second


def test_seeds_differ_and_global_random_state_does_not_matter() -> None:
    torch.manual_seed(1)
    first = state(train_corners(network(), PATCHES, PATCHES[:4], 0, 0, epochs=1).network)
    torch.manual_seed(2)
    again = state(train_corners(network(), PATCHES, PATCHES[:4], 0, 0, epochs=1).network)
    other = state(train_corners(network(), PATCHES, PATCHES[:4], 0, 1, epochs=1).network)

    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["0.weight"], other["0.weight"])


def test_the_rate_falls_after_five_epochs_without_a_better_validation_loss(tmp_path: Path) -> None:
    """Validation on noise with the labels' meaning lost: a network without bias towards it gets no better for ever."""
    checkpoint = tmp_path / "training.pt"
    rates = []

    def note() -> None:
        trained = network()
        optimizer = torch.optim.SGD(trained.parameters(), lr=1.0, momentum=0.9, nesterov=True)
        at = resume_training(checkpoint, trained, optimizer)
        rates.append((at.rate, at.stale))

    train_corners(network(), PATCHES, 1e3 * PATCHES[:2], 0, 0, epochs=12, checkpoint=checkpoint, after_epoch=note)

    assert rates[0][0] == LEARNING_RATE
    for (rate, stale), (next_rate, next_stale) in pairwise(rates):
        assert stale < 5
        if next_rate != rate:
            assert (stale, next_stale) == (4, 0)
            assert next_rate == pytest.approx(rate / 10)
    assert any(rate < LEARNING_RATE for rate, _ in rates)


def test_a_training_that_diverges_is_an_error() -> None:
    with refused(
        ModelError, "not-finite", match=r"loss is not a finite number after 1 epochs at border 0|not finite numbers"
    ):
        train_corners(network(), 1e20 * PATCHES, 1e20 * PATCHES[:2], 0, 0, epochs=2)


def test_nothing_is_resumed_where_nothing_was_kept(tmp_path: Path) -> None:
    trained = network()
    optimizer = torch.optim.SGD(trained.parameters(), lr=1.0)
    assert resume_training(tmp_path / "none.pt", trained, optimizer) == Progress()
