"""A grid is a view of `qi`: every source in every cell, right under all that `datasets` does with a dataset."""

import hashlib
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import numpy.typing as npt
import pytest

from qi_datasets import build_dataset, load_dataset, provenance
from qi_datasets.errors import OptionError
from qi_datasets.specs import DEMO_GRID_DIGESTS
from tests import expected, pictures
from tests.loading.test_views import BORDER, ROWS, STREAMS, VIEWS, assert_images

PATCH, STEP = 56, 64
SOURCES = 4


def grid_rows(
    album: dict[str, bytes], split: int, grid: int, border: int, sources: int = SOURCES
) -> list[dict[str, Any]]:
    """Returns the rows of a split by the specification alone: every patch pasted into a black canvas, cell by cell."""
    side = STEP * grid - 8 + 2 * border
    rows = []
    for name in expected.in_order(album)[split * sources : (split + 1) * sources]:
        patch = expected.quadrant_patch(album[name])
        for row in range(grid):
            for column in range(grid):
                x, y = STEP * column + border, STEP * row + border
                image = np.zeros((side, side, 3), np.uint8)
                image[y : y + PATCH, x : x + PATCH] = patch
                place = {"x": x, "y": y, "border": border, "row": row, "column": column}
                label = row * grid + column
                rows.append({"image": image, "label": label, "source": name, "wnid": expected.val_wnid(name)} | place)
    return rows


@pytest.mark.crossed
@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(("grid", "border"), [(2, 0), (3, 16), (5, 1), (9, 0), (2, 128)])
def test_rows_are_as_specified(
    grid: int, border: int, streaming: bool, small_qi: Path, album: dict[str, bytes]
) -> None:
    loaded = load_dataset("qi", grid=grid, border=border, output=small_qi, streaming=streaming)

    # Cells are the same in every split: one split of the large grids is enough.
    for number, split in enumerate(("train", "validation", "test")[: 3 if grid < 5 else 1]):
        wanted = grid_rows(album, number, grid, border)
        found = list(loaded[split])
        assert [row["source"] for row in found] == [row["source"] for row in wanted]
        for row, right in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(np.asarray(row.pop("image")), right.pop("image"))
            assert row == right


def test_two_hundred_rows_of_three_by_three_are_as_specified(tmp_path: Path) -> None:
    album, sources = pictures.album(24), 8
    folder = pictures.flat(album, tmp_path / "images")
    build_dataset("qi", imagenet_val=folder, per_split=sources, borders=[0], output=tmp_path / "out")

    loaded = load_dataset("qi", grid=3, border=16, output=tmp_path / "out")

    count = 0
    for number, split in enumerate(loaded):
        wanted = grid_rows(album, number, 3, 16, sources)
        for row, right in zip(loaded[split], wanted, strict=True):
            np.testing.assert_array_equal(np.asarray(row.pop("image")), right.pop("image"))
            assert row == right
        count += len(wanted)
    assert count == 216


@pytest.mark.parametrize("border", [0, 16, 100])
def test_the_diagonal_of_two_by_two_is_qi_itself(border: int, small_qi: Path) -> None:
    cells = load_dataset("qi", grid=2, border=border, split="test", output=small_qi)
    corners = load_dataset("qi", border=border, split="test", output=small_qi)

    diagonal = cells.filter(lambda row: row["row"] == row["column"])
    assert_images(diagonal, [np.asarray(row["image"]) for row in corners])
    assert diagonal["x"][:] == corners["x"][:]
    assert diagonal["label"][:] == [0, 3] * SOURCES


@pytest.fixture(scope="module")
def view(small_qi: Path) -> datasets.Dataset:
    return load_dataset("qi", grid=2, border=BORDER, split="train[:4]", output=small_qi)


@pytest.fixture(scope="module")
def wanted(album: dict[str, bytes]) -> list[npt.NDArray[np.uint8]]:
    return [row["image"] for row in grid_rows(album, 0, 2, BORDER)[:ROWS]]


