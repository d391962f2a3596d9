"""Finds the entries below some locations and reads them; a fault in one is reported as its reason, not raised."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import attrgetter
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qi_datasets.errors import EntryError, OptionError, QIDatasetsError, one_line
from qi_datasets.evaluation.content import DataContent, EntryContent, Figures
from qi_datasets.evaluation.description import ABOUT, DESCRIBING
from qi_datasets.evaluation.entry import ENTRY, Entry
from qi_datasets.evaluation.entry import MOST_BYTES as MOST_JSON_BYTES
from qi_datasets.evaluation.grid import ANSWERS, SETTINGS, grid_beside
from qi_datasets.evaluation.grid import MOST_BYTES as MOST_GRID_BYTES
from qi_datasets.evaluation.predictions import MOST_BYTES, PREDICTIONS
from qi_datasets.pixels.digests import sha256_hex
from qi_datasets.progress import bar_over
from qi_datasets.specs import QI
from qi_datasets.storage.hub import HubPlace
from qi_datasets.storage.location import Place, entries_below, fetch, file_size, folder_name, join_place, place_of
from qi_datasets.storage.published import open_requests
from qi_datasets.storage.scratch import scratch_folder

LARGEST = {ENTRY: MOST_JSON_BYTES, PREDICTIONS: MOST_BYTES}
"""The files of an entry, with the largest size in bytes of each."""

BESIDE = {SETTINGS: MOST_GRID_BYTES, ANSWERS: MOST_GRID_BYTES}
"""Files that may be beside an entry: an evaluation of its network on a grid."""

LONGEST_REASON = 300


@dataclass(frozen=True, eq=False)
class FoundEntry:
    """A valid entry.

    name: its folder, relative to the location that was searched
    place: the folder itself
    content: the content of `entry.json`
    scores: init -> location score of each source, (N,), in [-1, 1], of entries on `qi` at all seven borders
    constant: whether every margin is 0, as for a network that sees no difference
    pull_request: the number of the open pull request that proposes it; None for a published entry
    where: the map of where it reads, from `grid.json` beside it; None if there is none
    """

    name: str
    place: Place
    content: EntryContent
    scores: Mapping[str, NDArray[np.float64]]
    constant: bool
    pull_request: int | None = None
    where: Mapping[str, Any] | None = None

    @property
    def task(self) -> str:
        """The set that the network was evaluated on."""
        return str(self.content["task"])

    @property
    def figures(self) -> Figures:
        """Init -> figures."""
        figures: Figures = self.content["figures"]
        return figures

    @cached_property
    def key(self) -> str:
        """16 hexadecimal digits that identify the evaluation; time and texts about the network don't change them."""
        seals = [seal for section, seal in self.content["seals"].items() if section not in DESCRIBING]
        return sha256_hex("".join(sorted(seals)).encode())[:16]


@dataclass(frozen=True)
class RefusedEntry:
    """An invalid entry, and its first fault in one line."""

    name: str
    reason: str


@dataclass(frozen=True)
class Collection:
    """The entries that were found, both lists sorted by name."""

    found: Sequence[FoundEntry]
    refused: Sequence[RefusedEntry]
    again: Mapping[str, Sequence[FoundEntry]] = field(default_factory=dict)
    """Key of an entry -> further runs of the same evaluation, by other people."""


