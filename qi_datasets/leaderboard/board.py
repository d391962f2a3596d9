"""The content of a page: tracks, a network's figures on both sets in one row, and the networks of the first figure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from qi_datasets.evaluation.content import Figures
from qi_datasets.evaluation.paper_figures import paper_curve
from qi_datasets.leaderboard.collection import Collection, FoundEntry, RefusedEntry
from qi_datasets.leaderboard.ranking import RankedRow, Track, tracks_of
from qi_datasets.leaderboard.words import OWN, complete_rows, row_name
from qi_datasets.specs import CROP, QI, SHIFTED
from qi_datasets.storage.manifest import OTHER

CHOSEN = 6
"""Number of networks in a figure."""


@dataclass(frozen=True)
class Board:
    """All entries, ranked, and the refused ones."""

    tracks: Sequence[Track]
    refused: Sequence[RefusedEntry]
    again: Mapping[str, Sequence[FoundEntry]] = field(default_factory=dict)
    """Key of an entry -> further runs of the same evaluation."""

    @classmethod
    def of(cls, collection: Collection) -> "Board":
        """Returns the board of a collection."""
        return cls(tracks_of(collection.found), collection.refused, collection.again)

    def of_task(self, *tasks: str) -> list[Track]:
        """Returns the tracks of these tasks."""
        return [track for track in self.tracks if track.task in tasks]

    @property
    def quadrant(self) -> list[Track]:
        """The tracks on `qi`, the first of the page first."""
        return self.of_task(QI.name)

    @property
    def moved(self) -> list[Track]:
        """The tracks on `shifted`."""
        return self.of_task(SHIFTED.name)

    @property
    def toys(self) -> list[Track]:
        """The tracks on generated sets."""
        return [track for track in self.tracks if track.task not in (QI.name, SHIFTED.name)]

    @cached_property
    def entries(self) -> list[FoundEntry]:
        """Every entry once, in the order of the tables."""
        return list({row.found.key: row.found for track in self.tracks for row in track.rows}.values())

    @cached_property
    def _moved_rows(self) -> Mapping[tuple[str, str, str, str], list[RankedRow]]:
        rows: dict[tuple[str, str, str, str], list[RankedRow]] = {}
        for track in self.moved:
            for row in track.rows:
                rows.setdefault(network_key(track, row), []).append(row)
        return rows

    def crops(self, track: Track, rows: Sequence[RankedRow]) -> list[Figures | None]:
        """Returns the results of `crop` for some rows."""
        return [self.crop(track, row) for row in rows]

    def crop(self, track: Track, row: RankedRow) -> Figures | None:
        """Returns a network's figures on `shifted`, mode `crop`, on the same track; None if it has no entry there.

        It is the same network if it has the same name, padding and digest of its weights. Entries on other data
        don't state where their images are from, so they are not joined.
        """
        if track.name == OTHER:
            return None
        weights = weights_of(row)
        twins = [one for one in self._moved_rows.get(network_key(track, row), ()) if weights & weights_of(one)]
        found: Figures | None = twins[0].figures.get(CROP) if twins else None
        return found


def network_key(track: Track, row: RankedRow) -> tuple[str, str, str, str]:
    """Returns a key that entries of one network have in common on both sets."""
    return track.name, row.model["name"], row.model["padding"], row.init


def weights_of(row: RankedRow) -> frozenset[str]:
    """Returns the weights' digests of the networks of a row, one per seed."""
    return frozenset(row.model["weights_sha256"].get(row.init, ()))


def choose_networks(rows: Sequence[RankedRow]) -> list[RankedRow]:
    """Returns the networks of a figure, at most `CHOSEN`: the paper's, then others by score from both ends inwards.

    Networks that were not run at all seven borders are left out.
    """
    scored = sorted(complete_rows(rows), key=lambda row: (row.score, row_name(row)))
    taken = [row for row in scored if paper_curve(row.model["name"], row.init) and row.model["padding"] == OWN]
    taken = taken[: CHOSEN // 2]
    left = [row for row in scored if row not in taken]
    inwards = [left[-1 - number // 2] if number % 2 == 0 else left[number // 2] for number in range(len(left))]
    taken += inwards[: CHOSEN - len(taken)]
    return sorted(taken, key=scored.index, reverse=True)
