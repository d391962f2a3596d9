"""The list of ImageNet's classes: complete, in order, and read only when it is needed."""

import hashlib
import subprocess
import sys

import pytest

from qi_datasets.imagenet import Wnids, label_of, wnids
from qi_datasets.specs import SPECS


def test_the_list_is_the_thousand_sorted_synsets() -> None:
    assert len(wnids()) == len(set(wnids())) == 1000
    assert list(wnids()) == sorted(wnids())
    text = "".join(f"{wnid}\n" for wnid in wnids())
    assert hashlib.sha256(text.encode()).hexdigest() == LIST_SHA256


LIST_SHA256 = "70002b0ff5de60a3a17a82dbfcff291931f96225ddf941ad2e182fc39e183d15"


@pytest.mark.parametrize(
    ("wnid", "label"), [("n01440764", 0), ("n02119789", 278), ("n15075141", 999), ("n00000000", -1), ("", -1)]
)
def test_a_label_is_the_place_in_the_list(wnid: str, label: int) -> None:
    assert label_of(wnid) == label


def test_the_spec_tables_labels_are_the_list() -> None:
    labels = SPECS["shifted"].labels

    assert isinstance(labels, Wnids)
    assert tuple(labels) == wnids()
    assert labels[999] == "n15075141"
    assert labels[:2] == ("n01440764", "n01443537")
    assert "n02119789" in labels


def test_importing_the_spec_table_reads_no_list() -> None:
    code = "import qi_datasets.specs, qi_datasets.imagenet; print(qi_datasets.imagenet.wnids.cache_info().misses)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "0"
