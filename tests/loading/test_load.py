"""`load_dataset` takes what the stock call takes, makes what it can, and says what is wrong."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pyarrow.dataset as ds
import pytest

import qi_datasets
from qi_datasets import QIDatasetsError, load_dataset
from qi_datasets.errors import NotBuiltError, OptionError, OutputError, SourceError, StoredSetError, UnknownSetError
from qi_datasets.specs import SPECS
from qi_datasets.storage.manifest import MANIFEST, Manifest
from qi_datasets.storage.manifest_file import text_of
from tests import expected, pictures
from tests.old_sets import as_0_1_0

GENERATED = [name for name, spec in SPECS.items() if not spec.needs_images]


@pytest.mark.parametrize("name", GENERATED)
def test_a_set_that_needs_no_input_is_made_on_first_use(name: str, home: Path) -> None:
    rows = load_dataset(name)

    assert isinstance(rows, datasets.DatasetDict)
    assert {split: part.num_rows for split, part in rows.items()} == dict(SPECS[name].splits)
    assert {path.name for path in home.iterdir()} == {name, f".{name}.lock"}


def test_the_second_use_reads_what_the_first_made(home: Path, untouched) -> None:
    load_dataset("rook")
    before = untouched(home)

    load_dataset("rook", border=7)

    assert untouched(home) == before


def test_where_sets_are_kept(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_dataset("corner", output=str(tmp_path / "given"))
    monkeypatch.setenv("QI_DATASETS_HOME", "~/sets")
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    load_dataset("corner")
    monkeypatch.delenv("QI_DATASETS_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    load_dataset("corner")

    found = {path.parent.relative_to(tmp_path).as_posix() for path in tmp_path.rglob(MANIFEST)}
    assert {"given/corner", "me/sets/corner"} < found
    assert len(found) == 3
    assert not home.exists()


@pytest.mark.parametrize("streaming", [False, True])
def test_the_kinds_are_those_of_the_stock_call(streaming: bool, small_qi: Path) -> None:
    one, many = (
        (datasets.IterableDataset, datasets.IterableDatasetDict)
        if streaming
        else (datasets.Dataset, datasets.DatasetDict)
    )
    for border in (0, 9):
        assert type(load_dataset("qi", border=border, output=small_qi, streaming=streaming)) is many
        assert type(load_dataset("qi", border=border, split="test", output=small_qi, streaming=streaming)) is one


@pytest.mark.parametrize("border", [0, 9])
def test_slices_sums_and_lists_of_splits(border: int, small_qi: Path) -> None:
    def rows(split: object) -> datasets.Dataset:
        return load_dataset("qi", border=border, split=split, output=small_qi)

    train = rows("train")
    assert rows("train[2:5]")["source"][:] == train["source"][2:5]
    assert rows("train[:50%]").num_rows == 4
    assert rows("train+test").num_rows == 16
    assert rows("train+test")[9]["image"].size == (120 + 2 * border,) * 2
    assert [part[0]["image"].size for part in rows(["train", "test"])] == [(120 + 2 * border,) * 2] * 2


def test_a_config_says_the_same_as_a_border(small_qi: Path) -> None:
    named = load_dataset("qi", "border_16", split="test", output=small_qi)
    given = load_dataset("qi", border=np.int64(16), split="test", output=small_qi)
    both = load_dataset("qi", "border_16", border=16, split="test", output=small_qi)

    for rows in zip(named, given, both, strict=True):
        assert len({row["image"].tobytes() for row in rows}) == 1
        assert all(row["border"] == 16 for row in rows)
    assert load_dataset("qi", "border_41", split="test", output=small_qi)[0]["image"].size == (202, 202)
    assert load_dataset("rook", "default", border=2)["train"][0]["image"].size == (36, 36)


def test_further_arguments_go_to_the_stock_call(small_qi: Path, tmp_path: Path) -> None:
    rows = load_dataset("qi", split="test", output=small_qi, cache_dir=str(tmp_path / "cache"), keep_in_memory=True)

    assert rows.num_rows == 8
    assert any((tmp_path / "cache").iterdir())


def test_a_size_and_a_canvas_of_ones_own(flat_folder: str, qi_build, tmp_path: Path) -> None:
    image = np.asarray(load_dataset("corner", size=9)["train"][1]["image"])
    assert image.shape == (9, 9)
    assert image[8, 8] == 255
    options = ("--per-split", 4, "--canvas", 128, "--border", 0, "--set", "qi")
    assert qi_build("--imagenet-val", flat_folder, "--output", tmp_path, *options).exit_code == 0

    row = load_dataset("qi", canvas=128, border=10, split="train", output=tmp_path)[1]

    assert (row["image"].size, row["x"], row["y"], row["border"]) == ((148, 148), 82, 82, 10)
    with pytest.raises(NotBuiltError):
        load_dataset("qi", output=tmp_path)


def test_stock_loading_needs_nothing_of_ours(small_qi: Path, album: dict[str, bytes], tmp_path: Path) -> None:
    script = (
        "import sys, datasets\n"
        f"cache = {str(tmp_path)!r}\n"
        f"rows = datasets.load_dataset({str(small_qi / 'qi')!r}, 'border_16', split='test', cache_dir=cache)\n"
        "assert not [name for name in sys.modules if name.startswith('qi_datasets.')]\n"
        "sys.stdout.buffer.write(rows[3]['image'].tobytes())\n"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)

    assert loaded.returncode == 0, loaded.stderr
    assert b"Ignoring part of dataset_info" not in loaded.stderr
    name = expected.in_order(album)[9]
    assert loaded.stdout == expected.quadrant_image(expected.quadrant_patch(album[name]), 1, 16).tobytes()


def test_imagenet_val_builds_what_is_not_built_yet(official_folder: Path, home: Path, untouched) -> None:
    rows = load_dataset("qi", border=64, imagenet_val=official_folder)

    assert {split: part.num_rows for split, part in rows.items()} == dict.fromkeys(
        ("train", "validation", "test"), 2000
    )
    assert rows["test"][0]["image"].size == (248, 248)
    manifest = Manifest.read(home / "qi")
    assert manifest.canonical
    assert manifest.borders == {0}
    before = untouched(home)
    again = load_dataset("qi", split="test", imagenet_val=str(official_folder))
    assert again.num_rows == 2000
    assert untouched(home) == before


BAD_CALLS = {
    "a negative border": (
        {"path": "qi", "border": -16},
        OptionError,
        "border must be an integer from 0 to 4096, not -16",
    ),
    "a border as text": ({"path": "qi", "border": "64"}, OptionError, "not '64'"),
    "a fractional border": ({"path": "qi", "border": 1.5}, OptionError, r"not 1\.5"),
    "a border that is true": ({"path": "qi", "border": True}, OptionError, "not True"),
    "too wide a border": ({"path": "qi", "border": 4097}, OptionError, "not 4097"),
    "an unknown set": (
        {"path": "q1"},
        UnknownSetError,
        r"no set is called 'q1' \(did you mean 'qi'\?\); there are rook",
    ),
    "a path": ({"path": "./qi"}, UnknownSetError, "no set is called './qi'"),
    "nothing": ({"path": None}, UnknownSetError, "no set is called None"),
    "an unknown config": (
        {"path": "qi", "name": "bordr_64"},
        UnknownSetError,
        "no config 'bordr_64'.*did you mean 'border_64'",
    ),
    "a config out of range": ({"path": "qi", "name": "border_5000"}, OptionError, "not 5000"),
    "a config of digits without end": ({"path": "qi", "name": f"border_{'9' * 5000}"}, QIDatasetsError, ""),
    "a config that is a number": ({"path": "qi", "name": 64}, UnknownSetError, "no config 64"),
    "another set's config": ({"path": "rook", "name": "border_0"}, UnknownSetError, "rook has no config 'border_0'"),
    "a config against a border": (
        {"path": "qi", "name": "border_64", "border": 0},
        OptionError,
        "contradict each other",
    ),
    "a border where none is": ({"path": "corner", "border": 3}, OptionError, "corner takes no border"),
    "a size where none is": ({"path": "rook", "size": 64}, OptionError, "rook takes no size, but size=64"),
    "a canvas where none is": ({"path": "corner", "canvas": 120}, OptionError, "corner takes no canvas"),
    "too small a size": ({"path": "corner", "size": 0}, OptionError, "size must be an integer from 3 to 1024, not 0"),
    "a size as text": ({"path": "corner", "size": "5"}, OptionError, "not '5'"),
    "an odd canvas": ({"path": "qi", "canvas": 113}, OptionError, "canvas must be an even integer"),
    "not built": (
        {"path": "qi"},
        NotBuiltError,
        r'qi is not built in .*qi_datasets\.build_dataset\("qi", imagenet_val=PATH\).*demo=True.*output=OUT',
    ),
    "a canvas that is not built": (
        {"path": "qi", "canvas": 112},
        NotBuiltError,
        r'qi with canvas=112 is not built in .*build_dataset\("qi", canvas=112, imagenet_val=PATH\)',
    ),
    "no such images": ({"path": "qi", "imagenet_val": "/no/such/path"}, SourceError, "no such path: /no/such/path"),
    "an unknown split": ({"path": "corner", "split": "test"}, UnknownSetError, "corner has no split 'test'"),
    "a split with a typo": ({"path": "qi", "split": "tset"}, UnknownSetError, "'tset'.*did you mean 'test'"),
    "an unknown split in a sum": ({"path": "qi", "split": "train[:5]+tset[2:]"}, UnknownSetError, "no split 'tset'"),
    "an unknown split in a list": ({"path": "qi", "split": ["train", "tset"]}, UnknownSetError, "no split 'tset'"),
    "half a slice": ({"path": "qi", "split": "train[:5"}, OptionError, r"split='train\[:5' is not understood"),
    "too many percent": ({"path": "qi", "split": "train[:101%]"}, OptionError, "between|Percent|-100"),
    "a split that is a number": (
        {"path": "qi", "split": 3},
        OptionError,
        "split must be a name such as 'train', not 3",
    ),
    "a streamed slice": (
        {"path": "qi", "split": "train[:5]", "streaming": True},
        OptionError,
        "a part of a split, which can't be streamed; use take and skip",
    ),
    "an argument with a typo": (
        {"path": "rook", "boarder": 64},
        OptionError,
        r"no argument 'boarder' \(did you mean 'border'\?\)",
    ),
    "a stock argument with a typo": ({"path": "rook", "colums": ["label"]}, OptionError, "did you mean 'columns'"),
    "an argument like no other": ({"path": "rook", "xyzzy": 1}, OptionError, "no argument 'xyzzy'; help"),
    "files of one's own": (
        {"path": "rook", "data_files": "a.parquet"},
        OptionError,
        "takes no data_files: a set has its",
    ),
    "processes for a stream": (
        {"path": "rook", "streaming": True, "num_proc": 2},
        OptionError,
        "num_proc=2 has no effect with streaming=True",
    ),
    "an unknown column": (
        {"path": "qi", "columns": ["image", "lable"]},
        OptionError,
        "no column 'lable'.*did you mean 'label'.*there are image, label, source",
    ),
    "a column of the stored rows, for pairs": (
        {"path": "shifted", "mode": "pairs", "columns": ["image"]},
        OptionError,
        "no column 'image'.*there are image_a, image_b, label",
    ),
    "columns that are text": (
        {"path": "qi", "columns": "label"},
        OptionError,
        "columns must be a list of some of image",
    ),
    "no columns": ({"path": "qi", "columns": []}, OptionError, "columns must be a list"),
    "a filter by what a border moves": (
        {"path": "qi", "border": 8, "filters": [("x", "==", 8)]},
        OptionError,
        "filters sees x as it is stored, without the border",
    ),
    "a computed filter by what a border moves": (
        {"path": "qi", "border": 8, "filters": ds.field("border") == 8},
        OptionError,
        "filters sees border as it is stored",
    ),
    "another kind of image under a view": (
        {"path": "rook", "border": 8, "features": datasets.Features({"image": datasets.Value("binary")})},
        OptionError,
        r"features: image must be datasets\.Image\(\) under a view",
    ),
    "a config of another set beside a mode": (
        {"path": "shifted", "name": "nonsense", "mode": "crop"},
        UnknownSetError,
        "no config 'nonsense'",
    ),
    "a border beside a mode": ({"path": "shifted", "mode": "crop", "border": 8}, OptionError, "takes no border"),
}


@pytest.mark.parametrize(("call", "kind", "message"), BAD_CALLS.values(), ids=BAD_CALLS)
def test_a_bad_call_is_one_of_our_errors_and_leaves_nothing(
    call: dict[str, object], kind: type[QIDatasetsError], message: str, home: Path
) -> None:
    with pytest.raises(kind, match=message) as raised:
        load_dataset(**call)

    assert len(str(raised.value).splitlines()) == 1
    assert not home.exists() or call["path"] == "corner"


def test_our_errors_are_value_errors_where_a_value_is_wrong() -> None:
    with pytest.raises(ValueError, match="not -1"):
        load_dataset("qi", border=-1)


@pytest.mark.parametrize("where", ["a file/out", "/proc/1/out"])
def test_an_output_that_cannot_be_written_is_one_of_our_errors(where: str, tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("mine")

    with pytest.raises(OutputError, match="choose another output folder"):
        load_dataset("rook", output=tmp_path / where)


def test_an_output_may_have_any_name(tmp_path: Path) -> None:
    output = tmp_path / "sets [old] * ä, 1"

    assert load_dataset("rook", output=output)["train"].num_rows == 2


@pytest.mark.parametrize("place", ["output", "imagenet_val"])
def test_the_home_of_a_user_who_is_not_there_is_one_of_our_errors(place: str) -> None:
    with pytest.raises(QIDatasetsError, match="~no-such-user"):
        load_dataset("qi", **{place: "~no-such-user/sets"})


def test_a_set_of_another_version_is_not_read(qi_copy: Path) -> None:
    path = qi_copy / "qi" / MANIFEST
    path.write_text(text_of(json.loads(path.read_text()) | {"spec_version": "0.9.0"}))

    with pytest.raises(StoredSetError, match=r"spec version 0\.9\.0.*qi-build"):
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


def test_a_contradiction_in_the_layout_is_a_warning(tmp_path: Path) -> None:
    name, *others = map(pictures.name_of, expected.official_ids()[:3000])
    pictures.write(tmp_path / "n01440764" / f"{name}.JPEG", b"no image")
    for other in others:
        pictures.write(tmp_path / expected.val_wnid(other) / f"{other}.JPEG", b"no image")

    with pytest.warns(match=rf"{name} is {expected.val_wnid(name)} \(here n01440764\)"), pytest.raises(SourceError):
        load_dataset("qi", imagenet_val=tmp_path)


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


def test_the_package_offers_what_it_says() -> None:
    assert set(qi_datasets.__all__) >= {"QIDatasetsError", "__version__", "as_stock", "load_dataset"}
    assert all(hasattr(qi_datasets, name) for name in qi_datasets.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = qi_datasets.nonsense


@pytest.mark.parametrize("module", ["qi_datasets", "qi_datasets.specs", "qi_datasets.commands.build"])
def test_importing_is_light(module: str) -> None:
    script = f"import sys, {module}; print(*{{'datasets', 'pyarrow', 'torch', 'numpy', 'PIL'}} & set(sys.modules))"

    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert (found.returncode, found.stdout.strip()) == (0, ""), found.stderr


def test_loading_and_building_never_import_torch(tmp_path: Path) -> None:
    calls = "from qi_datasets import load_dataset; load_dataset('rook', border=3)"
    script = f"import sys; {calls}; print('torch' in sys.modules)"
    environment = os.environ | {"QI_DATASETS_HOME": str(tmp_path), "USE_TORCH": "0"}

    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)

    assert found.stdout.strip() == "False", found.stderr


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
        with pytest.raises(StoredSetError, match=r"holds corner of 5 pixels, not"):
            load_dataset(name, size=size)
