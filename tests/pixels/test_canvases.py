"""Memory of images is used again if nobody can see it, and never shows its old content."""

import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qi_datasets.pixels import canvases
from qi_datasets.pixels.canvases import LARGEST, SMALLEST, black_batch, paint
from qi_datasets.pixels.geometry import Placed
from qi_datasets.pixels.placed_image import image_of

SIDE = 420
"""The smallest images whose memory is kept have about this many pixels per side."""


@pytest.fixture(autouse=True)
def without_spare_memory() -> None:
    for kept in (canvases._spare, canvases._spare_batch, canvases._batches):
        kept.clear()


def placed(seed: int, side: int = SIDE, channels: int = 3) -> Placed:
    random = np.random.default_rng(seed)
    content = random.integers(1, 256, (*random.integers(1, 60, 2), channels), np.uint8)
    y, x = (int(random.integers(0, side - length + 1)) for length in content.shape[:2])
    return Placed(content, y, x, side, side)


def address(image: np.ndarray) -> int:
    return int(image.__array_interface__["data"][0])


def test_memory_of_an_image_that_is_gone_is_used_again() -> None:
    assert SMALLEST <= SIDE * SIDE * 3 < 1.1 * SMALLEST
    first = address(paint(placed(1)))

    again = paint(placed(2))

    assert address(again) == first
    assert np.array_equal(again, placed(2).pixels())
    assert again.flags.writeable


HOLDERS: dict[str, Callable[[Any], Any]] = {
    "view": lambda image: image[::7, 3:],
    "view of a view": lambda image: image[1:].reshape(-1)[::2],
    "transposed": lambda image: image.T,
    "memoryview": memoryview,
    "part of a memoryview": lambda image: memoryview(image)[5:],
    "view of a memoryview": lambda image: np.asarray(memoryview(image)[5:]),
    "frombuffer": lambda image: np.frombuffer(image.data, np.uint8),
    "tensor": torch.from_numpy,
    "part of a tensor": lambda image: torch.from_numpy(image)[2:4, 1],
    "dlpack": torch.from_dlpack,
    "flat iterator": lambda image: image.flat,
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_memory_that_somebody_holds_is_not_used_again(holder: str) -> None:
    held = HOLDERS[holder](paint(placed(1)))
    before = np.asarray(held).copy()

    others = [paint(placed(seed)) for seed in range(2, 6)]
    gc.collect()

    assert np.array_equal(np.asarray(held), before)
    assert np.array_equal(before, np.asarray(HOLDERS[holder](placed(1).pixels())))
    assert all(np.array_equal(other, placed(seed).pixels()) for seed, other in enumerate(others, 2))


@pytest.mark.parametrize("part", ["interface", "interface's owner", "array's owner"])
def test_what_is_made_of_an_image_of_pil_holds_its_memory(part: str) -> None:
    image = image_of(placed(1))
    parts = {
        "interface": lambda: image.__array_interface__["data"][7:],
        "interface's owner": lambda: image.__array_interface__["data"].obj[7:],
        "array's owner": lambda: np.asarray(image).base.obj[7:],
    }
    held = parts[part]()

    others = [np.asarray(image_of(placed(seed))) for seed in range(2, 6)]

    assert np.array_equal(np.asarray(held), placed(1).pixels()[7:])
    assert all(np.array_equal(other, placed(seed).pixels()) for seed, other in enumerate(others, 2))


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
def test_what_somebody_wrote_is_never_in_another_image() -> None:
    image = np.asarray(image_of(placed(1)))
    assert not image.flags.writeable
    tensor = torch.from_numpy(image)  # which can be written to all the same
    tensor[-1, -1] = 7
    del image, tensor

    assert np.array_equal(paint(placed(2)), placed(2).pixels())


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 9),
            st.sampled_from([SIDE, 430]),
            st.sampled_from([1, 3]),
            st.booleans(),
            st.booleans(),
            st.booleans(),
        ),
        max_size=8,
    )
)
def test_images_one_after_another_are_right(images: list[tuple[int, int, int, bool, bool, bool]]) -> None:
    held = []
    for seed, side, channels, channels_first, is_kept, is_written in images:
        expected = placed(seed, side, channels).pixels()
        image = paint(placed(seed, side, channels), channels_first)
        pixels = image.transpose(1, 2, 0) if channels_first else image
        assert np.array_equal(pixels, expected)
        if is_written:
            pixels[seed * 40] ^= 1
            expected[seed * 40] ^= 1
        if is_kept:
            held.append((pixels, expected))
    assert all(np.array_equal(pixels, expected) for pixels, expected in held)


def test_threads_never_share_memory() -> None:
    def read(seed: int) -> bool:
        image = paint(placed(seed % 20))
        return np.array_equal(image, placed(seed % 20).pixels())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(400)))


@pytest.mark.parametrize(("side", "kept"), [(100, 0), (SIDE, 2), (2500, 0)])
def test_little_memory_is_kept(side: int, kept: int) -> None:
    images = [paint(placed(seed, side)) for seed in range(4)]
    assert len(canvases._spare) == 0

    del images

    assert len(canvases._spare) == kept
    assert sum(memory.nbytes for memory, _ in canvases._spare) <= 2 * LARGEST


def test_memory_of_a_batch_that_is_gone_is_used_again_while_there_is_another() -> None:
    addresses = []
    batch = None
    for number in range(6):
        batch = black_batch(SMALLEST)
        assert not batch.any()
        batch.fill(number)
        addresses.append(address(batch))

    assert len(set(addresses)) == 2
    del batch
    assert not canvases._spare_batch
    assert not canvases._batches


@pytest.mark.parametrize("holder", HOLDERS)
def test_memory_of_a_batch_that_somebody_holds_is_not_used_again(holder: str) -> None:
    other = black_batch(SMALLEST)
    batch = black_batch(SMALLEST)
    batch[:] = 5
    held = HOLDERS[holder](batch.reshape(2, 4, -1))
    del batch

    others = [black_batch(SMALLEST) for _ in range(3)]

    assert (np.asarray(held) == 5).all()
    assert not any(image.any() for image in (other, *others))


def test_memory_of_batches_of_other_sizes_is_not_kept() -> None:
    for size in (SMALLEST, 2 * SMALLEST, SMALLEST, 3 * SMALLEST):
        batch = black_batch(size)
        assert batch.nbytes == size
        assert not batch.any()
        assert len(canvases._spare_batch) <= 1
