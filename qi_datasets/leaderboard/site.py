"""Writes the site: the page, all entries as CSV and JSON, and copies of each entry's files, or links to them."""

import csv
import io
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import quote

import yaml

from qi_datasets.errors import NamedArgument, OptionError
from qi_datasets.evaluation.entry import ENTRY
from qi_datasets.evaluation.predictions import PREDICTIONS
from qi_datasets.leaderboard.board import Board
from qi_datasets.leaderboard.collection import (
    BESIDE,
    LARGEST,
    Collection,
    FoundEntry,
    RefusedEntry,
    collect,
    on_this_machine,
)
from qi_datasets.leaderboard.hub_ranking import ComparedClaim, compare_with_hub
from qi_datasets.leaderboard.page import Downloads, render, slug
from qi_datasets.leaderboard.ranking import RankedRow, Track
from qi_datasets.storage.card import TAGS
from qi_datasets.storage.writing import output_errors, write_atomically

PAGE, CSV, JSON, CARD = "index.html", "entries.csv", "entries.json", "README.md"
NamedField = Literal[
    "name", "weights", "padding", "pool", "background", "receptive_field", "total_stride", "parameters"
]
NAMED: tuple[NamedField, ...] = get_args(NamedField)
"""The fields of a network in a record."""

DOWNLOADS = "downloads"
"""The folder of the entries' files beside the page."""

SPACE = {
    "title": "Which networks read location?",
    "emoji": "\N{COMPASS}",
    "colorFrom": "blue",
    "colorTo": "gray",
    "sdk": "static",
    "app_file": PAGE,
    "pinned": False,
    "license": "mit",
    "short_description": "From how far away do networks read location?",
    "tags": ["leaderboard", *TAGS],
}
"""The front matter of a static Space's card, as in the Hub's documentation (spaces-config-reference)."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""The first characters of texts that a spreadsheet takes for formulas."""


@dataclass(frozen=True)
class Site:
    """The result of building a site: the entries that were found, and the comparison with the Hub's ranking."""

    collection: Collection
    compared: Sequence[ComparedClaim]

    @property
    def found(self) -> Sequence[FoundEntry]:
        """The entries on the page."""
        return self.collection.found

    @property
    def refused(self) -> Sequence[RefusedEntry]:
        """The entries that are not on the page."""
        return self.collection.refused


def build(
    places: Iterable[str | Path],
    output: Path,
    *,
    link: bool = False,
    space: bool = False,
    hub: str | None = None,
    pull_requests: bool = False,
    progress: bool = False,
) -> Site:
    """Reads the entries below the locations, and writes the page and its downloads into `output`, which is made.

    places: as in `collection.collect`
    output: a folder; the site's own files in it are replaced, others stay
    link: whether the page links to the entries in their own folders, on of this machine, instead of copying them
    space: whether to write a card that makes the folder a static Space of the Hub
    hub: ORG/NAME of a benchmark of the Hub, whose ranking is compared on the page
    pull_requests: whether to include open pull requests on the Hub

    Returns the entries, also the refused ones. Raises OptionError, OutputError, HubError.
    """
    output = Path(output).absolute()
    collection = collect(places, leave_out=output, pull_requests=pull_requests, progress=progress)
    board = Board.of(collection)
    compared = compare_with_hub(board, hub, pull_requests=pull_requests) if hub is not None else []
    with output_errors(output, "choose another output folder"):
        output.mkdir(parents=True, exist_ok=True)
        downloads = link_entries(board.entries, output) if link else copy_entries(board.entries, output / DOWNLOADS)
        table = table_of(board)
        write(output / PAGE, render(board, downloads, compared, hub))
        write(output / CSV, as_csv(table))
        write(output / JSON, json.dumps(table, indent=1, allow_nan=False) + "\n")
        if space:
            write(output / CARD, space_card())
    return Site(collection, compared)


def compare_entries(
    places: Iterable[str | Path], hub: str, *, pull_requests: bool = False, progress: bool = False
) -> Site:
    """Does the same as `build` without a page: compares the Hub's ranking with the entries."""
    collection = collect(places, pull_requests=pull_requests, progress=progress)
    return Site(collection, compare_with_hub(Board.of(collection), hub, pull_requests=pull_requests))


def is_site_file(name: str) -> bool:
    """Returns whether a relative path is one of a site's files."""
    return name in (PAGE, CSV, JSON, CARD) or name.startswith(f"{DOWNLOADS}/")


