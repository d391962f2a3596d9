"""Which entries are found and which refused: hostile files, edited entries, duplicates."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import fsspec
import numpy as np
import pytest

from qi_datasets.errors import OptionError
from qi_datasets.evaluation.entry import COMPUTED, ENTRY, Entry
from qi_datasets.evaluation.predictions import PREDICTIONS
from qi_datasets.leaderboard.collection import collect
from tests.evaluation import entries
from tests.evaluation.entries import changed, kept, put
from tests.leaderboard.made import network, shifted, written

Damage = Callable[[Path], object]


def edited(path: str, value: object, *, seal: bool = True) -> Damage:
    """Changes a field of an entry, as a forger would who renews the seals."""
    return lambda folder: entries.rewrite(folder, put(path, value), seal=seal)


def forged(change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]) -> Damage:
    """Changes the predictions, and all that depends on their digest."""
    return lambda folder: entries.forge(folder, change(entries.answers()))


def overwritten(name: str, data: bytes) -> Damage:
    return lambda folder: (folder / name).write_bytes(data)


def pipe(name: str) -> Damage:
    """Puts a pipe, which nobody writes to, in a file's place."""

    def damage(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return damage


REFUSED: dict[str, tuple[Damage, str]] = {
    "an edited figure": (
        edited("figures.random.borders.16.accuracy", 0.5),
        "figures.random.borders.16.accuracy is 0.5, but",
    ),
    "an edited reach": (edited("figures.random.reach", 0), "figures.random.reach is 0, but the predictions give 32"),
    "an edited prediction": (forged(changed("margin", 0, 2.0)), "figures.random.borders.0.accuracy is"),
    "another digest": (edited("data.digests.test", "1" * 64, seal=False), "the section data was changed after"),
    "a digest that is not the pinned one": (edited("data.track", "demo"), "is not the digest that is pinned for qi"),
    "a missing row": (forged(kept(slice(0, -1))), "init random, border 512, seed 1: 59 rows, but there must be 60"),
    "a source twice": (forged(changed("source", [2, 3], "picture_0")), "a source occurs twice, picture_0"),
    "NaN": (overwritten(ENTRY, b'{"version": NaN}'), "NaN is no number"),
    "a number without end": (overwritten(ENTRY, b'{"version": 1e999}'), "1e999 is too large"),
    "deep JSON": (overwritten(ENTRY, b"[" * 100_000), "entry.json is no JSON of an entry"),
    "a name of 1 MB": (edited("model.name", "x" * 1_000_000), "model.name"),
    "a Parquet that is none": (
        overwritten(PREDICTIONS, b"PAR1 or not"),
        "predictions.parquet can't be read as Parquet",
    ),
    "predictions missing": (lambda folder: (folder / PREDICTIONS).unlink(), "predictions.parquet is missing"),
    "settings missing": (lambda folder: (folder / ENTRY).unlink(), "entry.json is missing"),
    "a pipe for JSON": (pipe(ENTRY), "entry.json is missing"),
    "a pipe for Parquet": (pipe(PREDICTIONS), "predictions.parquet is missing"),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("damage", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_is_wrong_with_one_entry_is_its_reason(damage: Damage, reason: str, tmp_path: Path) -> None:
    written(tmp_path, good=network(1), bad=entries.entry())
    damage(tmp_path / "bad")

    found = collect([tmp_path])

    assert [one.name for one in found.found] == ["good"]
    (refused,) = found.refused
    assert refused.name == "bad"
    assert reason in refused.reason
    assert str(tmp_path) not in refused.reason
    assert len(refused.reason) <= 300
    assert refused.reason.isprintable()


def test_an_entry_that_is_there_twice(tmp_path: Path) -> None:
    first = network(1)
    written(tmp_path, a=first, b=first, c=network(2))
    entries.rewrite(tmp_path / "b", put("date", "2025-02-01"), seal=True)

    found = collect([tmp_path])

    assert [one.name for one in found.found] == ["a", "c"]
    (refused,) = found.refused
    assert (refused.name, refused.reason.partition(";")[0]) == (
        "b",
        "it is a duplicate of a: the same network, protocol and data",
    )


def test_what_others_ran_again_is_no_duplicate(tmp_path: Path) -> None:
    network(1).described(authors="Ada").write(tmp_path / "first")
    for name, authors in (("second", "Bob"), ("third", "Ada")):
        network(1).described(authors=authors).write(tmp_path / name)
        entries.rewrite(tmp_path / name, put("date", "2025-03-01"), seal=True)

    found = collect([tmp_path])
    assert [one.name for one in found.found] == ["first"]
    assert {key: [one.name for one in runs] for key, runs in found.again.items()} == {found.found[0].key: ["second"]}
    assert [one.name for one in found.refused] == ["third"]


def test_of_two_duplicates_the_older_stays(tmp_path: Path) -> None:
    for name, date in {"a_copy": "2025-03-01", "original": "2025-01-31", "third": "2025-02-01"}.items():
        entry = network(1)
        Entry.of(
            {**{k: v for k, v in entry.content.items() if k not in COMPUTED}, "date": date},
            entry.predictions,
            {"total": 1.0},
        ).write(tmp_path / name)

    found = collect([tmp_path])

    assert [one.name for one in found.found] == ["original"]
    assert [one.name for one in found.refused] == ["a_copy", "third"]
    assert "duplicate of original" in found.refused[0].reason


def test_predictions_under_another_name(tmp_path: Path) -> None:
    entry = network(1)
    written(tmp_path, a=entry, b=network(1, name="mine", weights_sha256={"random": ["f" * 64]}))

    assert [one.reason for one in collect([tmp_path]).refused] == ["its predictions are those of a, to the bit"]


def test_networks_that_see_no_difference_all_answer_alike(tmp_path: Path) -> None:
    written(tmp_path, a=network(1, read=()), b=network(2, read=()))

    assert len(collect([tmp_path]).found) == 2


def test_the_order_of_the_places_decides_nothing(tmp_path: Path) -> None:
    one, two = written(tmp_path / "one", a=network(1), c=network(3)), written(tmp_path / "two", b=network(2))

    assert [each.name for each in collect([two, one]).found] == ["a", "b", "c"]


def test_places_of_every_kind(tmp_path: Path) -> None:
    written(tmp_path / "deep" / "er", a=network(1))
    written(tmp_path, b=network(2))

    assert [one.name for one in collect([tmp_path]).found] == ["b", "deep/er/a"]
    assert [one.name for one in collect([tmp_path / "b"]).found] == ["b"]
    assert [one.name for one in collect([tmp_path / "b" / ENTRY]).found] == ["b"]
    assert [one.name for one in collect([tmp_path], leave_out=tmp_path / "deep").found] == ["b"]


def test_entries_behind_a_url(tmp_path: Path) -> None:
    written(tmp_path, a=network(1), b=shifted(2))
    (tmp_path / "b" / ENTRY).write_text("{")
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path), "/board", recursive=True)
    try:
        (place,) = {path.rpartition("/")[0].rpartition("/")[0] for path in memory.find("/board")}
        found = collect([f"memory:/{place}"])
    finally:
        memory.rm("/board", recursive=True)

    assert [one.name for one in found.found] == ["a"]
    assert found.found[0].content == Entry.read(tmp_path / "a").content
    assert found.refused[0].reason.startswith("entry.json is no JSON of an entry")


@pytest.mark.parametrize("place", ["nowhere", "empty", "nope://bucket", "hf://datasets/x"])
def test_a_place_without_entries(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()

    with pytest.raises(OptionError) as raised:
        collect([place])
    assert len(str(raised.value).splitlines()) == 1


def test_a_link_to_a_folder_is_not_followed(tmp_path: Path) -> None:
    written(tmp_path / "outside", secret=network(1))
    written(tmp_path / "here", a=network(2))
    (tmp_path / "here" / "b").symlink_to(tmp_path / "outside" / "secret")

    assert [one.name for one in collect([tmp_path / "here"]).found] == ["a"]


def test_the_time_that_it_took_is_no_part_of_the_key(tmp_path: Path) -> None:
    written(tmp_path, a=network(1))
    before = collect([tmp_path]).found[0].key
    content = json.loads((tmp_path / "a" / ENTRY).read_text())
    shutil.copytree(tmp_path / "a", tmp_path / "other" / "a")
    (tmp_path / "other" / "a" / ENTRY).write_text(json.dumps(content | {"seconds": {"total": 9.0}}))

    assert collect([tmp_path / "other"]).found[0].key == before
