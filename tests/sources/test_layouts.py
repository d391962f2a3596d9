"""Every layout is recognised and gives the same images."""

import copy
import os
from pathlib import Path

import pytest

from qi_datasets.errors import SourceError
from qi_datasets.imagenet import IMAGENET_TRAIN, IMAGENET_VAL
from qi_datasets.pixels.decoding import FORMATS
from qi_datasets.sources import open_source
from qi_datasets.sources.folders import image_suffixes
from tests import expected, pictures

NAMES = {
    "flat": "flat folder",
    "class_folders": "class folders",
    "root_flat": "ImageNet root with val/",
    "root_class_folders": "ImageNet root with val/",
    "kaggle": "Kaggle",
    "kaggle_val": "flat folder",
    "tar_file": "tar",
    "tar_in_folder": "tar",
    "shards": "Parquet shards",
    "shards_in_memory": "Parquet shards",
}
"""Layout of the tests -> its name in the command."""

FILES = pictures.album(9)
ONE = {pictures.name_of(1): FILES[pictures.name_of(1)]}
TWO = {pictures.name_of(2): FILES[pictures.name_of(2)]}


@pytest.mark.parametrize("layout", pictures.LAYOUTS)
def test_a_layout_is_recognised_and_its_files_are_unchanged(layout: str, tmp_path: Path) -> None:
    source = open_source(pictures.LAYOUTS[layout](FILES, tmp_path))

    assert source.layout == NAMES[layout]
    assert source.collection == IMAGENET_VAL
    assert source.warnings == ()
    assert str(source).endswith(f" ({NAMES[layout]}, ImageNet val)")
    assert {name: source.image(name).read() for name in source.names} == FILES
    images = list(map(source.image, FILES))
    assert {image.name: content for image, content in source.contents(images)} == FILES
    with source.at_hand(images, tmp_path) as at_hand:
        assert [(image.name, image.read()) for image in at_hand] == list(FILES.items())


@pytest.mark.parametrize("layout", pictures.LAYOUTS)
def test_the_synset_of_a_validation_image_is_known_in_every_layout(layout: str, tmp_path: Path) -> None:
    source = open_source(pictures.LAYOUTS[layout](FILES, tmp_path))

    assert {name: source.image(name).wnid for name in source.names} == {name: expected.val_wnid(name) for name in FILES}
    assert source.warnings == ()


def moved(count: int, kind: str, folder: Path) -> str:
    """Returns FILES in a layout that gives the first `count` of them the synset n01440764, which none of them has."""
    names = list(FILES)
    given = {name: "n01440764" if name in names[:count] else expected.val_wnid(name) for name in names}
    if kind in ("class_folders", "root_class_folders"):
        top = folder / "val" if kind == "root_class_folders" else folder
        for name, content in FILES.items():
            pictures.write(top / given[name] / f"{name}.JPEG", content)
        return str(folder)
    members = [(f"{name}_{given[name]}.JPEG", FILES[name]) for name in names]
    if kind == "shards":
        pictures.write(folder / "validation.parquet", pictures.shard(members))
    elif kind == "tar":
        pictures.tar(members, folder / pictures.TAR_NAME)
    else:
        for name, content in members:
            pictures.write(folder / name, content)
    return str(folder)


@pytest.mark.parametrize("count", [0, 1, 3, 8])
@pytest.mark.parametrize("kind", ["class_folders", "root_class_folders", "shards", "tar", "flat"])
def test_a_layout_that_contradicts_the_published_synsets_gets_one_warning(
    kind: str, count: int, tmp_path: Path
) -> None:
    source = open_source(moved(count, kind, tmp_path))

    assert {name: source.image(name).wnid for name in FILES} == {name: expected.val_wnid(name) for name in FILES}
    assert len(source.warnings) == (1 if count else 0)
    for warning in source.warnings:
        assert warning.startswith("synsets here contradict those of ImageNet val, which are taken: ")
        for number, name in enumerate(FILES):
            told = f"{name} is {expected.val_wnid(name)} (here n01440764)"
            assert (told in warning) == (number < min(count, 3))
        assert warning.endswith(", and 5 more") == (count == 8)
        assert len(warning.splitlines()) == 1


@pytest.mark.parametrize("layout", ["flat", "class_folders", "root_class_folders", "kaggle"])
def test_names_of_files_that_are_named_as_imagenet_does_are_a_dictionary(layout: str, tmp_path: Path) -> None:
    names = open_source(pictures.LAYOUTS[layout](FILES, tmp_path)).names

    assert list(names) == sorted(FILES)
    assert len(names) == len(FILES)
    for name in FILES:
        assert name in names
    for other in (pictures.name_of(10), "ILSVRC2012_val_00000000", "ILSVRC2012_val_00050001", "cat", "", 1, None):
        assert other not in names
        with pytest.raises(KeyError):
            names[other]  # type: ignore[index]
    assert copy.deepcopy(names) == names