def space_card() -> str:
    """Returns the card of the Space that shows the page."""
    head = yaml.safe_dump(SPACE, sort_keys=False, allow_unicode=True)
    text = "One static page, made by `qi-leaderboard`: every figure follows from the entries' predictions."
    return f"---\n{head}---\n\n{text}\n"


def write(path: Path, text: str) -> None:
    """Writes a file atomically."""
    write_atomically(path, lambda file: file.write_text(text, encoding="utf-8", newline="\n"))


def copy_entries(entries: Sequence[FoundEntry], folder: Path) -> Downloads:
    """Copies each entry into a folder of its own, and removes the folders of entries that are gone."""
    there = {}
    for found in entries:
        target = folder / slug(found)
        target.mkdir(parents=True, exist_ok=True)
        write(target / ENTRY, json.dumps(found.content, indent=1, allow_nan=False) + "\n")
        with on_this_machine(found.place) as here:
            for name in (PREDICTIONS, *(BESIDE if found.where else ())):
                shutil.copyfile(here / name, target / name)
        there[found.key] = slug(found)
    old = [one for one in folder.iterdir() if one.name not in there.values()] if folder.is_dir() else []
    for gone in old:
        if gone.is_dir() and not gone.is_symlink() and {file.name for file in gone.iterdir()} <= {*LARGEST, *BESIDE}:
            for file in gone.iterdir():
                file.unlink()
            gone.rmdir()
    return {found.key: files_at(f"{DOWNLOADS}/{there[found.key]}", found) for found in entries}


def link_entries(entries: Iterable[FoundEntry], output: Path) -> Downloads:
    """Returns links to the entries' own folders."""
    links = {}
    for found in entries:
        if not isinstance(found.place, Path):
            raise OptionError(
                NamedArgument("link", True),
                f" needs entries in folders of this machine, not {found.place}; leave it out",
                code="missing-argument",
            )
        links[found.key] = files_at(quote(Path(os.path.relpath(found.place, output)).as_posix()), found)
    return links


def files_at(folder: str, found: FoundEntry) -> list[str]:
    """Returns the locations of an entry's files, also those of an evaluation on a grid."""
    return [f"{folder}/{name}" for name in (*LARGEST, *(BESIDE if found.where else ()))]


def table_of(board: Board) -> list[dict[str, object]]:
    """Returns one record for each row of the tables, for entries.json."""
    return [record(track, row) for track in board.tracks for row in track.rows]


def record(track: Track, row: RankedRow) -> dict[str, object]:
    """Returns a row as a record: its network, rank and figures."""
    content, model = row.content, row.model
    return {
        "entry": row.found.name,
        "key": row.found.key,
        "task": track.task,
        "track": track.name,
        "data": track.number,
        "data_version": content["data"]["data_version"],
        "date": content["date"],
        "model": {name: model[name] for name in NAMED},
        "init": row.init,
        "seeds": len(row.seeds),
        "rank": row.rank,
        "ranked": row.peers,
        "figures": row.figures,
    }


def as_csv(table: list[dict[str, object]]) -> str:
    """Returns the records as CSV, a column for each figure; empty if a row lacks the figure."""
    rows = [dict(flatten_record("", one)) for one in table]
    names = sorted({name for row in rows for name in row}, key=column_order)
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def flatten_record(prefix: str, content: dict[str, object]) -> Iterable[tuple[str, object]]:
    """Yields name with dots -> value, of nested records."""
    for name, value in content.items():
        if isinstance(value, dict):
            yield from flatten_record(f"{prefix}{name}.", value)
        else:
            text = isinstance(value, str) and value.startswith(FORMULA)
            yield f"{prefix}{name}", f"'{value}" if text else value


def column_order(name: str) -> tuple[int, tuple[tuple[int, int, str], ...]]:
    """Returns a sort key of columns: facts about a row before its figures, borders and shifts by number."""
    first = [
        "entry",
        "key",
        "task",
        "track",
        "data",
        "data_version",
        "date",
        "model",
        "init",
        "seeds",
        "rank",
        "ranked",
    ]
    parts = name.split(".")
    numbers = tuple((0, int(part), "") if part.lstrip("-").isdigit() else (1, 0, part) for part in parts[1:])
    return first.index(parts[0]) if parts[0] in first else len(first), numbers
