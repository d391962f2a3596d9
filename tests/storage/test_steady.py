"""A reader sees the old set or the new one, whatever another process does meanwhile."""

from pathlib import Path

import pytest

from qi_datasets.errors import StoredSetError
from qi_datasets.storage.manifest import MANIFEST
from qi_datasets.storage.staging import locked, replaced_whole
from qi_datasets.storage.steady import ATTEMPTS, read_steadily


def make(folder: Path, content: str) -> None:
    with locked(folder), replaced_whole(folder) as half:
        (half / MANIFEST).write_text(content)
        (half / "a").write_text(content)
        (half / "b").write_text(content)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make(tmp_path / "set", "old")
    return tmp_path / "set"


def reader(folder: Path, contents: list[str], raises: bool):
    """Reads two files; before the second the set is replaced, once for each of `contents`."""

    def read(place: Path) -> str:
        first = (place / "a").read_text()
        if contents:
            make(folder, contents.pop(0))
            if raises:
                raise StoredSetError("is damaged")
        return first + (place / "b").read_text()

    return read


@pytest.mark.parametrize("raises", [True, False])
def test_a_set_that_is_replaced_meanwhile_is_read_again(raises: bool, folder: Path) -> None:
    assert read_steadily(folder, reader(folder, ["new"], raises)) == "newnew"
    assert read_steadily(folder, reader(folder, ["newer", "newest"], raises)) == "newestnewest"


def test_the_same_content_needs_no_second_reading(folder: Path) -> None:
    calls = []

    def read(place: Path) -> str:
        calls.append(place)
        make(folder, "old")
        return "read"

    assert read_steadily(folder, read) == "read"
    assert len(calls) == 1


def test_an_error_about_a_set_that_stands_still_is_raised_at_once(folder: Path) -> None:
    calls = []

    def read(place: Path) -> str:
        calls.append(place)
        raise StoredSetError("is damaged")

    with pytest.raises(StoredSetError, match="is damaged"):
        read_steadily(folder, read)
    assert len(calls) == 1


def test_a_set_that_never_stands_still_is_an_error(folder: Path) -> None:
    contents = [str(number) for number in range(ATTEMPTS + 5)]

    with pytest.raises(StoredSetError, match="again and again"):
        read_steadily(folder, reader(folder, contents, False))
    assert len(contents) == 5