def collect(
    places: Iterable[str | Path],
    *,
    leave_out: Path | None = None,
    twice: bool = False,
    pull_requests: bool = False,
    progress: bool = False,
) -> Collection:
    """Returns every entry below the places, read and computed again.

    Args:
        places: Folders (searched), `entry.json` files, or URLs of fsspec, also `hf://`.
        leave_out: A folder that is not searched.
        twice: Whether an evaluation may occur twice; else the younger one is refused.
        pull_requests: Whether to include new entries in open pull requests on the Hub.
        progress: Show a bar on a terminal.

    Raises OptionError for a location without anything that could be an entry, or that can't be listed.
    """
    places = list(places)
    listed = {(name, place): None for given in places for name, place in folders_of(given, leave_out)}
    numbers: dict[tuple[str, Place], int | None] = {
        **listed,
        **(find_proposed_entries(places, listed) if pull_requests else {}),
    }
    folders = sorted(numbers, key=lambda one: (numbers[one] is not None, str(one)))
    found: list[FoundEntry] = []
    refused: list[RefusedEntry] = []
    valid: list[FoundEntry] = []
    with bar_over("entries", len(folders), "entry", progress) as bar:
        for name, place in folders:
            try:
                one = replace(read_entry(name, place), pull_request=numbers[name, place])
            except QIDatasetsError as error:
                refused.append(RefusedEntry(name, one_line(error)[:LONGEST_REASON]))
            else:
                valid.append(one)
            bar.update()
    seen = KnownEntry()
    again: dict[str, list[FoundEntry]] = {}
    # Of two runs of one evaluation the older stays: a copy is younger than its original, and proposed later.
    for one in sorted(valid, key=lambda one: (one.pull_request is not None, one.content["date"], one.name)):
        if not twice and (original := seen.original(one)) is not None:
            again.setdefault(original.key, []).append(one)
            continue
        reason = "" if twice else seen.trouble(one)
        refused.append(RefusedEntry(one.name, reason)) if reason else found.append(one)
    return Collection(sorted(found, key=attrgetter("name")), sorted(refused, key=attrgetter("name")), again)


def find_proposed_entries(
    places: Iterable[str | Path], known: Iterable[tuple[str, Place]]
) -> dict[tuple[str, Place], int | None]:
    """Returns name and location of each new entry in an open pull request on the Hub -> the request's number.

    Args:
        places: As in `collect`.
        known: Names and locations of published entries.
    """
    names = {name for name, _ in known}
    found: dict[tuple[str, Place], int | None] = {}
    for place in filter(None, map(HubPlace.parse, places)):
        for request in open_requests(place):
            # A pull request without entries must not spoil the rest.
            with suppress(OptionError):
                at_request = str(HubPlace(place.repo_id, f"refs/pr/{request.num}"))
                found |= {one: request.num for one in folders_of(at_request) if one[0] not in names}
    return found


def folders_of(given: str | Path, leave_out: Path | None = None) -> list[tuple[str, Place]]:
    """Returns name and location of each folder at or below a location that has a file of an entry."""
    place = place_of(given)
    if folder_name(place) == ENTRY:
        parent = place.parent if isinstance(place, Path) else place.rpartition("/")[0]
        return folders_of(parent, leave_out)
    try:
        files = [PurePosixPath(name) for name, kind in entries_below(place) if kind != "directory"]
    except QIDatasetsError:
        raise
    except Exception as error:  # a remote file system may raise any exception
        raise OptionError(
            f"{place} can't be listed: {one_line(error)[:200]}; give a folder of entries", code="bad-place"
        ) from error
    parents = {file.parent for file in files if file.name in LARGEST}
    if isinstance(place, Path) and leave_out is not None:
        parents = {one for one in parents if not (place / one).resolve().is_relative_to(leave_out.resolve())}
    if not parents:
        raise OptionError(
            f"there are no entries in {place}: an entry is a folder with {ENTRY} and {PREDICTIONS}", code="bad-place"
        )
    here = PurePosixPath()
    return [
        (folder_name(place), place) if parent == here else (str(parent), join_place(place, str(parent)))
        for parent in parents
    ]


def read_entry(name: str, place: Place) -> FoundEntry:
    """Reads the entry in a folder. Raises EntryError, without local paths, if it is not valid or can't be fetched."""
    with on_this_machine(place) as folder:
        try:
            entry = Entry.read(folder)
            grid = grid_beside(folder, entry.content)
        except QIDatasetsError as error:
            raise EntryError(one_line(error).replace(f"{folder}/", "")) from error
    # The predictions of some hundred entries would fill the memory.
    scores = {init: score_by_source(entry, init) for init in entry.figures if entry.figures[init].get("location_score")}
    constant = not entry.predictions.column("margin").any()
    return FoundEntry(name, place, entry.content, scores, constant, where=None if grid is None else grid.content)


