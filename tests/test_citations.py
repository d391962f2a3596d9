"""Sections of the data specification that the code cites exist."""

import re
from importlib.resources import files
from pathlib import Path

import pytest

import qi_datasets
from qi_datasets import builders

FOLDERS = [Path(module.__file__ or "").parent for module in (qi_datasets, builders)]
CITATION = re.compile(r"cards/specification\.md[`,]*\s+(?:section )?\"([^\"]+)\"")


def cited_sections() -> set[str]:
    texts = [path.read_text(encoding="utf-8") for folder in FOLDERS for path in folder.rglob("*.py")]
    return {" ".join(section.split()) for text in texts for section in CITATION.findall(text)}


@pytest.mark.parametrize("section", sorted(cited_sections()))
def test_cited_section_exists(section: str) -> None:
    specification = files("qi_datasets.cards").joinpath("specification.md").read_text(encoding="utf-8")
    assert f"## {section}\n" in specification


def test_sections_are_cited_at_all() -> None:
    assert len(cited_sections()) >= 3  # or the pattern no longer matches how the code cites
