"""A set appears whole or not at all, and a failure leaves no trace."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qi_datasets.errors import OutputError
from qi_datasets.storage import staging
from qi_datasets.storage.staging import finished_place, lock_folder, replace_whole, set_aside
from tests.refusals import refused


class StoppedError(Exception):
    """Anything that stops a build."""


def names(folder: Path) -> set[str]:
    """Returns the names in a folder, without the lock that stays beside a set."""
    return {path.name for path in folder.iterdir()} - {".set.lock"}


def half_written(half: Path, stop: type[BaseException]) -> None:
    (half / "file").write_text("half")
    raise stop


def make(folder: Path, content: str) -> None:
    with lock_folder(folder), replace_whole(folder) as half:
        (half / "file").write_text(content)


def test_a_set_appears_when_the_block_ends(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b" / "set"

    with lock_folder(folder), replace_whole(folder) as half:
        assert half.parent == folder.parent
        (half / "file").write_text("new")
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

    with pytest.raises((stop, OutputError)), lock_folder(folder), replace_whole(folder) as half:
        half_written(half, stop)

    assert names(folder.parent) == set()


def test_a_failure_keeps_folders_and_files_that_were_there(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "mine").write_text("mine")

    with pytest.raises(StoppedError), lock_folder(tmp_path / "a" / "set"):
        raise StoppedError

    assert names(tmp_path / "a") == {"mine"}


def test_a_failure_keeps_the_old_set(tmp_path: Path) -> None:
    make(tmp_path / "set", "old")

    with pytest.raises(StoppedError), lock_folder(tmp_path / "set"), replace_whole(tmp_path / "set"):
        raise StoppedError

    assert (tmp_path / "set" / "file").read_text() == "old"
    assert names(tmp_path) == {"set"}


def test_a_full_disk_is_one_of_our_errors(tmp_path: Path) -> None:
    with (
        refused(OutputError, "cannot-write"),
        lock_folder(tmp_path / "set"),
        replace_whole(tmp_path / "set"),
    ):
        raise OSError(28, "No space left on device")


@pytest.mark.timeout(10)
@pytest.mark.parametrize("where", ["a file/set", "a file/deep/er/set", "/proc/set", "/proc/a/b/set"])
def test_a_place_that_cannot_be_written_is_one_of_our_errors(where: str, tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("mine")

    with (
        pytest.raises(OutputError, match=r"cannot write to .*; choose another output folder"),
        lock_folder(tmp_path / where),
    ):
        raise AssertionError("not to be reached")

    assert names(tmp_path) == {"a file"}


KILLED = """
import os, sys
from pathlib import Path
from qi_datasets.storage import staging
folder, when = Path(sys.argv[1]), sys.argv[2]
if when == "between the renames":
    staging.exchange_names = lambda one, other: False
def stop_exchange(one, other):
    from qi_datasets.storage.exchange import exchange_names
    exchange_names(one, other)
    os._exit(9)
if when == "after the exchange":
    staging.exchange_names = stop_exchange
with staging.lock_folder(folder), staging.replace_whole(folder) as half:
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


def killed(folder: Path, when: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, folder, when], check=False)
    assert done.returncode == 9
    assert names(folder.parent) - {"set"}


