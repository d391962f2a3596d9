"""Ranks with known answers, and entries that are never ranked together."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qi_datasets.leaderboard.collection import collect
from qi_datasets.leaderboard.ranking import compute_ranks, is_better, tracks_of
from qi_datasets.specs import QI
from tests.evaluation import entries
from tests.leaderboard.made import network, written

ALL = QI.borders


def test_networks_that_can_not_be_told_apart_share_a_rank() -> None:
    blind, half, whole = np.zeros(100), np.full(100, 0.5), np.ones(100)
    hardly = half.copy()
    hardly[:2] += 0.5

    assert compute_ranks([whole, half, hardly, blind]) == [4, 2, 2, 1]
    assert compute_ranks([]) == []


def test_the_difference_is_paired() -> None:
    """Unpaired, the intervals of these two overlap by far; picture by picture one is always a bit better."""
    spread = np.linspace(-0.9, 0.8, 200)

    assert is_better(spread, spread + 0.1)
    assert not is_better(spread, np.roll(spread + 0.1, 100))


def test_two_sources_decide_nothing() -> None:
    assert compute_ranks([np.zeros(2), np.ones(2)]) == [1, 1]


@given(st.lists(st.lists(st.floats(-1, 1), min_size=12, max_size=12), min_size=1, max_size=6))
def test_a_lower_score_never_has_a_worse_rank_than_what_it_beats(scores: list[list[float]]) -> None:
    arrays = [np.array(one) for one in scores]
    found = compute_ranks(arrays)

    for one, rank in zip(arrays, found, strict=True):
        assert rank == 1 + sum(is_better(other, one) for other in arrays)


def test_rows_stand_by_init_rank_and_value(tmp_path: Path) -> None:
    written(
        tmp_path,
        a=network(1, read=ALL),
        b=network(2, read=ALL[:3]),
        c=network(3, read=ALL[:3], missed=1),
        d=network(4, read=()),
        e=network(5, read=ALL, init="given"),
        f=network(6, read=(0,), borders=(0, 16)),
    )

    (track,) = tracks_of(collect([tmp_path]).found)

    assert [(row.found.name, row.init, row.rank, row.peers) for row in track.rows] == [
        ("d", "random", 1, 4),
        ("c", "random", 2, 4),
        ("b", "random", 2, 4),
        ("a", "random", 4, 4),
        ("f", "random", None, 0),
        ("e", "given", None, 1),
    ]
    assert [row.score for row in track.rows[:4]] == pytest.approx([0, 3 / 7 * 29 / 30, 3 / 7, 1])


OTHER_DATA = {
    "other pixels": {"digests": dict.fromkeys(QI.splits, "1" * 64)},
    "fewer sources to train on": {"sources": {"train": 20, "validation": 30, "test": 30}},
    "the official track": {"track": "official", "canonical": True, "pixels": "verified"},
    "official names": {"track": "unverified", "canonical": True},
    "another digest of train": {"digests": {**dict.fromkeys(QI.splits, entries.SHA), "train": "1" * 64}},
}


@pytest.mark.parametrize("data", OTHER_DATA.values(), ids=OTHER_DATA)
def test_what_was_measured_on_other_data_is_ranked_apart(
    data: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The official set can't be made here: that its sources are right is not what is asked.
    monkeypatch.setattr("qi_datasets.evaluation.entry.check_data", lambda data: None)
    monkeypatch.setattr("qi_datasets.evaluation.invariants.track_sources", lambda name, track: None)
    written(tmp_path, a=network(1, read=ALL), b=network(2, read=(), data=data))

    tracks = tracks_of(collect([tmp_path]).found)

    assert [[(row.found.name, row.rank) for row in track.rows] for track in tracks] in (
        [[("a", None)], [("b", None)]],
        [[("b", None)], [("a", None)]],
    )
    names = [track.name for track in tracks]
    assert names == sorted(names, key=["official", "unverified", "demo", "other"].index)
    assert [track.number for track in tracks] == ([0, 0] if len(set(names)) == 2 else [1, 2])


def test_networks_of_which_only_one_was_trained_compare(tmp_path: Path) -> None:
    """`validation` serves training alone, so that frozen networks' entries don't say its digest."""
    data = {name: {split: part[split] for split in ("train", "test")} for name, part in digests_and_sources().items()}
    written(tmp_path, a=network(1, read=ALL), b=network(2, read=(), data=data))

    (track,) = tracks_of(collect([tmp_path]).found)

    assert [(row.found.name, row.rank) for row in track.rows] == [("b", 1), ("a", 2)]


def digests_and_sources() -> dict[str, dict[str, object]]:
    data = entries.settings()["data"]
    return {name: data[name] for name in ("digests", "sources")}
