"""Formats give the same arrays as `datasets` does for the same stored images, by filling them in place."""

import tracemalloc
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest

from qi_datasets import as_stock, load_dataset
from qi_datasets.pixels import placed_image

BORDER = 40
VIEWS = {
    "colour": lambda sets: load_dataset("qi", border=BORDER, split="train", output=sets),
    "grey": lambda sets: load_dataset("rook", border=BORDER, split="train"),
    "stream": lambda sets: load_dataset("qi", border=BORDER, split="train", output=sets, streaming=True),
}
FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "numpy": ("numpy", {}),
    "numpy of floats": ("numpy", {"dtype": np.float32}),
    "torch": ("torch", {}),
    "torch of floats": ("torch", {"dtype": "float32"}),
    "jax": ("jax", {}),
}


@pytest.fixture(params=FORMATS.values(), ids=FORMATS)
def format_(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    name, options = request.param
    if name != "numpy":
        library = pytest.importorskip(name)
        options = {key: getattr(library, value) for key, value in options.items()}
    return name, options


def described(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: described(part) for name, part in value.items()}
    if isinstance(value, list):
        return [described(part) for part in value]
    if hasattr(value, "shape"):
        array = np.asarray(value)
        whole = described(list(array)) if array.dtype == object else array.tobytes()
        return type(value).__name__, str(value.dtype), tuple(value.shape), whole
    return value


@pytest.mark.crossed
@pytest.mark.parametrize("kind", VIEWS)
def test_rows_columns_and_batches_equal_those_of_stored_images(
    kind: str, format_: tuple[str, dict[str, Any]], small_qi: Path
) -> None:
    name, options = format_
    view = VIEWS[kind](small_qi)
    if kind == "stream":
        stored = as_stock(VIEWS["colour"](small_qi)).to_iterable_dataset()
        for rows in (lambda rows: rows.with_format(name), lambda rows: rows.with_format(name).batch(3)):
            assert [described(row["image"]) for row in rows(view)] == [described(row["image"]) for row in rows(stored)]
        return
    view, stored = (rows.with_format(name, **options) for rows in (view, as_stock(view)))

    reads = [lambda rows: rows[1], lambda rows: rows[:], lambda rows: rows[:0], lambda rows: rows["image"][:]]
    for read in (*reads, list, lambda rows: list(rows.iter(2))):
        assert described(read(view)) == described(read(stored))


@pytest.mark.parametrize("name", ["numpy", "torch", "jax"])
def test_no_image_of_pil_comes_in_between(name: str, small_qi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if name != "numpy":
        pytest.importorskip(name)
    view = VIEWS["colour"](small_qi)
    monkeypatch.delattr(placed_image, "ordinary_image")

    assert np.asarray(view.with_format(name)[:3]["image"]).any()
    assert np.asarray(view.with_format(name)[2]["image"]).any()
    assert view.with_transform(lambda rows: {"sum": [np.asarray(i).sum() for i in rows["image"]]})[1]["sum"]
    sums = view.map(lambda rows: {"sum": [np.asarray(i).sum() for i in rows["image"]]}, batched=True, batch_size=3)
    assert all(sums["sum"])


def test_images_of_several_sizes_are_formatted_as_stored_ones_are(small_qi: Path) -> None:
    pytest.importorskip("torch")
    view = VIEWS["colour"](small_qi)

    def cut(rows: dict[str, Any]) -> dict[str, Any]:
        return {"image": [image.crop((30, 30, 60 + n, 50)) for n, image in enumerate(rows["image"])]}

    mixed = view.map(cut, batched=True)
    lost = view.map(lambda row, number: {"image": row["image"] if number else None}, with_indices=True)
    for rows in (mixed, lost):
        for name in ("numpy", "torch"):
            assert described(rows.with_format(name)[:]) == described(as_stock(rows).with_format(name)[:])


def test_other_data_sets_are_formatted_as_ever(small_qi: Path) -> None:
    rows = datasets.Dataset.from_dict({"a": [[1, 2], [3, 4]], "b": ["x", "y"], "c": [0.5, 1.5]})

    found = rows.with_format("numpy")[:]

    assert found["a"].tolist() == [[1, 2], [3, 4]]
    assert found["b"].tolist() == ["x", "y"]
    assert found["c"].dtype == np.float32


@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_a_batch_takes_no_more_memory_than_its_own(name: str, small_qi: Path) -> None:
    if name == "torch":
        pytest.importorskip("torch")
    view = load_dataset("qi", border=512, split="train", output=small_qi).with_format(name)
    view[:1]
    tracemalloc.start()
    try:
        batch = view[:]["image"]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak <= 1.1 * np.asarray(batch).nbytes