def test_an_id_that_imagenet_val_does_not_have_keeps_the_layouts_synset(tmp_path: Path) -> None:
    pictures.write(tmp_path / "n01440764" / "ILSVRC2012_val_00050001.JPEG", b"a")

    source = open_source(tmp_path)

    assert source.image("ILSVRC2012_val_00050001").wnid == "n01440764"
    assert source.warnings == ()


TRAINING = ("n01440764/n01440764_10026.JPEG", "n01440764/n01440764_1.JPEG", "n02119789/n02119789_7.jpg")


@pytest.mark.parametrize("below", ["", "train/", "ILSVRC/Data/CLS-LOC/train/"])
def test_imagenets_training_images_are_recognised_and_named_by_their_path(below: str, tmp_path: Path) -> None:
    for name in TRAINING:
        pictures.write(tmp_path / below / name, b"a")

    source = open_source(tmp_path)

    assert (source.layout, source.collection) == ("folder of images", IMAGENET_TRAIN)
    assert str(source) == f"{tmp_path} (folder of images, ImageNet train)"
    assert {name: source.image(name).wnid for name in source.names} == {below + name: name[:9] for name in TRAINING}
    assert source.warnings == ()


@pytest.mark.parametrize(
    "other", ["cat.jpg", "n01440764/cat.jpg", "n01440764_3.JPEG", "fish/n01440764_3.JPEG", "n01440764/n01440764_3.png"]
)
def test_one_other_image_among_them_makes_it_any_folder(other: str, tmp_path: Path) -> None:
    for name in (*TRAINING, other):
        pictures.write(tmp_path / name, b"a")

    source = open_source(tmp_path)

    assert source.collection is None
    assert source.image(TRAINING[0]).wnid == "n01440764"
    assert source.image(other).wnid == ("n01440764" if other.startswith("n01440764/") else "")


def test_a_training_image_in_the_wrong_class_folder_is_what_its_name_says(tmp_path: Path) -> None:
    for name in (*TRAINING, "n02119789/n01440764_3.JPEG"):
        pictures.write(tmp_path / name, b"a")

    source = open_source(tmp_path)

    assert source.image("n02119789/n01440764_3.JPEG").wnid == "n01440764"
    (warning,) = source.warnings
    assert "of ImageNet train, which are taken: n02119789/n01440764_3.JPEG is n01440764 (here n02119789)" in warning


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

    assert (source.layout, source.collection) == ("folder of images", None)
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


@pytest.mark.parametrize("names", [["a.heic"], ["deep/a.HEIC", "b.avif", "c.avif", "d.avif"]])
def test_pictures_of_which_none_is_read_are_named(names: list[str], tmp_path: Path) -> None:
    for name in names:
        pictures.write(tmp_path / name, b"never read")

    with pytest.raises(SourceError, match=rf"no picture can be read: {len(names)} picture") as raised:
        open_source(tmp_path)
    assert str(tmp_path / "b.avif" if len(names) > 1 else "a.heic") in str(raised.value)
    assert str(raised.value).endswith(", ".join(FORMATS) + " are read; convert them")


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


def test_a_file_that_is_no_archive_is_an_error(tmp_path: Path) -> None:
    pictures.write(tmp_path / "picture.jpg", FILES[pictures.name_of(1)])

    with pytest.raises(SourceError, match=f"{tmp_path}/picture.jpg"):
        open_source(tmp_path / "picture.jpg")


def test_a_file_name_that_is_not_utf_8_is_an_error_that_shows_it(tmp_path: Path) -> None:
    pictures.write(tmp_path / "good.png", b"never read")
    pictures.write(Path(os.fsdecode(bytes(tmp_path) + b"/caf\xe9.png")), b"never read")

    with pytest.raises(SourceError, match=r"b'caf\\xe9.png' is not UTF-8; rename the file"):
        open_source(tmp_path)


NEAR_MISSES = {
    "Kaggle's root sorted by a script": "val/n01440764/ILSVRC2012_val_00000001.JPEG",
    "validation": "validation/ILSVRC2012_val_00000001.JPEG",
    "ILSVRC2012_img_val": "ILSVRC2012_img_val/ILSVRC2012_val_00000001.JPEG",
    "numbers from 1": "val/1/ILSVRC2012_val_00000001.JPEG",
    "numbers from 000": "000/ILSVRC2012_val_00000001.JPEG",
    "words": "val/great white shark/ILSVRC2012_val_00000001.JPEG",
    "deep": "a/b/c/d/ILSVRC2012_val_00000001.JPEG",
    "Kaggle by class": f"{pictures.KAGGLE_VAL}/n01440764/ILSVRC2012_val_00000001.JPEG",
    "small letters": "val/ilsvrc2012_val_00000001.jpeg",
    "with synset": "x/ILSVRC2012_val_00000001_n01751748.JPEG",
    "numbers from 1, at the top": "1/ILSVRC2012_val_00000001.JPG",
}


