"""Cards: valid YAML that names every file, for our sets and for another package's."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import DatasetCard

from qi_datasets.set_spec import SetSpec
from qi_datasets.sources import DemoSource
from qi_datasets.specs import SPECS
from qi_datasets.storage.card import size_category, whole_card, write_card
from qi_datasets.storage.manifest import ConfigRecord, FileRecord, Manifest, SplitRecord


def manifest_of(spec: SetSpec, **changes: Any) -> Manifest:
    configs = {
        name: ConfigRecord(
            border,
            spec.size + 2 * border,
            {s: SplitRecord(spec.rows(s), "ab" * 32, [f"{name}/{s}-00000-of-00001.parquet"]) for s in spec.splits},
        )
        for name, border in zip(spec.configs, spec.borders or (0,), strict=True)
    }
    shards = [name for config in configs.values() for split in config.splits.values() for name in split.files]
    files = {name: FileRecord(100 + number, "cd" * 32) for number, name in enumerate(shards)}
    return Manifest(
        spec.name, "1.2.3", "4.5.6", True, "pinned", "flat folder", spec.size, configs, {}, files, **changes
    )


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


# What the Hub reads at the head. It takes wrong identifiers in silence, so the known ones are written down here.

LICENCES = {"mit", "other", "unknown"}
TASKS = {"image-classification"}
ANNOTATORS = {"machine-generated"}
SIZES = {"n<1K", "1K<n<10K", "10K<n<100K"}
SOURCES = {"original", "extended|imagenet-1k"}
FIELD_KINDS = {"text", "checkbox"}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("layout", ["flat folder", "demo pictures"])
def test_identifiers_are_ones_that_the_hub_knows(spec: SetSpec, layout: str) -> None:
    manifest = replace(manifest_of(spec), layout=layout)
    card = DatasetCard(whole_card(spec, manifest))
    head = card.data.to_dict()
    assert head["license"] in LICENCES
    assert set(head["task_categories"]) <= TASKS
    assert set(head["annotations_creators"]) <= ANNOTATORS
    assert set(head["size_categories"]) <= SIZES
    assert set(head["source_datasets"]) <= SOURCES
    gated = layout != "demo pictures" and not spec.publishable
    assert ("extra_gated_prompt" in head) == gated
    if gated:
        assert "https://www.image-net.org/download.php" in head["extra_gated_prompt"]
        assert set(head["extra_gated_fields"].values()) <= FIELD_KINDS
        assert (head["license_name"], head["source_datasets"]) == ("imagenet", ["extended|imagenet-1k"])
    for info in head["dataset_info"]:
        config = manifest.configs[info["config_name"]]
        assert {split["name"]: (split["num_examples"], split["num_bytes"]) for split in info["splits"]} == {
            split: (record.rows, manifest.files[record.files[0]].bytes) for split, record in config.splits.items()
        }


@pytest.mark.parametrize(
    ("rows", "name"), [(2, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (60_000, "10K<n<100K"), (2_000_000, "1M<n<10M")]
)
def test_sizes_have_the_hubs_names(rows: int, name: str) -> None:
    assert size_category(rows) == name


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_recipes_card_shows_nothing_that_is_not_there(spec: SetSpec) -> None:
    card = whole_card(spec, manifest_of(spec), recipe="hf://datasets/lab/recipe@1.2.3")
    head, text = card.split("---\n", 2)[1:]
    assert not re.search(r"!\[|\.png|\.parquet|PATH/OF/THIS/FOLDER|\{\{|\{%", card)
    assert set(yaml.safe_load(head)) == {"license", "task_categories", "pretty_name", "tags"}
    assert "--recipe hf://datasets/lab/recipe@1.2.3" in text
    assert ("--imagenet-val PATH" in text) == spec.needs_images
    assert manifest_of(spec).default_config.splits[next(iter(spec.splits))].digest in text


def test_another_packages_terms_are_asked_for_in_general_words() -> None:
    spec = SetSpec(
        name="theirs", title="T", summary="S.", mode="L", size=32, labels=("a",), splits={"train": 2}, needs_images=True
    )
    head = yaml.safe_load(whole_card(spec, manifest_of(spec)).split("---\n", 2)[1])
    assert "ImageNet" not in head["extra_gated_prompt"] + "".join(head["extra_gated_fields"])
