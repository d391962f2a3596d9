"""Checks a submission: valid entries in plainly named folders, which leave published entries unchanged."""

import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from qi_datasets.errors import OptionError
from qi_datasets.evaluation.description import DESCRIBING
from qi_datasets.evaluation.entry import ENTRY, MISSING, UNSEALED, differences_of
from qi_datasets.evaluation.faults import find_faults
from qi_datasets.evaluation.predictions import PREDICTIONS
from qi_datasets.leaderboard.archive import unpack_entries
from qi_datasets.leaderboard.collection import (
    BESIDE,
    LARGEST,
    Collection,
    FoundEntry,
    KnownEntry,
    RefusedEntry,
    collect,
)
from qi_datasets.storage.hub import MAIN, HubPlace, connection
from qi_datasets.storage.published import fetch_file, tree
from qi_datasets.storage.scratch import scratch_folder

README = "README.md"
"""A file that may be beside entries, and in the folder of all of them."""

PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
"""The pattern of an entry's folder name."""


@dataclass(frozen=True)
class CheckedSubmission:
    """The result of checking a submission.

    new, unchanged: names of valid entries
    refused: the faults, a reason each; an entry may have several
    repeated: the results of `rerun`, and what could not be repeated
    """

    new: tuple[str, ...]
    unchanged: tuple[str, ...]
    refused: tuple[RefusedEntry, ...]
    repeated: tuple[str, ...] = ()


def check(
    submission: str | Path,
    published: Iterable[str | Path] = (),
    *,
    rerun: int = 0,
    output: str | Path | None = None,
    trust: bool = False,
    progress: bool = False,
) -> CheckedSubmission:
    """Checks one entry's folder, or a folder of them, and reports all faults.

    Args:
        submission: A folder of an entry, or of all entries, with every published one; a zip file of one
            or several; or `hf://datasets/ORG/RESULTS@refs/pr/N`, a pull request.
        published: Locations of published entries, as in `collection.collect`; for a pull request by default its main.
        rerun: Number of random parts of each new entry's predictions to repeat.
        output: The folder of sets, for `rerun`; as in `evaluate`.
        trust: Whether code from a model's repository may run, for `rerun`.
        progress: Show bars on a terminal.

    Raises:
        OptionError: If there is no such location, or nothing that could be an entry.
    """
    published = list(published)
    with open_submission(submission) as (folder, further):
        place = HubPlace.parse(submission)
        if place is not None and not published and further is not None:
            published = [str(HubPlace(place.repo_id))] if has_entries(HubPlace(place.repo_id)) else []
        there = collect([folder], twice=True, progress=progress)
        before = collect(published, progress=progress) if published else Collection((), ())
        old: dict[str, FoundEntry] = {one.name.rpartition("/")[2]: one for one in before.found}
        known = KnownEntry()
        for one in before.found:
            known.trouble(one)
        new: list[FoundEntry] = []
        unchanged: list[str] = []
        refused: list[RefusedEntry] = list(further or ())
        for bad in there.refused:
            at = folder if (folder / ENTRY).exists() or (folder / PREDICTIONS).exists() else folder / bad.name
            reasons = [*find_faults(at), *form_faults(at)] or [bad.reason]
            refused += [RefusedEntry(bad.name, one.replace(f"{at}/", "")) for one in reasons]
        for one in there.found:
            name = one.name.rpartition("/")[2]
            change = find_change(old[name].content, one.content) if name in old else find_trouble(known, one)
            if reasons := [*form_faults(Path(one.place)), *filter(None, [change])]:
                refused += [RefusedEntry(one.name, reason) for reason in reasons]
            elif name in old:
                unchanged.append(one.name)
            else:
                new.append(one)
        if place is None and not (folder / ENTRY).exists():
            names = [*(one.name for one in there.found), *(one.name for one in there.refused)]
            here = {name.rpartition("/")[2] for name in names}
            refused += [
                RefusedEntry(name, "it is published, but gone here; put it back") for name in old if name not in here
            ]
        repeated: list[str] = []
        for one in new if rerun else ():
            from qi_datasets.leaderboard.rerun import repeat

            done = repeat(Path(one.place), rerun, output=output, trust=trust, progress=progress)
            repeated += [f"{one.name}: {line}" for line in done.lines]
            refused += [RefusedEntry(one.name, line) for line in done.differences]
    bad_names = {one.name for one in refused}
    names = [one.name for one in new if one.name not in bad_names]
    in_order = sorted(refused, key=lambda one: one.name)
    return CheckedSubmission(tuple(names), tuple(unchanged), tuple(in_order), tuple(repeated))


