"""`corner`: one white pixel, and the response of a filter to it."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qi_datasets.builders.corner import Corner

from qi_datasets.errors import OptionError


def largest_response(image: npt.NDArray[np.uint8], padding: int) -> float:
    """Returns the maximum of the feature map of the 3x3 filter whose only weight, 1, is the bottom-right one."""
    padded = np.pad(image / 255, padding)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    return float(windows[:, :, 2, 2].max())


@settings(max_examples=20)
@given(st.integers(3, 40))
def test_one_white_pixel_in_either_corner(size: int) -> None:
    rows = list(Corner(size=size)("train"))

    for row, corner in zip(rows, (0, size - 1), strict=True):
        image = row.image.pixels()
        assert image.shape == (size, size, 1)
        assert image[corner, corner, 0] == 255
        assert np.count_nonzero(image) == 1
    assert [row.label for row in rows] == [0, 1]


@pytest.mark.parametrize(("padding", "responses"), [(0, [0, 1]), (1, [0, 1]), (2, [1, 1])])
def test_only_full_padding_lets_the_filter_see_both(padding: int, responses: list[float]) -> None:
    images = [row.image.pixels()[:, :, 0] for row in Corner()("train")]

    assert [largest_response(image, padding) for image in images] == responses


@pytest.mark.parametrize("size", [2, 1025, -5])
def test_other_sizes_are_refused(size: int) -> None:
    with pytest.raises(OptionError, match=f"size must be an integer from 3 to 1024, not {size}"):
        Corner(size=size)
