"""Entries: figures that follow from their predictions, and everything else refused, with the reason."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from jsonschema import Draft202012Validator

from qi_datasets.errors import EntryError, OutputError
from qi_datasets.evaluation.entry import ENTRY, Entry, check_data, schema
from qi_datasets.evaluation.invariants import sources_digest
from qi_datasets.evaluation.predictions import PREDICTIONS
from qi_datasets.scores.intervals import mean_interval
from qi_datasets.specs import QI
from tests.evaluation import entries


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    entries.entry().write(tmp_path / "entry")
    return tmp_path / "entry"


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
    shares = right[at_16].reshape(2, 30, 2).mean(axis=(0, 2))
    assert found["borders"]["16"]["low"] == pytest.approx(mean_interval(shares).low)
    assert found["borders"]["512"] == {
        **{"verdict": "proved", "accuracy": 0.5, "p": 1, "corrected_p": 1, "channels": 0},
        **{name: found["borders"]["512"][name] for name in ("low", "high", "difference")},
    }
    d = right.reshape(7, 2, 30, 2).sum(axis=3).mean(axis=1) - 1
    assert found["location_score"]["value"] == pytest.approx(d.mean())
    np.testing.assert_allclose(entries.entry().scores("random")[16], d[1])


def test_an_entry_reads_back_as_it_was_written(folder: Path) -> None:
    found = Entry.read(folder)

    assert found.content == entries.entry().content
    assert found.predictions.table.equals(entries.entry().predictions.table)
    assert {path.name for path in folder.iterdir()} == {ENTRY, PREDICTIONS}
    assert repr(found) == "Entry(made_up, qi, 30 sources, 840 rows)"


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


def put(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """A change of one field, by its dotted path; `...` takes it away."""

    def change(content: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        for name in parents:
            content = content[name]
        if value is ...:
            del content[last]
        else:
            content[last] = value

    return change


CHANGED: dict[str, tuple[str, Any, str]] = {
    "an accuracy": ("figures.random.borders.16.accuracy", 0.75, "figures.random.borders.16.accuracy is 0.75"),
    "a lower bound": ("figures.random.borders.64.low", 0.49, "figures.random.borders.64.low"),
    "a verdict": ("figures.random.borders.64.verdict", "proved", "figures.random.borders.64.verdict is 'proved'"),
    "the reach": ("figures.random.reach", 16, "figures.random.reach is 16, but the predictions give 32"),
    "no reach": ("figures.random.reach", None, "figures.random.reach is None"),
    "the score": ("figures.random.location_score.value", 0.1, "figures.random.location_score.value"),
    "a border left out": ("figures.random.borders.64", ..., "figures.random.borders.64 is missing"),
    "a digest": ("data.digests.test", "1" * 64, "data was changed after"),
    "the digest of the weights": ("model.weights_sha256.random", ["1" * 64] * 2, "model was changed after"),
    "the digest of the predictions": ("predictions.sha256", "1" * 64, "predictions.parquet is not what"),
    "the number of rows": ("predictions.rows", 839, "predictions.parquet is not what"),
    "the sources": ("data.sources_sha256", "1" * 64, "data.sources_sha256"),
    "the model": ("model.name", "resnet18", "model was changed after"),
    "the padding": ("model.padding", "exact", "model was changed after"),
    "the date": ("date", "2024-01-31", "date was changed after"),
    "the protocol": ("protocol.settings.probe_penalty", 2.0, "protocol was changed after"),
    "canonical": ("data.canonical", True, "data.canonical is True, but data.track is other"),
    "pinned": ("data.pixels", "pinned", "data.digests.train is not the digest that is pinned for qi"),
    "the track": ("data.track", "demo", "data.digests.train is not the digest that is pinned for qi"),
    "the data version": ("data.data_version", "2.0.0", "data.data_version is 2.0.0"),
    "a seed more": ("protocol.inits.random.seeds", [0, 1, 2], "init random, border 0, seed 2: 0 rows"),
    "a border less": ("protocol.borders", entries.BORDERS[:-1], "120 rows beyond"),
    "another order": ("protocol.borders", entries.BORDERS[::-1], "init random, border 512, seed 0: the rows are not"),
    "a proof": ("proved.random", [64, 512], "init random, border 64: proved, yet the corners differ by 2.5e-01"),
    "a narrower field": ("model.receptive_field", 33, "figures.random.reach is 32"),
    "fewer sources": ("data.evaluated", 29, "data.sources_sha256"),
    "a number as text": ("figures.random.borders.0.accuracy", "0.9", "figures.random"),
    "a field too many": ("model.remark", "best", "model"),
    "a field too few": ("run.device", ..., "run"),
    "another task": ("task", "shifted", "data.set|figures"),
    "an unknown task": ("task", "chess", "task"),
    "another version": ("version", "2.0", "version is '2.0'"),
    "a long name": ("model.name", "x" * 1_000_000, "model.name"),
}


@pytest.mark.parametrize("seal", [False, True], ids=["edited", "forged"])
@pytest.mark.parametrize(("path", "value", "reason"), CHANGED.values(), ids=CHANGED)
def test_a_changed_field_is_refused(path: str, value: Any, reason: str, seal: bool, folder: Path) -> None:
    """A forger redoes the seals; then only what the predictions tell is left to contradict."""
    if seal and "was changed after" in reason:
        pytest.skip("nothing but the seal can tell")
    entries.rewrite(folder, put(path, value), seal=seal)

    with pytest.raises(EntryError, match=reason) as raised:
        Entry.read(folder)
    assert len(str(raised.value)) < 500
    assert len(str(raised.value).splitlines()) == 1


Columns = dict[str, np.ndarray]


def changed(name: str, rows: Any, value: Any) -> Callable[[Columns], Columns]:
    def change(columns: Columns) -> Columns:
        values = columns[name].copy()
        values[rows] = value
        return columns | {name: values}

    return change


def kept(rows: Any) -> Callable[[Columns], Columns]:
    return lambda columns: {name: values[rows] for name, values in columns.items()}


FIRST_64, FIRST_128 = 3 * 120, 4 * 120
PREDICTED: dict[str, tuple[Callable[[Columns], Columns], str]] = {
    "a prediction": (changed("margin", 0, 2.0), "figures.random.borders.0.accuracy"),
    "a margin alone": (changed("margin", slice(None), float("nan")), "margins must be finite"),
    "a row less": (
        kept(slice(1, None)),
        "init random, border 0, seed 0: 59 rows",
    ),
    "the last row missing": (kept(slice(0, -1)), "init random, border 512, seed 1: 59 rows, but there must be 60"),
    "a row twice": (kept([*range(61), *range(60, 840)]), "init random, border 0, seed 1: 61 rows"),
    "rows beyond": (kept([*range(840), 839, 839]), "init random, border 512, seed 1: 62 rows|2 rows beyond"),
    "rows in another order": (kept([1, 0, *range(2, 840)]), "label 0, then label 1"),
    "a source swapped": (kept([*range(60), 62, 63, 60, 61, *range(64, 840)]), "seed 1: the sources are not those"),
    "another source": (changed("source", [0, 1], "other"), "data.sources_sha256"),
    "a source twice": (changed("source", [2, 3], "picture_0"), "a source occurs twice, picture_0"),
    "a label": (changed("label", 5, 0), "label 0, then label 1"),
    "two classes for equal corners": (
        changed("margin", FIRST_128 + 1, 0.5),
        "128, seed 0: the corners are equal",
    ),
    "one difference of a pair": (changed("difference", FIRST_64, 0.5), "border 64, seed 0: the two rows of a source"),
    "a negative difference": (changed("difference", [0, 1], -0.5), "differences finite and 0 or more"),
    "an equal border that is not": (
        changed("difference", [FIRST_128, FIRST_128 + 1], 0.5),
        "figures.random.borders.128",
    ),
    "a proved border that is not": (changed("difference", [838, 839], 0.5), "border 512: proved, yet"),
    "another seed": (changed("seed", slice(0, 60), 7), "border 0, seed 0: 0 rows"),
}


@pytest.mark.parametrize(("change", "reason"), PREDICTED.values(), ids=PREDICTED)
def test_changed_predictions_are_refused(change: Callable[[Columns], Columns], reason: str, folder: Path) -> None:
    entries.forge(folder, change(entries.answers()))

    with pytest.raises(EntryError, match=reason) as raised:
        Entry.read(folder)
    assert len(str(raised.value).splitlines()) == 1


def test_predictions_that_the_entry_was_not_made_from(folder: Path) -> None:
    entries.predictions(changed("margin", 0, -1.25)(entries.answers())).write(folder / PREDICTIONS)

    with pytest.raises(EntryError, match=r"predictions\.parquet is not what the entry was made from"):
        Entry.read(folder)


def test_a_prediction_that_its_margin_contradicts(folder: Path) -> None:
    columns = entries.answers()
    entries.forge(folder, columns | {"prediction": columns["margin"] <= 0})

    with pytest.raises(EntryError, match="the prediction is 1 where the margin is above 0"):
        Entry.read(folder)


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
    """The data of the demo track, but for what is changed."""
    data = {"track": "demo", "digests": dict(QI.demo_digests), "sources": dict(QI.demo_splits), "evaluated": 100}
    names = [f"demo_{number:05d}" for number in range(100)]
    return entries.settings()["data"] | data | {"sources_sha256": sources_digest(names)} | changed


TRACKS: dict[str, tuple[dict[str, Any], str]] = {
    "demo with a limit": (on_track(limit=30), "not all of its sources were evaluated"),
    "demo with fewer sources": (on_track(sources=dict.fromkeys(QI.splits, 30)), "not all of its sources"),
    "demo with other digests": (on_track(digests=dict.fromkeys(QI.splits, entries.SHA)), "is not the digest"),
    "official with a limit": (on_track(track="official", canonical=True, limit=3), "not all of its sources"),
    "official and not canonical": (on_track(track="official"), "canonical is False, but data.track is official"),
}


@pytest.mark.parametrize(("data", "reason"), TRACKS.values(), ids=TRACKS)
def test_a_track_is_what_everybody_has(data: dict[str, Any], reason: str) -> None:
    with pytest.raises(EntryError, match=reason):
        check_data(data)


@pytest.mark.parametrize("track", ["demo", "official"])
def test_a_track_has_its_own_sources(track: str, folder: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["data"] |= {"track": track, "canonical": track == "official", "digests": dict(QI.demo_digests)}
        content["data"]["sources"] = dict(QI.demo_splits if track == "demo" else QI.splits)

    entries.rewrite(folder, change, seal=True)

    with pytest.raises(EntryError, match=f"data.track is {track}, but the sources are not those of its test split"):
        Entry.read(folder)


def test_an_entry_that_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")

    with pytest.raises(OutputError, match="choose another folder"):
        entries.entry().write(tmp_path / "file" / "entry")


def test_strings_of_an_entry_are_kept_as_they_are(tmp_path: Path) -> None:
    model = entries.settings()["model"] | {"name": "<script>alert(1)</script>\u2028"}
    entries.entry(model=model).write(tmp_path)

    assert Entry.read(tmp_path).content["model"]["name"] == model["name"]
    assert json.loads((tmp_path / ENTRY).read_text())["model"]["name"] == model["name"]
