"""Two folders are exchanged in one step."""

import os
from pathlib import Path

import pytest

from qi_datasets.storage import exchange
from qi_datasets.storage.exchange import exchange_names


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    return tmp_path / "one", tmp_path / "other"


def test_two_folders_change_places(two: tuple[Path, Path]) -> None:
    before = [folder.stat().st_ino for folder in two]

    if not exchange_names(*two):
        pytest.skip("this file system cannot exchange two names")

    assert [(folder / "file").read_text() for folder in two] == ["other", "one"]
    assert [folder.stat().st_ino for folder in two] == before[::-1]


def test_what_is_missing_is_an_error_and_nothing_moves(two: tuple[Path, Path]) -> None:
    with pytest.raises(FileNotFoundError):
        exchange_names(two[0], two[1].with_name("none"))

    assert sorted(os.listdir(two[0].parent)) == ["one", "other"]


def test_a_system_that_cannot_says_so(two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "_RENAME_EXCHANGE", 1 << 30)
    assert not exchange_names(*two)
    monkeypatch.setattr(exchange.sys, "platform", "elsewhere")
    exchange._renameat2.cache_clear()
    assert not exchange_names(*two)
    exchange._renameat2.cache_clear()

    assert (two[0] / "file").read_text() == "one"
