"""Files of a split: row groups, page index, features, digests, for any number of rows."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest

from qi_datasets.builder import GeneratedSet, Row
from qi_datasets.building.build import build_set
from qi_datasets.building.encoding import RowEncoder
from qi_datasets.building.plan import Plan
from qi_datasets.errors import BuilderError
from qi_datasets.pixels.geometry import Placed, whole
from qi_datasets.set_spec import SetSpec
from qi_datasets.storage.manifest import Manifest
from qi_datasets.storage.parquet import rewrite_columns
from qi_datasets.storage.schema import schema_of
from tests import expected

SPEC = SetSpec(
    name="numbers",
    title="",
    summary="",
    builder="",
    mode="L",
    size=2,
    labels=("even", "odd"),
    splits={"train": 1},
    columns={"number": "int32", "name": "string", "pairs": "int32[2,3]"},
    rows_per_file=200,
)


def image(number: int) -> np.ndarray:
    return np.array([[number % 251 + 1, 0], [0, number // 251 + 1]], np.uint8)


class Numbers(GeneratedSet):
    spec = SPEC

    def rows(self, split: str) -> Iterator[Row]:
        for number in range(self.spec.splits[split]):
            columns = {"number": number, "name": f"n{number}", "pairs": [[number] * 3, [1, 2, 3]]}
            yield Row(whole(image(number)), number % 2, columns)


def stored(output: Path, rows: int, rows_per_file: int = 200) -> tuple[Path, Manifest]:
    """Returns folder and manifest of a set of that many rows."""
    spec = replace(SPEC, splits={"train": rows}, rows_per_file=rows_per_file)
    builder = type("Some", (Numbers,), {"spec": spec})()
    built = build_set(Plan(builder, (0,), None, {}, canonical=False), output)
    return built.folder, built.manifest


@pytest.mark.parametrize("rows", [1, 99, 100, 101, 200, 201, 430])
def test_rows_come_back_in_order_from_files_of_small_row_groups(rows: int, tmp_path: Path) -> None:
    folder, manifest = stored(tmp_path, rows)

    files = [f"default/train-{number:05d}-of-{-(-rows // 200):05d}.parquet" for number in range(-(-rows // 200))]
    record = manifest.configs["default"].splits["train"]
    assert record.files == files
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet")) == files
    loaded = datasets.Dataset.from_parquet([str(folder / file) for file in files], cache_dir=str(tmp_path / "cache"))
    assert loaded.features == datasets.Features.from_arrow_schema(schema_of(SPEC))
    assert loaded["number"][:] == list(range(rows))
    assert loaded["pairs"][rows - 1] == [[rows - 1] * 3, [1, 2, 3]]
    np.testing.assert_array_equal(np.asarray(loaded["image"][rows - 1]), image(rows - 1))
    for file in files:
        metadata = pq.ParquetFile(folder / file).metadata
        assert metadata.num_rows <= 200
        for group in map(metadata.row_group, range(metadata.num_row_groups)):
            assert 1 <= group.num_rows <= 100
            assert group.column(0).has_offset_index
            assert group.column(0).has_column_index
    assert record.rows == rows
    assert record.digest == expected.split_digest(
        expected.row_digest(image(number), number % 2, number) for number in range(rows)
    )


def test_files_may_end_inside_a_row_group(tmp_path: Path) -> None:
    folder, manifest = stored(tmp_path, 530, rows_per_file=250)

    files = manifest.configs["default"].splits["train"].files
    assert [pq.ParquetFile(folder / file).metadata.num_rows for file in files] == [250, 250, 30]


@pytest.mark.parametrize("rows", [1, 100, 199])
def test_columns_are_written_again_and_images_are_not_touched(rows: int, tmp_path: Path) -> None:
    folder, manifest = stored(tmp_path, rows)
    path = folder / manifest.configs["default"].splits["train"].files[0]
    before = pq.read_table(path)
    names = [f"renamed {number}" for number in range(rows)]

    rewrite_columns(path, schema_of(SPEC), {"name": names, "label": [1] * rows})

    after = pq.read_table(path)
    assert after.schema.equals(before.schema, check_metadata=True)
    assert after["name"].to_pylist() == names
    assert set(after["label"].to_pylist()) == {1}
    for name in ("image", "number", "pairs"):
        assert after[name] == before[name]
    metadata = pq.ParquetFile(path).metadata
    assert [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)] == [
        min(100, rows - start) for start in range(0, rows, 100)
    ]
    assert metadata.row_group(0).column(0).has_offset_index
    assert list(path.parent.iterdir()) == [path]


def test_columns_that_were_not_changed_give_the_same_file(tmp_path: Path) -> None:
    folder, manifest = stored(tmp_path, 130)
    path = folder / manifest.configs["default"].splits["train"].files[0]
    before = path.read_bytes()

    rewrite_columns(path, schema_of(SPEC), {"name": pq.read_table(path)["name"].to_pylist()})

    assert path.read_bytes() == before


@pytest.mark.parametrize("values", [["a"] * 129, ["a"] * 131])
def test_a_column_of_another_length_is_refused_and_the_file_stays(values: list[str], tmp_path: Path) -> None:
    folder, manifest = stored(tmp_path, 130)
    path = folder / manifest.configs["default"].splits["train"].files[0]
    before = path.read_bytes()

    with pytest.raises(ValueError, match="has 130 rows"):
        rewrite_columns(path, schema_of(SPEC), {"name": values})

    assert path.read_bytes() == before


def test_features_say_images_labels_and_columns() -> None:
    features = datasets.Features.from_arrow_schema(schema_of(SPEC))

    assert features == datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=["even", "odd"]),
            "number": datasets.Value("int32"),
            "name": datasets.Value("string"),
            "pairs": datasets.List(datasets.List(datasets.Value("int32"), length=3), length=2),
        }
    )
    assert list(features) == ["image", "label", "number", "name", "pairs"]
    assert schema_of(SPEC).equals(features.arrow_schema)


@pytest.mark.parametrize("kind", ["colour", "colour[2]", "int32[", ""])
def test_a_column_of_an_unknown_type_is_an_error_that_names_both(kind: str) -> None:
    with pytest.raises(BuilderError, match="column shade has the unknown type") as raised:
        schema_of(replace(SPEC, columns={"shade": kind}))

    assert repr(kind) in str(raised.value)


def test_one_content_in_many_places_is_encoded_as_if_it_were_alone() -> None:
    content = image(7)[:, :, None]
    places = [Placed(content, y, x, 9, 8) for y, x in ((0, 0), (7, 6), (3, 2))]
    shared = RowEncoder(label_in_digest=True)

    together = [shared.encode(Row(place, 0), "a") for place in [*places, whole(image(9)), *places]]

    for row, place in zip(together, [*places, whole(image(9)), *places], strict=True):
        assert row == RowEncoder(label_in_digest=True).encode(Row(place, 0), "a")
        assert row.digest == expected.row_digest(place.pixels(), 0, "a")


def test_a_label_may_stay_out_of_the_digest() -> None:
    row = Row(whole(image(1)), 1)

    assert RowEncoder(label_in_digest=False).encode(row, "a").digest == expected.row_digest(image(1), "", "a")
    assert RowEncoder(label_in_digest=False).encode(row, "a").values == {"label": 1}
