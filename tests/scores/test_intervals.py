from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qi_datasets.errors import OptionError
from qi_datasets.scores.intervals import Interval, group_interval, mean_interval, wilson_interval


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


def adjusted(scores, lowest=0.0):
    """Returns the interval that the definition gives, written out: mean, low, high."""
    made_up = [*scores, lowest, 1.0]
    centre = sum(made_up) / len(made_up)
    half = 1.959964 * (sum((score - centre) ** 2 for score in made_up) / len(made_up)) ** 0.5 / len(made_up) ** 0.5
    return sum(scores) / len(scores), max(lowest, centre - half), min(1.0, centre + half)


def test_group_interval_counts_groups_not_rows():
    correct = np.array([1, 0, 0, 1, 1, 1, 0, 0], bool)
    groups = np.array([f"source{i}" for i in (0, 0, 1, 1, 2, 2, 3, 3)])
    interval = group_interval(correct, groups)
    assert interval == pytest.approx(adjusted([0.5, 0.5, 1, 0]), abs=1e-6)
    assert group_interval(np.tile(correct, 3), np.tile(groups, 3)) == pytest.approx(interval)


def test_a_group_weighs_one_whatever_its_rows():
    assert group_interval([1, 1, 1, 0], [0, 0, 0, 1]).mean == 0.5


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=60))
def test_an_interval_holds_its_mean_and_stays_in_range(scores):
    interval = mean_interval(scores, lowest=-1)
    assert interval == pytest.approx(adjusted(scores, -1.0), abs=1e-5)
    assert -1 <= interval.low <= interval.mean <= interval.high <= 1
    assert interval.low < interval.high


@pytest.mark.parametrize(("wins", "ties", "losses"), [(20, 0, 0), (15, 4, 1), (0, 30, 0), (3, 3, 3), (0, 0, 5)])
def test_for_paired_answers_it_is_bonett_and_prices(wins, ties, losses):
    n = wins + ties + losses
    a, b = (wins + 1) / (n + 2), (losses + 1) / (n + 2)
    half = 1.959964 * ((a + b - (a - b) ** 2) / (n + 2)) ** 0.5
    shares = [1.0] * wins + [0.5] * ties + [0.0] * losses
    expected = [min(1, max(0, (a - b + sign * half) / 2 + 0.5)) for sign in (-1, 1)]
    assert mean_interval(shares)[1:] == pytest.approx(expected, abs=1e-6)


def test_unanimous_sources_are_no_certainty():
    interval = group_interval([1.0] * 20, range(20))
    assert interval.mean == interval.high == 1
    assert 0.8 < interval.low < 0.9


@pytest.mark.crossed
@pytest.mark.parametrize("sources", [50, 1000])
@pytest.mark.parametrize("accuracy", [0.5, 0.9, 0.99, 0.999])
@pytest.mark.parametrize("agreement", [0.0, 0.5])
def test_an_interval_covers_the_truth_at_least_93_times_in_100(sources, accuracy, agreement):
    # Two answers a source; with probability `agreement` the second is the first one's.
    random = np.random.default_rng([sources, int(1000 * accuracy), int(10 * agreement)])
    runs = 2000
    right = random.random((2, runs, sources)) < accuracy
    shares = np.mean([right[0], np.where(random.random((runs, sources)) < agreement, right[0], right[1])], axis=0)
    intervals = [mean_interval(one) for one in shares]
    assert sum(low <= accuracy <= high for _, low, high in intervals) >= 0.93 * runs


def test_group_interval_covers_the_truth_about_95_times_in_100():
    random = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        chances = random.beta(2, 2, size=80)
        rows = random.random((80, 5)) < chances[:, None]
        interval = group_interval(rows.ravel(), np.arange(80).repeat(5))
        covered += interval.low <= 0.5 <= interval.high
    assert 0.92 < covered / 400 < 0.98


def test_an_interval_is_formatted_as_its_numbers_are():
    interval = Interval(0.8125, 0.7791, 0.8412)
    assert f"{interval:.1%}" == "81.2% (77.9% to 84.1%)"
    assert f"{interval:.2f}" == "0.81 (0.78 to 0.84)"
    assert f"{interval}" == str(interval)


@pytest.mark.parametrize("values", [[], [[0.5]], [0.5, 1.1], [-0.1], [float("nan")]])
def test_scores_that_are_none_are_refused(values):
    with pytest.raises(OptionError):
        mean_interval(values)


@pytest.mark.parametrize(("correct", "groups"), [([], []), ([1, 0], [1]), ([[1, 0]], [[1, 2]])])
def test_rows_without_groups_are_refused(correct, groups):
    with pytest.raises(OptionError):
        group_interval(correct, groups)
