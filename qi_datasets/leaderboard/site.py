"""Writes the site: the page, all entries as CSV and JSON, and each entry's files, unless they are linked to."""

import csv
import io
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from qi_datasets.errors import OptionError, OutputError
from qi_datasets.evaluation.entry import ENTRY
from qi_datasets.evaluation.predictions import PREDICTIONS
from qi_datasets.leaderboard.board import Board
from qi_datasets.leaderboard.collection import Collection, Found, collect, on_this_machine
from qi_datasets.leaderboard.page import Downloads, render, slug
from qi_datasets.leaderboard.ranking import Row, Track

PAGE, CSV, JSON = "index.html", "entries.csv", "entries.json"
DOWNLOADS = "downloads"
"""The folder beside the page that holds the entries' files."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a text begins that a spreadsheet takes for a formula."""


def build(places: Iterable[str | Path], output: Path, *, link: bool = False, progress: bool = False) -> Collection:
    """Reads the entries below the places and writes the page and its downloads into `output`, which is made.

    places: as of `collection.collect`
    output: a folder; files of its own in it are replaced, others are left alone
    link: whether the page links to the entries where they lie, in folders of this machine, instead of copying them

    Returns what was found, the refused entries with it. Raises OptionError, OutputError.
    """
    output = Path(output).absolute()
    collection = collect(places, leave_out=output, progress=progress)
    board = Board.of(collection)
    try:
        output.mkdir(parents=True, exist_ok=True)
        downloads = linked(board.entries, output) if link else copied(board.entries, output / DOWNLOADS)
        table = table_of(board)
        write(output / PAGE, render(board, downloads))
        write(output / CSV, as_csv(table))
        write(output / JSON, json.dumps(table, indent=1, allow_nan=False) + "\n")
    except OSError as error:
        raise OutputError(f"cannot write {output}: {error.strerror or error}; choose another output folder") from error
    return collection


def write(path: Path, text: str) -> None:
    """Writes a file, which is replaced whole."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_text(text, encoding="utf-8", newline="\n")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def copied(entries: Iterable[Found], folder: Path) -> Downloads:
    """Copies each entry into a folder of its own, and removes those of entries that are gone."""
    there = {}
    for found in entries:
        target = folder / slug(found)
        target.mkdir(parents=True, exist_ok=True)
        write(target / ENTRY, json.dumps(found.content, indent=1, allow_nan=False) + "\n")
        with on_this_machine(found.place) as here:
            shutil.copyfile(here / PREDICTIONS, target / PREDICTIONS)
        there[found.key] = slug(found)
    old = [one for one in folder.iterdir() if one.name not in there.values()] if folder.is_dir() else []
    for gone in old:
        if gone.is_dir() and not gone.is_symlink() and {file.name for file in gone.iterdir()} <= {ENTRY, PREDICTIONS}:
            for file in gone.iterdir():
                file.unlink()
            gone.rmdir()
    return {key: (f"{DOWNLOADS}/{name}/{ENTRY}", f"{DOWNLOADS}/{name}/{PREDICTIONS}") for key, name in there.items()}


def linked(entries: Iterable[Found], output: Path) -> Downloads:
    """Links to the entries where they lie."""
    links = {}
    for found in entries:
        if not isinstance(found.place, Path):
            raise OptionError(f"link=True needs entries in folders of this machine, not {found.place}; leave it out")
        folder = Path(os.path.relpath(found.place, output)).as_posix()
        links[found.key] = (f"{quote(folder)}/{ENTRY}", f"{quote(folder)}/{PREDICTIONS}")
    return links


def table_of(board: Board) -> list[dict[str, Any]]:
    """One record for each row of the tables, as entries.json has them."""
    return [record(track, row) for track in board.tracks for row in track.rows]


def record(track: Track, row: Row) -> dict[str, Any]:
    """A row: what was evaluated, its rank and its figures."""
    content, model = row.content, row.model
    named = ("name", "weights", "padding", "pool", "background", "receptive_field", "total_stride", "parameters")
    return {
        "entry": row.found.name,
        "key": row.found.key,
        "task": track.task,
        "track": track.name,
        "data": track.number,
        "data_version": content["data"]["data_version"],
        "date": content["date"],
        "model": {name: model[name] for name in named},
        "init": row.init,
        "seeds": len(row.seeds),
        "rank": row.rank,
        "ranked": row.peers,
        "figures": row.figures,
    }


def as_csv(table: list[dict[str, Any]]) -> str:
    """The records as CSV, a column for each figure; empty where a row has no such figure."""
    rows = [dict(flat("", one)) for one in table]
    names = sorted({name for row in rows for name in row}, key=column_order)
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def flat(prefix: str, content: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    """Name with dots -> value, of nested records."""
    for name, value in content.items():
        if isinstance(value, dict):
            yield from flat(f"{prefix}{name}.", value)
        else:
            text = isinstance(value, str) and value.startswith(FORMULA)
            yield f"{prefix}{name}", f"'{value}" if text else value


def column_order(name: str) -> tuple[Any, ...]:
    """What is said of a row first, then its figures, borders and shifts by number."""
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
