"""Temporary folders are removed, whoever made them and however that process ended."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from qi_datasets.storage.scratch import FRESH, OWNER, PREFIX, remove_ownerless, scratch_folder


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    return tmp_path / "tmp"


def test_it_is_empty_and_vanishes(temporary: Path) -> None:
    def fail(folder: Path) -> None:
        assert list(folder.iterdir()) == []
        (folder / "file").write_text("mine")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), scratch_folder() as made:
        fail(made)

    assert list(temporary.iterdir()) == []


KILLED = """
import os, sys, tempfile
from qi_datasets.storage.scratch import scratch_folder
tempfile.tempdir = sys.argv[1]
with scratch_folder() as folder:
    (folder / "file").write_text("mine")
    os._exit(9)
"""


def test_the_next_one_removes_what_a_killed_process_left_and_nothing_else(temporary: Path) -> None:
    (temporary / "mine").mkdir()
    (temporary / f"{PREFIX}link").symlink_to(temporary / "mine")
    (temporary / f"{PREFIX}just-made").mkdir()
    (temporary / f"{PREFIX}unlocked").mkdir()
    os.utime(temporary / f"{PREFIX}unlocked", (0, 0))
    assert FRESH > 0
    with scratch_folder() as living:
        assert subprocess.run([sys.executable, "-c", KILLED, temporary], check=False).returncode == 9
        assert len(list(temporary.glob(f"{PREFIX}*/{OWNER}"))) == 2

        with scratch_folder() as mine:
            assert living.exists()
            assert {path.name for path in temporary.iterdir()} == {
                "mine",
                f"{PREFIX}link",
                f"{PREFIX}just-made",
                living.parent.name,
                mine.parent.name,
            }


def test_a_folder_that_cannot_be_listed_is_no_error(tmp_path: Path) -> None:
    remove_ownerless(tmp_path / "none")

    assert not (tmp_path / "none").exists()
