"""Reading and decoding one image: whatever the file holds, a picture or one of our errors."""

import io
import random
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features

from qi_datasets.errors import SourceError
from qi_datasets.sources.base import FileLocation, SourceImage, SpanLocation
from tests import pictures


@dataclass(frozen=True)
class Nowhere:
    def read(self) -> bytes:
        raise AssertionError("not to be read")

    def __str__(self) -> str:
        return "somewhere/picture.jpg"


IMAGE = SourceImage("picture", "", Nowhere())
FORMATS = ["JPEG", "PNG", "GIF", "BMP", "WEBP", "PPM", "TGA", "ICO", "DDS", "SPIDER"]
if features.check("avif"):
    FORMATS.append("AVIF")
PICTURE = pictures.picture(1, (24, 31))


@pytest.mark.parametrize("kind", range(len(pictures.KINDS)))
def test_decoding_is_rgb_without_rotation(kind: int) -> None:
    file = pictures.KINDS[kind](PICTURE)
    stock = Image.open(io.BytesIO(file)).convert("RGB")

    decoded = IMAGE.decode(file)

    assert decoded.size == PICTURE.size
    np.testing.assert_array_equal(np.asarray(decoded), np.asarray(stock))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", FORMATS)
def test_a_damaged_file_is_an_error_that_names_it_or_a_picture(kind: str) -> None:
    intact = pictures.encoded(PICTURE, kind)
    rng = random.Random(kind)  # noqa: S311
    errors: list[str] = []

    for _ in range(300):
        damaged = bytearray(intact[: rng.randrange(len(intact))] if rng.random() < 0.6 else intact)
        for _ in range(min(rng.choice((1, 2, 5)), len(damaged))):
            damaged[rng.randrange(min(len(damaged), 300))] = rng.randrange(256)
        try:
            assert IMAGE.decode(bytes(damaged)).mode == "RGB"
        except SourceError as error:
            errors.append(str(error))

    assert errors
    for message in errors:
        assert message.startswith("somewhere/picture.jpg ")
        assert len(message.splitlines()) == 1


@settings(max_examples=50)
@given(st.binary(max_size=200))
def test_bytes_that_are_no_image_are_an_error(data: bytes) -> None:
    with pytest.raises(SourceError, match=r"^somewhere/picture\.jpg .*replace"):
        IMAGE.decode(data)


def test_a_truncated_jpeg_is_an_error_at_every_length() -> None:
    file = pictures.encoded(PICTURE)

    for length in range(0, len(file) - 2, 7):
        with pytest.raises(SourceError, match=r"somewhere/picture\.jpg"):
            IMAGE.decode(file[:length])


def test_a_picture_of_absurd_size_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)

    with warnings.catch_warnings(action="ignore"), pytest.raises(SourceError, match="decompression bomb"):
        IMAGE.decode(pictures.encoded(PICTURE))


@pytest.mark.parametrize("gone", ["missing", "a folder"])
def test_a_file_that_cannot_be_read_is_an_error(gone: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    if gone == "a folder":
        path.mkdir()

    with pytest.raises(SourceError, match=f"cannot read {path}: "):
        SourceImage("a", "", FileLocation(str(path))).read()


def test_a_span_is_read_from_its_place(tmp_path: Path) -> None:
    path = tmp_path / "archive"
    path.write_bytes(b"0123456789")

    assert SpanLocation(str(path), 3, 4, "member").read() == b"3456"
    assert str(SpanLocation(str(path), 3, 4, "member of the archive")) == "member of the archive"
