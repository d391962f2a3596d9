from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qi_datasets.errors import OptionError
from qi_datasets.scores.intervals import group_interval, wilson_interval


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(0, 10, 0.0, 0.277533), (5, 10, 0.236593, 0.763407), (10, 10, 0.722467, 1.0), (15, 50, 0.191036, 0.437504)],
)
def test_wilson_interval(successes, trials, low, high):
    interval = wilson_interval(successes, trials)
    assert interval.mean == successes / trials
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-6)


@given(st.integers(1, 500).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials))))
def test_wilson_interval_holds_its_share_and_is_symmetric(case):
    successes, trials = case
    interval, mirrored = wilson_interval(successes, trials), wilson_interval(trials - successes, trials)
    assert 0 <= interval.low <= interval.mean <= interval.high <= 1
    assert interval.low == pytest.approx(1 - mirrored.high, abs=1e-12)


@given(st.integers(1, 500).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials))))
def test_wilson_interval_ends_where_the_share_lies_1_96_standard_deviations_off(case):
    interval = wilson_interval(*case)
    for end in (interval.low, interval.high):
        assert (interval.mean - end) ** 2 == pytest.approx(1.959964**2 * end * (1 - end) / case[1], rel=1e-5, abs=1e-12)


def test_wilson_interval_covers_the_truth_about_95_times_in_100():
    trials, truth = 60, 0.3
    covered = sum(
        comb(trials, k) * truth**k * (1 - truth) ** (trials - k)
        for k in range(trials + 1)
        if wilson_interval(k, trials).low <= truth <= wilson_interval(k, trials).high
    )
    assert 0.93 < covered < 0.97


@pytest.mark.parametrize(("successes", "trials"), [(1, 0), (0, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_refused(successes, trials):
    with pytest.raises(OptionError):
        wilson_interval(successes, trials)


def test_group_interval_counts_groups_not_rows():
    correct = np.array([1, 0, 0, 1, 1, 1, 0, 0], bool)
    groups = np.array([f"source{i}" for i in (0, 0, 1, 1, 2, 2, 3, 3)])
    interval = group_interval(correct, groups)
    half = 1.959964 * np.std([0.5, 0.5, 1, 0], ddof=1) / 2
    assert interval == pytest.approx((0.5, 0.5 - half, 0.5 + half))
    assert group_interval(np.tile(correct, 3), np.tile(groups, 3)) == pytest.approx(interval)


def test_a_group_weighs_one_whatever_its_rows():
    assert group_interval([1, 1, 1, 0], [0, 0, 0, 1]).mean == 0.5


def test_group_interval_stays_within_shares():
    interval = group_interval([1] * 9 + [0], range(10))
    assert interval.high == 1.0
    assert interval.low == pytest.approx(0.9 - 1.959964 * 0.1)
    assert group_interval([1.0, 1.0], [3, 3]) == (1.0, 0.0, 1.0)


def test_group_interval_covers_the_truth_about_95_times_in_100():
    random = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        chances = random.beta(2, 2, size=80)
        rows = random.random((80, 5)) < chances[:, None]
        interval = group_interval(rows.ravel(), np.arange(80).repeat(5))
        covered += interval.low <= 0.5 <= interval.high
    assert 0.92 < covered / 400 < 0.98


@pytest.mark.parametrize(("correct", "groups"), [([], []), ([1, 0], [1]), ([[1, 0]], [[1, 2]])])
def test_rows_without_groups_are_refused(correct, groups):
    with pytest.raises(OptionError):
        group_interval(correct, groups)
