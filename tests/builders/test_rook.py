"""`rook`: one glyph, two corners."""

import numpy as np
import pytest
from qi_datasets.builders.rook import Rook, glyph

from qi_datasets.errors import OptionError


def test_the_glyph_is_16_wide_grey_and_touches_all_sides() -> None:
    rook = glyph()

    assert (rook.shape, rook.dtype) == ((16, 16, 1), np.uint8)
    assert all(side.any() for side in (rook[0], rook[-1], rook[:, 0], rook[:, -1]))
    assert len(np.unique(rook)) > 2


def test_the_glyph_stands_in_either_corner_on_black() -> None:
    upper_left, bottom_right = (row.image.pixels() for row in Rook()("train"))

    np.testing.assert_array_equal(upper_left[:16, :16], glyph())
    np.testing.assert_array_equal(bottom_right[16:, 16:], glyph())
    np.testing.assert_array_equal(np.roll(upper_left, (16, 16), (0, 1)), bottom_right)
    assert upper_left.sum() == bottom_right.sum() == glyph().sum()


def test_labels_say_where() -> None:
    assert [row.label for row in Rook()("train")] == [0, 1]


def test_it_has_one_size() -> None:
    with pytest.raises(OptionError, match="rook has one size, 32, not 64"):
        Rook(size=64)
