"""`croissant.json`: valid without a warning, as large as the manifest says, and readable back to the pixels."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from qi_datasets.building.build import build_set
from qi_datasets.building.engine import Engine
from qi_datasets.building.plan import plan_set
from qi_datasets.set_spec import SetSpec
from qi_datasets.sources.demo import DemoSource
from qi_datasets.specs import QI, SHIFTED, SPECS
from qi_datasets.storage.croissant import description
from qi_datasets.storage.manifest import Manifest

mlc = pytest.importorskip("mlcroissant")

RESPONSIBLE = (
    *("rai:dataLimitations", "rai:dataBiases", "rai:personalSensitiveInformation", "rai:dataUseCases"),
    *("rai:dataSocialImpact", "rai:hasSyntheticData", "prov:wasDerivedFrom", "prov:wasGeneratedBy"),
)


@pytest.fixture(scope="module")
def every_set(toy_sets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns every set, small, of demo pictures."""
    root = Path(shutil.copytree(toy_sets, tmp_path_factory.mktemp("sets") / "every"))
    splits = {"qi": dict.fromkeys(QI.splits, 2), "shifted": {"test": 3}}
    for spec in (QI, SHIFTED):
        plan = plan_set(spec, DemoSource.of(9), splits=splits, official=False, borders=[16] if spec.borders else None)
        build_set(plan, root, engine=Engine(1))
    return root


@pytest.mark.parametrize("name", SPECS)
def test_it_is_valid_and_counts_what_the_manifest_counts(
    every_set: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = every_set / name
    dataset = mlc.Dataset(jsonld=str(folder / "croissant.json"))
    issues = dataset.metadata.ctx.issues
    assert (issues.errors, issues.warnings) == (set(), set())
    assert [record.message for record in caplog.records if record.levelname != "INFO"] == []

    manifest = Manifest.read(folder)
    rows = {
        f"{config}/{split}": part.rows
        for config, record in manifest.configs.items()
        for split, part in record.splits.items()
    }
    assert {each.id for each in dataset.metadata.record_sets} == set(rows)
    for identity in list(rows)[:2]:
        assert sum(1 for _ in dataset.records(identity)) == rows[identity]


def test_rows_read_back_as_they_are_stored(every_set: Path) -> None:
    import datasets

    folder = every_set / "qi"
    stock = datasets.load_dataset(str(folder), "border_16", split="test")
    read = mlc.Dataset(jsonld=str(folder / "croissant.json")).records("border_16/test")
    for row, other in zip(stock, read, strict=True):
        assert np.array_equal(np.asarray(row["image"]), np.asarray(other["border_16/test/image"]))
        for column in ("label", "x", "y", "border"):
            assert row[column] == other[f"border_16/test/{column}"]
        assert row["source"].encode() == other["border_16/test/source"]


def test_a_flipped_byte_is_found(every_set: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(every_set / "rook", tmp_path / "rook"))
    file = folder / "default" / "train-00000-of-00001.parquet"
    data = bytearray(file.read_bytes())
    data[100] ^= 1
    file.write_bytes(data)
    with pytest.raises(Exception, match="Download") as raised:
        list(mlc.Dataset(jsonld=str(folder / "croissant.json")).records("default/train"))
    assert "hash" in str(raised.value.__cause__).lower()


@pytest.mark.parametrize("name", SPECS)
def test_reviewers_find_what_they_ask_for(every_set: Path, name: str) -> None:
    content = json.loads((every_set / name / "croissant.json").read_text())
    assert all(key in content for key in RESPONSIBLE)
    assert content["conformsTo"][0] == "http://mlcommons.org/croissant/1.1"
    files = {one["contentUrl"]: one["sha256"] for one in content["distribution"]}
    manifest = Manifest.read(every_set / name)
    data = {path: record.sha256 for path, record in manifest.files.items() if path.endswith(".parquet")}
    assert files == data


def test_terms_and_origin_are_those_of_the_pixels(small_qi: Path, every_set: Path) -> None:
    photos, demo, rook = (
        json.loads((folder / "croissant.json").read_text())
        for folder in (small_qi / "qi", every_set / "qi", every_set / "rook")
    )
    assert photos["license"] == "https://www.image-net.org/download.php"
    assert demo["license"] == rook["license"] == "https://spdx.org/licenses/MIT.html"
    assert [one["rai:hasSyntheticData"] for one in (photos, demo, rook)] == [False, True, True]
    assert photos["prov:wasDerivedFrom"]["@id"].startswith("https://www.image-net.org")


def test_a_split_of_several_files_has_a_record_set_for_each(every_set: Path) -> None:
    manifest = Manifest.read(every_set / "rook")
    (record,) = (manifest.files["default/train-00000-of-00001.parquet"],)
    manifest.configs["default"].splits["train"].files[:] = ["default/a.parquet", "default/b.parquet"]
    content = description(SPECS["rook"], manifest, dict.fromkeys(("default/a.parquet", "default/b.parquet"), record))
    assert [one["@id"] for one in content["recordSet"]] == ["default/train/0", "default/train/1"]


def test_types_of_another_packages_columns(every_set: Path) -> None:
    columns = {"a": "float32[3]", "b": "bool", "c": "uint8", "d": "string", "e": "double", "f": "binary"}
    spec = SetSpec(
        name="theirs", title="T", summary="S.", mode="L", size=32, labels=("a",), splits={"train": 2}, columns=columns
    )
    content = description(spec, Manifest.read(every_set / "rook"), {})
    fields = {one["name"]: one for one in content["recordSet"][0]["field"]}
    kinds = {name: fields[name]["dataType"].removeprefix("sc:") for name in columns}
    assert kinds == {"a": "Float", "b": "Boolean", "c": "Integer", "d": "Text", "e": "Float", "f": "Text"}
    assert (fields["a"]["isArray"], fields["a"]["arrayShape"]) == (True, "3")
