"""`verify` runs every check on the sets of a folder, or on the toy sets if nothing is built."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name

from qi_datasets.building.complete import PREVIEW
from qi_datasets.building.engine import Engine
from qi_datasets.building.subset import SUBSET
from qi_datasets.errors import Message, NamedArgument, NotBuiltError, OptionError, StoredSetError, UnknownSetError
from qi_datasets.networks.devices import checked_device, threads_for
from qi_datasets.registry import nearest, specs
from qi_datasets.specs import SPECS
from qi_datasets.storage.hub import HubPlace
from qi_datasets.storage.location import (
    Place,
    exists,
    file_system,
    folder_name,
    join_place,
    read_bytes,
    sets_root,
)
from qi_datasets.storage.manifest import library_versions
from qi_datasets.storage.manifest_file import MANIFEST
from qi_datasets.storage.scratch import scratch_folder
from qi_datasets.verification.against import check_against
from qi_datasets.verification.integrity.across import check_across
from qi_datasets.verification.integrity.integrity import check_integrity
from qi_datasets.verification.lists import check_lists, has_lists
from qi_datasets.verification.report.report import Check, CheckResults, Report, Status, VerifiedSet
from qi_datasets.verification.separability.options import NetworkOptions
from qi_datasets.verification.stored_folder import StoredFolder

INTEGRITY, SEPARABILITY = "integrity", "separability"
PARTS = (INTEGRITY, SEPARABILITY)

LARGEST_PREVIEW = 2_000_000
"""Largest size in bytes of a preview in a report."""

NEEDS_TORCH = "torch is not installed: in a checkout of qi-datasets run python -m pip install '.[torch]'"
BASIC = ("manifest", "readable", "counts", "images")
"""Integrity checks without which a network would measure something else than the set."""


def verify(
    out: str | Path | None = None,
    sets: str | Iterable[str] | None = None,
    only: str | None = None,
    seeds: int | None = None,
    full: bool = False,
    device: str | None = None,
    progress: bool = False,
    against: str | Path | None = None,
    processes: bool = False,
) -> Report:
    """Checks that stored sets are as specified, and that they measure what they claim.

    Args:
        out: The folder that `qi-build` wrote, or the folder of one set; default `$QI_DATASETS_HOME` or the
            platform's cache. If nothing is built there, the sets that need no images are made in a temporary
            folder and verified.
        sets: Folder names, e.g. "qi" or ["rook", "qi-canvas_N"]; default every built set of
            official size, and the lists of `subset`.
        only: "integrity" (no torch needed) or "separability".
        seeds: Number of trained networks per padding; default 20 of rook, with `full` 200 of rook and 10 of red_green.
        full: Run the paper's protocol (red_green is trained, minutes per seed on a CPU), on every source, with every
            stored byte decoded.
        device: Device of torch, default a GPU if there is one.
        progress: Show bars on a terminal.
        against: Another build to compare with: a manifest, a set's folder, or a folder or URL of sets. The report names
            each image that differs, and whether its file or the decoder does.
        processes: Read large sets in processes, one per core. On two cores the checks of integrity then take about half
            of the time that building the set took; in threads 0.7 of it. A script that does so must guard
            what it runs by `if __name__ == "__main__"`; the command `qi-verify` does.

    Returns:
        A Report; its `exit_status` is 1 if a check failed, 3 if one could not be made (no torch), else 0.

    Raises:
        OptionError: If an argument is wrong.
        UnknownSetError: If there is no set of that name.
        NotBuiltError: If a set is not there.
    """
    start = time.perf_counter()
    if only is not None and only not in PARTS:
        raise OptionError(
            NamedArgument("only"),
            f" must be {' or '.join(PARTS)}, not {only!r}{nearest(only, dict.fromkeys(PARTS))}",
            code="bad-value",
        )
    if seeds is not None and (isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 1):
        raise OptionError(NamedArgument("seeds"), f" must be an integer from 1, not {seeds!r}", code="bad-value")
    networks = only != INTEGRITY
    torch_is_there = find_spec("torch") is not None
    options = NetworkOptions(seeds, full, checked_device(device) if networks and torch_is_there else "cpu", progress)
    engine = Engine(processes=processes)
    asked = [sets] if isinstance(sets, str) else None if sets is None else list(dict.fromkeys(sets))
    if asked == []:
        raise OptionError(
            NamedArgument("sets", "[]"),
            " names no set to verify; leave it out, or name some",
            code="nothing-asked",
        )
    lists = lists_at(out, asked)
    alone = lists is not None and (asked == [SUBSET] or (asked is None and not names_in(lists)))
    others = None if asked is None else [name for name in asked if name != SUBSET]
    sought: AbstractContextManager[tuple[str, list[Place], tuple[str, ...]]]
    sought = nullcontext((str(lists), [], ())) if alone else sets_at(out, others)
    with sought as (where, folders, notes):
        opened = {folder: open_set(folder) for folder in folders}
        sets_there = [found for found in opened.values() if isinstance(found, StoredFolder)]
        repeats = tuple(filter(None, (stored.manifest.repeats for stored in sets_there)))
        described = tuple(map(describe_set, sets_there))
        measured = [
            part
            for folder, stored in opened.items()
            for part in measure_set(folder, stored, engine, options, only=only, torch_is_there=torch_is_there)
        ]
        if only != SEPARABILITY:
            measured.append(check_across(sets_there))
        if lists is not None and only != SEPARABILITY:
            measured.append(check_lists(lists))
        if against is not None:
            measured += [check_against(folder, against) for folder in folders]
    return Report(
        where=where,
        checks=tuple(check for part in measured for check in part.checks),
        sets=described,
        tables=tuple(table for part in measured for table in part.tables),
        figures=tuple(figure for part in measured for figure in part.figures),
        notes=(*repeats, *notes),
        device=options.device if networks and torch_is_there else "",
        seconds=time.perf_counter() - start,
        package_version=version("qi-datasets"),
        libraries=library_versions() | ({"torch": version("torch")} if torch_is_there else {}),
    )


def lists_at(out: str | Path | None, asked: Sequence[str] | None) -> Path | None:
    """Returns the folder of sets with the requested lists of `subset`; None if none are requested.

    Raises NotBuiltError if lists are requested by name and not there.
    """
    if asked is not None and SUBSET not in asked:
        return None
    root = sets_root(out)
    if not has_lists(root):
        if asked is not None:
            raise NotBuiltError(f"subset is not built in {root}; build it with qi-build --imagenet-train PATH")
        return None
    return Path(str(root))


def open_set(folder: Place) -> StoredFolder | StoredSetError | UnknownSetError:
    """Returns the set in a folder, or why its manifest can't be used."""
    try:
        return StoredFolder.open(folder)
    except (StoredSetError, UnknownSetError) as error:
        return error


