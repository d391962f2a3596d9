"""ImageNet's names: ids, classes and the synset of every validation image are complete and the published ones."""

import hashlib
import pickle
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qi_datasets.imagenet import (
    IMAGENET_TRAIN,
    IMAGENET_VAL,
    ImageCollection,
    label_of,
    val_name,
    val_wnid,
    wnids,
)
from qi_datasets.specs import SPECS
from tests import expected

LIST_SHA256 = "70002b0ff5de60a3a17a82dbfcff291931f96225ddf941ad2e182fc39e183d15"
VAL_SHA256 = "098d797749a19d2c76f3243494b4d38079446eab41f3b8775212a33e4558a35f"
"""Of the classes of images 1 to 50000, in decimal, one a line."""


def test_the_list_is_the_thousand_sorted_synsets() -> None:
    assert len(wnids()) == len(set(wnids())) == 1000
    assert list(wnids()) == sorted(wnids())
    text = "".join(f"{wnid}\n" for wnid in wnids())
    assert hashlib.sha256(text.encode()).hexdigest() == LIST_SHA256


@pytest.mark.parametrize(
    ("wnid", "label"), [("n01440764", 0), ("n02119789", 278), ("n15075141", 999), ("n00000000", -1), ("", -1)]
)
def test_a_label_is_the_place_in_the_list(wnid: str, label: int) -> None:
    assert label_of(wnid) == label


def test_the_spec_tables_labels_are_the_list() -> None:
    assert SPECS["shifted"].labels == wnids()


def test_the_class_of_every_validation_image_is_the_published_one() -> None:
    classes = [label_of(val_wnid(val_name(number))) for number in range(1, 50_001)]

    text = "".join(f"{label}\n" for label in classes)
    assert hashlib.sha256(text.encode()).hexdigest() == VAL_SHA256
    assert Counter(classes) == dict.fromkeys(range(1000), 50)


@given(st.integers(1, 50_000))
def test_the_table_is_ten_bits_an_image(number: int) -> None:
    assert val_wnid(val_name(number)) == expected.val_wnid(f"ILSVRC2012_val_{number:08d}")


@pytest.mark.parametrize(
    ("name", "wnid"),
    [
        ("ILSVRC2012_val_00000001", "n01751748"),
        ("ILSVRC2012_val_00000293", "n01440764"),
        ("ILSVRC2012_val_00000000", ""),
        ("ILSVRC2012_val_00050001", ""),
        ("ILSVRC2012_val_99999999", ""),
    ],
)
def test_the_synset_of_an_id(name: str, wnid: str) -> None:
    assert val_wnid(name) == wnid


@pytest.mark.parametrize(
    ("collection", "file", "named"),
    [
        (IMAGENET_VAL, "ILSVRC2012_val_00000293.JPEG", ("ILSVRC2012_val_00000293", "")),
        (IMAGENET_VAL, "ILSVRC2012_val_00000293_n01440764.jpg", ("ILSVRC2012_val_00000293", "n01440764")),
        (IMAGENET_VAL, "ILSVRC2012_val_293.JPEG", None),
        (IMAGENET_VAL, "ilsvrc2012_VAL_00000293_N01440764.Jpeg", ("ILSVRC2012_val_00000293", "n01440764")),
        (IMAGENET_VAL, "ILSVRC2012_val_00000293.png", ("ILSVRC2012_val_00000293", "")),
        (IMAGENET_VAL, "ILSVRC2012_val_\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661.JPEG", None),
        (IMAGENET_VAL, "ILSVRC2012_val_00000293.webp", None),
        (IMAGENET_VAL, "ILSVRC2012_test_00000293.JPEG", None),
        (IMAGENET_TRAIN, "n01440764_10026.JPEG", ("n01440764_10026", "n01440764")),
        (IMAGENET_TRAIN, "n01440764_tench.JPEG", None),
        (IMAGENET_TRAIN, "n0144076_10026.JPEG", None),
        (IMAGENET_TRAIN, "n01440764_10026.png", None),
    ],
)
def test_the_name_of_a_file_says_which_image_it_is(
    collection: ImageCollection, file: str, named: tuple[str, str] | None
) -> None:
    assert collection.named(file) == named


def test_collections_have_their_published_sizes_and_survive_pickling() -> None:
    assert (IMAGENET_VAL.images, IMAGENET_TRAIN.images) == (50_000, 1_281_167)
    for collection in (IMAGENET_VAL, IMAGENET_TRAIN):
        assert pickle.loads(pickle.dumps(collection)) == collection  # noqa: S301  (our own)
    assert IMAGENET_VAL != IMAGENET_TRAIN


def test_training_images_bear_their_synset() -> None:
    assert IMAGENET_TRAIN.wnid("train/n02119789/n01440764_10026.JPEG") == "n01440764"
    assert re.fullmatch(r"n\d{8}", IMAGENET_TRAIN.wnid("n01440764_1.jpg"))
