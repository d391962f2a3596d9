"""Which images are written as photographs, and that their pixels and digests don't depend on it."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qi_datasets.builder import Row
from qi_datasets.building.encoding import RowEncoder, decode_source, encode_source, is_photograph
from qi_datasets.pixels.digests import row_digest
from qi_datasets.pixels.geometry import Placed, nonzero_box, whole
from qi_datasets.pixels.png import PatchEncoder, photograph_png
from qi_datasets.registry import builder_of
from qi_datasets.sources import DemoSource
from qi_datasets.specs import SPECS


def noise(height: int, width: int, channels: int) -> np.ndarray:
    return np.random.default_rng(height * width).integers(1, 256, (height, width, channels), np.uint8)


def framed(image: np.ndarray) -> np.ndarray:
    """Returns the same image with its outermost pixels black, as part of its content."""
    black = image.copy()
    black[0], black[-1], black[:, 0], black[:, -1] = 0, 0, 0, 0
    return black


IMAGES: dict[str, tuple[Placed, bool]] = {
    "just large enough": (whole(noise(100, 100, 3)), True),
    "a row less": (whole(noise(99, 100, 3)), False),
    "a column less": (whole(noise(100, 99, 3)), False),
    "as many pixels, and wide": (whole(noise(50, 200, 3)), True),
    "as many pixels, and high": (whole(noise(200, 50, 3)), True),
    "one pixel less, and wide": (whole(noise(1, 9_999, 3)), False),
    "grey": (whole(noise(100, 100, 1)), True),
    "small and grey": (whole(noise(99, 101, 1)), False),
    "black around it": (whole(noise(288, 288, 3)).bordered(1), False),
    "black on one side": (Placed(noise(288, 287, 3), 0, 0, 288, 288), False),
    "black within its content": (whole(framed(noise(120, 120, 3))), True),
    "all black": (whole(np.zeros((100, 100, 3), np.uint8)), True),
}


@pytest.mark.parametrize(("image", "photograph"), IMAGES.values(), ids=IMAGES)
def test_a_photograph_is_large_and_all_content(image: Placed, photograph: bool) -> None:
    assert is_photograph(image) == photograph


@pytest.mark.parametrize(("image", "photograph"), IMAGES.values(), ids=IMAGES)
def test_pixels_and_digest_are_those_of_the_image(image: Placed, photograph: bool) -> None:
    row = Row(image, 1, {"x": 3})

    encoded = RowEncoder(label_in_digest=True).encode(row, "source")

    pixels = np.asarray(Image.open(io.BytesIO(encoded.png)))
    np.testing.assert_array_equal(pixels.reshape(image.height, image.width, image.channels), image.pixels())
    assert encoded.digest == row_digest(whole(image.pixels()), 1, "source", nonzero_box(image.pixels()))
    assert encoded.values == {"label": 1, "x": 3}
    by_pillow, by_us = photograph_png(image.pixels()), PatchEncoder(image.content)
    assert by_pillow != by_us.png(image.y, image.x, image.height, image.width)
    assert (encoded.png == by_pillow) == photograph


@pytest.mark.parametrize(("name", "photographs"), [("qi", [False, False]), ("shifted", [True])])
def test_photographs_are_written_with_the_decoding(name: str, photographs: list[bool], tmp_path: Path) -> None:
    """Other threads still decode then; images that are no photographs are left to the part that holds the GIL."""
    source = DemoSource.of(1)
    image = source.image(next(iter(source.names)))

    decoded = decode_source(builder_of(SPECS[name], SPECS[name].size), image)
    encoded = encode_source([0], SPECS[name].label_in_digest, decoded)

    assert [png is not None for png in decoded.photographs] == photographs
    for png, row, stored in zip(decoded.photographs, decoded.rows, encoded.rows[0], strict=True):
        assert png in (None, stored.png)
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(stored.png))), row.image.pixels())
