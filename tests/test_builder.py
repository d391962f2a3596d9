"""The base of builders refuses rows that differ from the spec."""

import pickle
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from qi_datasets.builders.corner import Corner

from qi_datasets.builder import GeneratedSet, ImageSet, Row
from qi_datasets.errors import BuilderError
from qi_datasets.pixels.geometry import Pixels, whole
from qi_datasets.set_spec import SetSpec

SPEC = SetSpec(
    name="dots",
    title="Dots",
    summary="",
    builder="",
    mode="L",
    size=4,
    labels=("a", "b"),
    splits={"train": 2},
    columns={"x": "int32"},
)


class Dots(GeneratedSet):
    spec = SPEC
    made: tuple[Row, ...] = ()

    def rows(self, split: str) -> Iterator[Row]:
        yield from self.made


class Thumbs(ImageSet):
    spec = replace(SPEC, needs_images=True, rows_per_source=2)
    made: tuple[Row, ...] = ()

    def patch(self, image: Image.Image) -> Pixels:
        return np.asarray(image)

    def rows(self, patch: Pixels, source: str, wnid: str) -> Iterator[Row]:
        yield from self.made


def row(side: int = 4, label: int = 0, shape: tuple[int, ...] = (), **columns: Any) -> Row:
    return Row(whole(np.ones(shape or (side, side), np.uint8)), label, columns or {"x": 1})


GOOD = row()
BAD = {
    "size": (row(5), r"\(5, 5, 1\).*\(4, 4, 1\)"),
    "not square": (row(shape=(4, 5)), r"\(4, 5, 1\)"),
    "mode": (row(shape=(4, 4, 3)), r"\(4, 4, 3\)"),
    "label": (row(label=2), "label 2, the spec has 2"),
    "negative label": (row(label=-2), "label -2"),
    "another column": (row(y=1), r"columns \['y'\], the spec says \['x'\]"),
    "one column too many": (row(x=1, y=1), r"\['x', 'y'\]"),
}


def test_rows_as_the_spec_says_pass() -> None:
    assert list(type("Good", (Dots,), {"made": (GOOD, GOOD)})()("train")) == [GOOD, GOOD]
    assert type("Good", (Thumbs,), {"made": (GOOD, GOOD)})()(np.zeros((4, 4, 1), np.uint8), "a", "") == [GOOD, GOOD]


@pytest.mark.parametrize(("bad", "message"), BAD.values(), ids=BAD)
def test_a_row_that_differs_is_refused_by_set_name(bad: Row, message: str) -> None:
    with pytest.raises(BuilderError, match=f"dots: .*{message}"):
        list(type("Bad", (Dots,), {"made": (GOOD, bad)})()("train"))
    with pytest.raises(BuilderError, match=f"dots: .*{message}"):
        type("Bad", (Thumbs,), {"made": (GOOD, bad)})()(np.zeros((4, 4, 1), np.uint8), "a", "")


@pytest.mark.parametrize("count", [0, 1, 3])
def test_another_number_of_rows_is_refused(count: int) -> None:
    with pytest.raises(BuilderError, match=f"dots/train: {count} rows, the spec says 2"):
        list(type("Bad", (Dots,), {"made": (GOOD,) * count})()("train"))
    with pytest.raises(BuilderError, match=f"dots: {count} rows of a source, not 2"):
        type("Bad", (Thumbs,), {"made": (GOOD,) * count})()(np.zeros((4, 4, 1), np.uint8), "a", "")


def test_a_border_moves_the_columns_that_tell_of_it() -> None:
    moved = row(x=3, y=4, border=0, lx=7).bordered(16)

    assert moved.columns == {"x": 19, "y": 20, "border": 16, "lx": 7}
    assert (moved.image.height, moved.image.y) == (36, 16)
    assert GOOD.bordered(2).columns == {"x": 3}


def test_builders_survive_pickling() -> None:
    assert pickle.loads(pickle.dumps(Corner(size=9))).size == 9  # noqa: S301


def test_everything_a_plug_in_needs_comes_from_one_module() -> None:
    from qi_datasets import builder, specs
    from qi_datasets.pixels import geometry

    assert (builder.SetSpec, builder.Placed, builder.whole) == (specs.SetSpec, geometry.Placed, geometry.whole)
    assert {"GeneratedSet", "ImageSet", "Placed", "Row", "SetSpec", "whole"} <= set(builder.__all__)
