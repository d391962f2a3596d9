"""Lists all faults of an entry, while `Entry.read` stops at the first. Needs no torch."""

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

MAX_LINES = 20
"""Lines about one kind of fault, such as those of the schema."""

MAX_CHARACTERS = 240
"""Characters of a line."""


def find_faults(folder: str | Path) -> list[str]:
    """Returns a line for each fault of the entry in a folder; [] for a valid entry."""
    folder = Path(folder)
    try:
        grid_beside(folder, Entry.read(folder).content)
    except EntryError as error:
        first = one_line(error)
    else:
        return []
    found = [one[:MAX_CHARACTERS] for one in iter_faults(folder)]
    # Reading has stopped at a fault, so the list is never empty, even if `iter_faults` does not find it.
    return list(dict.fromkeys(found or [first[:MAX_CHARACTERS]]))


def iter_faults(folder: Path) -> Iterator[str]:
    """Yields all faults, in the order of reading; checks that need what an earlier fault has broken are left out."""
    try:
        content = read_json(folder / ENTRY)
    except EntryError as error:
        yield one_line(error)
        if not (folder / PREDICTIONS).is_file():
            yield f"{PREDICTIONS} is missing"
        return
    if major_version(content) == OLDER:  # the schema below is that of this version
        return
    broken = list(schema_faults(content))
    yield from limit_lines(broken)
    if broken:
        return
    checked = cast("EntryContent", content)
    yield from catch_error(lambda: check_about(checked))
    yield from catch_error(lambda: check_data(checked["data"]))
    yield from prediction_faults(checked, folder)
    yield from seal_faults(checked)
    yield from catch_error(lambda: grid_beside(folder, checked))


def schema_faults(content: Mapping[str, object]) -> Iterator[str]:
    """Yields each field that breaks the published schema, and how."""
    errors = sorted(
        Draft202012Validator(schema()).iter_errors(content), key=lambda one: list(map(str, one.absolute_path))
    )
    for error in errors:
        field = ".".join(map(str, error.absolute_path)) or "the entry"
        yield f"{field}: {' '.join(error.message[:2000].split())[:200]}"


def prediction_faults(content: EntryContent, folder: Path) -> Iterator[str]:
    """Yields faults of the predictions, and each figure that they contradict."""
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


def seal_faults(content: EntryContent) -> Iterator[str]:
    """Yields every section that was changed after it was sealed."""
    seals = seals_of(content)
    for section, seal in seals.items():
        if content["seals"].get(section) != seal:
            yield f"the section {section} was changed after the entry was written (its seal differs)"
    for section in content["seals"].keys() - seals.keys():
        yield f"the section {section!r} has a seal, but is gone"


def catch_error(check: Callable[[], object]) -> Iterator[str]:
    """Yields the message of the EntryError that a check raises, if any."""
    try:
        check()
    except EntryError as error:
        yield one_line(error)


def limit_lines(lines: list[str]) -> Iterator[str]:
    """Yields the first `MAX_LINES` lines, and one with the number of the others."""
    yield from lines[:MAX_LINES]
    if len(lines) > MAX_LINES:
        yield f"and {len(lines) - MAX_LINES} more of this kind"
