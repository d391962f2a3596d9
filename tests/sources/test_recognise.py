"""The layout at a path is recognised, and a path that can't be a source gets an error that says what it is."""

import os
from pathlib import Path

import pytest

from qi_datasets import build_dataset
from qi_datasets.errors import SourceError
from qi_datasets.sources import open_source
from tests import pictures


def test_a_file_url_of_a_folder_is_that_folder(album: dict[str, bytes], tmp_path: Path) -> None:
    place = pictures.flat(album, tmp_path / "with a space")

    assert open_source((tmp_path / "with a space").as_uri()) == open_source(place)


def test_one_image_is_not_taken_for_an_archive(album: dict[str, bytes], tmp_path: Path) -> None:
    pictures.write(tmp_path / "one.JPEG", next(iter(album.values())))

    with pytest.raises(SourceError, match=r"one\.JPEG is one image; give the folder that holds it"):
        open_source(tmp_path / "one.JPEG")


@pytest.mark.parametrize("below", ["", "rook"])
def test_built_sets_are_not_images_to_build_from(below: str, tmp_path: Path) -> None:
    build_dataset(["rook", "corner"], output=tmp_path)

    with pytest.raises(SourceError, match="holds sets that were built"):
        open_source(tmp_path / below)


def test_images_beside_built_sets_are_found_without_the_sets_pictures(album: dict[str, bytes], tmp_path: Path) -> None:
    build_dataset("rook", output=tmp_path)
    for number, content in enumerate(album.values()):
        pictures.write(tmp_path / "mine" / f"{number}.jpg", content)

    assert set(open_source(tmp_path).names) == {f"mine/{number}.jpg" for number in range(len(album))}


def test_a_folder_that_cannot_be_read_is_an_error(
    album: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, content in enumerate(album.values()):
        pictures.write(tmp_path / f"part{number % 2}" / f"{number}.jpg", content)
    scan = os.scandir

    def refused(path="."):
        if os.fspath(path).endswith("part1"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(SourceError, match=r"cannot read .*part1: Permission denied"):
        open_source(tmp_path)
