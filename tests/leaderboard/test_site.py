"""The files of the site, and that there are no others."""

import csv
import json
from pathlib import Path

import pytest

from qi_datasets.errors import OptionError, OutputError
from qi_datasets.evaluation.entry import Entry
from qi_datasets.leaderboard.site import build
from tests.leaderboard.made import SCRIPT, network, shifted, written
from tests.refusals import refused


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    names = {"../../../evil": network(1, name="../../../evil"), "a": network(2), "moved": shifted(3)}
    for number, (name, entry) in enumerate(names.items()):
        entry.write(tmp_path / "entries" / f"{number}-{name.replace('/', '')}")
    return tmp_path / "entries"


def test_the_downloads_are_the_entries(folder: Path, tmp_path: Path) -> None:
    build([folder], tmp_path / "site")

    there = [path.parent for path in (tmp_path / "site" / "downloads").rglob("entry.json")]
    assert len(there) == 3
    contents = [Entry.read(path).content for path in sorted(folder.iterdir())]
    for place in there:
        assert Entry.read(place).content in contents
        assert f'href="downloads/{place.name}/entry.json"' in (tmp_path / "site" / "index.html").read_text()


def test_nothing_is_written_elsewhere(folder: Path, tmp_path: Path) -> None:
    before = files(folder)
    build([folder], tmp_path / "site")

    assert files(folder) == before
    assert {path.name for path in tmp_path.iterdir()} == {"entries", "site"}
    names = {path.relative_to(tmp_path / "site").parts[0] for path in (tmp_path / "site").rglob("*")}
    assert names == {"index.html", "entries.csv", "entries.json", "downloads"}
    assert all(".." not in path.name for path in (tmp_path / "site" / "downloads").iterdir())


def test_the_same_entries_are_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    build([folder], tmp_path / "one")
    build([*sorted(folder.iterdir(), reverse=True)], tmp_path / "two")

    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_a_site_is_brought_up_to_date(folder: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    build([folder], site)
    (site / "CNAME").write_text("example.org")
    (site / "downloads" / "mine").mkdir()
    (site / "downloads" / "mine" / "notes.txt").write_text("mine")
    for path in (folder / "1-a").iterdir():
        path.unlink()
    network(7).write(folder / "1-a")

    build([folder], site)

    assert (site / "CNAME").read_text() == "example.org"
    assert (site / "downloads" / "mine" / "notes.txt").exists()
    folders = {path.name.rpartition("-")[0] for path in (site / "downloads").iterdir()}
    assert folders == {"evil-random-qi", "network-3-random-shifted", "network-7-random-qi", ""}


def test_a_site_within_the_entries_is_not_searched(folder: Path) -> None:
    build([folder], folder / "site")
    made = build([folder], folder / "site")

    assert (len(made.found), len(made.refused)) == (3, 0)


def test_entries_can_be_linked_to_where_they_lie(folder: Path, tmp_path: Path) -> None:
    build([folder], tmp_path / "deep" / "site", link=True)

    page = (tmp_path / "deep" / "site" / "index.html").read_text()
    assert 'href="../../entries/1-a/predictions.parquet"' in page
    assert not (tmp_path / "deep" / "site" / "downloads").exists()


def test_all_entries_as_json_and_csv(tmp_path: Path) -> None:
    name = f"=cmd|'/c calc'!A1{SCRIPT}"
    written(tmp_path / "entries", a=network(1, name=name), b=network(2, read=()), c=shifted(3))
    build([tmp_path / "entries"], tmp_path / "site")

    records = json.loads((tmp_path / "site" / "entries.json").read_text())
    with (tmp_path / "site" / "entries.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))

    assert [record["entry"] for record in records] == [row["entry"] for row in rows] == ["b", "a", "c"]
    assert records[1]["figures"] == network(1, name=name).figures["random"]
    assert records[1]["model"]["name"] == name
    assert rows[1]["model.name"] == f"'{name}"
    assert [row["rank"] for row in rows] == ["1", "2", ""]
    assert float(rows[1]["figures.borders.16.accuracy"]) == 1
    assert rows[2]["figures.borders.16.accuracy"] == ""
    borders = [column for column in rows[0] if column.endswith(".accuracy")]
    assert borders == [f"figures.borders.{border}.accuracy" for border in (0, 16, 32, 64, 128, 256, 512)]


def test_an_output_that_can_not_be_written(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")

    with pytest.raises(OutputError, match="choose another output folder"):
        build([folder], tmp_path / "file")


def test_entries_elsewhere_can_not_be_linked_to(folder: Path, tmp_path: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.put(str(folder / "1-a"), "/linked", recursive=True)
    try:
        with refused(OptionError, "missing-argument", match="link=True needs entries in folders of this machine"):
            build(["memory://linked"], tmp_path / "site", link=True)
    finally:
        memory.rm("/linked", recursive=True)
