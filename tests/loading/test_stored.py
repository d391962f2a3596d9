"""Stored sets that are old, damaged, replaced or of another name."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from qi_datasets import load_dataset
from qi_datasets.errors import StoredSetError
from qi_datasets.storage.manifest import MANIFEST, Manifest
from qi_datasets.storage.manifest_file import text_of
from tests import expected, pictures
from tests.old_sets import as_0_1_0
from tests.refusals import refused


def test_a_set_of_another_version_is_not_read(qi_copy: Path) -> None:
    path = qi_copy / "qi" / MANIFEST
    path.write_text(text_of(json.loads(path.read_text()) | {"spec_version": "0.9.0"}))

    with pytest.raises(StoredSetError, match=r"data version 0\.9\.0.*qi-build"):
        load_dataset("qi", output=qi_copy)


def test_a_set_of_0_1_0_is_read_with_a_hint(qi_copy: Path, untouched) -> None:
    fresh = load_dataset("qi", border=16, output=qi_copy)["test"]
    as_0_1_0(qi_copy / "qi", "wnid")
    before = untouched(qi_copy)

    with pytest.warns(
        UserWarning, match=r"was written by qi-datasets 0\.1\.0 .*; run the command qi-build again"
    ) as seen:
        old = load_dataset("qi", border=16, output=qi_copy)["test"]

    assert [warning.filename for warning in seen if "qi-build" in str(warning.message)] == [__file__]
    assert set(old["wnid"]) == {""}
    for one, other in zip(old, fresh, strict=True):
        assert one["image"].tobytes() == other["image"].tobytes()
        assert {**one, "image": None, "wnid": None} == {**other, "image": None, "wnid": None}
    assert untouched(qi_copy) == before


def test_a_toy_set_of_0_1_0_is_read_with_a_hint_and_not_written(home: Path, untouched) -> None:
    load_dataset("rook")
    as_0_1_0(home / "rook")
    before = untouched(home)

    with pytest.warns(UserWarning, match="run the command qi-build again"):
        assert load_dataset("rook", border=3)["train"].num_rows == 2

    assert untouched(home) == before


@pytest.mark.parametrize("damage", ["gone", "cut off", "no manifest"])
def test_a_damaged_set_is_not_read(damage: str, qi_copy: Path) -> None:
    folder = qi_copy / "qi"
    name = MANIFEST if damage == "no manifest" else next(iter(Manifest.read(folder).files))
    if damage == "cut off":
        (folder / name).write_bytes((folder / name).read_bytes()[:-1])
    else:
        (folder / name).unlink()

    with pytest.raises(StoredSetError, match=name):
        load_dataset("qi", output=qi_copy)


@pytest.mark.parametrize("streaming", [False, True])
def test_files_that_are_no_parquet_are_a_damaged_set(streaming: bool, qi_copy: Path) -> None:
    for file in (qi_copy / "qi").rglob("*.parquet"):
        file.write_bytes(bytes(file.stat().st_size))

    with pytest.raises(StoredSetError, match=r"is damaged: .*; build it again"):
        load_dataset("qi", output=qi_copy, streaming=streaming)


def test_a_damaged_set_that_needs_no_input_is_made_again(home: Path) -> None:
    load_dataset("rook")
    for path in home.rglob("*.parquet"):
        path.unlink()

    assert load_dataset("rook")["train"].num_rows == 2


def test_a_set_built_again_is_not_read_from_a_stale_cache(album: dict[str, bytes], qi_build, tmp_path: Path) -> None:
    options = ("--output", tmp_path / "out", "--set", "qi", "--border", 0, "--per-split", 1)
    renamed = dict(zip(album, reversed(album.values()), strict=True))
    for number, files in enumerate((album, renamed)):
        place = pictures.flat(files, tmp_path / f"images {number}")
        assert qi_build("--imagenet-val", place, "--force", *options).exit_code == 0
        row = load_dataset("qi", split="train", output=tmp_path / "out")[0]
        patch = expected.quadrant_patch(files[expected.in_order(files)[0]])
        np.testing.assert_array_equal(np.asarray(row["image"]), expected.quadrant_image(patch, 0, 0))


def test_a_set_that_a_stopped_swap_left_aside_is_read_where_it_lies(qi_copy: Path, untouched) -> None:
    aside = qi_copy / ".qi.replaced-abcdefgh"
    aside.mkdir()
    (qi_copy / "qi").rename(aside / "qi")
    before = untouched(qi_copy)

    loaded = load_dataset("qi", output=qi_copy, border=16)

    assert loaded["test"][0]["image"].size == (152, 152)
    assert untouched(qi_copy) == before


def test_another_set_under_this_name_is_not_read(home: Path) -> None:
    load_dataset("corner")
    load_dataset("corner", size=7)
    shutil.copytree(home / "corner", home / "rook")
    shutil.copytree(home / "corner", home / "corner-size_9")

    for name, size in (("rook", None), ("corner", 9)):
        with refused(StoredSetError, "other-set", match=r"holds corner of 5 pixels, not"):
            load_dataset(name, size=size)
