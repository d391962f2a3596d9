"""Entries: figures that follow from their predictions; all others are refused, with the reason."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from jsonschema import Draft202012Validator

from qi_datasets.errors import EntryError, OutputError
from qi_datasets.evaluation.entry import ENTRY, Entry, check_data, schema, seals_of
from qi_datasets.evaluation.invariants import sources_digest
from qi_datasets.evaluation.predictions import PREDICTIONS
from qi_datasets.evaluation.refresh import refresh_entries_in
from qi_datasets.scores.location import location_accuracy
from qi_datasets.specs import QI
from tests.evaluation import entries
from tests.evaluation.entries import put
from tests.refusals import refused


def test_figures_are_those_of_the_answers() -> None:
    found = entries.entry().figures["random"]

    verdicts = {int(border): at["verdict"] for border, at in found["borders"].items()}
    assert verdicts == {0: "reads", 16: "reads", 32: "reads"} | {
        64: "not detected",
        128: "equal",
        256: "equal",
        512: "proved",
    }
    assert (found["reach"], found["reach_75"]) == (32, 32)
    columns = entries.answers()
    right = (columns["margin"] > 0) == columns["label"]
    at_16 = (columns["border"] == 16).nonzero()
    assert found["borders"]["16"]["accuracy"] == pytest.approx(right[at_16].mean())
    level = found["borders"]["16"]["level"]
    assert level == 1 - 0.05 / 5  # two other borders have smaller p
    scores = right[at_16].reshape(2, 30, 2).sum(axis=2).mean(axis=0) - 1
    assert found["borders"]["16"]["low"] == pytest.approx(location_accuracy(scores, level).low)
    assert found["borders"]["512"] == {
        **{"verdict": "proved", "accuracy": 0.5, "channels": 0},
        **dict.fromkeys(("low", "high", "level", "p", "corrected_p")),
        "difference": found["borders"]["512"]["difference"],
    }
    for at in found["borders"].values():
        assert (at["verdict"] == "reads") == (at["low"] is not None and at["low"] > 0.5)
    assert (found["reach_censored"], found["reach_75_censored"]) == (False, False)
    d = right.reshape(7, 2, 30, 2).sum(axis=3).mean(axis=1) - 1
    assert found["location_score"]["value"] == pytest.approx(d.mean())
    np.testing.assert_allclose(entries.entry().scores("random")[16], d[1])


def test_an_entry_reads_back_as_it_was_written(folder: Path) -> None:
    found = Entry.read(folder)

    assert found.content == entries.entry().content
    assert found.predictions.table.equals(entries.entry().predictions.table)
    assert {path.name for path in folder.iterdir()} == {ENTRY, PREDICTIONS}
    assert repr(found) == "Entry(made_up, qi, 30 sources, 840 rows)"


def as_version_1(content: dict[str, Any]) -> None:
    """Returns the entry as version 1 wrote it: figures of another statistic, sealed."""
    content["version"] = "1.0"
    for at in content["figures"]["random"]["borders"].values():
        del at["level"]
        at |= {"low": 0.1, "high": 0.9, "p": 0.5, "corrected_p": 1.0}
    if content["data"]["track"] == "unverified":
        content["data"]["track"] = "official"
    content["figures"]["random"] = {"reach": 64, **content["figures"]["random"]}
    content["seals"] = seals_of(content)


def test_an_entry_of_version_1_gets_the_figures_of_this_one(folder: Path) -> None:
    before = Entry.read(folder)
    entries.rewrite(folder, as_version_1)

    assert Entry.read(folder).content == before.content
    assert refresh_entries_in(folder.parent) == {f"{folder}": True}
    assert refresh_entries_in(folder.parent) == {f"{folder}": False}
    assert json.loads((folder / ENTRY).read_text()) == before.content


OLDER: dict[str, tuple[str, Any, str]] = {
    "the date": ("date", "2024-01-31", "date was changed after"),
    "figures": ("figures.random.reach", 512, "figures was changed after"),
    "predictions": ("predictions.rows", 839, "predictions.parquet is not what"),
    "a field too many": ("model.remark", "best", "model"),
}


@pytest.mark.parametrize(("path", "value", "reason"), OLDER.values(), ids=OLDER)
def test_a_changed_entry_of_version_1_is_refused(path: str, value: Any, reason: str, folder: Path) -> None:
    entries.rewrite(folder, as_version_1)
    entries.rewrite(folder, put(path, value), seal="figures" not in path and path != "date")

    with pytest.raises(EntryError, match=reason):
        Entry.read(folder)
    with pytest.raises(EntryError, match=f"{folder.name}: .*{reason}"):
        refresh_entries_in(folder)


def test_the_same_entry_is_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    Entry.read(folder).write(tmp_path / "again")

    for name in (ENTRY, PREDICTIONS):
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(schema())


def test_entries_need_no_torch() -> None:
    code = (
        "import sys; import qi_datasets.evaluation.entry; sys.exit('torch' in sys.modules or 'datasets' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


FILES: dict[str, tuple[str, bytes, str]] = {
    "no JSON": (ENTRY, b"{", "no JSON of an entry"),
    "no object": (ENTRY, b"[1]", "no JSON object"),
    "not UTF-8": (ENTRY, b'{"a": "\xff"}', "no JSON of an entry"),
    "NaN": (ENTRY, b'{"version": NaN}', "NaN is no number"),
    "infinity": (ENTRY, b'{"version": 1e999}', "1e999 is too large"),
    "too deep": (ENTRY, b"[" * 100_000, "no JSON of an entry"),
    "too long a number": (ENTRY, b'{"version": ' + b"9" * 5000 + b"}", "no JSON of an entry|version"),
    "too large": (ENTRY, b" " * 6_000_000, "larger than any entry"),
    "no Parquet": (PREDICTIONS, b"PAR1 or not", "can't be read as Parquet"),
    "an empty file": (PREDICTIONS, b"", "can't be read as Parquet"),
    "a pointer": (ENTRY, b"version https://git-lfs.github.com/spec/v1\noid x", "run git lfs pull"),
    "a pointer to Parquet": (PREDICTIONS, b"version https://git-lfs.github.com/spec/v1\noid x", "run git lfs pull"),
}


@pytest.mark.parametrize(("name", "data", "reason"), FILES.values(), ids=FILES)
def test_files_that_are_none(name: str, data: bytes, reason: str, folder: Path) -> None:
    (folder / name).write_bytes(data)

    with pytest.raises(EntryError, match=reason) as raised:
        Entry.read(folder)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize("name", [ENTRY, PREDICTIONS])
def test_a_missing_file_is_named(name: str, folder: Path) -> None:
    (folder / name).unlink()

    with pytest.raises(EntryError, match=f"{name} is missing"):
        Entry.read(folder)


def test_columns_of_other_types(folder: Path) -> None:
    table = pq.read_table(folder / PREDICTIONS)
    place = table.schema.get_field_index("label")
    for other in (
        table.drop_columns(["margin"]),
        table.set_column(place, "label", table.column("label").cast(pa.string())),
        table.set_column(place, "label", pa.nulls(len(table), pa.int32())),
    ):
        pq.write_table(other, folder / PREDICTIONS)
        with pytest.raises(EntryError, match=r"columns|lacks values in the column label"):
            Entry.read(folder)


def test_figures_that_another_processor_rounds_otherwise_are_accepted(folder: Path) -> None:
    before = Entry.read(folder).figures["random"]["borders"]["64"]["low"]

    def change(content: dict[str, Any]) -> None:
        content["figures"]["random"]["borders"]["64"]["low"] *= 1 + 1e-12

    entries.rewrite(folder, change, seal=True)

    after = Entry.read(folder).figures["random"]["borders"]["64"]["low"]
    assert after == pytest.approx(before, rel=1e-11)


def on_track(**changed: Any) -> dict[str, Any]:
    """Returns the data of the demo track, with some changes."""
    data = {"track": "demo", "digests": dict(QI.demo_digests), "sources": dict(QI.demo_splits), "evaluated": 100}
    names = [f"demo_{number:05d}" for number in range(100)]
    return entries.settings()["data"] | data | {"sources_sha256": sources_digest(names)} | changed


TRACKS: dict[str, tuple[dict[str, Any], str]] = {
    "demo with a limit": (on_track(limit=30), "not all of its sources were evaluated"),
    "demo with fewer sources": (on_track(sources=dict.fromkeys(QI.splits, 30)), "not all of its sources"),
    "demo with other digests": (on_track(digests=dict.fromkeys(QI.splits, entries.SHA)), "is not the digest"),
    "official with a limit": (
        on_track(track="official", canonical=True, pixels="verified", limit=3),
        "not all of its sources",
    ),
    "official names with a limit": (on_track(track="unverified", canonical=True, limit=3), "not all of its sources"),
    "official and unverified": (
        on_track(track="official", canonical=True),
        "data.track is official, but data.pixels is unverified",
    ),
    "unverified and pinned": (
        on_track(track="unverified", canonical=True, pixels="pinned"),
        "data.track is unverified, but data.pixels is pinned",
    ),
    "official and not canonical": (on_track(track="official"), "canonical is False, but data.track is official"),
}


@pytest.mark.parametrize(("data", "reason"), TRACKS.values(), ids=TRACKS)
def test_a_track_is_what_everybody_has(data: dict[str, Any], reason: str) -> None:
    with pytest.raises(EntryError, match=reason):
        check_data(data)


@pytest.mark.parametrize("track", ["demo", "official", "unverified"])
def test_a_track_has_its_own_sources(track: str, folder: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["data"] |= {"track": track, "canonical": track != "demo", "digests": dict(QI.demo_digests)}
        content["data"]["pixels"] = "unverified" if track == "unverified" else "verified"
        content["data"]["sources"] = dict(QI.demo_splits if track == "demo" else QI.splits)

    entries.rewrite(folder, change, seal=True)

    with pytest.raises(EntryError, match=f"data.track is {track}, but the sources are not those of its test split"):
        Entry.read(folder)


def test_an_entry_that_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")

    with refused(OutputError, "cannot-write", match="choose another folder"):
        entries.entry().write(tmp_path / "file" / "entry")


def test_strings_of_an_entry_are_kept_as_they_are(tmp_path: Path) -> None:
    model = entries.settings()["model"] | {"name": "<script>alert(1)</script>"}
    entries.entry(model=model).write(tmp_path)

    assert Entry.read(tmp_path).content["model"]["name"] == model["name"]
    assert json.loads((tmp_path / ENTRY).read_text())["model"]["name"] == model["name"]
