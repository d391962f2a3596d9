"""Classifiers on moved pictures, compared with the set's views."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from qi_datasets.errors import ModelError
from qi_datasets.networks.random_weights import random_seed
from qi_datasets.pixels.geometry import SHIFTS, window
from qi_datasets.protocols.shifted import MODES, answer_shifted, largest_logits
from tests.refusals import refused

BASES = np.random.default_rng(0).integers(0, 256, (2, 288, 288, 3), dtype=np.uint8)
PAIRS = np.array([[[0, 64, 5, 7], [32, 32, 32, 32]], [[1, 2, 3, 4], [64, 0, 0, 64]]])
CHOSEN = [-32, -5, 0, 1, 32]


def network(classes: int = 7) -> nn.Module:
    with random_seed(0):
        return nn.Sequential(
            nn.Conv2d(3, classes, 9, stride=4), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(classes, classes)
        ).eval()


def tensor(images: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).float() / 255


@pytest.mark.parametrize("mode", MODES)
def test_answers_along_the_diagonal_are_those_to_the_views_of_the_set(mode: str) -> None:
    found = answer_shifted(network(), tensor(BASES), PAIRS, CHOSEN, mode)

    with torch.no_grad():
        views = [np.stack([SHIFTS[mode](base, shift, 224) for base in BASES]) for shift in (*CHOSEN, 0)]
        *logits, unmoved = (network()(tensor(view)).numpy() for view in views)
    np.testing.assert_array_equal(found.predictions, [of.argmax(1) for of in logits])
    np.testing.assert_allclose(found.changes, [np.abs(of - unmoved).max(1) for of in logits], atol=1e-5)
    np.testing.assert_allclose(found.margins, [np.sort(of)[:, -1] - np.sort(of)[:, -2] for of in logits], atol=1e-5)
    assert not found.changes[CHOSEN.index(0)].any()
    assert found.classes == 7


def test_pairs_are_the_windows_of_the_set() -> None:
    found = answer_shifted(network(), tensor(BASES), PAIRS, [0], "crop")

    for source, base in enumerate(BASES):
        for pair, (y0, x0, y1, x1) in enumerate(PAIRS[source]):
            for side, (y, x) in enumerate([(y0, x0), (y1, x1)]):
                with torch.no_grad():
                    logits = network()(tensor(window(base, y, x, 224)[None]))
                assert found.pair_predictions[pair, side, source] == logits.argmax()


def test_a_network_that_rolls_with_its_picture_does_not_change() -> None:
    with random_seed(1):
        rolls = nn.Sequential(
            nn.Conv2d(3, 5, 3, padding=1, padding_mode="circular"), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        ).eval()
    circular, zero = (answer_shifted(rolls, tensor(BASES), PAIRS, CHOSEN, mode) for mode in ("circular", "zero"))

    assert circular.changes.max() < 1e-5
    assert (circular.pair_predictions[:, 0] == circular.pair_predictions[:, 1]).all()
    assert zero.changes.max() > 1e-3


def test_one_class_has_no_margin() -> None:
    predictions, margins = largest_logits(np.array([[2.0], [3.0]]))
    assert predictions.tolist() == [0, 0]
    assert margins.tolist() == [0, 0]


def test_logits_that_are_not_finite_are_refused() -> None:
    broken = network()
    with torch.no_grad():
        broken[3].bias.fill_(float("inf"))
    with refused(ModelError, "not-finite", match="logits are not finite"):
        answer_shifted(broken, tensor(BASES), PAIRS, [0], "crop")
