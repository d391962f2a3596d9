"""Loaded rows know their origin, whatever is done with them; demo pictures announce themselves."""

import subprocess
import sys
from pathlib import Path

import datasets
import pytest

from qi_datasets import build_dataset, load_dataset, provenance
from qi_datasets.errors import OptionError, StoredSetError
from qi_datasets.specs import SPEC_VERSION, SPECS
from qi_datasets.storage.manifest import Manifest

WAYS = {
    "a dictionary": lambda qi: load_dataset("qi", output=qi),
    "a split": lambda qi: load_dataset("qi", split="test", output=qi),
    "splits": lambda qi: load_dataset("qi", split=["train", "test"], output=qi)[1],
    "a border": lambda qi: load_dataset("qi", border=3, split="test", output=qi),
    "a stream": lambda qi: load_dataset("qi", split="test", streaming=True, output=qi),
    "a stream with a border": lambda qi: load_dataset("qi", border=3, split="test", streaming=True, output=qi),
    "selected and mapped": lambda qi: (
        load_dataset("qi", border=3, split="test", output=qi).select([0, 1]).map(lambda row: {"more": row["x"]})
    ),
    "a set's folder": lambda qi: qi / "qi",
    "a set's folder as text": lambda qi: str(qi / "qi"),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_every_way_tells_what_the_manifest_says(way, small_qi: Path) -> None:
    told = provenance(way(small_qi))

    manifest = Manifest.read(small_qi / "qi")
    assert told == manifest.provenance
    assert (told["set"], told["data_version"], told["official_selection"]) == ("qi", SPEC_VERSION, False)
    assert told["pixels"] == "unverified"
    assert told["digests"]["border_16"]["test"] == manifest.configs["border_16"].splits["test"].digest


def test_the_info_carries_version_terms_and_description(small_qi: Path) -> None:
    info = load_dataset("qi", split="test", output=small_qi).info

    assert str(info.version) == SPEC_VERSION
    assert info.license == SPECS["qi"].licence.name
    assert SPECS["qi"].summary in info.description


@pytest.mark.parametrize("what", [None, 3, datasets.Dataset.from_dict({"a": [1]})])
def test_what_we_did_not_load_is_refused(what: object) -> None:
    with pytest.raises(OptionError, match="has no provenance"):
        provenance(what)


def test_a_folder_without_a_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoredSetError, match="is no set"):
        provenance(tmp_path)


def test_demo_pictures_are_announced_once_per_process(tmp_path: Path) -> None:
    build_dataset("qi", demo=True, per_split=1, borders=[0], output=tmp_path, progress=False)
    call = f"load_dataset('qi', border=3, output={str(tmp_path)!r})"
    script = f"from qi_datasets import load_dataset; {call}; {call}"

    done = subprocess.run([sys.executable, "-W", "always", "-c", script], capture_output=True, text=True, check=True)

    assert done.stderr.count("procedural demo pictures, not photographs") == 1


def test_the_folder_of_the_set_itself_may_be_named(small_qi: Path) -> None:
    assert load_dataset("qi", split="test", output=small_qi / "qi").num_rows == 8
    with pytest.raises(OptionError, match="is the set qi, not rook; give the folder above"):
        load_dataset("rook", output=small_qi / "qi")
