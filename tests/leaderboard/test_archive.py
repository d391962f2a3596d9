"""Archives of strangers are unpacked, or refused in one line; no file gets out of its folder."""

import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest

from qi_datasets.errors import OptionError
from qi_datasets.leaderboard import archive as archives
from qi_datasets.leaderboard.archive import unpack_entries
from qi_datasets.leaderboard.submission import check
from tests.leaderboard.made import network
from tests.refusals import refused

BIDI = "\u202e"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    network(1).write(tmp_path / "mine-1")
    return tmp_path / "mine-1"


def packed(folder: Path, target: Path, prefix: str = "mine-1/") -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(folder.iterdir()):
            file.write(path, f"{prefix}{path.name}")
    return target


@pytest.mark.parametrize("prefix", ["mine-1/", "", "__MACOSX/", "entries/mine-1/"])
def test_a_zip_is_checked_as_its_folder_is(folder: Path, tmp_path: Path, prefix: str) -> None:
    made = packed(folder, tmp_path / "mine-1.zip", "mine-1/" if prefix.startswith("__") else prefix)
    if prefix.startswith("__"):
        with zipfile.ZipFile(made, "a") as file:
            file.writestr("__MACOSX/._entry.json", b"")
    assert check(made).new == ("mine-1",)


def member(name: str, mode: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


NAMES = (
    "/etc/passwd", "../mine-2/entry.json", "mine-1/../../x", "C:/x", "mine-1\\..\\x", "//host/x", "mine-1//x", "./x",
    "mine-1/\x1b[31m", f"mine-1/{BIDI}nosj.yrtne", "mine-1/\u200b", "n" * 10_000, "mine-1/\n", "mine-1/a:b",
)  # fmt: skip
MODES = (stat.S_IFLNK | 0o777, stat.S_IFIFO | 0o600, stat.S_IFCHR | 0o600, stat.S_IFSOCK | 0o600)


def hostile(number: int, target: Path) -> str:
    """Writes one of many invalid archives; the same number gives the same one. Returns its kind."""
    draw = np.random.default_rng(number)
    kind = ("name", "mode", "many", "large", "cut", "noise")[number % 6]
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("mine-1/entry.json", b"{}")
        if kind == "name":
            file.writestr(member(NAMES[draw.integers(len(NAMES))]), b"x")
        elif kind == "mode":
            file.writestr(member(f"mine-1/{draw.integers(10**6)}", MODES[draw.integers(len(MODES))]), b"../../outside")
        elif kind == "many":
            for place in range(archives.MOST_FILES + int(draw.integers(1, 50))):
                file.writestr(f"mine-1/{place}", b"")
        elif kind == "large":
            file.writestr("mine-1/predictions.parquet", b"\0" * (int(draw.integers(2, 5)) * 10**6))
    data = bytearray(target.read_bytes())
    if kind == "cut":
        data = data[: draw.integers(len(data))]
    elif kind == "noise":
        for _ in range(20):
            data[draw.integers(len(data))] = int(draw.integers(256))
    target.write_bytes(data)
    return kind


@pytest.mark.faults
def test_300_hostile_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_BYTES", 1_000_000)
    inside, unpacking = tmp_path / "inside", tmp_path / "inside" / "folder"
    lines: dict[str, set[str]] = {}
    for number in range(300):
        unpacking.mkdir(parents=True)
        target = tmp_path / "hostile.zip"
        kind = hostile(number, target)
        try:
            unpack_entries(target, unpacking)
        except OptionError as error:
            text = str(error)
            lines.setdefault(kind, set()).add(text)
            assert len(text) < 200, kind
            assert text.isprintable(), kind
        else:
            assert kind == "noise", "what is left after noise has plain names"
        assert [path.name for path in inside.iterdir()] == ["folder"], "nothing is outside"
        assert not any(path.is_symlink() for path in unpacking.rglob("*"))
        assert sorted(path.name for path in tmp_path.iterdir()) == ["hostile.zip", "inside"]
        for path in sorted(unpacking.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        unpacking.rmdir()
    assert lines.keys() >= {"name", "mode", "many", "large", "cut"}


def test_a_size_that_lies_does_not_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_BYTES", 100_000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("mine-1/entry.json", b" " * 10**6)
    (tmp_path / "to").mkdir()
    with refused(OptionError, "bad-archive"):
        unpack_entries(tmp_path / "a.zip", tmp_path / "to")
    assert sum(path.stat().st_size for path in (tmp_path / "to").rglob("*")) <= 100_000
