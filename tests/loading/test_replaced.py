"""A set that is replaced while it is loaded: data cached in between are never taken for it later."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets.packaged_modules.parquet.parquet import Parquet

from qi_datasets import build_dataset, load_dataset


@pytest.fixture
def two_sets(tmp_path: Path) -> list[Path]:
    """Returns folders of two sets with files of the same names."""
    for number, pictures in enumerate((3, 4)):
        build_dataset("qi", demo=True, per_split=pictures, borders=[0], output=tmp_path / str(number), progress=False)
    return [tmp_path / str(number) / "qi" for number in range(2)]


def put(spare: Path, folder: Path) -> None:
    """Puts a copy of a set, with the times of its files, in the place of another."""
    copy = folder.with_name(".copy")
    shutil.copytree(spare, copy)
    if folder.exists():
        shutil.rmtree(folder)
    copy.rename(folder)


def test_rows_that_were_cached_while_a_set_was_replaced_are_not_taken_for_it(
    two_sets: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two_sets
    folder = tmp_path / "out" / "qi"
    folder.parent.mkdir()
    put(first, folder)
    read: Callable[..., Any] = Parquet._generate_tables

    def replaced_first(*given: Any, **named: Any) -> Any:
        monkeypatch.setattr(Parquet, "_generate_tables", read)
        put(second, folder)
        yield from read(*given, **named)

    monkeypatch.setattr(Parquet, "_generate_tables", replaced_first)

    def rows() -> int:
        return len(load_dataset("qi", split="train", output=folder.parent, cache_dir=str(tmp_path / "cache")))

    assert rows() == 8
    put(first, folder)
    assert rows() == 6
