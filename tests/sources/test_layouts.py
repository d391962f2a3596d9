"""Every layout is recognised and gives the same images."""

from pathlib import Path

import pytest

from qi_datasets.errors import SourceError
from qi_datasets.sources import open_source
from qi_datasets.sources.folders import image_suffixes
from tests import pictures

NAMES = {
    "flat": "flat folder",
    "class_folders": "class folders",
    "root_flat": "ImageNet root with val/",
    "root_class_folders": "ImageNet root with val/",
    "kaggle": "Kaggle",
    "kaggle_val": "Kaggle",
    "tar_file": "tar",
    "tar_in_folder": "tar",
    "shards": "Parquet shards",
    "shards_in_memory": "Parquet shards",
}
"""Layout of the tests -> what the command calls it."""

FILES = pictures.album(9)
ONE = {pictures.name_of(1): FILES[pictures.name_of(1)]}
TWO = {pictures.name_of(2): FILES[pictures.name_of(2)]}


@pytest.mark.parametrize("layout", pictures.LAYOUTS)
def test_a_layout_is_recognised_and_its_files_are_unchanged(layout: str, tmp_path: Path) -> None:
    source = open_source(pictures.LAYOUTS[layout](FILES, tmp_path))

    assert source.layout == NAMES[layout]
    assert source.imagenet_val
    assert source.warnings == ()
    assert NAMES[layout] in str(source)
    assert {name: source.image(name).read() for name in source.names} == FILES
    images = list(map(source.image, FILES))
    assert {image.name: content for image, content in source.contents(images)} == FILES
    with source.at_hand(images, tmp_path) as at_hand:
        assert [(image.name, image.read()) for image in at_hand] == list(FILES.items())


@pytest.mark.parametrize("layout", pictures.LAYOUTS)
def test_the_synset_is_known_whenever_the_layout_tells_it(layout: str, tmp_path: Path) -> None:
    source = open_source(pictures.LAYOUTS[layout](FILES, tmp_path))

    wnids = {name: source.image(name).wnid for name in source.names}

    assert wnids == {name: "" if layout in pictures.WITHOUT_WNIDS else pictures.wnid_of(name) for name in FILES}


@pytest.mark.parametrize("layout", sorted(set(pictures.LAYOUTS) - {"shards_in_memory"}))
def test_a_source_is_only_read(layout: str, tmp_path: Path, untouched) -> None:
    place = pictures.LAYOUTS[layout](FILES, tmp_path / "images")
    before = untouched(tmp_path / "images")

    source = open_source(place)
    images = list(map(source.image, FILES))
    (tmp_path / "work").mkdir()
    with source.at_hand(images, tmp_path / "work") as at_hand:
        assert [image.read() for image in at_hand] == list(FILES.values())

    assert untouched(tmp_path / "images") == before
    assert list((tmp_path / "work").iterdir()) == []


PRECEDENCE = (
    (pictures.flat, pictures.class_folders),
    (pictures.class_folders, pictures.root_flat),
    (pictures.root_class_folders, pictures.kaggle),
    (pictures.kaggle, pictures.tar_in_folder),
    (pictures.tar_in_folder, pictures.shards),
)


@pytest.mark.parametrize(("first", "second"), PRECEDENCE, ids=lambda layout: layout.__name__)
def test_of_two_layouts_the_first_wins(first, second, tmp_path: Path) -> None:
    second(TWO, tmp_path)
    first(ONE, tmp_path)

    source = open_source(tmp_path)

    assert (source.layout, set(source.names)) == (NAMES[first.__name__], set(ONE))


def test_shards_win_over_other_images(tmp_path: Path) -> None:
    pictures.shards(ONE, tmp_path)
    pictures.write(tmp_path / "holiday.jpg", FILES[pictures.name_of(2)])

    assert open_source(tmp_path).layout == "Parquet shards"


@pytest.mark.parametrize("ending", ["JPEG", "jpeg", "JPG", "jpg"])
def test_file_endings_may_be_written_otherwise(ending: str, tmp_path: Path) -> None:
    pictures.write(tmp_path / f"{pictures.name_of(1)}.{ending}", b"a")

    assert set(open_source(tmp_path).names) == {pictures.name_of(1)}


def test_other_files_beside_the_images_are_left_alone(tmp_path: Path) -> None:
    pictures.flat(ONE, tmp_path)
    for name in ("ILSVRC2012_val_1.JPEG", "ILSVRC2012_val_000000001.JPEG", "ILSVRC2012_test_00000001.JPEG", "a.jpg"):
        pictures.write(tmp_path / name, b"a")

    assert set(open_source(tmp_path).names) == set(ONE)