@pytest.mark.parametrize("change", VIEWS.values(), ids=VIEWS)
def test_a_grid_stays_one_under_whatever_is_done_with_it(change: Any, view: Any, wanted: Any) -> None:
    assert_images(change(view), wanted)


@pytest.mark.parametrize("change", STREAMS.values(), ids=STREAMS)
def test_a_stream_of_a_grid_stays_one(change: Any, small_qi: Path, wanted: Any) -> None:
    stream = load_dataset("qi", grid=2, border=BORDER, split="train", output=small_qi, streaming=True)
    assert_images(list(change(stream.take(ROWS))), wanted)


@pytest.mark.parametrize("streaming", [False, True])
def test_columns_are_those_of_the_grid(streaming: bool, small_qi: Path) -> None:
    columns = ["row", "label", "image"]
    rows = load_dataset("qi", grid=3, split="test", output=small_qi, streaming=streaming, columns=columns)

    assert list(rows.features) == columns
    assert rows.features["label"].names[5] == "row_1_column_2"
    assert next(iter(rows))["image"].size == (184, 184)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"path": "corner", "grid": 3}, "corner takes no grid"),
        ({"path": "rook", "grid": 3}, "rook takes no grid"),
        ({"path": "qi", "grid": 1}, "grid must be an integer from 2 to 9"),
        ({"path": "qi", "grid": 10}, "grid must be an integer from 2 to 9"),
        ({"path": "qi", "grid": True}, "grid must be an integer from 2 to 9"),
        ({"path": "qi", "grid": "3"}, "grid must be an integer from 2 to 9"),
        ({"path": "qi", "grid": 3, "canvas": 112}, "canvas of its own"),
        ({"path": "qi", "grid": 3, "columns": ["rows"]}, "did you mean 'row'"),
        ({"path": "qi", "grid": 3, "filters": [("label", "==", 1)]}, "not as it is seen"),
    ],
)
def test_a_grid_that_can_not_be_is_refused(arguments: dict[str, Any], said: str, small_qi: Path) -> None:
    with pytest.raises(OptionError, match=said):
        load_dataset(**arguments, output=small_qi)


def test_a_grid_says_where_its_pictures_come_from(small_qi: Path) -> None:
    assert provenance(load_dataset("qi", grid=2, output=small_qi))["set"] == "qi"


def digest(rows: Any) -> str:
    """Returns the split digest of the specification, for rows with a source."""
    together = hashlib.sha256()
    for row in rows:
        image = np.asarray(row["image"])
        ys, xs = (np.flatnonzero(image.any((1 - axis, 2))) for axis in (0, 1))
        box = (ys[0], xs[0], ys[-1] + 1, xs[-1] + 1)
        shape = "x".join(map(str, image.shape))
        head = f"{shape}|{','.join(map(str, box))}|{row['label']}|{row['source']}|"
        together.update(hashlib.sha256(head.encode() + image[box[0] : box[2], box[1] : box[3]].tobytes()).digest())
    return together.hexdigest()


@pytest.mark.parametrize(
    ("grid", "border", "pinned"),
    [
        (2, 0, "1a5f74458650ee9a2c440e84f666be23f8a81357d608c42dec067db5b6c6d92a"),
        (3, 16, "9f1866e6d0dff5c5184021219dbc6513757d6cef9f02ae47443a3cc9263f7cee"),
    ],
)
def test_grids_of_a_few_demo_pictures_have_pinned_digests(grid: int, border: int, pinned: str, demo_sets: Path) -> None:
    assert digest(load_dataset("qi", grid=grid, border=border, split="test", output=demo_sets)) == pinned


@pytest.mark.slow
def test_grids_of_the_demo_pictures_have_the_pinned_digests(tmp_path: Path) -> None:
    build_dataset("qi", demo=True, borders=[0], output=tmp_path)

    for (grid, border), pinned in DEMO_GRID_DIGESTS.items():
        assert digest(load_dataset("qi", grid=grid, border=border, split="test", output=tmp_path)) == pinned
