"""The data set card (README.md) of a stored set: its front matter for the Hub, and its text for people."""

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
    """Returns the card: front matter between two lines of dashes, and text. recipe: as in `card_text`."""
    head = recipe_front_matter(spec) if recipe else front_matter(spec, manifest)
    return f"---\n{head.to_yaml()}\n---\n\n{card_text(spec, manifest, recipe)}"


def card_text(spec: SetSpec, manifest: Manifest, recipe: str = "") -> str:
    """Returns the card's text; a set without its own template (another package's) gets the common one.

    recipe: where the manifest is published from which the set can be made again; such a card has no files or
    pictures beside it, and says how.
    """
    card = template(f"{spec.name}.md.jinja", BASE)
    return str(card.render(spec=spec, manifest=manifest, facts=specs, recipe=recipe))


def front_matter(spec: SetSpec, manifest: Manifest) -> DatasetCardData:
    """Returns the card's front matter: terms, and the files of each config and split, so that stock tools load them."""
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
            # Features are left out (they would list 1,000 class names); row counts let stock tools notice a stale file.
            {"config_name": name, "splits": sizes(manifest, config)}
            for name, config in manifest.configs.items()
        ],
        configs=[
            describe_config(spec, manifest, name, config) | ({"default": True} if number == 0 else {})
            for number, (name, config) in enumerate(manifest.configs.items())
        ],
    )


def sizes(manifest: Manifest, config: ConfigRecord) -> list[dict[str, object]]:
    """Returns rows and stored bytes of each split; stock `datasets` reads the one only if the other is there too."""
    stored = {name: record.bytes for name, record in manifest.files.items()}
    return [
        {"name": name, "num_bytes": sum(stored.get(file, 0) for file in split.files), "num_examples": split.rows}
        for name, split in config.splits.items()
    ]


def recipe_front_matter(spec: SetSpec) -> DatasetCardData:
    """Returns the front matter of a recipe's card: hashes and names alone, under this package's own licence."""
    return DatasetCardData(
        pretty_name=f"{spec.title} (recipe)", license=MIT.id, task_categories=["image-classification"], tags=TAGS
    )


def gate_text(licence: Licence) -> dict[str, Any]:
    """Returns the form that the Hub shows to people who ask for pixels that are not public."""
    prompt = template(GATE).render(licence=licence)
    terms = "I have agreed to the terms of access of ImageNet" if licence == IMAGENET_TERMS else "I agree"
    fields = {"Name": "text", "Affiliation": "text", terms: "checkbox"}
    fields["I use the images for non-commercial research or education only"] = "checkbox"
    return {"extra_gated_prompt": " ".join(prompt.split()), "extra_gated_fields": fields}


def size_category(rows: int) -> str:
    """Returns the Hub's name of the size category for that many rows."""
    bounds = [(1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")]
    return next((name for bound, name in bounds if rows < bound), "1M<n<10M")


def describe_config(spec: SetSpec, manifest: Manifest, name: str, config: ConfigRecord) -> dict[str, object]:
    """Returns one config of the card's front matter.

    Args:
        spec: The set.
        manifest: The set's manifest.
        name: The config's name.
        config: The config.
    """
    # Package 0.1.0 wrote no manifest version.
    version = f", manifest version {manifest.manifest_version}" if manifest.manifest_version else ""
    return {
        "config_name": name,
        # Stock `datasets` caches a local folder by its name and by this block: the digest distinguishes two builds, the
        # manifest's version distinguishes the state before a refresh from that after it.
        "description": f"{spec.title}, data version {manifest.spec_version}{version}, digest {config.digest}",
        "data_files": [{"split": split, "path": f"{name}/{split}-*.parquet"} for split in config.splits],
    }
