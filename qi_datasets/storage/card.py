"""Renders the dataset card (README.md) of a stored set from its template in `qi_datasets.cards`."""

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from qi_datasets import specs
from qi_datasets.specs import SetSpec
from qi_datasets.storage.manifest import Manifest

CARD = "README.md"
BASE = "card.md.jinja"


def write_card(folder: Path, spec: SetSpec, manifest: Manifest) -> None:
    """Writes the card; a set without a template of its own (another package's) gets the common one."""
    environment = Environment(
        loader=PackageLoader("qi_datasets.cards", "."),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  (Markdown)
    )
    template = environment.select_template([f"{spec.name}.md.jinja", BASE])
    (folder / CARD).write_text(template.render(spec=spec, manifest=manifest, facts=specs), encoding="utf-8")
