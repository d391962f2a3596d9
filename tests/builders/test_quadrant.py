"""`qi`: the published patch in the published corners."""

import io

import numpy as np
import pytest
from PIL import Image
from qi_datasets.builders.quadrant import Quadrant

from qi_datasets.errors import OptionError
from tests import expected, pictures

FILES = pictures.album(len(pictures.KINDS) * 2)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("border", [0, 16, 100])
def test_rows_are_the_patch_in_two_corners(name: str, border: int) -> None:
    builder = Quadrant()
    image = Image.open(io.BytesIO(FILES[name]))
    patch = expected.quadrant_patch(FILES[name])

    rows = [row.bordered(border) for row in builder(builder.patch(image), name, "n01440764")]

    for label, row in enumerate(rows):
        corner = border + 64 * label
        np.testing.assert_array_equal(row.image.pixels(), expected.quadrant_image(patch, label, border))
        place = {"source": name, "wnid": "n01440764", "x": corner, "y": corner, "border": border}
        assert (row.label, row.columns) == (label, place)
    assert len(rows) == 2


def test_a_camera_that_was_turned_makes_no_difference() -> None:
    picture = pictures.picture(3, (90, 50))
    builder = Quadrant()

    turned = builder.patch(Image.open(io.BytesIO(pictures.sideways(picture))))

    np.testing.assert_array_equal(turned, builder.patch(Image.open(io.BytesIO(pictures.encoded(picture)))))


@pytest.mark.parametrize("canvas", [112, 128, 200])
def test_another_canvas_moves_the_second_corner(canvas: int) -> None:
    builder = Quadrant(size=canvas)
    patch = builder.patch(pictures.picture(1))

    first, second = builder(patch, "a", "")

    np.testing.assert_array_equal(first.image.pixels(), expected.quadrant_image(patch, 0, 0, canvas))
    np.testing.assert_array_equal(second.image.pixels(), expected.quadrant_image(patch, 1, 0, canvas))
    assert (second.columns["x"], second.columns["y"]) == (canvas - 56, canvas - 56)


@pytest.mark.parametrize("canvas", [110, 113, 4098])
def test_a_canvas_that_does_not_fit_is_refused(canvas: int) -> None:
    with pytest.raises(OptionError, match=f"canvas must be an even integer from 112 to 4096, not {canvas}"):
        Quadrant(size=canvas)
