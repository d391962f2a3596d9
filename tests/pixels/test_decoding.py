"""Image files in memory are decoded to the pixels that went in."""

import numpy as np
import pytest
from PIL import Image

from qi_datasets.pixels.decoding import decoded
from tests import pictures


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_pixels_and_mode_are_those_of_the_file(mode: str) -> None:
    picture = pictures.picture(3).convert(mode)

    image = decoded(pictures.encoded(picture, "PNG"))

    assert (image.mode, image.format) == (mode, "PNG")
    np.testing.assert_array_equal(np.asarray(image), np.asarray(picture))


def test_damage_shows_at_once_and_not_when_pixels_are_asked_for() -> None:
    data = pictures.encoded(pictures.picture(3), "PNG")

    with pytest.raises((OSError, SyntaxError)):
        decoded(data[: len(data) // 2])
    with pytest.raises(Image.UnidentifiedImageError):
        decoded(b"Hello")
