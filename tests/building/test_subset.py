"""The lists of training images: nested, balanced, equal from every layout; other images are refused."""

import hashlib
import io
import os
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

from qi_datasets import load_dataset
from qi_datasets.building.subset import FACTS, LIST, build_subset, link_subset, read_subset
from qi_datasets.commands.build import main
from qi_datasets.errors import NotBuiltError, OptionError, OutputError, SourceError, StoredSetError
from qi_datasets.imagenet import wnids
from qi_datasets.sources.training import KAGGLE_TRAIN, open_training
from tests.refusals import refused

EACH = 4


def picture(name: str) -> bytes:
    """Returns a small JPEG with a colour of its own."""
    held = io.BytesIO()
    Image.new("RGB", (8, 8), tuple(hashlib.sha256(name.encode()).digest()[:3])).save(held, "JPEG")
    return held.getvalue()


@pytest.fixture(scope="module")
def pictures() -> dict[str, bytes]:
    """Returns names of a made-up training set: a few images of each of the 1000 classes."""
    return {name: picture(name) for wnid in wnids() for name in (f"{wnid}_{7 * k + 3}" for k in range(EACH))}


@pytest.fixture(scope="module")
def folders(pictures: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("train")
    for wnid in wnids():
        (top / wnid).mkdir()
    for name, data in pictures.items():
        (top / name.partition("_")[0] / f"{name}.JPEG").write_bytes(data)
    return top


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def tar_of_tars(pictures: dict[str, bytes], folder: Path) -> Path:
    path = folder / "ILSVRC2012_img_train.tar"
    with tarfile.open(path, "w") as outer:
        for wnid in wnids():
            held = io.BytesIO()
            with tarfile.open(fileobj=held, mode="w") as inner:
                for name in (name for name in pictures if name.startswith(wnid)):
                    add(inner, f"{name}.JPEG", pictures[name])
            add(outer, f"{wnid}.tar", held.getvalue())
    return path


def kaggle(pictures: dict[str, bytes], folder: Path) -> Path:
    path = folder / "imagenet-object-localization-challenge.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ILSVRC/Data/CLS-LOC/val/ILSVRC2012_val_00000001.JPEG", b"")
        archive.writestr("LOC_val_solution.csv", "ImageId,PredictionString\n")
        for name, data in pictures.items():
            archive.writestr(f"{KAGGLE_TRAIN}/{name.partition('_')[0]}/{name}.JPEG", data)
    return path


def hub(pictures: dict[str, bytes], folder: Path) -> Path:
    names = sorted(pictures, key=lambda name: hashlib.sha256(name.encode()).digest())
    (folder / "data").mkdir()
    for number, part in enumerate(np.array_split(np.array(names), 3)):
        cells = [{"bytes": pictures[name], "path": f"{name}_{name.partition('_')[0]}.JPEG"} for name in part.tolist()]
        table = pa.table({"image": cells, "label": [0] * len(cells)})
        pq.write_table(table, folder / "data" / f"train-0000{number}-of-00003.parquet")
    return folder


def webdataset(pictures: dict[str, bytes], folder: Path) -> Path:
    for number, part in enumerate(np.array_split(np.array(sorted(pictures)), 2)):
        with tarfile.open(folder / f"imagenet1k-train-{number:04d}.tar", "w") as tar:
            for name in part.tolist():
                add(tar, f"{name}.jpg", pictures[name])
                add(tar, f"{name}.cls", b"0")
    return folder


LAYOUTS = {"tar of tars": tar_of_tars, "Kaggle's zip": kaggle, "the Hub's Parquet": hub, "webdataset": webdataset}