def describe_set(stored: StoredFolder) -> VerifiedSet:
    """Returns a set's description of itself; its preview only if anybody may see its pixels."""
    manifest = stored.manifest
    public = manifest.publishable(stored.spec) and PREVIEW in manifest.files
    picture = b""
    with suppress(OSError):  # the check of the files reports this
        picture = read_bytes(join_place(stored.folder, PREVIEW), LARGEST_PREVIEW) if public else b""
    return VerifiedSet(stored.name, manifest.provenance, picture)


@contextmanager
def sets_at(out: str | Path | None, asked: Sequence[str] | None) -> Iterator[tuple[str, list[Place], tuple[str, ...]]]:
    """Yields a description of what is verified, the sets' folders, and notes; toy sets exist only inside the block."""
    published = HubPlace.parse(out)
    if published is not None:
        from qi_datasets.storage.published import whole_copy  # the Hub's client: slow to import

        with whole_copy(published) as folder:
            if asked not in (None, [folder_name(folder)]):
                named = NamedArgument("sets", ", ".join(asked or ()))
                raise OptionError(f"{out} is {folder_name(folder)}, but ", named, " is asked for", code="contradiction")
            yield str(published), [folder], ()
        return
    root = sets_root(out)
    try:
        is_set, there = exists(join_place(root, MANIFEST)), names_in(root)
    except OSError as error:
        raise OptionError(
            f"{root} can't be read: {error.strerror or error}; check it and its permissions", code="bad-place"
        ) from error
    if out is not None and is_set:
        if asked not in (None, [folder_name(root)]):
            named = NamedArgument("sets", ", ".join(asked or ()))
            advice = "give the folder above it"
            raise OptionError(f"{root} is one set, but ", named, f" is asked for; {advice}", code="contradiction")
        yield str(root), [root], ()
        return
    if out is None and not there and (asked is None or all(is_toy(name) for name in asked)):
        from qi_datasets.building.build import build_set
        from qi_datasets.building.plan import plan_set

        with scratch_folder() as temporary:
            names = [name for name in SPECS if is_toy(name)] if asked is None else asked
            folders = [build_set(plan_set(SPECS[name]), temporary).folder for name in names]
            note = f"nothing is built in {root}: the sets that need no images were made for this run"
            yield "sets made for this run", folders, (note,)
        return
    if not there:
        raise NotBuiltError(f"there are no sets in {root}; build some with qi-build, or give another folder")
    known = specs()
    if asked is None:
        official = [name for name in known if name in there]
        others = [name for name in there if name not in known]
        if not official:
            raise NotBuiltError(
                f"{root} holds {', '.join(others)} only; name them with ", NamedArgument("sets", "NAME")
            )
        left_out = Message(
            f"not verified, since not asked for: {', '.join(others)} (", NamedArgument("sets", "NAME"), ")"
        )
        notes = (left_out,) if others else ()
        yield str(root), [join_place(root, name) for name in official], notes
        return
    for name in asked:
        if name not in there:
            hint = nearest(name, dict.fromkeys(there))
            if name in known:
                raise NotBuiltError(f"{name} is not built in {root}{hint}; there are {', '.join(there)}")
            raise UnknownSetError(f"no set is called {name!r} in {root}{hint}; there are {', '.join(there)}")
    yield str(root), [join_place(root, name) for name in asked], ()


