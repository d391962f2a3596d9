"""Compares stored sets with another build of them: which image differs, and whether its file or the decoder does."""

from pathlib import Path

from qi_datasets.errors import NamedArgument, OptionError, StoredSetError, one_line
from qi_datasets.storage.compare import compare
from qi_datasets.storage.location import Place, exists, folder_name, join_place, place_of
from qi_datasets.storage.manifest import Manifest
from qi_datasets.storage.manifest_file import MANIFEST
from qi_datasets.verification.report.report import Cell, Check, CheckResults, Status, Table

NAME = "against"


def other_build(against: str | Path, name: str) -> Manifest | None:
    """Returns the manifest in `against` of the set in a folder called `name`; None if it has no such set.

    Args:
        against: A manifest, a set's folder, or a folder or URL of sets.
        name: The folder's name, such as "qi".

    Raises:
        OptionError: If `against` is none of these.
    """
    place = place_of(against)
    try:
        if folder_name(place).endswith(".json"):
            return Manifest.read(place.parent if isinstance(place, Path) else place.rpartition("/")[0])
        if exists(join_place(place, MANIFEST)):
            return Manifest.read(place)
        return Manifest.read(join_place(place, name)) if exists(join_place(join_place(place, name), MANIFEST)) else None
    except (StoredSetError, OSError) as error:
        raise OptionError(NamedArgument("against", against), f": {one_line(error)}") from error


def check_against(folder: Place, against: str | Path) -> CheckResults:
    """Compares the set in a folder with another build: a check, and a table with a row for each difference.

    Files that differ but decode to the same pixels give a warning.
    """
    name, meaning = folder_name(folder), f"it is the set that {against} holds"
    try:
        manifest = Manifest.read(folder)
    except StoredSetError as error:
        return CheckResults((Check(name, NAME, Status.NOT_CHECKED, "", meaning, cause=str(error)),))
    other = other_build(against, name)
    if other is None or (other.name, other.size) != (manifest.name, manifest.size):
        return CheckResults(
            (Check(name, NAME, Status.NOT_CHECKED, "", meaning, cause=f"{against} does not hold {name}"),)
        )
    found = compare(manifest, other)
    status = Status.PASS if found.same else Status.WARN if found.same_pixels else Status.FAIL
    figure = f"{len(found.configs)} configs, {found.images} images"
    figure += f", {found.decoders}" if found.decoders else ""
    numbers = {"configs": len(found.configs), "images": found.images, "differences": len(found.differences)}
    cause = "" if found.same else str(found)
    check = Check(name, NAME, status, figure, meaning, cause=cause, numbers=numbers)
    rows: tuple[tuple[str | Cell, ...], ...] = tuple((one.kind, one.where, one.text) for one in found.differences)
    table = Table(f"{name}: what differs from {against}", ("what", "where", "how"), rows)
    return CheckResults((check,), (table,) if rows else ())