@pytest.mark.faults
@pytest.mark.parametrize("when", ["while writing", "between the renames"])
@pytest.mark.parametrize("old", [True, False])
def test_the_next_build_clears_up_after_a_killed_one(when: str, old: bool, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    if old:
        make(folder, "old")
    killed(folder, when)
    assert bool(set_aside(folder)) == (old and when == "between the renames")
    if old:
        assert (finished_place(folder) / "file").read_text() == "old"

    with lock_folder(folder):
        assert names(tmp_path) == ({"set"} if old else set())
        if old:
            assert (folder / "file").read_text() == "old"

    assert names(tmp_path) == ({"set"} if old else set())


@pytest.mark.faults
def test_a_build_that_is_killed_after_the_exchange_has_replaced_the_set(tmp_path: Path) -> None:
    make(tmp_path / "set", "old")

    killed(tmp_path / "set", "after the exchange")

    assert (tmp_path / "set" / "file").read_text() == "half"
    with lock_folder(tmp_path / "set"):
        assert names(tmp_path) == {"set"}


@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("there", ["a set", "a file", "a link"])
def test_whatever_is_there_is_replaced_and_gone(
    there: str, exchange: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exchange:
        monkeypatch.setattr(staging, "exchange_names", lambda one, other: False)
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "mine").write_text("mine")
    if there == "a set":
        make(tmp_path / "set", "old")
    elif there == "a file":
        (tmp_path / "set").write_text("mine")
    else:
        (tmp_path / "set").symlink_to(tmp_path / "foreign")

    make(tmp_path / "set", "new")

    assert (tmp_path / "set" / "file").read_text() == "new"
    assert not (tmp_path / "set").is_symlink()
    assert names(tmp_path) == {"set", "foreign"}
    assert (tmp_path / "foreign" / "mine").read_text() == "mine"


@pytest.mark.parametrize("fails", [1, 2])
def test_a_rename_that_fails_is_undone(fails: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """fails: the rename from which on the disk refuses the new set: it alone, or the way back as well."""
    make(tmp_path / "set", "old")
    monkeypatch.setattr(staging, "exchange_names", lambda one, other: False)
    rename = Path.rename

    def broken(self: Path, target: Path) -> Path:
        if ".building-" in str(self) or (fails > 1 and ".replaced-" in str(self)):
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", broken)
    with pytest.raises(OutputError) as raised:
        make(tmp_path / "set", "new")
    monkeypatch.undo()

    assert (finished_place(tmp_path / "set") / "file").read_text() == "old"
    if fails == 1:
        assert str(raised.value).endswith("Input/output error; nothing was changed")
        assert names(tmp_path) == {"set"}
    else:
        assert str(set_aside(tmp_path / "set")) in str(raised.value)
        assert "nothing was changed" not in str(raised.value)
        with lock_folder(tmp_path / "set"):
            assert names(tmp_path) == {"set"}


def test_an_old_set_that_cannot_be_deleted_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "set", "old")
    unlink = os.unlink

    def stubborn(path: object, **options: object) -> None:
        if str(path) == "file":
            raise OSError(errno.EBUSY, "Device or resource busy")
        unlink(path, **options)

    monkeypatch.setattr(os, "unlink", stubborn)
    make(tmp_path / "set", "new")
    monkeypatch.undo()

    assert (tmp_path / "set" / "file").read_text() == "new"
    with lock_folder(tmp_path / "set"):
        assert names(tmp_path) == {"set"}


@pytest.mark.parametrize("kind", ["building", "replaced"])
@pytest.mark.parametrize("name", ["x", "abcdefgh"])
def test_a_planted_link_is_left_alone(kind: str, name: str, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    (foreign / "set").mkdir(parents=True)
    (foreign / "set" / "mine").write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / f".set.{kind}-{name}").symlink_to(foreign)

    assert set_aside(tmp_path / "out" / "set") is None
    make(tmp_path / "out" / "set", "new")

    assert (tmp_path / "out" / "set" / "file").read_text() == "new"
    assert (foreign / "set" / "mine").read_text() == "mine"


def test_files_reach_the_disk_before_the_swap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "set", "old")
    fsync = os.fsync

    def full(descriptor: int) -> None:
        if (tmp_path / "set" / "file").read_text() == "old":
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with refused(OutputError, "cannot-write", match="No space left on device; nothing was changed"):
        make(tmp_path / "set", "new")

    assert (tmp_path / "set" / "file").read_text() == "old"


def test_leftovers_of_other_sets_stay(tmp_path: Path) -> None:
    others = {".set-size_7.building-abc", ".sets.building-abc", "set.building-abc"}
    for name in others:
        (tmp_path / name).mkdir()

    make(tmp_path / "set", "new")

    assert names(tmp_path) == others | {"set"}


def test_a_set_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").mkdir()

    make(tmp_path / "set", "new")

    assert (tmp_path / "set").stat().st_mode == (tmp_path / "usual").stat().st_mode
    before = os.umask(0o027)
    os.umask(before)
    make(tmp_path / "other", "new")
    assert os.umask(before) == before
