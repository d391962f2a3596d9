"""`load_dataset` takes the arguments of the stock call, and makes sets that it can make."""

import os
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import features

import qi_datasets
from qi_datasets import load_dataset
from qi_datasets.errors import NotBuiltError, SourceError
from qi_datasets.specs import SPECS
from qi_datasets.storage.manifest import MANIFEST, Manifest
from tests import expected, pictures

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
    sources = [name for part in rows.values() for name in part["source"][::2]]
    assert sources == [pictures.name_of(number) for number in expected.official_ids()[:3000]]
    manifest = Manifest.read(home / "qi")
    assert (manifest.canonical, manifest.pixels) == (True, "unverified")
    assert manifest.borders == {0}
    before = untouched(home)
    again = load_dataset("qi", split="test", imagenet_val=str(official_folder))
    assert again.num_rows == 2000
    assert untouched(home) == before


def test_what_is_wrong_with_layout_and_decoder_is_a_warning(tmp_path: Path, monkeypatch) -> None:
    name, *others = map(pictures.name_of, expected.official_ids()[:3000])
    pictures.write(tmp_path / "n01440764" / f"{name}.JPEG", b"no image")
    for other in others:
        pictures.write(tmp_path / expected.val_wnid(other) / f"{other}.JPEG", b"no image")

    monkeypatch.setattr(features, "check", lambda name: name != "libjpeg_turbo")

    with pytest.warns() as warned, pytest.raises(SourceError):
        load_dataset("qi", imagenet_val=tmp_path)
    assert f"{name} is {expected.val_wnid(name)} (here n01440764)" in str(warned[0].message)
    assert str(warned[1].message).startswith("Pillow decodes JPEG with libjpeg ")
    assert {Path(one.filename).name for one in warned} == {"test_load.py"}


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
