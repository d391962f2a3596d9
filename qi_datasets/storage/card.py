"""The dataset card (README.md) of a stored set: what the Hub reads at its head, and the text below for people."""

from pathlib import Path
from typing import Any

from huggingface_hub import DatasetCardData

from qi_datasets import specs
from qi_datasets.cards import template
from qi_datasets.set_spec import IMAGENET_TERMS, MIT, Licence, SetSpec
from qi_datasets.storage.manifest import ConfigRecord, Manifest

CARD = "README.md"
BASE = "card.md.jinja"
GATE = "gate.md.jinja"
TAGS = ["translation-invariance", "absolute-position", "zero-padding"]


def write_card(folder: Path, spec: SetSpec, manifest: Manifest) -> None:
    """Writes the card."""
    (folder / CARD).write_text(whole_card(spec, manifest), encoding="utf-8")


def whole_card(spec: SetSpec, manifest: Manifest, recipe: str = "") -> str:
    """Returns the card: its head between two lines of dashes, and its text. recipe: as for `card_text`."""
    head = recipe_front_matter(spec) if recipe else front_matter(spec, manifest)
    return f"---\n{head.to_yaml()}\n---\n\n{card_text(spec, manifest, recipe)}"


def card_text(spec: SetSpec, manifest: Manifest, recipe: str = "") -> str:
    """Returns what people read; a set without a template of its own (another package's) gets the common one.

    recipe: where the manifest is published that the set is to be made again from; a card with it has no files or
    pictures beside it, and says how.
    """
    card = template(f"{spec.name}.md.jinja", BASE)
    return str(card.render(spec=spec, manifest=manifest, facts=specs, recipe=recipe))


def front_matter(spec: SetSpec, manifest: Manifest) -> DatasetCardData:
    """Returns the card's head: terms, and the files of each config and split, so that stock tools load them."""
    licence = manifest.licence(spec)
    from_imagenet = licence == IMAGENET_TERMS
    return DatasetCardData(
        pretty_name=spec.title,
        license=licence.id,
        license_name=licence.name or None,
        license_link=licence.link or None,
        **({} if manifest.publishable(spec) else gate_text(licence)),
        annotations_creators=["machine-generated"],
        size_categories=[size_category(sum(split.rows for split in manifest.default_config.splits.values()))],
        source_datasets=["extended|imagenet-1k" if from_imagenet else "original"],
        task_categories=["image-classification"],
        tags=TAGS,
        dataset_info=[
            # Without columns, which would be a thousand class names; the row counts let stock tools see a stale file.
            {"config_name": name, "splits": sizes(manifest, config)}
            for name, config in manifest.configs.items()
        ],
        configs=[
            describe_config(spec, manifest, name, config) | ({"default": True} if number == 0 else {})
            for number, (name, config) in enumerate(manifest.configs.items())
        ],
    )


def sizes(manifest: Manifest, config: ConfigRecord) -> list[dict[str, object]]:
    """Returns rows and stored bytes of each split; stock `datasets` heeds the one only where the other is there too."""
    stored = {name: record.bytes for name, record in manifest.files.items()}
    return [
        {"name": name, "num_bytes": sum(stored.get(file, 0) for file in split.files), "num_examples": split.rows}
        for name, split in config.splits.items()
    ]


def recipe_front_matter(spec: SetSpec) -> DatasetCardData:
    """Returns the head of a recipe's card: hashes and names alone, under this package's own licence."""
    return DatasetCardData(
        pretty_name=f"{spec.title} (recipe)", license=MIT.id, task_categories=["image-classification"], tags=TAGS
    )


def gate_text(licence: Licence) -> dict[str, Any]:
    """Returns what the Hub asks of people who want to see pixels that not everybody may see."""
    prompt = template(GATE).render(licence=licence)
    terms = "I have agreed to the terms of access of ImageNet" if licence == IMAGENET_TERMS else "I agree"
    fields = {"Name": "text", "Affiliation": "text", terms: "checkbox"}
    fields["I use the images for non-commercial research or education only"] = "checkbox"
    return {"extra_gated_prompt": " ".join(prompt.split()), "extra_gated_fields": fields}


def size_category(rows: int) -> str:
    """Returns the Hub's name for that many rows."""
    bounds = [(1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")]
    return next((name for bound, name in bounds if rows < bound), "1M<n<10M")


def describe_config(spec: SetSpec, manifest: Manifest, name: str, config: ConfigRecord) -> dict[str, object]:
    """Returns one config of the card's head.

    Args:
        spec: The set.
        manifest: Of the set.
        name: Of the config.
        config: The config.
    """
    # Package 0.1.0 wrote no version of the manifest.
    version = f", manifest version {manifest.manifest_version}" if manifest.manifest_version else ""
    return {
        "config_name": name,
        # Stock `datasets` caches a local folder by its name and by this block: the digest keeps two builds apart, the
        # manifest's version what was stored before a refresh from what is after it.
        "description": f"{spec.title}, data version {manifest.spec_version}{version}, digest {config.digest}",
        "data_files": [{"split": split, "path": f"{name}/{split}-*.parquet"} for split in config.splits],
    }
