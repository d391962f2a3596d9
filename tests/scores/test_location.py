"""Scores of location on answers whose figures are known."""

from itertools import pairwise, product
from math import comb
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qi_datasets.errors import OptionError
from qi_datasets.scores.location import (
    SIGNIFICANCE,
    MeanScore,
    holm,
    holm_levels,
    location,
    location_accuracy,
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
    assert found.low < found.mean < found.high


@given(st.lists(st.sampled_from([-1.0, -0.2, 0.0, 0.4, 1.0]), min_size=1, max_size=60), st.floats(0.9, 0.999))
def test_the_interval_begins_at_chance_where_p_is_what_its_level_leaves(scores: list[float], level: float) -> None:
    mean = MeanScore.of(scores)

    assert mean.interval(level).low == -1 or (mean.p < 1 - level) == (mean.interval(level).low > 0)
    if mean.p < 0.5 and mean.count > NormalDist().inv_cdf(1 - mean.p / 2) ** 2 + 1e-6:
        assert mean.interval(1 - mean.p).low == pytest.approx(0, abs=1e-6)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=60))
def test_an_interval_holds_the_mean_and_mirrors(scores: list[float]) -> None:
    found, mirrored = MeanScore.of(scores).interval(0.95), MeanScore.of([-one for one in scores]).interval(0.95)

    assert -1 <= found.low <= found.mean <= found.high <= 1
    assert found.low == pytest.approx(-mirrored.high)


def test_p_of_many_sources_is_small_and_not_nothing() -> None:
    assert 0 < MeanScore.of(np.ones(1000)).p < 1e-200
    # The exact sign test gives 0.0463 for both directions.
    assert MeanScore.of(np.repeat([1, -1], [532, 468])).p == pytest.approx(0.0463, abs=0.001)


def coverage(sources: int, differing: float, accuracy: float, level: float) -> float:
    """Returns how often the interval holds the mean, exactly, if some sources differ, and are right, by chance."""
    truth, covered = differing * (2 * accuracy - 1), 0.0
    for differ, chance in enumerate(binomial(sources, differing)):
        if chance > 1e-9:
            for right, share in enumerate(binomial(differ, accuracy)):
                if share > 1e-6:
                    scores = np.repeat([1.0, -1.0, 0.0], [right, differ - right, sources - differ])
                    _, low, high = MeanScore.of(scores).interval(level)
                    covered += chance * share * (low - 1e-12 <= truth <= high + 1e-12)
    return covered


def binomial(trials: int, chance: float) -> list[float]:
    """Returns how likely 0, 1, ... successes are."""
    return [comb(trials, k) * chance**k * (1 - chance) ** (trials - k) for k in range(trials + 1)]


@pytest.mark.parametrize(("level", "least"), [(0.95, 0.945), (1 - 0.05 / 7, 0.985)])
@pytest.mark.parametrize("accuracy", [0.5, 0.65, 0.85, 0.99])
@pytest.mark.parametrize(
    ("sources", "differing"), [(20, 0.05), (20, 0.5), (20, 1.0), (50, 0.1), (50, 1.0), (200, 0.02), (200, 1.0)]
)
def test_an_interval_covers_the_truth(
    sources: int, differing: float, accuracy: float, level: float, least: float
) -> None:
    assert coverage(sources, differing, accuracy, level) >= least


def simulated(sources: int, seeds: int, differing: float, accuracy: float, runs: int) -> tuple[float, float]:
    """Returns the share of runs that read an unreadable border, of seven, and of intervals that hold the truth.

    A share of the sources differs between the corners, and each seed is right about these by a coin; at the last
    border in accuracy's share of cases. The other six are then at the level that this border leaves them.
    """
    random = np.random.default_rng([sources, seeds, int(1000 * differing), int(1000 * accuracy)])

    def scores(chance: float) -> Any:
        differs, right = random.random((seeds, sources)) < differing, random.random((seeds, sources)) < chance
        return np.where(differs, np.where(right, 1.0, -1.0), 0.0).mean(axis=0)

    said, covered = 0, []
    for _ in range(runs):
        said += location({border: scores(0.5) for border in QI.borders}, QI.borders).reach is not None
        found = location({b: scores(accuracy if b == 0 else 0.5) for b in QI.borders}, QI.borders)
        for border, at in found.borders.items():
            truth = 0.5 + (differing * (accuracy - 0.5) if border == 0 else 0)
            assert at.interval is not None
            assert at.reads == (at.interval.low > 0.5)
            covered.append(at.interval.low <= truth <= at.interval.high)
    return said / runs, float(np.mean(covered))


SOURCES, SHARES, ACCURACIES = (20, 50, 100, 300, 1000), (0.02, 0.2, 1.0), (0.6, 0.9, 1.0)


