"""Checks a submission: valid entries, in folders of plain names, which leave what is published as it is."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from qi_datasets.errors import OptionError
from qi_datasets.evaluation.about import DESCRIBING
from qi_datasets.evaluation.entry import ENTRY, UNSEALED
from qi_datasets.evaluation.predictions import PREDICTIONS
from qi_datasets.leaderboard.collection import Collection, Found, Known, Refused, collect

README = "README.md"
"""May stand beside entries, and in the folder of all of them."""

PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
"""The name of an entry's folder."""


@dataclass(frozen=True)
class Checked:
    """What a submission holds. new, unchanged: names of valid entries; refused: the others, and why."""

    new: tuple[str, ...]
    unchanged: tuple[str, ...]
    refused: tuple[Refused, ...]


def check(folder: Path, published: Iterable[str | Path] = (), *, progress: bool = False) -> Checked:
    """Checks one entry's folder, or a folder of them.

    Args:
        folder: Of an entry; or of all entries, where each published one must still be.
        published: Places of the published entries, as of `collection.collect`.
        progress: Show a bar on a terminal.

    Raises:
        OptionError: Where there is no folder, or nothing that could be an entry.
    """
    folder = folder.absolute()
    if not folder.is_dir():
        raise OptionError(f"{folder} is no folder; check takes an entry's folder, or a folder of entries")
    there = collect([folder], twice=True, progress=progress)
    before = collect(published, progress=progress) if (published := list(published)) else Collection((), ())
    old: dict[str, Found] = {one.name.rpartition("/")[2]: one for one in before.found}
    known = Known()
    for one in before.found:
        known.trouble(one)
    new: list[str] = []
    unchanged: list[str] = []
    refused = list(there.refused)
    for one in there.found:
        name = one.name.rpartition("/")[2]
        change = altered(old[name].content, one.content) if name in old else known.trouble(one)
        if reason := named_plainly(one) or beside(one) or change:
            refused.append(Refused(one.name, reason))
        else:
            (unchanged if name in old else new).append(one.name)
    if not (folder / ENTRY).exists():
        names = [*(one.name for one in there.found), *(one.name for one in there.refused)]
        here = {name.rpartition("/")[2] for name in names}
        refused += [Refused(name, "it is published, but gone here; put it back") for name in old if name not in here]
    return Checked(tuple(new), tuple(unchanged), tuple(sorted(refused, key=attrgetter("name", "reason"))))


def named_plainly(one: Found) -> str:
    """Why an entry's folder can't be called so; "" if it can."""
    name = one.name.rpartition("/")[2]
    plain = PLAIN.fullmatch(name) is not None
    return "" if plain else "its folder's name must be MODEL-REVISION, of letters, digits, dots, dashes and underscores"


def beside(one: Found) -> str:
    """What is in an entry's folder beside its files; "" if there is nothing."""
    names = sorted(path.name for path in Path(one.place).iterdir())
    further = [name for name in names if name not in (ENTRY, PREDICTIONS, README)]
    links = [name for name in names if Path(one.place, name).is_symlink()]
    if further:
        return f"its folder holds {further[0]!r}; an entry is {ENTRY} and {PREDICTIONS}"
    return f"{links[0]} is a link; put the file itself there" if links else ""


def altered(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Where an entry differs from the published one of its name; "" if it doesn't."""
    for section in (name for name in new if name not in (*UNSEALED, *DESCRIBING)):
        if where := changed_place(section, old.get(section), new[section]):
            return f"{where}; a new revision needs a folder of its own"
    return ""


def changed_place(where: str, old: Any, new: Any) -> str:
    """Names the first place where a published value was changed; "" if none was."""
    if isinstance(old, dict) and isinstance(new, dict):
        return next(
            filter(None, (changed_place(f"{where}.{name}", old.get(name), new.get(name)) for name in old | new)), ""
        )
    return "" if old == new else f"{where} is {shown(new)}, but was published as {shown(old)}"


def shown(value: Any) -> str:
    """A value in a message."""
    return repr(value)[:80]