def names_in(root: Place) -> list[str]:
    """Returns the names of the folders with sets."""
    fs, path = file_system(root)
    try:
        folders = [str(found).rstrip("/") for found in fs.ls(path, detail=False)]
    except FileNotFoundError:
        return []
    names = (folder.rpartition("/")[2] for folder in folders if fs.exists(f"{folder}/{MANIFEST}"))
    # A killed build leaves folders that begin with a dot.
    return sorted(name for name in names if not name.startswith("."))


def is_toy(name: str) -> bool:
    """Returns whether a set is made on first use."""
    return name in SPECS and not SPECS[name].needs_images


def measure_set(
    folder: Place,
    stored: StoredFolder | StoredSetError | UnknownSetError,
    engine: Engine,
    options: NetworkOptions,
    *,
    only: str | None,
    torch_is_there: bool,
) -> list[CheckResults]:
    """Returns the checks of one set: integrity, then networks if integrity leaves something to measure.

    Args:
        folder: The set's folder.
        stored: The set, or why its manifest can't be used.
        engine: Reads its rows.
        options: Options of network checks.
        only: "integrity", "separability", or None for both.
        torch_is_there: Whether networks can be run.
    """
    if not isinstance(stored, StoredFolder):
        meaning = "the manifest can be read"
        return [CheckResults((Check(folder_name(folder), "manifest", Status.FAIL, "", meaning, cause=str(stored)),))]
    parts = []
    if only != SEPARABILITY:
        parts.append(check_integrity(stored, engine=engine, full=options.full, progress=options.progress))
    if only == SEPARABILITY and not stored.spec.separability:
        parts.append(not_checked(stored, "no networks prove this set; integrity is all there is to check"))
    elif only != INTEGRITY and stored.spec.separability:
        broken = [check.name for part in parts for check in part.checks if is_broken(check)]
        parts.append(check_networks(stored, options, broken, torch_is_there))
    return parts


def is_broken(check: Check) -> bool:
    """Returns whether a failed check leaves networks nothing to measure."""
    return check.status is Status.FAIL and check.name in BASIC


def check_networks(
    stored: StoredFolder, options: NetworkOptions, broken: Sequence[str], torch_is_there: bool
) -> CheckResults:
    """Returns the set's network checks, or a check that says why they could not be run.

    Args:
        stored: The set.
        options: Options of network checks.
        broken: The checks whose failure leaves nothing to measure.
        torch_is_there: Whether networks can be run.
    """
    if not torch_is_there:
        return not_checked(stored, NEEDS_TORCH)
    if broken:
        return not_checked(stored, f"the set is damaged ({', '.join(broken)})")
    if missing := find_missing_for_networks(stored):
        return not_checked(stored, missing)
    check: Callable[[StoredFolder, NetworkOptions], CheckResults] = resolve_name(stored.spec.separability)
    try:
        with threads_for(full=options.full):
            return check(stored, options)
    except (StoredSetError, OptionError) as error:
        return not_checked(stored, str(error))


def not_checked(stored: StoredFolder, cause: str) -> CheckResults:
    """Returns the check that says why a set's network checks were not run."""
    meaning = "whether networks read location from it as claimed"
    return CheckResults((Check(stored.name, SEPARABILITY, Status.NOT_CHECKED, "", meaning, cause=cause),))


def find_missing_for_networks(stored: StoredFolder) -> str:
    """Returns what a manifest lacks that networks need to look at; "" if nothing."""
    config = stored.manifest.configs.get(stored.default_config)
    if config is None:
        return f"the manifest has no config {stored.default_config}"
    for split in stored.spec.splits:
        if split not in config.splits:
            return f"the manifest has no split {split}"
        if stored.spec.needs_images and not stored.manifest.sources.get(split):
            return f"the manifest names no sources of {split}"
    return ""
