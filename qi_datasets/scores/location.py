"""Scores of answers on `qi`: up to which border a network reads location, and how much, border by border.

A source is one picture in both corners. Its score d, the mean over seeds of (right on one corner + right on the other
- 1), is in [-1, 1]: 1 reads location, and a network that sees no difference gets 0, whatever it answers.
N is the number of sources. Lower is more translation invariant. Source: cards/specification.md, "evaluation on qi".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import erfc, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qi_datasets.errors import OptionError
from qi_datasets.scores.intervals import Interval, mean_interval

SIGNIFICANCE = 0.05
"""The largest probability that any border counts as read if none is."""

CHANCE = 0.5
"""Accuracy of a network that sees no difference between the corners."""

THREE_QUARTERS = 0.75

EQUAL_WITHIN = {"float32": 1e-5, "float64": 1e-12}
"""Relative difference below which numbers computed in a type count as equal.

Rounding in networks whose black is not zero reaches 1e-6 of the largest value in float32.
"""

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class BorderLocation:
    """One border.

    Attributes:
        accuracy: Share of right answers; its interval is at `level`, the confidence that Holm's method gives this
            border, and is above 1/2 exactly if location is read. None if the corners are equal.
        p: Two-sided p value of the mean of d, for a true mean of 0. None if the corners are equal.
        corrected_p: The same after Holm's correction over all borders.
    """

    accuracy: float
    interval: Interval | None = None
    level: float | None = None
    p: float | None = None
    corrected_p: float | None = None

    @property
    def reads(self) -> bool:
        """True if location is read at this border."""
        return self.corrected_p is not None and self.corrected_p <= SIGNIFICANCE


@dataclass(frozen=True)
class Location:
    """All borders of one network.

    Attributes:
        borders: Border -> the result there.
        reach: Widest border at which location is read; None if at none.
        reach_75: Widest border at which the interval of the accuracy begins at 75 % or more.
        reach_censored: Whether a wider border of the family is missing, so that the reach may be wider.
        reach_75_censored: The same for `reach_75`.
        score: Mean of d over all borders of the family, by source, in [-1, 1]; None if a border is missing.
    """

    borders: Mapping[int, BorderLocation]
    reach: int | None
    reach_75: int | None
    reach_censored: bool
    reach_75_censored: bool
    score: Interval | None


def source_scores(right: ArrayLike) -> Scores:
    """Returns each source's score d, (N,), from (seeds, N, 2) bool: whether the answer to each corner is right.

    Raises:
        OptionError: If shape or type are others, or there are no data.
    """
    answers = np.asarray(right)
    if answers.ndim != 3 or answers.shape[2] != 2 or answers.size == 0 or answers.dtype != np.bool_:
        raise OptionError(
            f"answers are (seeds, sources, 2) of bool, got {answers.shape} of {answers.dtype}", code="bad-shape"
        )
    scores: Scores = (answers.sum(axis=2) - 1.0).mean(axis=0)
    return scores


@dataclass(frozen=True)
class MeanScore:
    """The mean of d over sources, its interval at any level, and the p that belongs to these intervals.

    The interval is a score interval over the N sources and two added ones, of d = 1 and d = -1, with a continuity
    correction of half an answer. For 20 to 1000 sources, whatever share of them differs, it covers the true mean in at
    least 95 of 100 cases at the level 0.95, and in 98.9 of 100 at 0.993 (computed in `tests/scores/test_location.py`).
    Source: cards/specification.md, "evaluation on qi".

    Attributes:
        mean: Mean of the scores alone, in [-1, 1].
        centre: Mean of the scores and the two added ones.
        deviation: Standard deviation of all of these (`numpy.std`).
        count: N + 2.
    """

    mean: float
    centre: float
    deviation: float
    count: int

    @classmethod
    def of(cls, scores: ArrayLike) -> "MeanScore":
        """Returns the mean of scores (N,) in [-1, 1].

        Raises:
            OptionError: If scores are out of this range, or there are none.
        """
        values = np.asarray(scores, dtype=np.float64)
        if values.ndim != 1 or values.size == 0 or not bool((np.abs(values) <= 1).all()):
            raise OptionError(
                f"there must be one score from -1 to 1 for each source, (N,), got {values.shape}", code="bad-shape"
            )
        filled = np.concatenate([values, [-1.0, 1.0]])
        return cls(float(values.mean()), float(filled.mean()), float(filled.std()), filled.size)

    def interval(self, level: float) -> Interval:
        """Returns the mean with its two-sided interval at a level such as 0.95, within [-1, 1]."""
        z = NormalDist().inv_cdf((1 + level) / 2)
        if self.count <= z * z:
            return Interval(self.mean, -1.0, 1.0)
        half = z * self.deviation / sqrt(self.count - z * z) + 1 / self.count
        return Interval(self.mean, max(-1.0, self.centre - half), min(1.0, self.centre + half))

    @property
    def p(self) -> float:
        """1 minus the level at which the interval begins at 0; 1.0 if no interval is above 0."""
        ratio = (self.centre - 1 / self.count) / self.deviation
        return erfc(sqrt(self.count * ratio * ratio / (1 + ratio * ratio) / 2)) if ratio > 0 else 1.0


def location_accuracy(scores: ArrayLike, level: float = 1 - SIGNIFICANCE) -> Interval:
    """Returns the share of right answers, 1/2 + mean(d) / 2, with its interval over sources (`MeanScore`).

    Args:
        scores: (N,), d of each source, in [-1, 1].
        level: Confidence of the interval.

    Raises:
        OptionError: If scores are out of this range, or there are none.
    """
    return Interval(*(0.5 + end / 2 for end in MeanScore.of(scores).interval(level)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns p values corrected by Holm's method, in the given order; those up to `SIGNIFICANCE` are significant.

    Source: S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of Statistics 6,
    1979.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    corrected, least = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = least
    return corrected


def holm_levels(p_values: Sequence[float]) -> list[float]:
    """Returns the confidence levels at which Holm's method tests several p values, in the given order.

    A level is 1 - `SIGNIFICANCE` / k. For a significant p value, k is the number of p values that are not smaller; for
    the others, k is the number of p values that are not significant. So p <= 1 - level exactly if the corrected p is
    significant.
    """
    corrected = holm(p_values)
    left = sum(p > SIGNIFICANCE for p in corrected)
    return [
        1 - SIGNIFICANCE / (left if at > SIGNIFICANCE else sum(other >= p for other in p_values))
        for p, at in zip(p_values, corrected, strict=True)
    ]


def location(scores: Mapping[int, ArrayLike], family: Sequence[int], blind: frozenset[int] = frozenset()) -> Location:
    """Evaluates a network's scores at several borders together.

    Args:
        scores: Border -> (N,), d of each source, the same sources in one order at every border.
        family: The borders whose mean is the score; they and the others are corrected together, and those of
            the family that are missing count as not read.
        blind: Borders at which the corners are equal, and so not read, whatever the answers.

    Raises:
        OptionError: If there is no border, or the numbers of sources differ.
    """
    found = {border: np.asarray(values, dtype=np.float64) for border, values in sorted(scores.items())}
    if not found or len({values.shape for values in found.values()}) != 1:
        raise OptionError(
            f"every border needs d of the same sources, got {[v.shape for v in found.values()]}", code="bad-shape"
        )
    together = sorted({*found, *family})
    means = {border: MeanScore.of(values) for border, values in found.items()}
    p_values = [1.0 if b in blind or b not in found else means[b].p for b in together]
    corrected = dict(zip(together, holm(p_values), strict=True))
    levels = dict(zip(together, holm_levels(p_values), strict=True))
    borders = {}
    for border, mean in means.items():
        accuracy = 0.5 + mean.mean / 2
        if border in blind:
            borders[border] = BorderLocation(accuracy)
            continue
        _, low, high = location_accuracy(found[border], levels[border])
        # Answers that are wrong more often than by chance do not read location: their interval is extended to chance.
        interval = Interval(accuracy, low, max(high, CHANCE))
        borders[border] = BorderLocation(accuracy, interval, levels[border], mean.p, corrected[border])
    reach = max((border for border, at in borders.items() if at.reads), default=None)
    certain = [border for border, at in borders.items() if at.interval and at.interval.low >= THREE_QUARTERS]
    reach_75 = max(certain, default=None)
    missing = max((border for border in family if border not in found), default=-1)
    whole = np.mean([found[b] for b in family], axis=0) if missing < 0 else None
    return Location(
        borders,
        reach,
        reach_75,
        reach_censored=missing > (-1 if reach is None else reach),
        reach_75_censored=missing > (-1 if reach_75 is None else reach_75),
        score=None if whole is None else mean_interval(whole, lowest=-1),
    )


def location_invariance(location_score: float) -> float:
    """Returns a location score as a figure in [0, 100], more being better: 100 x (1 - location score).

    A score below 0, which a network that sees no difference can get by chance, gives 100.
    """
    return 100 * (1 - max(0.0, location_score))
