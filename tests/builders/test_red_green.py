"""`red_green`: every placement once, in the published order, and two test sets that are pairs."""

import numpy as np
import numpy.typing as npt
import pytest
from qi_datasets.builders.red_green import RedGreen, ordered_placements

from qi_datasets.builder import Row
from qi_datasets.specs import SPECS
from tests import expected

SPLITS = ("train", "validation", "test_similar", "test_dissimilar")


@pytest.fixture(scope="module")
def rows() -> dict[str, list[Row]]:
    return {split: list(RedGreen()(split)) for split in SPLITS}


def pixels(rows: list[Row]) -> npt.NDArray[np.uint8]:
    return np.stack([row.image.pixels() for row in rows])


@pytest.mark.parametrize("label", [0, 1])
def test_a_label_has_11840_placements_in_the_order_of_their_digests(label: int) -> None:
    placements = ordered_placements(label)

    assert len(placements) == len(set(placements)) == 11_840
    assert tuple(map(tuple, placements)) == expected.red_green_placements(label)


@pytest.mark.parametrize("split", SPLITS)
def test_every_row_is_as_published(rows: dict[str, list[Row]], split: str) -> None:
    wanted = list(expected.red_green_rows(split))

    np.testing.assert_array_equal(pixels(rows[split]), np.stack([image for image, _, _ in wanted]))
    assert [row.label for row in rows[split]] == [label for _, label, _ in wanted] == [0, 1] * (len(wanted) // 2)
    assert [tuple(row.columns[name] for name in ("lx", "ly", "rx", "ry")) for row in rows[split]] == [
        placement for _, _, placement in wanted
    ]


def test_the_pinned_digests_are_the_published_rows() -> None:
    digests = {
        split: expected.split_digest(
            expected.row_digest(image, label, number)
            for number, (image, label, _) in enumerate(expected.red_green_rows(split))
        )
        for split in SPLITS
    }

    assert dict(SPECS["red_green"].digests) == digests


def test_no_image_occurs_twice(rows: dict[str, list[Row]]) -> None:
    images = [row.image.pixels().tobytes() for split in SPLITS for row in rows[split]]

    assert len(images) == len(set(images)) == 5000


def test_the_boxes_are_pure_and_apart(rows: dict[str, list[Row]]) -> None:
    for split in SPLITS:
        images = pixels(rows[split]).astype(int)
        assert (images.sum(axis=(1, 2)) == [16 * 255, 16 * 255, 0]).all()
        assert set(np.unique(images)) == {0, 255}
        assert all(row.columns["rx"] >= row.columns["lx"] + 5 for row in rows[split])


def test_dissimilar_rows_are_the_similar_ones_moved_by_16(rows: dict[str, list[Row]]) -> None:
    similar, dissimilar = pixels(rows["test_similar"]), pixels(rows["test_dissimilar"])

    np.testing.assert_array_equal(np.roll(similar[::2], 16, axis=1), dissimilar[::2])
    np.testing.assert_array_equal(np.roll(similar[1::2], -16, axis=1), dissimilar[1::2])
    for one, other in zip(rows["test_similar"], rows["test_dissimilar"], strict=True):
        move = -16 if one.label else 16
        assert other.label == one.label
        assert other.columns == one.columns | {name: one.columns[name] + move for name in ("ly", "ry")}


def test_no_other_split() -> None:
    with pytest.raises(KeyError):
        next(RedGreen().rows("test"))