@pytest.fixture(scope="module")
def built(folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("sets")
    build_subset(folders, output)
    return output


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_files_and_images(
    layout: str, built: Path, pictures: dict[str, bytes], tmp_path: Path
) -> None:
    source = LAYOUTS[layout](pictures, tmp_path)
    build_subset(source, tmp_path / "out")

    for file in (LIST, FACTS, "README.md"):
        assert (tmp_path / "out" / "subset" / file).read_bytes() == (built / "subset" / file).read_bytes()
    images = open_training(source)
    for name in list(pictures)[:: len(pictures) // 5]:
        assert images.location(name).read() == pictures[name]


def test_lists_are_nested_balanced_and_in_the_order_of_the_specification(
    built: Path, pictures: dict[str, bytes]
) -> None:
    lists = [read_subset(count, built).column("name").to_pylist() for count in range(1, EACH + 1)]

    for count, names in enumerate(lists, start=1):
        assert [name.partition("_")[0] for name in names] == [wnid for wnid in wnids() for _ in range(count)]
        assert set(names) <= set(lists[-1]) == set(pictures)
    for wnid in wnids()[::100]:
        members = [name for name in pictures if name.startswith(wnid)]
        members.sort(key=lambda name: hashlib.sha256(f"qi-datasets/v1/subset/{name}".encode()).digest())
        assert [name for name in lists[1] if name.startswith(wnid)] == members[:2]


@pytest.mark.parametrize("layout", [None, "tar of tars"])
def test_images_are_read_from_the_source(
    layout: str | None, folders: Path, built: Path, pictures: dict[str, bytes], tmp_path: Path
) -> None:
    source = LAYOUTS[layout](pictures, tmp_path) if layout else folders
    rows = load_dataset("subset", per_class=2, imagenet_train=source, split="train", output=built)

    assert len(rows) == 2000
    for number in (0, 1001, 1999):
        row = rows[number]
        assert row["label"] == number // 2 == wnids().index(row["wnid"])
        wanted = np.asarray(Image.open(io.BytesIO(pictures[row["name"]])))
        np.testing.assert_array_equal(np.asarray(row["image"].convert("RGB")), wanted)


def test_without_images_there_are_names(built: Path) -> None:
    rows = load_dataset("subset", per_class=1, output=built)["train"]

    assert rows.column_names == ["name", "wnid", "label", "rank"]
    assert set(rows["rank"][:]) == {0}
    assert load_dataset("subset", per_class=1, output=built, split="train[:3]")["label"][:] == [0, 1, 2]


def test_it_opens_without_this_package(built: Path) -> None:
    import datasets

    assert datasets.load_dataset(str(built / "subset"), split="train").num_rows == 1000 * EACH


def test_the_set_of_torch_has_the_same_images(folders: Path, built: Path, pictures: dict[str, bytes]) -> None:
    torch = pytest.importorskip("qi_datasets.torch")
    rows = load_dataset("subset", per_class=2, output=built, split="train")
    data = torch.ImageNetSubset(folders, per_class=2, transform=np.asarray, output=built)

    assert len(data) == 2000
    assert data.targets == rows["label"][:]
    for number in (0, 1999):
        image, label = data[number]
        assert label == number // 2 == data.class_to_idx[rows[number]["wnid"]]
        np.testing.assert_array_equal(image, np.asarray(Image.open(io.BytesIO(pictures[rows[number]["name"]]))))


def test_links_are_a_tree_that_image_folder_takes(folders: Path, built: Path, tmp_path: Path) -> None:
    arguments = ["--imagenet-train", f"{folders}", "--set", "subset", "--output", f"{built}"]
    found = CliRunner().invoke(main, [*arguments, "--per-class", "2", "--links", f"{tmp_path}/tree"])

    assert found.exit_code == 0, found.output
    linked = sorted(path.name for path in (tmp_path / "tree").glob("*/*"))
    assert linked == sorted(f"{name}.JPEG" for name in read_subset(2, built).column("name").to_pylist())
    assert all(path.is_symlink() and path.read_bytes() for path in (tmp_path / "tree" / wnids()[5]).iterdir())
    again = CliRunner().invoke(main, [*arguments, "--per-class", "2", "--links", f"{tmp_path}/tree"])
    assert again.exit_code == 2
    assert "is there already" in again.output


def link_all(folders: Path, target: Path) -> Path:
    target.mkdir()
    for wnid in wnids():
        (target / wnid).mkdir()
        for file in (folders / wnid).iterdir():
            os.link(file, target / wnid / file.name)
    return target


DAMAGE: dict[str, tuple[Any, str]] = {
    "999 classes": (lambda top: (top / wnids()[3]).rename(top.parent / "away"), "999 of the 1000 classes.*n01491361"),
    "validation images": (
        lambda top: (top / wnids()[0] / "ILSVRC2012_val_00000001.JPEG").touch(),
        "validation images.*imagenet_val",
    ),
    "a name of no training image": (lambda top: (top / wnids()[0] / "cat.jpg").touch(), "cat.jpg.* not named"),
    "an image of another class": (lambda top: (top / wnids()[0] / f"{wnids()[1]}_99.JPEG").touch(), "not named"),
    "an unknown class": (
        lambda top: ((top / "n99999999").mkdir(), (top / "n99999999" / "n99999999_1.JPEG").touch()),
        "n99999999 are not among",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_are_not_the_training_images_is_refused(damage: str, folders: Path, tmp_path: Path) -> None:
    change, said = DAMAGE[damage]
    change(link_all(folders, tmp_path / "train"))

    with pytest.raises(SourceError, match=said):
        build_subset(tmp_path / "train", tmp_path / "out")
    assert not (tmp_path / "out" / "subset").exists()


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"per_class": EACH + 1}, OptionError, r"more than these classes have: n01440764 \(4\)"),
        ({"per_class": 0}, OptionError, "per_class must be an integer"),
        ({}, OptionError, "takes per_class=N"),
        ({"per_class": 1, "border": 3}, OptionError, "subset takes no border"),
        ({"per_class": 1, "split": "test"}, OptionError, "there is train"),
        ({"per_class": 1, "imagenet_train": "nowhere"}, SourceError, "no such path"),
    ],
)
def test_what_can_not_be_loaded_is_one_error(
    arguments: dict[str, Any], error: type[Exception], said: str, built: Path
) -> None:
    with pytest.raises(error, match=said):
        load_dataset("subset", output=built, **arguments)


def test_lists_that_are_not_there_or_damaged_are_told(folders: Path, tmp_path: Path) -> None:
    with refused(NotBuiltError, "not-built"):
        read_subset(1, tmp_path)
    folder = build_subset(folders, tmp_path).folder
    table = pq.read_table(folder / LIST)
    pq.write_table(table.slice(1), folder / LIST)
    with pytest.raises(StoredSetError, match="not those of the digest"):
        read_subset(1, tmp_path)


def test_links_do_not_lead_into_archives(pictures: dict[str, bytes], built: Path, tmp_path: Path) -> None:
    images = open_training(webdataset(pictures, tmp_path))

    with pytest.raises(SourceError, match="unpack them"):
        link_subset(images, read_subset(1, built), tmp_path / "tree")
    (tmp_path / "file").touch()
    with refused(OutputError, "folder-in-use"):
        link_subset(images, read_subset(1, built), tmp_path / "file")


@pytest.mark.parametrize(
    "options",
    [
        ["--set", "subset"],
        ["--set", "subset", "--set", "qi", "--imagenet-train", "x"],
        ["--set", "subset", "--imagenet-train", "x", "--links", "y"],
        ["--set", "subset", "--imagenet-train", "x", "--border", "3"],
        ["--links", "y", "--per-class", "3"],
        ["--set", "subset", "--imagenet-val", "x"],
    ],
)
def test_options_without_effect_are_refused(options: list[str]) -> None:
    assert CliRunner().invoke(main, options).exit_code == 2
