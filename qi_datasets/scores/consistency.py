"""Scores of a classifier on `shifted`: accuracy at each shift, its mean along the diagonal, and consistency.

Predictions are class numbers, one per image. S is the number of shifts, N of sources, P of pairs. Every figure comes
with its two-sided 95 % interval. The protocols are those of Zhang (ICML 2019) and of Kayhan & van Gemert (CVPR 2020);
Zhang draws offsets from 0 to 31, this package and Kayhan & van Gemert from 0 to 64, so figures do not compare.
"""

import numpy as np
import numpy.typing as npt

from qi_datasets.errors import OptionError
from qi_datasets.scores.intervals import Interval, group_interval, wilson_interval


def top1_per_shift(predictions: npt.ArrayLike, labels: npt.ArrayLike) -> list[Interval]:
    """Returns the share of right answers at each shift, with S intervals of Wilson's for independent sources.

    Args:
        predictions: (S, N) integers; row s has the answers at the s-th shift.
        labels: (N,) integers.

    Raises:
        OptionError: If the shapes are others, there are no data, or labels are unknown (-1).
    """
    right = right_answers(predictions, labels)
    return [wilson_interval(int(answers.sum()), answers.size) for answers in right]


def diagonal_mean(predictions: npt.ArrayLike, labels: npt.ArrayLike) -> Interval:
    """Returns the share of right answers over all shifts.

    Arguments and errors are as in `top1_per_shift`. A source has S answers, which are dependent, so the interval
    is a normal one over the N sources.
    """
    right = right_answers(predictions, labels)
    return group_interval(right.ravel(), np.broadcast_to(np.arange(right.shape[1]), right.shape).ravel())


def consistency(predictions_a: npt.ArrayLike, predictions_b: npt.ArrayLike, sources: npt.ArrayLike) -> Interval:
    """Returns the share of pairs on whose two images the answers agree.

    A source has several pairs, so the interval is over sources, each with the same weight
    (`intervals.mean_interval`).

    Args:
        predictions_a: (P,) integers, the answers to `image_a` of `mode="pairs"`.
        predictions_b: (P,) integers, the answers to `image_b`.
        sources: (P,) names or numbers of the sources.

    Raises:
        OptionError: If the shapes are others, or there are no data.
    """
    a, b = class_numbers(predictions_a), class_numbers(predictions_b)
    if a.ndim != 1 or a.shape != b.shape:
        raise OptionError(
            f"pairs need two predictions (P,) of one length, got {a.shape} and {b.shape}", code="bad-shape"
        )
    return group_interval(a == b, sources)


def right_answers(predictions: npt.ArrayLike, labels: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Returns whether each answer is the label, (S, N)."""
    answers, truth = shifts_by_sources(predictions), class_numbers(labels)
    if truth.shape != answers.shape[1:]:
        raise OptionError(
            f"labels must be {answers.shape[1:]}, one for each source, not {truth.shape}", code="bad-shape"
        )
    if unknown := int((truth < 0).sum()):
        raise OptionError(f"{unknown} of {truth.size} labels are unknown (-1); leave those rows out", code="bad-shape")
    right: npt.NDArray[np.bool_] = answers == truth
    return right


def shifts_by_sources(predictions: npt.ArrayLike) -> npt.NDArray[np.integer]:
    """Returns predictions as an array (S, N) of integers. Raises OptionError unless S and N are 1 or more."""
    answers = class_numbers(predictions)
    if answers.ndim != 2 or answers.size == 0:
        raise OptionError(f"predictions must be (shifts, sources), not {answers.shape}", code="bad-shape")
    return answers


def class_numbers(values: npt.ArrayLike) -> npt.NDArray[np.integer]:
    """Returns values as an array of integers. Raises OptionError for anything else, such as logits."""
    numbers = np.asarray(values)
    if not np.issubdtype(numbers.dtype, np.integer):
        raise OptionError(f"predictions and labels are class numbers, integers, not {numbers.dtype}", code="bad-shape")
    return numbers
