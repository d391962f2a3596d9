"""Everything that is wrong with an entry, where `Entry.read` stops at the first thing. Needs no torch."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import cast

from jsonschema import Draft202012Validator

from qi_datasets.errors import EntryError, one_line
from qi_datasets.evaluation.content import EntryContent
from qi_datasets.evaluation.description import check_about
from qi_datasets.evaluation.entry import (
    ENTRY,
    OLDER,
    Entry,
    check_data,
    check_predictions,
    figure_faults,
    major_version,
    read_json,
    schema,
    seals_of,
)
from qi_datasets.evaluation.figures import compute_figures
from qi_datasets.evaluation.grid import grid_beside
from qi_datasets.evaluation.invariants import check_reach, check_rows
from qi_datasets.evaluation.predictions import PREDICTIONS, Predictions

MOST = 20
"""Lines about one thing, such as the schema."""

LONGEST = 240
"""Characters of a line."""


def faults_of(folder: str | Path) -> list[str]:
    """Returns a line for each thing that is wrong with the entry in a folder; [] for a valid one."""
    folder = Path(folder)
    try:
        grid_beside(folder, Entry.read(folder).content)
    except EntryError as error:
        first = one_line(error)
    else:
        return []
    found = [one[:LONGEST] for one in iter_faults(folder)]
    # A fault that is not found below is at least the one at which reading stopped.
    return list(dict.fromkeys(found or [first[:LONGEST]]))


def iter_faults(folder: Path) -> Iterator[str]:
    """Yields what is wrong, in the order of reading; what can't be looked at any more is left out."""
    try:
        content = read_json(folder / ENTRY)
    except EntryError as error:
        yield one_line(error)
        if not (folder / PREDICTIONS).is_file():
            yield f"{PREDICTIONS} is missing"
        return
    if major_version(content) == OLDER:
        return
    broken = list(of_schema(content))
    yield from limit_lines(broken)
    if broken:
        return
    checked = cast("EntryContent", content)
    yield from catch_error(lambda: check_about(checked))
    yield from catch_error(lambda: check_data(checked["data"]))
    yield from of_predictions(checked, folder)
    yield from of_seals(checked)
    yield from catch_error(lambda: grid_beside(folder, checked))


def of_schema(content: Mapping[str, object]) -> Iterator[str]:
    """Yields each field that is not of the published schema."""
    errors = sorted(
        Draft202012Validator(schema()).iter_errors(content), key=lambda one: list(map(str, one.absolute_path))
    )
    for error in errors:
        field = ".".join(map(str, error.absolute_path)) or "the entry"
        yield f"{field}: {' '.join(error.message[:2000].split())[:200]}"


def of_predictions(content: EntryContent, folder: Path) -> Iterator[str]:
    """Yields what the predictions contradict."""
    try:
        predictions = Predictions.read(folder / PREDICTIONS, content["task"])
    except EntryError as error:
        yield one_line(error)
        return
    yield from catch_error(lambda: check_predictions(content, predictions))
    rows = list(catch_error(lambda: check_rows(content, predictions)))
    yield from rows
    if rows:
        return
    figures = compute_figures(content, predictions)
    yield from limit_lines(list(figure_faults(content["figures"], figures)))
    yield from catch_error(lambda: check_reach(content, figures))


def of_seals(content: EntryContent) -> Iterator[str]:
    """Yields every section that was changed after it was sealed."""
    seals = seals_of(content)
    for section, seal in seals.items():
        if content["seals"].get(section) != seal:
            yield f"the section {section} was changed after the entry was written (its seal differs)"
    for section in content["seals"].keys() - seals.keys():
        yield f"the section {section!r} has a seal, but is gone"


def catch_error(check: Callable[[], object]) -> Iterator[str]:
    """Yields the words of an EntryError that a check raises."""
    try:
        check()
    except EntryError as error:
        yield one_line(error)


def limit_lines(lines: list[str]) -> Iterator[str]:
    """Yields the first lines, and how many more there are."""
    yield from lines[:MOST]
    if len(lines) > MOST:
        yield f"and {len(lines) - MOST} more of this kind"
