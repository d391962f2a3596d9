"""Metrics of `shifted`, on answers whose figures are known."""

from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from qi_datasets.errors import OptionError
from qi_datasets.scores.consistency import consistency, diagonal_mean, top1_per_shift
from qi_datasets.scores.intervals import mean_interval

LABELS = [0, 1, 2, 3]
ANSWERS = np.array([[0, 1, 2, 3], [0, 1, 2, 9], [0, 9, 8, 9]])
Z = NormalDist().inv_cdf(0.975)


def test_top1_per_shift_has_wilsons_interval() -> None:
    found = top1_per_shift(ANSWERS, LABELS)

    assert [interval.mean for interval in found] == [1, 0.75, 0.25]
    n, share = 4, 0.75
    centre = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * np.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    assert found[1][1:] == pytest.approx((centre - half, centre + half))


def test_the_diagonal_mean_has_an_interval_over_sources() -> None:
    found = diagonal_mean(ANSWERS, LABELS)

    shares = np.array([1, 2 / 3, 2 / 3, 1 / 3])
    assert found == pytest.approx(mean_interval(shares))
    assert found.mean == pytest.approx(shares.mean())


def test_answers_at_further_shifts_add_no_certainty_if_they_are_the_same() -> None:
    right = np.arange(40) % 2
    once, often = (diagonal_mean(np.tile(right, (shifts, 1)), np.ones(40, int)) for shifts in (1, 20))

    assert once == pytest.approx(often)


def test_consistency_counts_pairs_and_varies_over_sources() -> None:
    a, b = [1, 2, 3, 4, 5, 6], [1, 2, 3, 0, 0, 0]

    found = consistency(a, b, ["x", "x", "y", "y", "z", "z"])

    shares = np.array([1, 0.5, 0])
    assert found == pytest.approx(mean_interval(shares))
    assert found.mean == 0.5


def test_a_constant_answer_is_consistent_but_not_for_certain() -> None:
    found = consistency(np.zeros(10, int), np.zeros(10, int), np.arange(10) // 5)

    assert found.mean == found.high == 1
    assert found.low < 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: top1_per_shift([0, 1], [0, 1]), r"\(shifts, sources\)"),
        (lambda: top1_per_shift(ANSWERS, [0, 1]), r"not \(2,\)"),
        (lambda: top1_per_shift(np.zeros((2, 0), int), np.zeros(0, int)), "shifts, sources"),
        (lambda: diagonal_mean(ANSWERS * 0.5, LABELS), "integers, not float64"),
        (lambda: diagonal_mean(ANSWERS, [0, 1, -1, -1]), "2 of 4 labels are unknown"),
        (lambda: consistency([1, 2], [1], [0, 0]), "of one length"),
        (lambda: consistency([1, 2], [1, 2], [0]), "one group per row"),
        (lambda: consistency(np.zeros(0, int), np.zeros(0, int), []), "empty|no data|one group per row"),
    ],
)
def test_what_can_not_be_measured_is_an_error(call: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        call()
