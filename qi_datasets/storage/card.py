"""The dataset card (README.md) of a stored set: what the Hub reads at its head, and the text below for people."""

from pathlib import Path
from typing import Any

from huggingface_hub import DatasetCardData

from qi_datasets import specs
from qi_datasets.cards import template
from qi_datasets.set_spec import SetSpec
from qi_datasets.storage.manifest import ConfigRecord, Manifest

CARD = "README.md"
BASE = "card.md.jinja"


def write_card(folder: Path, spec: SetSpec, manifest: Manifest) -> None:
    """Writes the card; a set without a template of its own (another package's) gets the common one."""
    text = template(f"{spec.name}.md.jinja", BASE).render(spec=spec, manifest=manifest, facts=specs)
    (folder / CARD).write_text(f"---\n{front_matter(spec, manifest).to_yaml()}\n---\n\n{text}", encoding="utf-8")


def front_matter(spec: SetSpec, manifest: Manifest) -> DatasetCardData:
    """The card's head: terms, and where the files of each config and split lie, so that stock tools load them."""
    licence = manifest.licence(spec)
    return DatasetCardData(
        pretty_name=spec.title,
        license=licence.id,
        license_name=licence.name or None,
        license_link=licence.link or None,
        task_categories=["image-classification"],
        tags=["translation-invariance", "absolute-position", "zero-padding"],
        configs=[
            described(spec, manifest, name, config) | ({"default": True} if number == 0 else {})
            for number, (name, config) in enumerate(manifest.configs.items())
        ],
    )


def described(spec: SetSpec, manifest: Manifest, name: str, config: ConfigRecord) -> dict[str, Any]:
    """One config of the card's head."""
    return {
        "config_name": name,
        # Stock `datasets` caches a local folder by its name and by this block: the digest keeps two builds apart, the
        # manifest's version what was stored before a refresh from what is after it.
        "description": f"{spec.title}, data version {manifest.spec_version}, manifest version "
        f"{manifest.manifest_version}, digest {config.digest}",
        "data_files": [{"split": split, "path": f"{name}/{split}-*.parquet"} for split in config.splits],
    }
