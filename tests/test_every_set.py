"""Tests for every set of the table: one suite, run over all of them and over all their configs."""

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from qi_datasets import load_dataset
from qi_datasets.building.build import build_set
from qi_datasets.building.engine import Engine
from qi_datasets.building.plan import plan_set
from qi_datasets.set_spec import SetSpec
from qi_datasets.sources import DemoSource
from qi_datasets.specs import SPEC_VERSION, SPECS
from qi_datasets.storage.manifest import ConfigRecord, Manifest
from qi_datasets.storage.schema import schema_of
from tests import expected
from tests.conftest import BuildOnce

PER_SPLIT = 3
"""Sources per split of sets made from images."""

SIZES = {spec.name: dict.fromkeys(spec.splits, PER_SPLIT) for spec in SPECS.values() if spec.needs_images}
CONFIGS = [(name, config) for name, spec in SPECS.items() for config in spec.configs]


@dataclass(frozen=True)
class Stored:
    """One config of a set on disk, as stock `datasets` loads it."""

    spec: SetSpec
    output: Path
    folder: Path
    manifest: Manifest
    name: str
    config: ConfigRecord
    stock: datasets.DatasetDict

    @cached_property
    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """The rows of each split, decoded once for all tests."""
        return {split: list(rows) for split, rows in self.stock.items()}

    @property
    def border(self) -> int | None:
        """The border to request of `load_dataset`."""
        return self.config.border if self.spec.borders else None


@pytest.fixture(scope="module")
def output(build_once: BuildOnce, toy_sets: Path) -> Path:
    source = DemoSource.of(sum(sum(splits.values()) for splits in SIZES.values()))

    def fill(folder: Path) -> None:
        shutil.copytree(toy_sets, folder, dirs_exist_ok=True)
        for spec in SPECS.values():
            if spec.needs_images:
                build_set(plan_set(spec, source, splits=SIZES), folder, engine=Engine(1))

    return build_once("every set", fill)


@pytest.fixture(scope="module", params=CONFIGS, ids=[f"{name}-{config}" for name, config in CONFIGS])
def stored(request: pytest.FixtureRequest, output: Path) -> Stored:
    name, config = request.param
    folder = output / name
    manifest = Manifest.read(folder)
    stock = datasets.load_dataset(str(folder), config)
    return Stored(SPECS[name], output, folder, manifest, config, manifest.configs[config], stock)


@pytest.fixture(scope="module", params=SPECS)
def folder(request: pytest.FixtureRequest, output: Path) -> Path:
    return output / request.param


def pixels(rows: Iterable[dict[str, Any]]) -> Iterator[npt.NDArray[np.uint8]]:
    for row in rows:
        yield np.asarray(row["image"])


def test_splits_and_counts(stored: Stored) -> None:
    per_split = SIZES.get(stored.spec.name, stored.spec.splits)
    wanted = {split: count * stored.spec.rows_per_source for split, count in per_split.items()}

    assert {split: rows.num_rows for split, rows in stored.stock.items()} == wanted
    assert {split: record.rows for split, record in stored.config.splits.items()} == wanted
    assert list(stored.config.splits) == list(stored.spec.splits)


def test_columns_and_their_types(stored: Stored) -> None:
    for rows in stored.stock.values():
        assert list(rows.features) == ["image", "label", *stored.spec.columns]
        assert rows.features == datasets.Features.from_arrow_schema(schema_of(stored.spec))
        assert rows.features["label"].names == list(stored.spec.labels)


