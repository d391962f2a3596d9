"""Digests equal the specification's formula, over every pixel and no black."""

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qi_datasets.pixels.digests import draw, row_digest, sha256_hex, split_digest
from qi_datasets.pixels.geometry import Placed, nonzero_box
from tests import expected
from tests.pixels.test_geometry import placed_images


@given(placed_images(), st.integers(-1, 9) | st.just(""), st.text())
def test_a_row_digest_is_the_published_formula(image: Placed, label: int | str, source: str) -> None:
    wanted = expected.row_digest(image.pixels(), label, source)

    assert row_digest(image, label, source) == wanted
    assert row_digest(image, label, source, nonzero_box(image.content)) == wanted


@given(placed_images(), placed_images())
def test_two_rows_have_one_digest_exactly_if_all_their_pixels_agree(one: Placed, other: Placed) -> None:
    same = np.array_equal(one.pixels(), other.pixels())

    assert (row_digest(one, 0, "a") == row_digest(other, 0, "a")) == same


@given(placed_images())
def test_how_much_black_the_content_brings_does_not_count(image: Placed) -> None:
    everything = Placed(image.pixels(), 0, 0, image.height, image.width)

    assert row_digest(image, 1, "a") == row_digest(everything, 1, "a")


def test_one_row_by_hand() -> None:
    content = np.zeros((3, 4, 1), np.uint8)
    content[1, 1:3, 0] = 7, 9

    digest = row_digest(Placed(content, 2, 1, 8, 9), 1, "ILSVRC2012_val_00000293")

    assert digest == hashlib.sha256(b"8x9x1|3,2,4,4|1|ILSVRC2012_val_00000293|\x07\x09").digest()


@given(st.lists(st.binary(min_size=32, max_size=32)))
def test_a_split_digest_hashes_its_rows_in_order(rows: list[bytes]) -> None:
    assert split_digest(iter(rows)) == hashlib.sha256(b"".join(rows)).hexdigest()


def test_draws_are_named_and_versioned() -> None:
    assert draw("00000293") == hashlib.sha256(b"qi-datasets/v1/00000293").digest()
    assert sha256_hex(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
