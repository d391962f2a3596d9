import numpy as np
import pytest
import torch

from qi_datasets.errors import OptionError
from qi_datasets.networks.tolerance import equal_tolerance, is_equal, relative_difference


def test_relative_difference_is_taken_of_the_larger_scale():
    assert relative_difference(np.array([1.0, -8.0]), torch.tensor([3.0, -8.0])) == 0.25
    assert relative_difference(torch.tensor([1.0]), torch.tensor([-4.0])) == 1.25


@pytest.mark.parametrize("values", [np.zeros((2, 3)), np.zeros((0, 3)), np.array([5e-300])])
def test_an_array_does_not_differ_from_itself(values):
    assert relative_difference(values, values) == 0.0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_never_equal(value):
    odd = np.array([1.0, value])
    assert relative_difference(odd, odd) == np.inf
    assert not is_equal(odd, odd)


@pytest.mark.parametrize(("dtype", "equal", "different"), [("float32", 5e-6, 2e-5), ("float64", 5e-13, 2e-12)])
def test_tolerance_follows_the_dtype(dtype, equal, different):
    ones = np.ones(2, dtype)
    assert is_equal(ones, np.array([1, 1 + equal], dtype))
    assert not is_equal(ones, np.array([1, 1 + different], dtype))


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(OptionError, match="shape"):
        relative_difference(np.zeros(2), np.zeros(3))
    with pytest.raises(OptionError, match="dtype"):
        is_equal(np.zeros(2, np.float32), np.zeros(2))
    with pytest.raises(OptionError, match="float16"):
        equal_tolerance(torch.float16)
