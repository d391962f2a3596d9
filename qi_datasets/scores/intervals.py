"""Confidence intervals for shares of correct answers."""

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from qi_datasets.errors import OptionError

# Two-sided 95 %.
_Z = NormalDist().inv_cdf(0.975)


class Interval(NamedTuple):
    """A share in [0, 1] and its two-sided 95 % interval."""

    mean: float
    low: float
    high: float


def wilson_interval(successes: int, trials: int) -> Interval:
    """Wilson's score interval for independent trials, of which `successes` succeeded; within [0, 1].

    Raises `OptionError` unless 0 <= successes <= trials and trials >= 1.
    Source: E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22, 1927.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise OptionError(f"{successes} successes in {trials} trials are impossible, or no trials at all")
    share = successes / trials
    centre = (share + _Z**2 / (2 * trials)) / (1 + _Z**2 / trials)
    half = _Z / (1 + _Z**2 / trials) * (share * (1 - share) / trials + _Z**2 / (4 * trials**2)) ** 0.5
    # At the ends the interval closes with the share; rounding would leave 1e-17 beyond it.
    return Interval(share, 0.0 if successes == 0 else centre - half, 1.0 if successes == trials else centre + half)


def group_interval(correct: ArrayLike, groups: ArrayLike) -> Interval:
    """Normal interval for the mean over groups, for rows that are independent between groups only; cut to [0, 1].

    `correct` (N,): bool or numbers in [0, 1], one per row; `groups` (N,): the row's group, such as its source, of any
    sortable type. A group weighs 1 whatever its number of rows. One group alone gives the whole range [0, 1].
    Raises `OptionError` if the two are not of one length, or empty.
    """
    values = np.asarray(correct, dtype=np.float64)
    labels = np.asarray(groups)
    if values.ndim != 1 or values.shape != labels.shape or values.size == 0:
        raise OptionError(f"one group per row is needed, got {values.shape} values and {labels.shape} groups")
    _, index = np.unique(labels, return_inverse=True)
    means = np.bincount(index, weights=values) / np.bincount(index)
    mean = float(means.mean())
    if means.size == 1:
        return Interval(mean, 0.0, 1.0)
    half = _Z * float(means.std(ddof=1)) / means.size**0.5
    return Interval(mean, max(0.0, mean - half), min(1.0, mean + half))
