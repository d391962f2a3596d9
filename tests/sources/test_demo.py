"""The built-in pictures look like photographs where it matters, and are the same everywhere."""

import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from qi_datasets.building.selection import select
from qi_datasets.errors import SourceError
from qi_datasets.sources import DemoSource
from qi_datasets.sources.demo import SIZES, picture, words
from qi_datasets.specs import QI


def test_pictures_never_change() -> None:
    digest = hashlib.sha256(b"".join(picture(number).tobytes() for number in range(3))).hexdigest()

    assert digest == "cde8ad45fa05417fa0ec7799c46cd68c980c7d5393e59699b93d0d3d7a7da6c7"


def test_pictures_differ_and_have_many_sizes() -> None:
    made = [picture(number) for number in range(12)]

    assert len({image.tobytes() for image in made}) == 12
    assert len({image.shape for image in made}) > 3
    assert all(image.shape[1::-1] in SIZES and image.dtype == np.uint8 for image in made)


def test_their_spectrum_falls_with_frequency_as_that_of_photographs_does() -> None:
    slopes = []
    for number in range(4):
        grey = picture(number).mean(axis=2)[:110, :110]
        power = np.abs(np.fft.fft2(grey - grey.mean())) ** 2
        frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(110), np.fft.fftfreq(110)))
        band = (frequency > 0.02) & (frequency < 0.35)
        slopes.append(np.polyfit(np.log(frequency[band]), np.log(power[band] + 1e-9), 1)[0])

    assert -3.2 < np.mean(slopes) < -1.5


def test_files_are_jpegs_of_which_one_in_ten_is_grey() -> None:
    source = DemoSource.of(11)
    modes = []
    for number, name in enumerate(source.names):
        image = source.image(name)
        stored = Image.open(io.BytesIO(image.read()))
        assert (stored.format, stored.size) == ("JPEG", picture(number).shape[1::-1])
        error = np.asarray(stored.convert("L"), float) - np.asarray(
            Image.fromarray(picture(number)).convert("L"), float
        )
        assert np.abs(error).mean() < 6
        assert image.wnid == ""
        modes.append(stored.mode)

    assert modes == ["L", *["RGB"] * 9, "L"]


def test_it_is_not_imagenet_and_has_as_many_as_asked_for() -> None:
    source = DemoSource.of(6)

    assert (len(source.names), source.collection) == (6, None)
    assert str(source.image("demo_00003").location) == "demo picture 3"
    with pytest.raises(SourceError, match="has 6"):
        select(QI, source.names, collection=None, official=False, splits={"qi": dict.fromkeys(QI.splits, 3)})


def test_words_are_a_prefix_of_longer_draws() -> None:
    np.testing.assert_array_equal(words("a", 40)[:17], words("a", 17))
    assert not np.array_equal(words("a", 17), words("b", 17))
    wanted = np.frombuffer(hashlib.sha256(b"qi-datasets/v1/a/0").digest(), ">u2")
    np.testing.assert_array_equal(words("a", 16), wanted)
