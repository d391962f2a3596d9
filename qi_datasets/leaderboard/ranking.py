"""Ranks networks: decides which entries are comparable, and which order their scores by source justify.

Ranks follow the section "Ranks" of cards/specification.md.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from qi_datasets.evaluation.content import DataContent, DeadContent, EntryContent, Figures, ModelContent
from qi_datasets.evaluation.initialisations import INITS
from qi_datasets.leaderboard.collection import FoundEntry, measured_on
from qi_datasets.scores.intervals import mean_interval
from qi_datasets.specs import QI, SHIFTED, SPECS
from qi_datasets.storage.manifest import TRACKS

TASKS = (QI.name, SHIFTED.name, *(name for name, spec in SPECS.items() if not spec.needs_images))
"""The order of the tasks on a page."""

WIDEST = 2.0
"""The largest possible difference of two scores in [-1, 1]."""


@dataclass(frozen=True, eq=False)
class RankedRow:
    """One init of an entry. rank: within its track and init; None without a score over all seven borders."""

    found: FoundEntry
    init: str
    rank: int | None = None
    peers: int = 0
    """The rows that it is ranked with."""

    @property
    def content(self) -> EntryContent:
        """The content of `entry.json`."""
        return self.found.content

    @property
    def figures(self) -> Figures:
        """The figures of this init."""
        figures: Figures = self.found.figures[self.init]
        return figures

    @property
    def model(self) -> ModelContent:
        """The entry's section on the network."""
        return self.content["model"]

    @property
    def seeds(self) -> Sequence[int]:
        """The seeds of this init."""
        return self.content["protocol"]["inits"][self.init]["seeds"]

    @property
    def dead(self) -> DeadContent | None:
        """The residual branches that add nothing, as in the entry; None if all branches add something."""
        return self.content.get("dead_branches", {}).get(self.init)

    @property
    def score(self) -> float | None:
        """The location score; None for other tasks, and if borders are missing."""
        score = self.figures.get("location_score")
        return None if score is None else float(score["value"])


@dataclass(frozen=True)
class Track:
    """Rows of one task that were measured on the same data, in the order of a table.

    Attributes:
        number: 0 if the track's name identifies the data, else 1, 2, ... for each further data under
            that name.
    """

    task: str
    name: str
    number: int
    data: DataContent
    rows: Sequence[RankedRow] = field(repr=False)


def tracks_of(found: Iterable[FoundEntry]) -> list[Track]:
    """Returns the tracks by task, official before demo before other data."""
    groups: dict[tuple[str, str, str], list[RankedRow]] = {}
    for one in found:
        rows = groups.setdefault(comparable(one), [])
        rows.extend(RankedRow(one, init) for init in one.figures)
    order = sorted(groups, key=lambda key: (TASKS.index(key[0]), TRACKS.index(key[1]), key))
    names = Counter((key[0], key[1]) for key in order)
    numbers: Counter[tuple[str, str]] = Counter()
    tracks = []
    for key in order:
        task, name = key[:2]
        numbers[task, name] += 1
        number = numbers[task, name] if names[task, name] > 1 else 0
        rows = sort_rows(groups[key])
        tracks.append(Track(task, name, number, rows[0].content["data"], rows))
    return tracks


def comparable(one: FoundEntry) -> tuple[str, str, str]:
    """Returns a key that comparable entries share: the same task, track, pixels and sources."""
    data = one.content["data"]
    return one.task, data["track"], json.dumps(measured_on(data), sort_keys=True)


def sort_rows(rows: Iterable[RankedRow]) -> list[RankedRow]:
    """Returns rows by init, rank, value and name, with their ranks."""
    ranked: list[RankedRow] = []
    for init in INITS:
        those = [row for row in rows if row.init == init]
        scored = [row for row in those if row.score is not None]
        places = compute_ranks([row.found.scores[row.init] for row in scored])
        ranked += [
            # A single network has no rank.
            RankedRow(row.found, init, rank if len(scored) > 1 else None, len(scored))
            for row, rank in sorted(zip(scored, places, strict=True), key=order)
        ]
        ranked += sorted((row for row in those if row.score is None), key=lambda row: row.found.name)
    return ranked


def order(placed: tuple[RankedRow, int]) -> tuple[object, ...]:
    """Returns a sort key: by rank, within a rank by value."""
    row, rank = placed
    return rank, row.score, row.found.name, row.found.key


def compute_ranks(scores: Sequence[NDArray[np.float64]]) -> list[int]:
    """Returns for each network 1 + the number of networks that are significantly better.

    One is better than another if the interval of the mean difference (`intervals.mean_interval`) is above 0.

    Args:
        scores: (N,) for each network, by source, the same sources in one order; lower is better.
    """
    means = [float(one.mean()) for one in scores]
    return [
        1 + sum(means[other] < means[one] and is_better(scores[other], scores[one]) for other in range(len(scores)))
        for one in range(len(scores))
    ]


def is_better(scores: NDArray[np.float64], than: NDArray[np.float64]) -> bool:
    """Returns whether the first network's scores are significantly lower than the second's, source by source."""
    return mean_interval(than - scores, lowest=-WIDEST, highest=WIDEST).low > 0
