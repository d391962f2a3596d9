"""Placed images, borders, bounding boxes and central crops."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from qi_datasets.errors import OptionError
from qi_datasets.pixels.geometry import Placed, central_square, nonzero_box, whole
from tests import expected, pictures

Pixels = npt.NDArray[np.uint8]

sides = st.integers(1, 7)
contents = st.tuples(sides, sides, st.sampled_from((1, 3))).flatmap(
    lambda shape: arrays(np.uint8, shape, elements=st.sampled_from((0, 0, 1, 255)))
)


@st.composite
def placed_images(draw: st.DrawFn) -> Placed:
    content = draw(contents)
    h, w, _ = content.shape
    height, width = draw(st.integers(h, h + 9)), draw(st.integers(w, w + 9))
    return Placed(content, draw(st.integers(0, height - h)), draw(st.integers(0, width - w)), height, width)


@given(placed_images())
def test_pixels_hold_the_content_at_its_place_and_black_elsewhere(image: Placed) -> None:
    pixels = image.pixels()
    h, w, c = image.content.shape

    assert (pixels.shape, pixels.dtype) == ((image.height, image.width, c), np.uint8)
    np.testing.assert_array_equal(pixels[image.y : image.y + h, image.x : image.x + w], image.content)
    pixels[image.y : image.y + h, image.x : image.x + w] = 0
    assert not pixels.any()


@given(placed_images(), st.integers(0, 20), st.integers(0, 20))
def test_borders_pad_on_all_sides_and_add_up(image: Placed, one: int, other: int) -> None:
    padded = np.pad(image.pixels(), ((one, one), (one, one), (0, 0)))

    np.testing.assert_array_equal(image.bordered(one).pixels(), padded)
    np.testing.assert_array_equal(image.bordered(one).bordered(other).pixels(), image.bordered(one + other).pixels())


@given(contents)
def test_the_box_is_the_smallest_that_holds_what_is_not_black(content: Pixels) -> None:
    y0, x0, y1, x1 = nonzero_box(content)
    inside = content[y0:y1, x0:x1]

    assert inside.sum(dtype=int) == content.sum(dtype=int)
    if content.any():
        assert inside[0].any()
        assert inside[-1].any()
        assert inside[:, 0].any()
        assert inside[:, -1].any()
    else:
        assert (y0, x0, y1, x1) == (0, 0, 0, 0)


@given(contents)
def test_a_whole_image_fills_its_canvas(content: Pixels) -> None:
    np.testing.assert_array_equal(whole(content).pixels(), content)
    if content.shape[2] == 1:
        np.testing.assert_array_equal(whole(content[:, :, 0]).pixels(), content)


@pytest.mark.parametrize(
    "content",
    [
        np.zeros((4, 4, 1)),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((1, 4, 4, 1), np.uint8),
        np.zeros((4, 4, 1), np.int16),
    ],
    ids=lambda content: f"{content.dtype} {content.shape}",
)
def test_what_is_no_image_is_refused_with_its_shape(content: npt.NDArray[np.generic]) -> None:
    with pytest.raises(OptionError, match="uint8 of shape") as raised:
        Placed(content, 0, 0, 10, 10)

    assert f"{content.dtype} {content.shape}" in str(raised.value)


@pytest.mark.parametrize("shape", [(), (5,)])
def test_an_array_without_two_sides_is_no_whole_image(shape: tuple[int, ...]) -> None:
    with pytest.raises(OptionError):
        whole(np.zeros(shape, np.uint8))


@pytest.mark.parametrize(("y", "x"), [(-1, 0), (0, -1), (7, 0), (0, 8)])
def test_content_must_lie_inside(y: int, x: int) -> None:
    with pytest.raises(OptionError, match=f"row {y}, column {x} do not fit an image of 10x10"):
        Placed(np.zeros((4, 3, 1), np.uint8), y, x, 10, 10)


def test_a_border_is_not_negative() -> None:
    with pytest.raises(OptionError, match="-1"):
        whole(np.ones((2, 2), np.uint8)).bordered(-1)


@settings(max_examples=15)  # each is computed pixel by pixel
@given(st.integers(1, 200), st.integers(1, 200), st.integers(0, 1000))
def test_the_central_square_is_an_antialiased_scaling_of_the_fractional_box(
    width: int, height: int, number: int
) -> None:
    image = np.asarray(pictures.picture(number, (width, height)))
    m = 0.875 * min(width, height)
    left, top = (width - m) / 2, (height - m) / 2
    x, y = int(left), int(top)
    crop = image[y : math.ceil(top + m), x : math.ceil(left + m)]

    square = central_square(Image.fromarray(image), 0.875, 56)

    assert (square.shape, square.dtype) == ((56, 56, 3), np.uint8)
    exact = expected.antialiased_bilinear(crop, (left - x, top - y, left - x + m, top - y + m), 56)
    assert np.abs(square - exact).max() < 1.1  # Pillow rounds after each of its two passes


@pytest.mark.parametrize("size", [*pictures.SIZES, (500, 375), (333, 500)])
def test_the_central_square_is_pillows_to_the_pixel(size: tuple[int, int]) -> None:
    file = pictures.encoded(pictures.picture(3, size), "PNG")
    image = pictures.picture(3, size)

    np.testing.assert_array_equal(central_square(image, 0.875, 56), expected.quadrant_patch(file))


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "RGBA", "1"])
def test_other_modes_become_rgb_first(mode: str) -> None:
    image = pictures.picture(3).convert(mode)

    np.testing.assert_array_equal(central_square(image, 1.0, 20), central_square(image.convert("RGB"), 1.0, 20))


def test_a_square_of_the_whole_side_at_its_own_size_is_the_picture() -> None:
    image = pictures.picture(2, (30, 30))

    np.testing.assert_array_equal(central_square(image, 1.0, 30), np.asarray(image))
    np.testing.assert_array_equal(central_square(image.crop((0, 0, 30, 20)), 1.0, 20), np.asarray(image)[:20, 5:25])
