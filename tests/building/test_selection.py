"""Which images each split gets: by the digests of their names, in every layout."""

import hashlib
import random
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qi_datasets.building.selection import official_order, official_selection, order_key, selection_digest
from qi_datasets.building.selection import select as select_from
from qi_datasets.errors import OptionError, SourceError
from qi_datasets.imagenet import IMAGENET_TRAIN, IMAGENET_VAL, ImageCollection
from qi_datasets.specs import QI
from tests import expected, pictures
from tests.refusals import refused

select = partial(select_from, collection=IMAGENET_VAL)
AFTER_QI = replace(QI, name="later", splits={"test": 5}, first_rank_after="qi")


def official_names(count: int) -> list[str]:
    return [pictures.name_of(number) for number in expected.official_ids()[:count]]


def joined(selected: dict[str, list[str]]) -> list[str]:
    return [name for names in selected.values() for name in names]


def test_the_official_selection_is_the_published_order() -> None:
    selected = select(QI, official_names(3000), official=True)

    assert {split: len(names) for split, names in selected.items()} == {"train": 1000, "validation": 1000, "test": 1000}
    assert joined(selected) == official_names(3000)


def test_the_selected_ids_never_change() -> None:
    ids = "".join(f"{pictures.name_of(number)}\n" for number in expected.official_ids()[:3000])
    digest = hashlib.sha256(ids.encode()).hexdigest()

    assert digest == "5156abcbc44e880a2f04134a716aad9b809c355c3d7efcacfbc44650aa7acc70"
    assert QI.selection_digest == digest
    assert selection_digest(official_selection(QI)) == digest


def test_the_official_order_holds_every_id_once() -> None:
    assert tuple(official_order()) == expected.official_ids()


@given(st.sets(st.integers(1, 50_000), min_size=6, max_size=40), st.randoms(use_true_random=False))
def test_the_order_of_files_is_irrelevant(ids: set[int], shuffler: random.Random) -> None:
    names = sorted(map(pictures.name_of, ids))
    shuffled = list(names)
    shuffler.shuffle(shuffled)
    splits = {"qi": {"train": 3, "validation": 2, "test": 1}}

    selected = select(QI, shuffled, official=False, splits=splits)

    assert joined(selected) == expected.in_order(names)[:6]
    assert list(map(len, selected.values())) == [3, 2, 1]


@pytest.mark.parametrize("collection", [None, IMAGENET_TRAIN], ids=["none", "ImageNet train"])
def test_other_names_are_ordered_by_their_whole_path(collection: ImageCollection | None) -> None:
    names = [
        "b/c.jpg",
        "ä.png",
        "n01440764/n01440764_10026.JPEG",
        "a/ILSVRC2012_val_00000001.JPEG",
        "ILSVRC2012_val_00000001",
    ]

    splits = {"qi": {"train": 3, "validation": 1, "test": 1}}
    selected = select_from(QI, names, collection=collection, official=False, splits=splits)

    assert joined(selected) == sorted(names, key=expected.draw)


def test_of_an_official_name_the_digits_alone_count() -> None:
    assert order_key("ILSVRC2012_val_00000001", IMAGENET_VAL) == expected.draw("00000001")


def test_missing_images_are_counted_and_the_first_are_named() -> None:
    names = official_names(3000)
    missing = [names[4], *names[2000:2007]]

    with refused(SourceError, "too-few-images", match="8 of the 3000 selected images are missing in V") as raised:
        select(QI, set(names) - set(missing), official=True, where="V")

    message = str(raised.value)
    assert all(name in message for name in missing[:5])
    assert "and 3 more" in message
    assert missing[5] not in message


def test_one_missing_image_is_named_alone() -> None:
    names = official_names(3000)

    with pytest.raises(SourceError, match=f"1 of the 3000 .*: {names[-1]};"):
        select(QI, names[:-1], official=True)


def test_other_files_may_be_missing_or_there() -> None:
    names = official_names(3100)

    assert select(QI, names, official=True) == select(QI, names[:3000], official=True)


def test_more_than_there_are_is_an_error_with_both_numbers() -> None:
    with refused(SourceError, "too-few-images", match=r"qi: 9 images are asked for.* but V has 8"):
        select(QI, official_names(8), official=False, splits={"qi": dict.fromkeys(QI.splits, 3)}, where="V")


def test_nothing_asked_for_is_an_error() -> None:
    with pytest.raises(OptionError, match="no images at all"):
        select(QI, official_names(8), official=False, splits={"qi": dict.fromkeys(QI.splits, 0)})


def test_a_later_set_starts_after_the_ranks_of_the_earlier() -> None:
    names = official_names(3005)

    assert joined(select(AFTER_QI, names, official=True)) == names[3000:]
    splits = {"qi": {"train": 2, "validation": 1, "test": 1}, "later": {"test": 3}}
    assert joined(select(AFTER_QI, names[:7], official=False, splits=splits)) == names[4:7]
    with refused(
        SourceError, "too-few-images", match="later: 3 images are asked for, after the 4 of qi, but the source has 6"
    ):
        select(AFTER_QI, names[:6], official=False, splits=splits)
