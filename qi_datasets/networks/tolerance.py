"""Decides whether two computed arrays are equal, by the tolerances of `scores.location`."""

import numpy as np
import torch
from numpy.typing import NDArray

from qi_datasets.errors import OptionError
from qi_datasets.scores.location import EQUAL_WITHIN

_Values = torch.Tensor | NDArray[np.floating]

_EQUAL = {getattr(torch, name): within for name, within in EQUAL_WITHIN.items()}


def relative_difference(first: _Values, second: _Values) -> float:
    """Returns the largest absolute difference of two arrays of one shape, over the largest absolute value in either.

    It is 0.0 for two empty or all-zero arrays, and infinity if a value is not finite, so that such arrays are never
    equal.

    Raises:
        OptionError: If the shapes differ.
    """
    a, b = (torch.as_tensor(values).detach().cpu().double() for values in (first, second))
    if a.shape != b.shape:
        raise OptionError(
            f"only arrays of one shape can be compared, got {tuple(a.shape)} and {tuple(b.shape)}", code="bad-shape"
        )
    if a.numel() == 0:
        return 0.0
    scale = max(a.abs().max().item(), b.abs().max().item())
    if scale == 0.0:
        return 0.0
    difference = (a - b).abs().max().item() / scale
    return difference if np.isfinite(difference) else float("inf")


def equal_tolerance(dtype: torch.dtype) -> float:
    """Returns the relative difference below which values computed in `dtype` (float32 or float64) count as equal.

    Raises:
        OptionError: If it is another dtype.
    """
    if dtype not in _EQUAL:
        raise OptionError(f"equality is defined for float32 and float64, got {dtype}", code="bad-shape")
    return _EQUAL[dtype]


def is_equal(first: _Values, second: _Values) -> bool:
    """Returns whether two arrays of one shape and one dtype (float32 or float64) are equal up to rounding.

    Raises:
        OptionError: If shapes or dtypes differ, or for a dtype without a tolerance.
    """
    dtypes = {torch.as_tensor(first).dtype, torch.as_tensor(second).dtype}
    if len(dtypes) != 1:
        raise OptionError(
            f"only arrays of one dtype can be compared, got {' and '.join(map(str, dtypes))}", code="bad-shape"
        )
    return relative_difference(first, second) < equal_tolerance(dtypes.pop())
