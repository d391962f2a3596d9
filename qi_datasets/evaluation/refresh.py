"""Rewrites entries of earlier versions in this version's form: their figures follow from their predictions."""

import json
from pathlib import Path

from qi_datasets.errors import EntryError, OptionError, one_line
from qi_datasets.evaluation.entry import ENTRY, Entry


def refresh_entries_in(folder: Path) -> dict[str, bool]:
    """Rewrites every entry at or below a folder that has the form of an earlier version.

    Returns:
        Path of each entry's folder -> whether it was rewritten.

    Raises:
        OptionError: If there is no entry.
        EntryError: If an entry is not valid; the message has its path, and nothing is rewritten.
    """
    found: dict[Path, Entry] = {}
    for path in sorted(folder.rglob(ENTRY)):
        try:
            found[path.parent] = Entry.read(path.parent)
        except EntryError as error:
            raise EntryError(f"{path.parent}: {one_line(error)}") from error
    if not found:
        raise OptionError(f"there are no entries in {folder}: an entry is a folder with {ENTRY}", code="bad-place")
    rewritten = {}
    for place, entry in found.items():
        before = json.loads((place / ENTRY).read_text(encoding="utf-8"))
        rewritten[f"{place}"] = before != entry.content
        if rewritten[f"{place}"]:
            entry.write(place)
    return rewritten
