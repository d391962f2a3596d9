"""A set appears whole or not at all, and a failure leaves no trace."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from qi_datasets.errors import OutputError
from qi_datasets.storage.staging import locked, replaced_whole


class StoppedError(Exception):
    """Whatever stops a build."""


def names(folder: Path) -> set[str]:
    """What is in a folder, but for the lock that stays beside a set."""
    return {path.name for path in folder.iterdir()} - {".set.lock"}


def half_written(staging: Path, stop: type[BaseException]) -> None:
    (staging / "file").write_text("half")
    raise stop


def make(folder: Path, content: str) -> None:
    with locked(folder), replaced_whole(folder) as staging:
        (staging / "file").write_text(content)


def test_a_set_appears_when_the_block_ends(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b" / "set"

    with locked(folder), replaced_whole(folder) as staging:
        assert staging.parent == folder.parent
        (staging / "file").write_text("new")
        assert not folder.exists()

    assert (folder / "file").read_text() == "new"
    assert names(folder.parent) == {"set"}


def test_a_new_set_replaces_the_old_one_whole(tmp_path: Path) -> None:
    make(tmp_path / "set", "old")
    (tmp_path / "set" / "more").write_text("old")

    make(tmp_path / "set", "new")

    assert names(tmp_path / "set") == {"file"}
    assert (tmp_path / "set" / "file").read_text() == "new"
    assert names(tmp_path) == {"set"}


@pytest.mark.parametrize("stop", [StoppedError, KeyboardInterrupt, SystemExit, OSError])
def test_a_failure_leaves_the_folder_above_empty(stop: type[BaseException], tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b" / "set"

    with pytest.raises((stop, OutputError)), locked(folder), replaced_whole(folder) as staging:
        half_written(staging, stop)

    assert names(folder.parent) == set()


def test_a_failure_keeps_folders_and_files_that_were_there(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "mine").write_text("mine")

    with pytest.raises(StoppedError), locked(tmp_path / "a" / "set"):
        raise StoppedError

    assert {path.name for path in (tmp_path / "a").iterdir()} == {"mine"}


def test_a_failure_keeps_the_old_set(tmp_path: Path) -> None:
    make(tmp_path / "set", "old")

    with pytest.raises(StoppedError), locked(tmp_path / "set"), replaced_whole(tmp_path / "set"):
        raise StoppedError

    assert (tmp_path / "set" / "file").read_text() == "old"
    assert names(tmp_path) == {"set"}


def test_a_full_disk_is_one_of_our_errors(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=r"set: No space left on device; nothing was changed"),
        locked(tmp_path / "set"),
        replaced_whole(tmp_path / "set"),
    ):
        raise OSError(28, "No space left on device")


@pytest.mark.timeout(10)
@pytest.mark.parametrize("where", ["a file/set", "a file/deep/er/set", "/proc/set", "/proc/a/b/set"])
def test_a_place_that_cannot_be_written_is_one_of_our_errors(where: str, tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("mine")

    with (
        pytest.raises(OutputError, match=r"cannot write to .*; choose another output folder"),
        locked(tmp_path / where),
    ):
        raise AssertionError("not to be reached")

    assert names(tmp_path) == {"a file"}


KILLED = """
import os, sys
from pathlib import Path
from qi_datasets.storage import staging
folder, when = Path(sys.argv[1]), sys.argv[2]
with staging.locked(folder), staging.replaced_whole(folder) as half:
    (half / "file").write_text("half")
    if when == "while writing":
        os._exit(9)
    rename = Path.rename
    def stop(self, target):
        if self == half:
            os._exit(9)
        return rename(self, target)
    Path.rename = stop
"""


@pytest.mark.parametrize("when", ["while writing", "between the renames"])
@pytest.mark.parametrize("old", [True, False])
def test_the_next_build_clears_up_after_a_killed_one(when: str, old: bool, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    if old:
        make(folder, "old")
    killed = subprocess.run([sys.executable, "-c", KILLED, folder, when], check=False)
    assert killed.returncode == 9
    assert names(tmp_path) - {"set"}

    with locked(folder):
        assert names(tmp_path) == ({"set"} if old else set())
        if old:
            assert (folder / "file").read_text() == "old"

    assert names(tmp_path) == ({"set"} if old else set())


def test_leftovers_of_other_sets_stay(tmp_path: Path) -> None:
    others = {".set-size_7.building-abc", ".sets.building-abc", "set.building-abc"}
    for name in others:
        (tmp_path / name).mkdir()

    make(tmp_path / "set", "new")

    assert names(tmp_path) == others | {"set"}


def test_one_builds_while_the_others_wait(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    inside: list[int] = []
    together: list[int] = []

    def build(number: int) -> bool:
        with locked(folder):
            inside.append(number)
            together.append(len(inside))
            made = not folder.exists()
            if made:
                with replaced_whole(folder) as staging:
                    (staging / "file").write_text(str(number))
            inside.remove(number)
        return made

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(build, range(24)))

    assert sum(made) == 1
    assert set(together) == {1}


def test_a_set_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").mkdir()

    make(tmp_path / "set", "new")

    assert (tmp_path / "set").stat().st_mode == (tmp_path / "usual").stat().st_mode
    before = os.umask(0o027)
    os.umask(before)
    make(tmp_path / "other", "new")
    assert os.umask(before) == before