@pytest.mark.parametrize(
    ("sources", "seeds", "differing", "accuracy"), [(20, 1, 1.0, 0.9), (100, 5, 0.2, 0.6), (1000, 3, 0.02, 1.0)]
)
def test_seven_borders_are_rarely_read_by_chance(sources: int, seeds: int, differing: float, accuracy: float) -> None:
    size, covered = simulated(sources, seeds, differing, accuracy, runs=150)
    assert size <= 0.05 + 3 * (0.05 * 0.95 / 150) ** 0.5
    assert covered >= 0.94


@pytest.mark.slow
@pytest.mark.parametrize("sources", SOURCES)
@pytest.mark.parametrize("seeds", [1, 3, 5])
def test_size_and_coverage_over_the_whole_range(sources: int, seeds: int) -> None:
    for differing, accuracy in product(SHARES, ACCURACIES):
        size, covered = simulated(sources, seeds, differing, accuracy, runs=1000)
        print(f"| {sources} | {seeds} | {differing:.0%} | {accuracy:.0%} | {size:.3f} | {covered:.3f} |")
        assert size <= 0.05
        assert covered >= 0.94


@given(st.lists(st.floats(0, 0.05), min_size=1, max_size=8))
def test_holm_rejects_step_by_step(p_values: list[float]) -> None:
    rejected, left = set(), sorted(range(len(p_values)), key=p_values.__getitem__)
    while left and p_values[left[0]] * len(left) <= SIGNIFICANCE:
        rejected.add(left.pop(0))

    corrected = holm(p_values)

    assert {place for place, p in enumerate(corrected) if p <= SIGNIFICANCE} == rejected
    assert all(plain <= p <= 1 for plain, p in zip(p_values, corrected, strict=True))


def test_reach_is_the_widest_border_that_is_read() -> None:
    weak = np.repeat([1.0, 0.0, -1.0], [22, 76, 2])
    found = location(dict.fromkeys(QI.borders[:3], ALWAYS) | {64: weak, 128: NEVER, 256: NEVER, 512: NEVER}, QI.borders)

    assert (found.reach, found.reach_75) == (64, 32)
    assert found.borders[64].reads
    assert not found.borders[128].reads
    assert found.score is not None
    assert found.score.mean == pytest.approx((3 + 0.2) / 7)


def test_nothing_read_is_no_reach() -> None:
    found = location(dict.fromkeys(QI.borders, NEVER), QI.borders)

    assert (found.reach, found.reach_75) == (None, None)
    assert found.score is not None
    assert found.score.mean == 0
    assert found.score.low < 0 < found.score.high


def test_missing_borders_count_as_not_read_and_leave_no_score() -> None:
    p = MeanScore.of(np.ones(12)).p
    found = location({0: np.ones(12)}, QI.borders)

    assert found.borders[0].corrected_p == pytest.approx(7 * p)
    assert found.borders[0].level == pytest.approx(1 - 0.05 / 7)
    assert found.score is None
    further = location({0: np.ones(12), 3: NEVER[:12]}, QI.borders)
    assert further.borders[0].corrected_p == pytest.approx(8 * p)


def test_reach_is_censored_where_a_wider_border_is_missing() -> None:
    few = location({0: ALWAYS, 32: NEVER}, QI.borders)
    assert (few.reach, few.reach_censored, few.reach_75_censored) == (0, True, True)
    ends = location({0: ALWAYS, 512: np.repeat([1.0, 0.0], [25, 75])}, QI.borders)
    assert (ends.reach, ends.reach_censored, ends.reach_75, ends.reach_75_censored) == (512, False, 0, True)
    whole = location(dict.fromkeys(QI.borders, NEVER), QI.borders)
    assert (whole.reach, whole.reach_censored, whole.reach_75_censored) == (None, False, False)


def test_a_blind_border_is_not_read_whatever_was_answered() -> None:
    found = location({0: ALWAYS}, (0,), blind=frozenset({0}))
    assert found.reach is None
    assert (found.borders[0].interval, found.borders[0].p, found.borders[0].level) == (None, None, None)


def test_answers_below_chance_are_no_reading() -> None:
    at = location(dict.fromkeys(QI.borders, -ALWAYS), QI.borders).borders[0]
    assert (at.reads, at.accuracy, at.interval) == (False, 0, (0, 0, 0.5))


@given(st.lists(st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.001, 0.01, 0.02, 1.0])), min_size=1, max_size=8))
def test_a_level_is_where_holm_decides(p_values: list[float]) -> None:
    levels = holm_levels(p_values)

    for p, corrected, level in zip(p_values, holm(p_values), levels, strict=True):
        assert (p <= 1 - level) == (corrected <= SIGNIFICANCE) or p == pytest.approx(1 - level)
        assert 1 - SIGNIFICANCE <= level <= 1 - SIGNIFICANCE / len(p_values)
    assert all(a >= b for a, b in pairwise(level for _, level in sorted(zip(p_values, levels, strict=True))))


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
