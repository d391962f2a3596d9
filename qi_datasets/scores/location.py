"""From how far away a network reads where things are: what its answers on `qi` are worth, border by border.

A source is one picture in both corners. Its score d, the mean over seeds of (right on one corner + right on the other
- 1), lies in [-1, 1]: 1 reads location, 0 is what a network that sees no difference gets, whatever it answers.
N is the number of sources. Lower is more translation invariant. Source: cards/specification.md, "evaluation on qi".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qi_datasets.errors import OptionError
from qi_datasets.scores.intervals import Interval, mean_interval

SIGNIFICANCE = 0.05
"""Chance, at most, that any border is said to be read where none is."""

THREE_QUARTERS = 0.75

EQUAL_WITHIN = {"float32": 1e-5, "float64": 1e-12}
"""Relative difference below which numbers computed in a type count as equal.

Rounding alone, on networks whose black is not zero, reaches 1e-6 of scale in float32.
"""

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class BorderLocation:
    """One border: accuracy with interval, the sign test's p before and after Holm's correction, and its verdict."""

    accuracy: Interval
    p: float
    corrected_p: float

    @property
    def reads(self) -> bool:
        """Whether location is read here."""
        return self.corrected_p <= SIGNIFICANCE


@dataclass(frozen=True)
class Location:
    """All borders of one network.

    borders: each border with what was found there
    reach: widest border where location is read; None for nowhere
    reach_75: widest border whose accuracy is 75 % or more for certain (lower end of the interval); None for nowhere
    score: mean of d over all borders of the family, by source, in [-1, 1]; None where a border is missing
    """

    borders: Mapping[int, BorderLocation]
    reach: int | None
    reach_75: int | None
    score: Interval | None


def source_scores(right: ArrayLike) -> Scores:
    """Each source's score d, (N,), from (seeds, N, 2) bool: whether the answer to each corner is right.

    Raises `OptionError` for another shape or type, and for no data.
    """
    answers = np.asarray(right)
    if answers.ndim != 3 or answers.shape[2] != 2 or answers.size == 0 or answers.dtype != np.bool_:
        raise OptionError(f"answers are (seeds, sources, 2) of bool, got {answers.shape} of {answers.dtype}")
    scores: Scores = (answers.sum(axis=2) - 1.0).mean(axis=0)
    return scores


def location_accuracy(scores: ArrayLike) -> Interval:
    """Share of right answers, 1/2 + mean(d) / 2, with its interval over sources (`intervals.mean_interval`).

    scores: (N,), d of each source, in [-1, 1]. Raises `OptionError` as `mean_interval`.
    """
    return Interval(*(0.5 + end / 2 for end in mean_interval(scores, lowest=-1)))


def sign_test(scores: ArrayLike) -> float:
    """p of the exact one-sided sign test: how likely so many sources of positive d are if the signs are tossed.

    scores: (N,), d of each source; those of 0 do not count, and 1.0 is returned where all are.
    """
    signs = np.sign(np.asarray(scores, dtype=np.float64))
    positive, tossed = int((signs > 0).sum()), int((signs != 0).sum())
    return sum(comb(tossed, k) for k in range(positive, tossed + 1)) / (1 << tossed)


def holm(p_values: Sequence[float]) -> list[float]:
    """p values corrected for there being several, in the order given; at most `SIGNIFICANCE` means significant.

    Source: S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of Statistics 6,
    1979.
    """
    corrected, least = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = least
    return corrected


def location(scores: Mapping[int, ArrayLike], family: Sequence[int], blind: frozenset[int] = frozenset()) -> Location:
    """What a network's scores at some borders are worth together.

    scores: border -> (N,), d of each source, the same sources in one order at every border
    family: the borders that the score is a mean of; they and the others are corrected for together, and those of the
        family that are missing count as not read
    blind: borders at which the corners are known to be equal, and hence not read, whatever is tossed

    Raises `OptionError` for no border, and for unequal numbers of sources.
    """
    found = {border: np.asarray(values, dtype=np.float64) for border, values in sorted(scores.items())}
    if not found or len({values.shape for values in found.values()}) != 1:
        raise OptionError(f"every border needs d of the same sources, got {[v.shape for v in found.values()]}")
    together = sorted({*found, *family})
    p_values = [1.0 if b in blind or b not in found else sign_test(found[b]) for b in together]
    corrected = dict(zip(together, holm(p_values), strict=True))
    plain = dict(zip(together, p_values, strict=True))
    borders = {b: BorderLocation(location_accuracy(values), plain[b], corrected[b]) for b, values in found.items()}
    reading = [border for border, at in borders.items() if at.reads]
    certain = [border for border, at in borders.items() if at.accuracy.low >= THREE_QUARTERS]
    whole = all(border in found for border in family)
    score = mean_interval(np.mean([found[b] for b in family], axis=0), lowest=-1) if whole else None
    return Location(borders, max(reading, default=None), max(certain, default=None), score)
