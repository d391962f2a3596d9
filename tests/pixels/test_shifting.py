"""The three ways to move a picture, against loops over single pixels."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from qi_datasets.errors import OptionError
from qi_datasets.pixels.geometry import SHIFTS, centre, window

Pixels = npt.NDArray[np.uint8]
MARGIN, SIDE = 4, 9
BASE = np.random.default_rng(0).integers(1, 256, (SIDE + 2 * MARGIN, SIDE + 2 * MARGIN, 3), np.uint8)
MIDDLE = BASE[MARGIN : MARGIN + SIDE, MARGIN : MARGIN + SIDE]


def pixel_from_base(y: int, x: int) -> Pixels:
    return BASE[y + MARGIN, x + MARGIN]


def pixel_or_black(y: int, x: int) -> Pixels:
    inside = 0 <= y < SIDE and 0 <= x < SIDE
    return MIDDLE[y, x] if inside else np.zeros(3, np.uint8)


def pixel_around(y: int, x: int) -> Pixels:
    return MIDDLE[y % SIDE, x % SIDE]


PIXELS: dict[str, Callable[[int, int], Pixels]] = {
    "crop": pixel_from_base,
    "zero": pixel_or_black,
    "circular": pixel_around,
}


@pytest.mark.parametrize("mode", PIXELS)
@pytest.mark.parametrize("shift", range(-MARGIN, MARGIN + 1))
@pytest.mark.parametrize("grey", [False, True])
def test_every_pixel_comes_from_where_the_shift_says(mode: str, shift: int, grey: bool) -> None:
    moved = SHIFTS[mode](BASE[..., 0] if grey else BASE, shift, SIDE)

    wanted = np.array([[PIXELS[mode](y - shift, x - shift) for x in range(SIDE)] for y in range(SIDE)])
    np.testing.assert_array_equal(moved, wanted[..., 0] if grey else wanted)
    assert moved.dtype == np.uint8


def test_without_a_shift_every_mode_is_the_centre_crop() -> None:
    for moved in SHIFTS.values():
        np.testing.assert_array_equal(moved(BASE, 0, SIDE), centre(BASE, SIDE))
    np.testing.assert_array_equal(centre(BASE, SIDE), MIDDLE)


@pytest.mark.parametrize("shift", [-MARGIN - 1, MARGIN + 1])
def test_a_crop_beyond_the_base_is_an_error(shift: int) -> None:
    with pytest.raises(OptionError, match="17x17"):
        SHIFTS["crop"](BASE, shift, SIDE)


@pytest.mark.parametrize("shift", [-SIDE - 3, -SIDE, SIDE, SIDE + 3])
def test_a_content_that_has_left_is_black(shift: int) -> None:
    assert not SHIFTS["zero"](BASE, shift, SIDE).any()


@pytest.mark.parametrize(("y", "x"), [(-1, 0), (0, -1), (9, 0), (0, 9)])
def test_a_window_beyond_the_image_is_an_error(y: int, x: int) -> None:
    with pytest.raises(OptionError, match=f"row {y}, column {x}"):
        window(BASE, y, x, SIDE)
