"""The PNG writer: every decoder reads the same pixels, and black takes almost no space."""

import hashlib
import io
import itertools
import shutil
import struct
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from qi_datasets.errors import OptionError
from qi_datasets.pixels.png import PatchEncoder

Pixels = npt.NDArray[np.uint8]


class Case(NamedTuple):
    """Content (h, w, c) uint8 with its top-left pixel at row y, column x of a height x width canvas."""

    content: Pixels
    y: int
    x: int
    height: int
    width: int

    def png(self) -> bytes:
        return PatchEncoder(self.content).png(self.y, self.x, self.height, self.width)

    def pixels(self) -> Pixels:
        h, w, c = self.content.shape
        image = np.zeros((self.height, self.width, c), np.uint8)
        image[self.y : self.y + h, self.x : self.x + w] = self.content
        return image


def walk(shape: tuple[int, ...], scale: int, seed: int) -> Pixels:
    """Returns a picture whose neighbours differ by at most `scale`; from 128 on that is noise, and at 0 one colour."""
    rng = np.random.default_rng(seed)
    steps = rng.integers(-scale, scale + 1, shape)
    steps[0, 0] = rng.integers(0, 256, shape[2])
    return np.asarray(steps.cumsum(axis=0) + steps.cumsum(axis=1), np.int64).astype(np.uint8)


@st.composite
def cases(draw: st.DrawFn, most: int = 24, margin: int = 300) -> Case:
    """Draws content of any kind and size at any position, flush with an edge as often as not."""
    h, w = draw(st.integers(1, most)), draw(st.integers(1, most))
    shape = h, w, draw(st.sampled_from([1, 3]))
    margins = st.one_of(st.just(0), st.integers(0, 9), st.integers(0, margin))
    top, bottom, left, right = (draw(margins) for _ in range(4))
    scale = draw(st.sampled_from([None, 0, 1, 3, 10, 40, 128]))
    content = np.zeros(shape, np.uint8) if scale is None else walk(shape, scale, draw(st.integers(0, 2**32 - 1)))
    return Case(content, top, left, top + h + bottom, left + w + right)


def noise(h: int, w: int, c: int) -> Pixels:
    return walk((h, w, c), 128, h * w * c)


EXTREMES = [
    Case(noise(1, 1, 1), 0, 0, 5, 5),
    Case(noise(1, 1, 1), 4, 4, 5, 5),
    Case(noise(1, 1, 3), 0, 0, 1, 1),
    Case(noise(32, 32, 1), 0, 0, 32, 32),
    Case(noise(16, 16, 1), 16, 16, 32, 32),
    Case(noise(7, 1, 1), 2, 0, 20, 1),
    Case(noise(1, 9, 3), 0, 3, 1, 20),
    Case(walk((288, 288, 3), 9, 1), 0, 0, 288, 288),
    Case(noise(56, 56, 3), 64, 64, 120, 120),
    Case(walk((56, 56, 3), 9, 2), 512, 512, 1144, 1144),
    Case(np.full((56, 56, 3), 255, np.uint8), 64, 0, 120, 120),
    Case(np.zeros((56, 56, 1), np.uint8), 3, 3, 120, 60),
]


