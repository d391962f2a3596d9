"""Confidence intervals for shares of right answers, and for other scores that are means over sources."""

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from qi_datasets.errors import OptionError

# Two-sided 95 %.
_Z = NormalDist().inv_cdf(0.975)


class Interval(NamedTuple):
    """A mean and its two-sided 95 % interval, in the units of the mean.

    A format applies to each number: `format(interval, ".1%")` is "81.2% (77.9% to 84.1%)".
    """

    mean: float
    low: float
    high: float

    def __format__(self, spec: str) -> str:
        if not spec:
            return str(self)
        mean, low, high = (format(value, spec) for value in self)
        return f"{mean} ({low} to {high})"


def wilson_interval(successes: int, trials: int) -> Interval:
    """Returns Wilson's score interval for independent trials, of which `successes` succeeded; within [0, 1].

    Source: E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22, 1927.

    Raises:
        OptionError: Unless 0 <= successes <= trials and trials >= 1.

    Example:
        >>> print(f"{wilson_interval(8, 10):.2f}")
        0.80 (0.49 to 0.94)
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise OptionError(
            f"{successes} successes in {trials} trials are impossible, or no trials at all", code="bad-value"
        )
    share = successes / trials
    centre = (share + _Z**2 / (2 * trials)) / (1 + _Z**2 / trials)
    half = _Z / (1 + _Z**2 / trials) * (share * (1 - share) / trials + _Z**2 / (4 * trials**2)) ** 0.5
    # At the ends the interval ends at the share; rounding would leave 1e-17 beyond it.
    return Interval(share, 0.0 if successes == 0 else centre - half, 1.0 if successes == trials else centre + half)


def mean_interval(values: ArrayLike, *, lowest: float = 0.0, highest: float = 1.0) -> Interval:
    """Returns the mean of independent scores in [lowest, highest], with an interval that holds at both ends.

    The interval is the normal one over the N scores and two added ones, `lowest` and `highest`, so that it never
    shrinks to a point, even if all scores agree; it is limited to the range. The mean is that of the N scores. For
    scores of -1, 0 and 1 this is the adjusted interval of Bonett and Price.

    Source: D. G. Bonett & R. M. Price, "Adjusted Wald Confidence Interval for a Difference of Binomial Proportions
    Based on Paired Data", Journal of Educational and Behavioral Statistics 37, 2012.

    Args:
        values: (N,), at least one, one per source.
        lowest: The range that a score can take.
        highest: The range that a score can take.

    Raises:
        OptionError: If the shape is another, there are no values, or values are outside of the range.
    """
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1 or scores.size == 0:
        raise OptionError(f"an interval needs one score per source, (N,), got {scores.shape}", code="bad-shape")
    if not bool(((scores >= lowest) & (scores <= highest)).all()):
        raise OptionError(
            f"scores must be from {lowest:g} to {highest:g}, got {scores.min():g} to {scores.max():g}", code="bad-value"
        )
    adjusted = np.concatenate([scores, [lowest, highest]])
    centre, half = float(adjusted.mean()), _Z * float(adjusted.std()) / adjusted.size**0.5
    # Rounding can move the mean of equal scores away from them.
    mean = float(np.clip(scores.mean(), scores.min(), scores.max()))
    return Interval(mean, max(lowest, centre - half), min(highest, centre + half))


def group_interval(correct: ArrayLike, groups: ArrayLike) -> Interval:
    """Returns the share of right rows as a mean over groups, for rows that are independent only between groups.

    The interval is `mean_interval` over the groups' shares; a group weighs 1 whatever its number of rows.

    Args:
        correct: (N,), bool or numbers in [0, 1], one per row.
        groups: (N,), the row's group, such as its source, of any sortable type.

    Raises:
        OptionError: If the two differ in length, are empty, or have numbers outside of [0, 1].
    """
    values = np.asarray(correct, dtype=np.float64)
    labels = np.asarray(groups)
    if values.ndim != 1 or values.shape != labels.shape or values.size == 0:
        raise OptionError(
            f"one group per row is needed, got {values.shape} values and {labels.shape} groups", code="bad-shape"
        )
    _, index = np.unique(labels, return_inverse=True)
    return mean_interval(np.bincount(index, weights=values) / np.bincount(index))