@pytest.mark.parametrize("path", NEAR_MISSES.values(), ids=NEAR_MISSES)
def test_validation_files_are_found_whatever_their_folders_are_called(path: str, tmp_path: Path) -> None:
    content = FILES[pictures.name_of(1)]
    pictures.write(tmp_path / path, content)
    for name in ("train/n01440764/n01440764_1.JPEG", "train/n01440764/ILSVRC2012_val_00000002.JPEG"):
        pictures.write(tmp_path / name, b"never drawn from")

    source = open_source(tmp_path)

    assert source.collection == IMAGENET_VAL
    assert {name: source.image(name).read() for name in source.names} == {pictures.name_of(1): content}
    assert source.image(pictures.name_of(1)).wnid == expected.val_wnid(pictures.name_of(1))


def test_training_pictures_among_validation_files_are_ignored_and_counted(tmp_path: Path) -> None:
    """As in Imagenette."""
    pictures.write(tmp_path / "val" / "n01440764" / "ILSVRC2012_val_00000293.JPEG", b"a")
    for number in range(5):
        pictures.write(tmp_path / "val" / "n01440764" / f"n01440764_{number}.JPEG", b"a")

    (warning,) = open_source(tmp_path).warnings

    assert warning.startswith("5 other pictures (n01440764/n01440764_0.JPEG, ")
    assert warning.endswith(", ...) are here ignored: without a name of ImageNet val's")


def test_any_folder_says_which_pictures_it_ignores(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.heic", "c/d.AVIF", "e.txt"):
        pictures.write(tmp_path / name, b"a")

    source = open_source(tmp_path)

    assert set(source.names) == {"a.jpg"}
    (warning,) = source.warnings
    assert warning.startswith("2 pictures (b.heic, c/d.AVIF) are here ignored: JPEG, PNG, ")


def test_copies_as_png_are_taken_with_a_warning(tmp_path: Path) -> None:
    pictures.write(tmp_path / f"{pictures.name_of(1)}.png", b"a")

    (warning,) = open_source(tmp_path).warnings

    assert warning.startswith(f"1 file ({pictures.name_of(1)}.png) is encoded again as PNG")


@pytest.mark.parametrize("sizes", [1, 2])
@pytest.mark.parametrize("layout", ["flat", "class_folders", "tar_file", "shards", "kaggle_zip", "wds"])
def test_copies_of_one_size_are_taken_with_a_warning(layout: str, sizes: int, tmp_path: Path) -> None:
    made = [pictures.picture(number, (60 + number % sizes, 60)) for number in range(20)]
    files = {pictures.name_of(number): pictures.encoded(image) for number, image in enumerate(made, 1)}

    warnings = open_source((pictures.LAYOUTS | pictures.ARCHIVES)[layout](files, tmp_path)).warnings

    assert len(warnings) == (sizes == 1)
    assert all("all of 60 x 60 pixels: resized copies" in warning for warning in warnings)


def test_links_to_folders_are_followed_and_circles_end(tmp_path: Path) -> None:
    pictures.class_folders(FILES, tmp_path / "there")
    (tmp_path / "val").mkdir()
    for folder in (tmp_path / "there").iterdir():
        (tmp_path / "val" / folder.name).symlink_to(folder)
    (tmp_path / "any").symlink_to(tmp_path / "there")
    (tmp_path / "nested" / "deep").mkdir(parents=True)
    (tmp_path / "nested" / "deep" / "back").symlink_to(tmp_path / "nested")
    (tmp_path / "nested" / "deep" / "there").symlink_to(tmp_path / "there")
    for name, content in FILES.items():
        pictures.write(tmp_path / "others" / f"{name[-2:]}.jpg", content)
    (tmp_path / "other links").mkdir()
    (tmp_path / "other links" / "a").symlink_to(tmp_path / "others")
    (tmp_path / "other links" / "b").symlink_to(tmp_path / "others")

    for place in ("val", "any", "nested"):
        source = open_source(tmp_path / place)
        assert {name: source.image(name).read() for name in source.names} == FILES
    assert len(open_source(tmp_path / "other links").names) == 2 * len(FILES)


@pytest.mark.parametrize("name", ["n01440764", "val/1", "other"])
def test_a_link_that_cannot_be_followed_is_an_error(name: str, tmp_path: Path) -> None:
    pictures.write(tmp_path / "n02119789" / "cat.jpg", b"a")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).symlink_to(tmp_path / "gone")

    with pytest.raises(SourceError, match=rf"cannot read {tmp_path / name}: the link cannot be followed"):
        open_source(tmp_path)


def test_a_file_of_the_validation_set_among_training_images_is_an_error(tmp_path: Path) -> None:
    pictures.write(tmp_path / "train" / f"{pictures.name_of(1)}.JPEG", b"a")

    with pytest.raises(SourceError, match="in a folder of training images, which are never drawn from"):
        open_source(tmp_path)