def chunks(png: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """Yields (type, data, CRC) of each chunk."""
    offset = 8
    while offset < len(png):
        (length,) = struct.unpack_from(">I", png, offset)
        data = png[offset + 8 : offset + 8 + length]
        (crc,) = struct.unpack_from(">I", png, offset + 8 + length)
        yield png[offset + 4 : offset + 8], data, crc
        offset += 12 + length


def joined_idat(png: bytes) -> bytes:
    return b"".join(data for kind, data, _ in chunks(png) if kind == b"IDAT")


def check_pixels(case: Case) -> None:
    """Checks that Pillow reads the pixels, and zlib the whole stream, whose Adler-32 it checks."""
    png, expected = case.png(), case.pixels()
    with Image.open(io.BytesIO(png)) as image:
        assert (image.format, image.mode) == ("PNG", "RGB" if expected.shape[2] == 3 else "L")
        np.testing.assert_array_equal(np.asarray(image).reshape(image.height, image.width, -1), expected)
    assert len(zlib.decompress(joined_idat(png))) == case.height * (1 + case.width * expected.shape[2])


@settings(deadline=None, max_examples=200)
@given(cases())
def test_any_content_at_any_place(case: Case) -> None:
    check_pixels(case)


@pytest.mark.parametrize("case", EXTREMES)
def test_extremes(case: Case) -> None:
    check_pixels(case)


@pytest.mark.parametrize("channels", [1, 3])
def test_runs_of_every_length(channels: int) -> None:
    # Two rows, for the black on the right of the first one and on the left of the second one are coded apart.
    content = noise(2, 1, channels)
    for margin in range(300):
        check_pixels(Case(content, 0, 0, 2, 1 + margin))
        check_pixels(Case(content, 0, margin, 2, 1 + margin))


@pytest.mark.parametrize("scale", [0, 1, 2, 4, 8, 16, 32, 128])
def test_every_residual_with_every_table(scale: int) -> None:
    # Black on the left and above makes every value a residual; the walk below decides which table is chosen.
    values = np.zeros((512, 56, 1), np.uint8)
    values[1::2, 0, 0] = np.arange(256)
    check_pixels(Case(np.concatenate([values, walk((400, 56, 1), scale, scale)]), 1, 1, 914, 59))


@pytest.mark.parametrize("channels", [1, 3])
def test_large_canvas(channels: int) -> None:
    content = noise(56, 56, channels)
    png = PatchEncoder(content).png(8312 - 56, 8312 - 56, 8312, 8312)
    stream, total, size = zlib.decompressobj(), 0, 0
    pending = joined_idat(png)
    while not stream.eof:
        part = np.frombuffer(stream.decompress(pending, 1 << 24), np.uint8)
        pending = stream.unconsumed_tail
        size += part.size
        total += int(np.count_nonzero(part))
    assert size == 8312 * (1 + 8312 * channels)
    assert 56 * 56 * channels * 0.9 < total <= 56 * 57 * channels
    assert len(png) < size / 1000 + 2 * content.size


@settings(deadline=None)
@given(cases(most=8, margin=9))
def test_chunks(case: Case) -> None:
    png, channels = case.png(), case.content.shape[2]
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    found = list(chunks(png))
    assert [kind for kind, _, _ in found] == [b"IHDR", b"IDAT", b"IEND"]
    for kind, data, crc in found:
        assert crc == zlib.crc32(kind + data)
    colour = {1: 0, 3: 2}[channels]
    assert found[0][1] == struct.pack(">IIBBBBB", case.width, case.height, 8, colour, 0, 0, 0)
    assert found[2][1] == b""
    stream = zlib.decompressobj()
    stream.decompress(found[1][1])
    assert stream.eof
    assert stream.unused_data == b""


@settings(deadline=None)
@given(case=cases())
def test_opencv_reads_the_pixels(case: Case) -> None:
    cv2: Any = pytest.importorskip("cv2")
    read = cv2.imdecode(np.frombuffer(case.png(), np.uint8), cv2.IMREAD_UNCHANGED)
    assert read is not None
    expected = case.pixels()[:, :, ::-1]  # OpenCV's channel order is BGR
    np.testing.assert_array_equal(read.reshape(expected.shape), expected)


@pytest.mark.filterwarnings("ignore:.*TorchVision are deprecated:DeprecationWarning")
@settings(deadline=None)
@given(case=cases())
def test_torchvision_reads_the_pixels(case: Case) -> None:
    torch: Any = pytest.importorskip("torch")
    torchvision_io: Any = pytest.importorskip("torchvision.io")
    read = torchvision_io.decode_image(torch.frombuffer(bytearray(case.png()), dtype=torch.uint8))
    np.testing.assert_array_equal(read.numpy().transpose(1, 2, 0), case.pixels())


@pytest.mark.skipif(shutil.which("pngcheck") is None, reason="pngcheck is not installed")
def test_pngcheck_finds_no_fault(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.png" for number in range(len(EXTREMES))]
    for file, case in zip(files, EXTREMES, strict=True):
        file.write_bytes(case.png())
    done = subprocess.run(["pngcheck", "-v", *map(str, files)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "No errors were detected" in done.stdout


def test_the_bytes_are_pinned() -> None:
    y, x, channel = np.ogrid[:56, :56, :3]
    content = (y * x // 8 + 40 * channel + (y * 31 + x * 17) ** 2 % 23).astype(np.uint8)
    encoder = PatchEncoder(content)
    files = [encoder.png(corner, corner, 152, 152) for corner in (16, 80, 96)]
    assert [len(file) for file in files] == [7053, 7053, 6881]
    digest = hashlib.sha256(b"".join(files)).hexdigest()
    assert digest == "a7621181d37e0ecb6f01f1c20896f339a88a02301edf8eeede888629e083d0c9"


def test_the_bytes_depend_on_pixels_alone() -> None:
    content = noise(9, 7, 3)
    expected = PatchEncoder(content).png(1, 2, 20, 30)
    assert PatchEncoder(np.asfortranarray(content)).png(1, 2, 20, 30) == expected
    assert PatchEncoder(np.repeat(content, 2, axis=1)[:, ::2]).png(1, 2, 20, 30) == expected
    changed = content.copy()
    encoder = PatchEncoder(changed)
    encoder.png(0, 0, 20, 30)
    changed[:] = 0
    assert encoder.png(1, 2, 20, 30) == expected


def test_numpy_integers_as_places() -> None:
    encoder = PatchEncoder(noise(56, 56, 3))
    place = 1000, 900, 1200, 1100
    small = [np.int16(number) for number in place]
    assert encoder.png(*small) == encoder.png(*place)  # type: ignore[arg-type]


def test_files_are_about_as_small_as_pillows() -> None:
    # Smooth in the large and noisy in the small, as the residuals of photographs are.
    y, x, channel = np.ogrid[:56, :56, :3]
    smooth = 128 + 90 * np.sin(y / 9 + channel / 4) * np.cos(x / 7)
    content = (smooth + np.random.default_rng(0).laplace(0, 4, (56, 56, 3))).clip(0, 255).astype(np.uint8)
    encoder = PatchEncoder(content)
    ours = pillows = 0
    for border, offset in itertools.product((0, 16, 32, 64, 128, 256, 512), (0, 64)):
        case = Case(content, border + offset, border + offset, 120 + 2 * border, 120 + 2 * border)
        ours += len(encoder.png(*case[1:]))
        file = io.BytesIO()
        Image.fromarray(case.pixels()).save(file, "PNG")
        pillows += len(file.getvalue())
    assert ours < 1.25 * pillows


@pytest.mark.parametrize(
    "content",
    [
        np.zeros((4, 4, 3), np.int64),
        np.zeros((4, 4, 3), bool),
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 0, 3), np.uint8),
        [[[0, 0, 0]]],
    ],
)
def test_content_that_is_no_image(content: Any) -> None:
    with pytest.raises(OptionError, match="content must"):
        PatchEncoder(content)


@pytest.mark.parametrize(
    "place", [(-1, 0, 9, 9), (0, -1, 9, 9), (6, 0, 9, 9), (0, 5, 9, 9), (0, 0, 3, 9), (0, 0, 9, 4)]
)
def test_content_that_does_not_fit(place: tuple[int, int, int, int]) -> None:
    y, x, height, width = place
    with pytest.raises(OptionError, match=f"4x5 at row {y}, column {x} does not fit a canvas of {height}x{width}"):
        PatchEncoder(np.zeros((4, 5, 1), np.uint8)).png(*place)