def score_by_source(entry: Entry, init: str) -> NDArray[np.float64]:
    """Returns the location score of each source: the mean of its d over the seven borders."""
    scores = entry.scores(init)
    mean: NDArray[np.float64] = np.mean([scores[border] for border in QI.borders], axis=0)
    return mean


@contextmanager
def on_this_machine(place: Place) -> Iterator[Path]:
    """Yields a local folder with the files of an entry, while the block runs."""
    if isinstance(place, Path):
        yield place
        return
    with scratch_folder() as folder:
        for name, most in {**LARGEST, **BESIDE}.items():
            try:
                size = file_size(join_place(place, name))
                if size is not None and size > most:
                    raise EntryError(f"{name} is larger than any ({size} bytes)", code="unreadable-entry")
                if size is not None:
                    fetch(join_place(place, name), folder / name)
            except QIDatasetsError:
                raise
            except Exception as error:  # a remote file system may raise any exception
                raise EntryError(
                    f"{name} can't be fetched: {one_line(error)[:200]}", code="unreadable-entry"
                ) from error
        yield folder


class KnownEntry:
    """The evaluations seen so far, so that none is accepted twice."""

    def __init__(self) -> None:
        self._evaluations: dict[str, FoundEntry] = {}
        self._answers: dict[str, str] = {}

    def trouble(self, one: FoundEntry) -> str:
        """Registers an entry, and returns ""; or why not: its evaluation was seen, or its answers under other names."""
        evaluations = [repr(evaluation_of(one.content, init)) for init in one.figures]
        if twice := next((self._evaluations[key] for key in evaluations if key in self._evaluations), None):
            return (
                f"it is a duplicate of {twice.name}: the same network, protocol and data; another run is given its "
                "authors with qi-eval --describe FOLDER --authors NAME"
            )
        # Networks that see no difference all have the same answers.
        answers = [] if one.constant else [one.content["predictions"]["sha256"]]
        if same := next((self._answers[key] for key in answers if key in self._answers), None):
            return f"its predictions are those of {same}, to the bit"
        self._evaluations |= dict.fromkeys(evaluations, one)
        self._answers |= dict.fromkeys(answers, one.name)
        return ""

    def original(self, one: FoundEntry) -> FoundEntry | None:
        """Returns the entry of which this one is a run by other authors; None if there is none."""
        evaluations = [repr(evaluation_of(one.content, init)) for init in one.figures]
        known = {known.key: known for key in evaluations if (known := self._evaluations.get(key)) is not None}
        authors = one.content.get(ABOUT, {}).get("authors")
        if len(known) != 1 or not all(key in self._evaluations for key in evaluations) or authors is None:
            return None
        found = next(iter(known.values()))
        return None if found.content.get(ABOUT, {}).get("authors") == authors else found


def evaluation_of(content: EntryContent, init: str) -> list[object]:
    """Returns the facts that identify an evaluation: the network, one of its inits, the protocol and the data."""
    model = content["model"] | {"weights_sha256": content["model"]["weights_sha256"].get(init)}
    protocol = content["protocol"] | {"inits": content["protocol"]["inits"][init]}
    parts = (content["task"], init, model, content["transform"], protocol, measured_on(content["data"]))
    return [sorted(part.items()) if isinstance(part, dict) else part for part in parts]


def measured_on(data: DataContent) -> dict[str, object]:
    """Returns a key of pixels and sources, without `validation`, which only networks that are trained use."""
    splits = [split for split in data["digests"] if split != "validation"]
    return {
        "set": data["set"],
        "track": data["track"],
        "data_version": data["data_version"].partition(".")[0],
        "digests": {split: data["digests"][split] for split in splits},
        "sources": {split: data["sources"].get(split) for split in splits},
        "sources_sha256": data["sources_sha256"],
    }
