"""Makes a planned set, unless it is there already."""

import time
from dataclasses import dataclass, replace
from enum import StrEnum

from qi_datasets.building.engine import Engine
from qi_datasets.building.forecast import require_room
from qi_datasets.building.plan import Plan
from qi_datasets.building.refresh import refresh_files
from qi_datasets.building.write import write_set
from qi_datasets.errors import NamedArgument, NewerSetError, OutputError, StoredSetError
from qi_datasets.pixels.digests import sha256_hex
from qi_datasets.specs import SPEC_VERSION
from qi_datasets.storage.location import Place, exists, set_folder
from qi_datasets.storage.manifest import UNVERIFIED, Manifest
from qi_datasets.storage.staging import lock_folder, replace_whole


class Outcome(StrEnum):
    """Says whether a set was made, refreshed, or there already."""

    MADE = "made"
    REFRESHED = "refreshed"
    """An earlier version of this package wrote the set; its images stayed, and everything else was written again."""
    FOUND = "up to date"


@dataclass(frozen=True, repr=False)
class BuiltSet:
    """A set on disk.

    Attributes:
        folder: Its folder.
        manifest: Its manifest.
        seconds: Time that this took.
        outcome: Whether it was made, refreshed or there already.
        remarks: A line for each image that the set holds only in part (its first frame, say).
    """

    folder: Place
    manifest: Manifest
    seconds: float
    outcome: Outcome
    remarks: tuple[str, ...] = ()

    @property
    def made(self) -> bool:
        """True if its images were made by this call."""
        return self.outcome is Outcome.MADE

    def __repr__(self) -> str:
        return f"<{self.manifest.name} in {self.folder}: {self.outcome}; {self.manifest.knowledge}>"


def build_set(
    plan: Plan, output: Place, *, engine: Engine | None = None, force: bool = False, progress: bool = False
) -> BuiltSet:
    """Makes the planned set in the folder of its name below `output`, unless it is there already.

    A set of an earlier version of this package is refreshed: its images stay, labels, card and manifest are written
    again.

    Args:
        plan: The set, with chosen images and checked options.
        output: A folder, or an fsspec URL.
        engine: Decodes and encodes the sources, by default in one thread per core; no engine changes a byte.
        force: Make the set even if it is there.
        progress: Show a bar, if standard error is a terminal.

    Raises:
        SourceError: If an image is damaged.
        OutputError: If the folder can't be written, or holds another set, which is not replaced without `force`.
        NewerSetError: If a later version of this package wrote the set; nothing is changed then.
    """
    start = time.perf_counter()
    folder = set_folder(output, plan.spec, plan.builder.size)
    with lock_folder(folder, progress):
        found = None
        if not force:
            plan, found = with_what_is_there(plan, folder)
        if found is not None and not found.outdated:
            return BuiltSet(folder, found, time.perf_counter() - start, Outcome.FOUND)
        if found is not None:
            try:
                with replace_whole(folder) as staging:
                    manifest = refresh_files(folder, found, staging, progress)
                return BuiltSet(folder, manifest, time.perf_counter() - start, Outcome.REFRESHED)
            except StoredSetError:
                pass  # Only the images can repair the set.
        require_room(plan, output)
        with replace_whole(folder) as staging:
            manifest, remarks = write_set(plan, staging, engine or Engine(), progress)
    return BuiltSet(folder, manifest, time.perf_counter() - start, Outcome.MADE, remarks)


def refresh_set(folder: Place, *, progress: bool = False) -> BuiltSet | None:
    """Refreshes the set in a folder, without its source, if an earlier version of this package wrote it; else None.

    Args:
        folder: The set's folder.
        progress: Show a bar, if standard error is a terminal.

    Raises:
        StoredSetError: If the set is damaged, or its folder holds files that are not the set's.
        OutputError: If the folder can't be written.
    """
    start = time.perf_counter()
    if not exists(folder):
        return None
    with lock_folder(folder):
        manifest = Manifest.read(folder)
        if not manifest.outdated or manifest.spec_version != SPEC_VERSION:
            return None
        if foreign := manifest.foreign_files(folder):
            raise StoredSetError(
                f"{folder} holds {foreign[0]}, which is not a file of the set; move it elsewhere", code="other-set"
            )
        with replace_whole(folder) as staging:
            manifest = refresh_files(folder, manifest, staging, progress)
    return BuiltSet(folder, manifest, time.perf_counter() - start, Outcome.REFRESHED)


def with_what_is_there(plan: Plan, folder: Place) -> tuple[Plan, Manifest | None]:
    """Returns the plan with the borders that were built before, and the manifest if the whole set is there already."""
    if not exists(folder):
        return plan, None
    again = ("add ", NamedArgument("force", True), " to replace it, or choose another output folder")
    try:
        manifest = Manifest.read(folder)
    except NewerSetError:
        raise
    except StoredSetError as error:
        raise OutputError(f"{folder} exists but is no set of this package; ", *again, code="folder-in-use") from error
    if foreign := manifest.foreign_files(folder):
        what = f"{folder} holds {foreign[0]}, which is not a file of the set; move it elsewhere, or "
        raise OutputError(what, *again, code="folder-in-use")
    difference = difference_from(plan, manifest)
    if difference is None:
        borders = tuple(sorted({*plan.borders, *manifest.borders}))
        whole = set(plan.borders) <= manifest.borders and not manifest.missing_files(folder)
        whole = whole and (plan.recipe is None or manifest.pixels != UNVERIFIED)
        return replace(plan, borders=borders), manifest if whole else None
    if plan.spec.needs_images:
        raise OutputError(f"{folder} holds {plan.spec.name} {difference}; ", *again, code="folder-in-use")
    return plan, None


def difference_from(plan: Plan, manifest: Manifest) -> str | None:
    """Returns how a plan differs from a stored one, apart from borders; None if it doesn't. Reads its sources."""
    if manifest.spec_version != SPEC_VERSION:
        return f"of spec version {manifest.spec_version}, this package makes {SPEC_VERSION}"
    if manifest.size != plan.builder.size:
        return f"with images of {manifest.size} pixels, not {plan.builder.size}"
    stored = {split: [source.name for source in sources] for split, sources in manifest.sources.items()}
    if stored != {split: [image.name for image in images] for split, images in plan.images.items()}:
        return f"made from other images ({manifest.layout})"
    if plan.source is not None:
        known = {source.name: source for sources in manifest.sources.values() for source in sources}
        images = [image for images in plan.images.values() for image in images]
        for image, data in plan.source.contents(images):
            if len(data) != known[image.name].bytes or sha256_hex(data) != known[image.name].sha256:
                return f"made from another {image.name} ({manifest.layout})"
    return None
