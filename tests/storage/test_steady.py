"""A reader sees the old set or the new one, whatever another process does at the same time."""

import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from qi_datasets.errors import OutputError, StoredSetError
from qi_datasets.storage.manifest import MANIFEST
from qi_datasets.storage.staging import lock_folder, replace_whole
from qi_datasets.storage.steady import ATTEMPTS, FREE_ATTEMPTS, read_steadily


def make(folder: Path, content: str) -> None:
    with lock_folder(folder), replace_whole(folder) as half:
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


def test_a_set_that_was_replaced_and_is_back_is_read_again(folder: Path) -> None:
    contents = ["new", "old"]

    def between(place: Path) -> str:
        first = (place / "a").read_text()
        if contents:
            make(folder, contents.pop(0))
            second = (place / "b").read_text()
            make(folder, contents.pop(0))
            return first + second
        return first + (place / "b").read_text()

    assert read_steadily(folder, between) == "oldold"


def test_an_error_about_a_set_that_stands_still_is_raised_at_once(folder: Path) -> None:
    calls = []

    def read(place: Path) -> str:
        calls.append(place)
        raise StoredSetError("is damaged")

    with pytest.raises(StoredSetError, match="is damaged"):
        read_steadily(folder, read)
    assert len(calls) == 1


def test_a_set_that_never_stands_still_is_read_while_builds_are_kept_away(folder: Path) -> None:
    builders = []

    def read(place: Path) -> str:
        first = (place / "a").read_text()
        builders.append(threading.Thread(target=make, args=(folder, str(len(builders)))))
        builders[-1].start()
        builders[-1].join(1)
        return first + (place / "b").read_text()

    found = read_steadily(folder, read)

    assert len(builders) == FREE_ATTEMPTS + 1
    assert found == 2 * str(FREE_ATTEMPTS - 1)
    for builder in builders:
        builder.join(10)
    assert (folder / "a").read_text() == str(FREE_ATTEMPTS)


def test_a_set_that_never_stands_still_where_nothing_can_be_locked_is_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = [str(number) for number in range(ATTEMPTS + 5)]

    @contextmanager
    def refused(folder: Path):
        raise OutputError("cannot write")
        yield

    monkeypatch.setattr("qi_datasets.storage.steady.lock_folder", refused)
    with pytest.raises(StoredSetError, match="again and again"):
        read_steadily(folder, reader(folder, contents, False))
    assert len(contents) == 5
