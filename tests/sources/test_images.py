"""Reading and decoding one image: whatever the file holds, a picture or one of our errors."""

import io
import os
import random
import socket
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from qi_datasets.errors import SourceError
from qi_datasets.pixels.decoding import FORMATS, MOST_PIXELS
from qi_datasets.sources.base import FileLocation, SourceImage, SpanLocation
from qi_datasets.sources.reading import LARGEST_IMAGE
from tests import pictures
from tests.refusals import refused


@dataclass(frozen=True)
class Nowhere:
    def read(self) -> bytes:
        raise AssertionError("not to be read")

    def __str__(self) -> str:
        return "somewhere/picture.jpg"


IMAGE = SourceImage("picture", "", Nowhere())
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
    # hypothesis also tries the texts of our own code, such as how a pointer of git-lfs begins.
    with pytest.raises(SourceError, match=r"^somewhere/picture\.jpg .*(replace|git lfs pull)"):
        IMAGE.decode(data)


def test_a_truncated_jpeg_is_an_error_at_every_length() -> None:
    file = pictures.encoded(PICTURE)

    for length in range(0, len(file) - 2, 7):
        with pytest.raises(SourceError, match=r"somewhere/picture\.jpg"):
            IMAGE.decode(file[:length])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("width", "height"), [(10_001, 10_000), (60_000, 60_000), (2_000_000_000, 1)])
def test_a_picture_of_too_many_pixels_is_an_error_that_names_the_cap(width: int, height: int) -> None:
    assert MOST_PIXELS == 100_000_000
    file = bytearray(pictures.encoded(PICTURE, "PNG"))
    file[16:24] = struct.pack(">II", width, height)
    file[29:33] = struct.pack(">I", zlib.crc32(file[12:29]))

    with refused(SourceError, "too-large", match=r"picture\.jpg is too large: .* 100 million"):
        IMAGE.decode(bytes(file))


def test_a_file_of_too_many_bytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    with path.open("wb") as file:
        file.truncate(1 << 40)

    for location in (FileLocation(str(path)), SpanLocation(str(path), 0, LARGEST_IMAGE + 1, "member")):
        with pytest.raises(SourceError, match="more than the 50 MB"):
            SourceImage("a", "", location).read()
    with pytest.raises(SourceError, match="more than the 50 MB"):
        IMAGE.decode(bytes(LARGEST_IMAGE + 1))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_grey_of_more_than_8_bits_is_refused(kind: str, dtype: type) -> None:
    if kind == "PNG" and dtype is not np.uint16:
        pytest.skip("PNG has no such pixels")
    deep = Image.fromarray(np.linspace(0, 60_000, 600).reshape(20, 30).astype(dtype))

    with pytest.raises(SourceError, match="more than 8 bits"):
        IMAGE.decode(pictures.encoded(deep, kind))


def test_only_the_listed_formats_are_read() -> None:
    assert FORMATS == ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
    for kind in ("EPS", "PPM", "TGA", "ICO", "PCX"):
        with pytest.raises(SourceError, match=r"is no image file .JPEG, PNG, WEBP, BMP, TIFF, GIF are read"):
            IMAGE.decode(pictures.encoded(PICTURE, kind))


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["a pipe", "a link to a pipe", "a device", "a link to a device", "a socket"])
def test_what_is_no_regular_file_is_an_error(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    if "pipe" in kind:
        os.mkfifo(tmp_path / "pipe")
    if kind == "a socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
    elif "link" in kind:
        path.symlink_to(tmp_path / "pipe" if "pipe" in kind else "/dev/zero")
    else:
        path = tmp_path / "pipe" if "pipe" in kind else Path("/dev/zero")

    with pytest.raises(SourceError, match=f"cannot read {path}: it is no regular file"):
        SourceImage("a", "", FileLocation(str(path))).read()


def test_a_link_to_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"bytes")
    (tmp_path / "a.jpg").symlink_to(tmp_path / "there")

    assert FileLocation(str(tmp_path / "a.jpg")).read() == b"bytes"


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


def test_each_message_names_the_true_remedy() -> None:
    deep = Image.fromarray(np.linspace(0, 60_000, 600).reshape(20, 30).astype(np.uint16))
    remedies = {
        pictures.encoded(deep, "PNG"): "convert it to 8 bits, or remove it",
        pictures.encoded(PICTURE)[:-300]: "replace the file with an intact copy",
        b"\0\0\0\x1cftypheic" + bytes(50): "is no image file but HEIC or AVIF .* convert it, or remove it",
        b"<html>": "replace it, or remove it",
    }

    for data, remedy in remedies.items():
        with pytest.raises(SourceError, match=remedy):
            IMAGE.decode(data)


def transparent(colour: tuple[int, int, int], alpha: int) -> Image.Image:
    image = PICTURE.convert("RGBA")
    image.paste((*colour, alpha), (2, 3, 9, 9))
    return image


def deep_rgb() -> bytes:
    """Returns a PNG of 16 bits per channel, which Pillow reads and does not write."""
    lines = b"".join(b"\0" + bytes(6 * 5) for _ in range(4))
    chunks = [(b"IHDR", struct.pack(">2I5B", 5, 4, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    made = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(made)


REMARKS = {
    "hidden colours": (pictures.encoded(transparent((200, 10, 10), 0), "PNG"), "colours in places that are wholly"),
    "hidden colours, WebP": (
        pictures.encoded(transparent((9, 9, 9), 0), "WEBP", lossless=True, exact=True),
        "colours in",
    ),
    "black under transparency": (pictures.encoded(transparent((0, 0, 0), 0), "PNG"), ""),
    "half transparent": (pictures.encoded(transparent((200, 10, 10), 128), "PNG"), ""),
    "16 bits per channel": (deep_rgb(), "has 16 bits per channel"),
    "frames": (
        pictures.encoded(PICTURE, "GIF", save_all=True, append_images=[PICTURE.rotate(90)]),
        "several frames",
    ),
    "a photograph": (pictures.encoded(PICTURE), ""),
}


@pytest.mark.parametrize(("data", "remark"), REMARKS.values(), ids=REMARKS)
def test_what_a_picture_cannot_hold_is_said(data: bytes, remark: str) -> None:
    decoded, said = IMAGE.decode_with_remark(data)

    assert decoded.mode == "RGB"
    assert (remark in said) if remark else said == ""
    assert not said or said.startswith("somewhere/picture.jpg has ")
