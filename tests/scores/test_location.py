"""Scores of location on answers whose figures are known."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qi_datasets.errors import OptionError
from qi_datasets.scores.intervals import mean_interval
from qi_datasets.scores.location import (
    SIGNIFICANCE,
    holm,
    location,
    location_accuracy,
    sign_test,
    source_scores,
)
from qi_datasets.specs import QI

ALWAYS, NEVER = np.ones(100), np.zeros(100)


def test_a_source_scores_how_many_of_its_corners_are_right() -> None:
    right = np.array([[[1, 1], [1, 0], [0, 0]], [[1, 1], [1, 1], [0, 1]]], bool)

    np.testing.assert_array_equal(source_scores(right), [1, 0.5, -0.5])


def test_one_class_for_both_corners_scores_nothing() -> None:
    answers = np.random.default_rng(0).integers(0, 2, (3, 50, 1))
    assert not source_scores(answers == np.arange(2)).any()


def test_accuracy_is_the_share_of_right_answers() -> None:
    right = np.random.default_rng(1).random((4, 30, 2)) < 0.8
    found = location_accuracy(source_scores(right))

    assert found.mean == pytest.approx(right.mean())
    assert found == pytest.approx(mean_interval(right.mean(axis=(0, 2))))


@given(st.lists(st.sampled_from([-1.0, -0.2, 0.0, 0.4, 1.0]), max_size=12))
def test_the_sign_test_counts_the_ways_that_signs_can_fall(scores: list[float]) -> None:
    signed = [score for score in scores if score]
    positive = sum(score > 0 for score in signed)
    ways = [sum(fall) for fall in product((0, 1), repeat=len(signed))]

    assert sign_test(scores) == pytest.approx(sum(count >= positive for count in ways) / len(ways))


def test_the_sign_test_is_exact_for_many_sources() -> None:
    assert sign_test(np.ones(1000)) == 2.0**-1000
    assert sign_test(np.repeat([1, -1], [532, 468])) == pytest.approx(0.0231456, abs=1e-7)


@given(st.lists(st.floats(0, 0.05), min_size=1, max_size=8))
def test_holm_rejects_step_by_step(p_values: list[float]) -> None:
    rejected, left = set(), sorted(range(len(p_values)), key=p_values.__getitem__)
    while left and p_values[left[0]] * len(left) <= SIGNIFICANCE:
        rejected.add(left.pop(0))

    corrected = holm(p_values)

    assert {place for place, p in enumerate(corrected) if p <= SIGNIFICANCE} == rejected
    assert all(plain <= p <= 1 for plain, p in zip(p_values, corrected, strict=True))


def test_reach_is_the_widest_border_that_is_read() -> None:
    weak = np.repeat([1.0, 0.0, -1.0], [18, 80, 2])
    found = location(dict.fromkeys(QI.borders[:3], ALWAYS) | {64: weak, 128: NEVER, 256: NEVER, 512: NEVER}, QI.borders)

    assert (found.reach, found.reach_75) == (64, 32)
    assert found.borders[64].reads
    assert not found.borders[128].reads
    assert found.score is not None
    assert found.score.mean == pytest.approx((3 + 0.16) / 7)


def test_nothing_read_is_no_reach() -> None:
    found = location(dict.fromkeys(QI.borders, NEVER), QI.borders)

    assert (found.reach, found.reach_75) == (None, None)
    assert found.score is not None
    assert found.score.mean == 0
    assert found.score.low < 0 < found.score.high


def test_missing_borders_count_as_not_read_and_leave_no_score() -> None:
    p = sign_test(np.ones(7))
    found = location({0: np.ones(7)}, QI.borders)

    assert found.borders[0].corrected_p == pytest.approx(7 * p)
    assert found.score is None
    assert not location({0: np.ones(7), 3: NEVER[:7]}, QI.borders).borders[0].reads  # 8 p > 0.05


def test_a_blind_border_is_not_read_whatever_was_tossed() -> None:
    assert location({0: ALWAYS}, (0,), blind=frozenset({0})).reach is None


def test_a_network_that_tosses_is_rarely_said_to_read() -> None:
    random = np.random.default_rng(2)
    runs = [
        location({b: source_scores(random.random((1, 60, 2)) < 0.5) for b in QI.borders}, QI.borders).reach
        for _ in range(300)
    ]
    assert sum(reach is not None for reach in runs) <= 0.05 * 300 + 8


@pytest.mark.parametrize(
    "call",
    [
        lambda: source_scores(np.ones((2, 3))),
        lambda: source_scores(np.ones((1, 3, 2))),
        lambda: source_scores(np.ones((1, 0, 2), bool)),
        lambda: location_accuracy([1.5]),
        lambda: location({}, QI.borders),
        lambda: location({0: ALWAYS, 16: NEVER[:3]}, QI.borders),
    ],
)
def test_what_can_not_be_scored_is_an_error(call: Any) -> None:
    with pytest.raises(OptionError):
        call()