def test_every_label_occurs_as_often_as_the_others(stored: Stored) -> None:
    for rows in stored.stock.values():
        if stored.spec.label_in_digest:
            counts = np.bincount(rows["label"], minlength=len(stored.spec.labels))
            assert (counts == rows.num_rows // len(stored.spec.labels)).all()


def test_sizes_modes_and_black_borders(stored: Stored) -> None:
    border = stored.config.border
    side = stored.spec.size + 2 * border
    assert stored.config.size == side
    for rows in stored.rows.values():
        for row in rows:
            assert (row["image"].size, row["image"].mode) == ((side, side), stored.spec.mode)
            inside = (border, border, side - border, side - border)
            bounds = row["image"].getbbox()
            assert bounds is not None, "an image is all black"
            assert all(bounds[i] >= inside[i] for i in (0, 1))
            assert all(bounds[i] <= inside[i] for i in (2, 3))


def test_digests_of_the_stored_rows_are_the_manifests(stored: Stored) -> None:
    for split, rows in stored.stock.items():
        names = rows["source"] if "source" in stored.spec.columns else range(rows.num_rows)
        labels = rows["label"] if stored.spec.label_in_digest else [""] * rows.num_rows
        digests = map(expected.row_digest, pixels(stored.rows[split]), labels, names)
        assert expected.split_digest(digests) == stored.config.splits[split].digest


def test_pinned_digests_are_the_built_ones(stored: Stored) -> None:
    if stored.spec.digests:
        digests = {split: record.digest for split, record in stored.config.splits.items()}
        assert digests == dict(stored.spec.digests)
    assert (stored.manifest.pixels == "pinned") == bool(stored.spec.digests)
    assert stored.manifest.canonical == (not stored.spec.needs_images)


def test_our_call_and_the_stock_call_agree_in_every_row(stored: Stored) -> None:
    ours = load_dataset(stored.spec.name, border=stored.border, output=stored.output)

    assert list(ours) == list(stored.stock)
    assert_same_rows(ours, stored)


def test_streaming_and_not_streaming_agree_in_every_row(stored: Stored) -> None:
    stream = load_dataset(stored.spec.name, border=stored.border, output=stored.output, streaming=True)

    assert list(stream) == list(stored.stock)
    assert_same_rows(stream, stored)


def assert_same_rows(loaded: Mapping[str, Iterable[dict[str, Any]]], stored: Stored) -> None:
    for split, rows in stored.rows.items():
        for one, other in zip(loaded[split], rows, strict=True):
            np.testing.assert_array_equal(np.asarray(one["image"]), np.asarray(other["image"]))
            assert one | {"image": None} == other | {"image": None}


def test_row_groups_are_small_and_have_a_page_index(stored: Stored) -> None:
    for split, record in stored.config.splits.items():
        rows = 0
        for file in record.files:
            metadata = pq.ParquetFile(stored.folder / file).metadata
            rows += metadata.num_rows
            for group in map(metadata.row_group, range(metadata.num_row_groups)):
                assert group.num_rows <= 100
                for column in map(group.column, range(group.num_columns)):
                    assert column.has_offset_index
                    # Bounds of whole images would be too long to keep, and nobody looks an image up by its bytes.
                    assert column.has_column_index or column.path_in_schema == "image.bytes"
        assert rows == stored.stock[split].num_rows


def test_files_carry_the_hubs_features_and_png_images(stored: Stored) -> None:
    for record in stored.config.splits.values():
        for file in record.files:
            table = pq.read_table(stored.folder / file)
            metadata = json.loads(table.schema.metadata[b"huggingface"])
            assert datasets.Features.from_dict(metadata["info"]["features"]) == datasets.Features.from_arrow_schema(
                schema_of(stored.spec)
            )
            images = table.column("image").combine_chunks().field("bytes")
            assert all(image.as_py().startswith(b"\x89PNG\r\n\x1a\n") for image in images)


def test_splits_share_no_source_and_no_image(stored: Stored) -> None:
    seen: set[str | bytes] = set()
    for split, rows in stored.stock.items():
        if "source" in stored.spec.columns:
            found: set[str | bytes] = set(rows["source"])
            assert len(found) == rows.num_rows // stored.spec.rows_per_source
        else:
            found = {image.tobytes() for image in pixels(stored.rows[split])}
            assert len(found) == rows.num_rows
        assert not seen & found
        seen |= found


def test_the_manifest_tells_every_file_with_its_hash(folder: Path) -> None:
    manifest = Manifest.read(folder)

    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found == {*manifest.files, "manifest.json"}
    for name, record in manifest.files.items():
        content = (folder / name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (record.bytes, record.sha256)
    assert manifest.spec_version == SPEC_VERSION
    assert manifest.name == folder.name


def test_the_manifest_tells_every_source(folder: Path) -> None:
    spec, manifest = SPECS[folder.name], Manifest.read(folder)
    if not spec.needs_images:
        assert manifest.sources == {}
        return
    stock = datasets.load_dataset(str(folder))
    source = DemoSource.of(sum(sum(splits.values()) for splits in SIZES.values()))
    for split, records in manifest.sources.items():
        assert [record.name for record in records] == stock[split]["source"][:: spec.rows_per_source]
        for record in records:
            content = source.image(record.name).read()
            assert (record.bytes, record.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_the_preview_is_a_picture_of_every_config(folder: Path) -> None:
    preview = Image.open(folder / "preview.png")
    preview.load()

    colours = preview.convert("RGB").getcolors(preview.width * preview.height)
    assert colours is not None
    assert len(colours) > 2
    assert preview.height > 100 * len(SPECS[folder.name].configs)


def test_the_card_describes_the_set(folder: Path) -> None:
    spec = SPECS[folder.name]
    _, metadata, text = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)

    assert [config["config_name"] for config in yaml.safe_load(metadata)["configs"]] == list(spec.configs)
    assert spec.title in text
    for config in Manifest.read(folder).configs.values():
        assert all(record.digest in text for record in config.splits.values())


def test_the_default_config_is_the_first(folder: Path) -> None:
    spec = SPECS[folder.name]

    assert datasets.get_dataset_default_config_name(str(folder)) == spec.configs[0]
    assert datasets.get_dataset_config_names(str(folder)) == list(spec.configs)