@contextmanager
def open_submission(submission: str | Path) -> Iterator[tuple[Path, Sequence[RefusedEntry] | None]]:
    """Yields the folder of a submission, while the block runs, and its faults outside of entries.

    Args:
        submission: As in `check`.
    """
    place = HubPlace.parse(submission)
    if place is not None:
        with scratch_folder() as scratch, connection():
            yield scratch, fetch_changes(place, scratch)
        return
    path = Path(submission).expanduser().absolute()
    if path.is_file() and path.suffix.lower() == ".zip":
        with scratch_folder() as scratch:
            top = scratch / path.stem
            top.mkdir()
            yield unpack_entries(path, top), ()
        return
    if not path.is_dir():
        raise OptionError(
            f"{path} is no folder and no zip file; check takes an entry's folder, a folder of entries, a zip file, or "
            "hf://datasets/ORG/RESULTS@refs/pr/N",
            code="bad-place",
        )
    yield path, ()


def fetch_changes(place: HubPlace, folder: Path) -> list[RefusedEntry]:
    """Fetches the entries that a pull request adds or changes; any other change is refused.

    Args:
        place: The pull request.
        folder: The folder for the entries.
    """
    if place.revision == MAIN:
        raise OptionError(
            f"{place} is no pull request; give {place.repo_id}@refs/pr/N, or a folder of its entries", code="bad-place"
        )
    main = {file.path: file.blob_id for file in tree(HubPlace(place.repo_id))}
    there = {file.path: file for file in tree(place)}
    changed = [path for path, file in there.items() if main.get(path) != file.blob_id]
    refused = [RefusedEntry(path, "it is published, but gone here; put it back") for path in main if path not in there]
    for path in changed:
        parent, _, name = path.rpartition("/")
        most = {**LARGEST, **BESIDE}.get(name, 1_000_000)
        if not parent or PurePosixPath(path).is_absolute() or ".." in path.split("/"):
            refused.append(RefusedEntry(path, "it is no part of an entry; a pull request adds entries alone"))
        elif there[path].size > most:
            refused.append(RefusedEntry(path, f"it is larger than {most // 1000} kB"))
        else:
            (folder / parent).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(fetch_file(place, path), folder / path)
    return refused


def has_entries(place: HubPlace) -> bool:
    """Returns whether there are entries on main."""
    return any(file.path.endswith(f"/{ENTRY}") for file in tree(place))


def find_trouble(known: KnownEntry, one: FoundEntry) -> str:
    """Returns why a new entry is refused beside the published ones; "" if it isn't, or was run again by others."""
    return "" if known.original(one) is not None else known.trouble(one)


def form_faults(folder: Path) -> list[str]:
    """Returns faults of an entry's folder name, and of its files."""
    return [*find_name_faults(folder.name), *other_files(folder)]


def find_name_faults(name: str) -> Iterator[str]:
    """Yields the faults of an entry's folder name."""
    if PLAIN.fullmatch(name) is None:
        yield "its folder's name must be MODEL-REVISION, of letters, digits, dots, dashes and underscores"


def other_files(folder: Path) -> Iterator[str]:
    """Yields other files in an entry's folder, and files that are links."""
    names = sorted(path.name for path in folder.iterdir())
    further = [name for name in names if name not in (ENTRY, PREDICTIONS, README, *BESIDE)]
    links = [name for name in names if (folder / name).is_symlink()]
    if further:
        more = f" and {len(further) - 1} more" if len(further) > 1 else ""
        yield f"its folder holds {further[0][:80]!r}{more}; an entry is {ENTRY} and {PREDICTIONS}"
    for name in links:
        yield f"{name[:80]} is a link; put the file itself there"


def find_change(old: Mapping[str, object], new: Mapping[str, object]) -> str:
    """Returns how an entry differs from the published one of its name; "" if it doesn't."""
    for section in (name for name in new if name not in (*UNSEALED, *DESCRIBING)):
        for where, published, now in differences_of(section, old.get(section, MISSING), new[section]):
            changed = f"{where} is {repr(now)[:80]}, but was published as {repr(published)[:80]}"
            return f"{changed}; a new revision needs a folder of its own"
    return ""
