"""Cards: valid YAML that names every file, for our sets and for another package's."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from qi_datasets.set_spec import SetSpec
from qi_datasets.sources import DemoSource
from qi_datasets.specs import SPECS
from qi_datasets.storage.card import write_card
from qi_datasets.storage.manifest import ConfigRecord, Manifest, SplitRecord


def manifest_of(spec: SetSpec, **changes: Any) -> Manifest:
    configs = {
        name: ConfigRecord(
            border,
            spec.size + 2 * border,
            {s: SplitRecord(spec.rows(s), "ab" * 32, [f"{name}/{s}-00000-of-00001.parquet"]) for s in spec.splits},
        )
        for name, border in zip(spec.configs, spec.borders or (0,), strict=True)
    }
    return Manifest(spec.name, "1.2.3", "4.5.6", True, "pinned", "flat folder", spec.size, configs, {}, **changes)


def front_matter(card: str) -> dict[str, Any]:
    start, yaml_text, _ = card.split("---\n", 2)
    assert start == ""
    return yaml.safe_load(yaml_text)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_the_yaml_names_every_config_and_split(spec: SetSpec, tmp_path: Path) -> None:
    write_card(tmp_path, spec, manifest_of(spec))

    metadata = front_matter((tmp_path / "README.md").read_text(encoding="utf-8"))

    assert [config["config_name"] for config in metadata["configs"]] == list(spec.configs)
    assert [config.get("default", False) for config in metadata["configs"]] == [True] + [False] * (
        len(spec.configs) - 1
    )
    for config in metadata["configs"]:
        name = config["config_name"]
        assert config["data_files"] == [{"split": s, "path": f"{name}/{s}-*.parquet"} for s in spec.splits]
    assert metadata["pretty_name"] == spec.title
    terms = [metadata.get(key) for key in ("license", "license_name", "license_link")]
    assert terms == [spec.licence.id, spec.licence.name or None, spec.licence.link or None]


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_the_text_says_what_the_manifest_says(spec: SetSpec, tmp_path: Path) -> None:
    manifest = manifest_of(spec)
    write_card(tmp_path, spec, manifest)

    card = (tmp_path / "README.md").read_text(encoding="utf-8")

    for fact in (spec.summary, "1.2.3", "4.5.6", "flat folder", manifest.knowledge, "ab" * 32):
        assert fact in card
    assert all(f"`{column}`" in card for column in ("image", "label", *spec.columns))
    assert len(spec.labels) > 10 or all(label in card for label in spec.labels)
    for name, config in manifest.configs.items():
        rows = " | ".join(str(split.rows) for split in config.splits.values())
        assert f"| `{name}` | {config.size} | {rows} |" in card
    assert "{{" not in card
    assert "{%" not in card


def test_another_packages_set_gets_the_common_card(tmp_path: Path) -> None:
    spec = SetSpec(
        name="theirs", title="Their: set", summary="What it is.", mode="L", size=32, labels=("a",), splits={"train": 2}
    )
    write_card(tmp_path, spec, manifest_of(spec))

    card = (tmp_path / "README.md").read_text(encoding="utf-8")

    assert front_matter(card)["pretty_name"] == "Their: set"
    assert front_matter(card)["license"] == "unknown"
    assert "What it is." in card


@pytest.mark.parametrize("name", ["qi", "shifted"])
def test_a_card_of_demo_pictures_neither_warns_of_imagenet_nor_claims_its_terms(name: str, tmp_path: Path) -> None:
    spec = SPECS[name]
    for layout, warned in (("flat folder", True), (DemoSource.layout, False)):
        write_card(tmp_path, spec, replace(manifest_of(spec), layout=layout))
        card = (tmp_path / "README.md").read_text(encoding="utf-8")

        assert ("Photographs of ImageNet" in card) == ("image-net.org" in card) == warned
        assert front_matter(card)["license"] == ("other" if warned else "mit")


def test_the_snippet_names_a_border_and_the_digests_are_folded(tmp_path: Path) -> None:
    write_card(tmp_path, SPECS["qi"], manifest_of(SPECS["qi"]))
    card = (tmp_path / "README.md").read_text(encoding="utf-8")

    assert 'load_dataset("qi", border=64)' in card
    assert card.index("<details>") < card.index("- `border_0` `train`") < card.index("</details>")
    assert "@inproceedings{" in card
