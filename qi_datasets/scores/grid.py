"""Scores of answers on a grid of cells: right answers by cell, confusion, and bits of location."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from qi_datasets.errors import OptionError
from qi_datasets.scores.intervals import Interval, mean_interval

_Z = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class GridScores:
    """The figures of answers to every source in every one of C cells.

    accuracy: share of right answers, with its interval over sources.
    shares: (C,), share of right answers in each cell.
    confusion: (C, C), share of the answers to a cell (row) that name each cell (column); rows add up to 1.
    bits: mutual information of cell and answer in bits, from 0 to log2(C), with its interval over sources.
    """

    accuracy: Interval
    shares: NDArray[np.float64]
    confusion: NDArray[np.float64]
    bits: Interval


def grid_scores(answers: NDArray[np.integer]) -> GridScores:
    """Computes the figures of answers on a grid.

    Args:
        answers: (S, N, C), the cell that each of S networks names for each of N sources in each of C cells, row by row.

    Raises:
        OptionError: If the shape is another, there are fewer than two sources, or there is no such cell.

    Source: the specification, "evaluation on grids of qi".
    """
    found = np.asarray(answers)
    if found.ndim != 3 or found.shape[1] < 2 or not ((found >= 0) & (found < found.shape[2])).all():
        raise OptionError(
            f"answers must be cells, (networks, sources of 2 or more, cells), not {found.shape}", code="bad-shape"
        )
    networks, sources, cells = found.shape
    right = found == np.arange(cells)
    by_source = np.zeros((sources, cells, cells))
    for one in found:
        np.add.at(by_source, (np.arange(sources)[:, None], np.arange(cells), one), 1)
    counts = by_source.sum(0)
    return GridScores(
        accuracy=mean_interval(right.mean(axis=(0, 2))),
        shares=right.mean(axis=(0, 1)),
        confusion=counts / (networks * sources),
        bits=bits_of_location(by_source),
    )


def bits_of_location(counts: NDArray[np.float64]) -> Interval:
    """Returns the mutual information of cell and answer in bits, without its bias (jackknife over sources).

    The rows of a source are dependent, so whole sources are left out, and the interval is over sources. It
    is the normal one of the jackknife, limited to the possible range.

    Args:
        counts: (N, C, C), how often the answer to a source in a cell (row) named each cell (column).

    Source: B. Efron & C. Stein, "The Jackknife Estimate of Variance", Annals of Statistics 9, 1981.
    """
    sources, cells, _ = counts.shape
    together = counts.sum(0)
    without = np.array([mutual_information(together - one) for one in counts])
    bits = sources * mutual_information(together) - (sources - 1) * without.mean()
    error = math.sqrt((sources - 1) / sources * np.square(without - without.mean()).sum())
    low, value, high = (
        float(min(max(each, 0), math.log2(cells))) for each in (bits - _Z * error, bits, bits + _Z * error)
    )
    return Interval(value, low, high)


def mutual_information(counts: NDArray[np.float64]) -> float:
    """Returns the mutual information of row and column in bits, of a table of counts, without correction."""
    joint = counts / counts.sum()
    apart = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    there = joint > 0
    return float((joint[there] * np.log2(joint[there] / apart[there])).sum())