def test_any_other_folder_names_images_by_their_path(tmp_path: Path) -> None:
    files = {"cat.jpg": 1, "deep/er/dog.PNG": 2, "n01440764/fish.webp": 3}
    for name, number in files.items():
        kind = {"jpg": "JPEG"}.get(name[-3:], name.rpartition(".")[2].upper())
        pictures.write(tmp_path / name, pictures.encoded(pictures.picture(number), kind))
    for name in ("notes.txt", ".hidden.jpg", ".git/cat.jpg", "README", "paper.pdf", "film.mpg"):
        pictures.write(tmp_path / name, b"no image")

    source = open_source(tmp_path)

    assert (source.layout, source.imagenet_val) == ("folder of images", False)
    assert set(source.names) == set(files)
    assert {name: source.image(name).wnid for name in files} == dict.fromkeys(files, "") | {
        "n01440764/fish.webp": "n01440764"
    }
    for name in files:
        image = source.image(name)
        assert image.decode(image.read()).mode == "RGB"


def test_every_ending_that_counts_as_an_image_is_one_that_pillow_opens() -> None:
    assert {".jpg", ".jpeg", ".png", ".webp", ".tif", ".bmp", ".gif"} <= image_suffixes()
    assert not {".txt", ".pdf", ".mpg", ".csv", ".json", ".h5", ".hdf"} & image_suffixes()


@pytest.mark.parametrize("kind", ["a folder", "a path that is too long"])
def test_a_path_that_is_not_there_is_an_error(kind: str, tmp_path: Path) -> None:
    path = tmp_path / ("nope" if kind == "a folder" else "a" * 300)

    with pytest.raises(SourceError, match=f"{path}"):
        open_source(path)


@pytest.mark.parametrize("content", [[], ["notes.txt"], ["empty/folder/notes.txt"], ["val/notes.txt"]])
def test_a_folder_without_images_is_an_error(content: list[str], tmp_path: Path) -> None:
    for name in content:
        pictures.write(tmp_path / name, b"")

    with pytest.raises(SourceError, match=f"no images in {tmp_path}; give"):
        open_source(tmp_path)


TWINS = {
    "flat folder": ("ILSVRC2012_val_00000001.JPEG", "ILSVRC2012_val_00000001.jpg"),
    "class folders": ("n01440764/ILSVRC2012_val_00000001.JPEG", "n02119789/ILSVRC2012_val_00000001.JPEG"),
    "root": ("val/ILSVRC2012_val_00000001.JPEG", "val/ILSVRC2012_val_00000001.jpeg"),
    "Kaggle": tuple(f"{pictures.KAGGLE_VAL}/ILSVRC2012_val_00000001.{ending}" for ending in ("JPEG", "JPG")),
}


@pytest.mark.parametrize("paths", TWINS.values(), ids=TWINS)
def test_an_id_twice_is_an_error_unless_the_bytes_are_the_same(paths: tuple[str, str], tmp_path: Path) -> None:
    for path in paths:
        pictures.write(tmp_path / path, b"same")
    assert set(open_source(tmp_path).names) == {pictures.name_of(1)}

    (tmp_path / paths[1]).write_bytes(b"different")
    with pytest.raises(SourceError, match=f"{pictures.name_of(1)} occurs twice with different bytes") as raised:
        open_source(tmp_path)
    assert all(str(tmp_path / path) in str(raised.value) for path in paths)


def test_a_twin_that_cannot_be_read_is_an_error_too(tmp_path: Path) -> None:
    pictures.flat(ONE, tmp_path)
    (tmp_path / f"{pictures.name_of(1)}.jpg").symlink_to(tmp_path / "gone")

    with pytest.raises(SourceError, match=pictures.name_of(1)):
        open_source(tmp_path)


TABLES = {
    "missing": None,
    "empty": b"",
    "other columns": b"id,class\nILSVRC2012_val_00000001,n01440764\n",
    "no synset": b"ImageId,PredictionString\nILSVRC2012_val_00000001,cat 1 1 2 2\n",
    "empty prediction": b"ImageId,PredictionString\nILSVRC2012_val_00000001,\n",
    "a line cut off": b"ImageId,PredictionString\nILSVRC2012_val_00000001,n01440764 1\nILSVRC2012_val_00000002\n",
    "no text": bytes(range(128, 256)),
    "an open quote": b'ImageId,PredictionString\n"ILSVRC2012_val_00000001,n01440764 1 1 2 2\n',
    "a folder": b"/",
}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
@pytest.mark.parametrize("layout", ["kaggle", "kaggle_val"])
def test_without_kaggles_table_there_is_a_warning_and_no_synset(
    layout: str, table: bytes | None, tmp_path: Path
) -> None:
    place = pictures.LAYOUTS[layout](ONE, tmp_path)
    path = tmp_path / pictures.KAGGLE_TABLE
    path.unlink()
    if table == b"/":
        path.mkdir()
    elif table is not None:
        path.write_bytes(table)

    source = open_source(place)

    assert source.image(pictures.name_of(1)).wnid == ""
    (warning,) = source.warnings
    assert str(path) in warning
    assert len(warning.splitlines()) == 1


def test_a_file_that_is_no_archive_is_an_error(tmp_path: Path) -> None:
    pictures.write(tmp_path / "picture.jpg", FILES[pictures.name_of(1)])

    with pytest.raises(SourceError, match=f"{tmp_path}/picture.jpg"):
        open_source(tmp_path / "picture.jpg")
