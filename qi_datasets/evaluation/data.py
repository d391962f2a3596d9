"""Reads the rows of an evaluation: patches and images of a stored set, which are compared with its manifest.

Borders need no reading: `qi` is read at border 0, and networks get its patches and their positions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from qi_datasets.building.build import build_set
from qi_datasets.building.plan import plan_set
from qi_datasets.errors import NamedArgument, OptionError, StoredSetError
from qi_datasets.evaluation.arguments import set_place
from qi_datasets.evaluation.content import DataContent
from qi_datasets.evaluation.invariants import sources_digest
from qi_datasets.pixels.digests import row_digest, sha256_hex, split_digest
from qi_datasets.pixels.geometry import Pixels, Placed, whole
from qi_datasets.progress import bar_over
from qi_datasets.set_spec import SetSpec
from qi_datasets.specs import CORNERS, QUADRANT
from qi_datasets.storage.location import exists, sets_root
from qi_datasets.storage.manifest import OFFICIAL, OTHER, UNVERIFIED, check_set
from qi_datasets.verification.stored_folder import StoredFolder

ROWS = 100
"""Rows that are read at a time."""


@dataclass(frozen=True)
class EvaluationData:
    """The data of an evaluation.

    Attributes:
        facts: The section `data` of an entry.
        sources: Names of the sources, by split, in order.
        images: By split, uint8: for `qi` the patches (N, 3, 56, 56), one per source; for generated sets the
            images (N, C, H, W); for `shifted` nothing, since `read_shifted` reads them.
        labels: By split, (N,) of those images, int64; for `qi` nothing, since each patch is evaluated in both
            corners.
        stored: The set.
    """

    facts: DataContent
    sources: Mapping[str, Sequence[str]]
    images: Mapping[str, Pixels]
    labels: Mapping[str, np.ndarray]
    stored: StoredFolder


def stored_set(spec: SetSpec, output: str | Path | None) -> StoredFolder:
    """Returns the set in `output`, or at it; generated sets are made on first use.

    Raises:
        NotBuiltError: If it is not there.
        StoredSetError: If it is another set, or of another data version.
    """
    folder = set_place(spec, output)
    if not exists(folder):
        build_set(plan_set(spec), sets_root(output))
    stored = StoredFolder.open(folder)
    check_set(
        stored.manifest, spec, spec.size, folder, other="give another folder as output", older="build the set again"
    )
    return stored


def read_quadrant(stored: StoredFolder, splits: Sequence[str], limit: int | None, progress: bool) -> EvaluationData:
    """Reads the patches of `qi`.

    Args:
        stored: The set.
        splits: The splits to read.
        limit: Sources per split, from the first; None for all.
        progress: Show a bar on a terminal.

    Raises:
        StoredSetError: If rows are not as the set must have them.
    """
    sources, images = {}, {}
    counts = {split: check_limit(len(stored.manifest.sources[split]), limit) for split in splits}
    with bar_over("reading qi", sum(counts.values()), "source", progress) as bar:
        for split, count in counts.items():
            patches, digests = [], []
            for start in range(0, count, ROWS // 2):
                stop = min(start + ROWS // 2, count)
                read = read_pairs(stored, split, start, stop)
                patches += [patch for patch, _ in read]
                digests += [digest for _, both in read for digest in both]
                bar.update(stop - start)
            check_digest(stored, split, digests, whole_split=count == len(stored.manifest.sources[split]))
            sources[split] = [record.name for record in stored.manifest.sources[split][:count]]
            images[split] = np.stack(patches).transpose(0, 3, 1, 2)
    facts = describe_data(stored, limit, sources[splits[-1]])
    return EvaluationData(facts, sources, images, {}, stored)


def read_pairs(stored: StoredFolder, split: str, start: int, stop: int) -> list[tuple[Pixels, list[bytes]]]:
    """Reads sources of a split of `qi`: for each the patch (h, w, 3) and the digests of its two rows.

    Args:
        stored: The set.
        split: Its split.
        start: The first source.
        stop: The source after the last.

    Raises:
        StoredSetError: If rows are not as the set must have them.
    """
    config = stored.default_config
    rows, images = stored.rows_and_images(config, split, 2 * start, 2 * stop)
    pixels = images.transpose(0, 2, 3, 1)
    found = []
    for number, record in enumerate(stored.manifest.sources[split][start:stop]):
        where = f"{stored.name}/{config}/{split}, source {record.name}"
        patches, digests = [], []
        for label in range(len(CORNERS)):
            place = 2 * number + label
            row = rows[place] if place < len(rows) else {}
            corner = label * QUADRANT.displacement
            if (row.get("source"), row.get("label"), row.get("x"), row.get("y")) != (
                record.name,
                label,
                corner,
                corner,
            ):
                raise StoredSetError(f"{where}: row {2 * start + place} is of another source, label or corner")
            patch = pixels[place][corner : corner + QUADRANT.patch, corner : corner + QUADRANT.patch]
            if np.count_nonzero(pixels[place]) != np.count_nonzero(patch):
                raise StoredSetError(f"{where}: the image in row {2 * start + place} is not black outside its patch")
            patches.append(patch)
            digests.append(
                row_digest(
                    Placed(patch, corner, corner, stored.manifest.size, stored.manifest.size), label, record.name
                )
            )
        if not np.array_equal(*patches) or sha256_hex(patches[0].tobytes()) != record.patch_sha256:
            raise StoredSetError(f"{where}: the patch differs from its digest in the manifest; build it again")
        found.append((patches[0], digests))
    return found


def read_generated(stored: StoredFolder, limit: int | None) -> EvaluationData:
    """Reads all images of a generated set. limit: number of rows of each split, from the first."""
    config = stored.default_config
    sources, images, labels = {}, {}, {}
    for split, record in stored.manifest.configs[config].splits.items():
        count = check_limit(record.rows, limit)
        rows, images[split] = stored.rows_and_images(config, split, 0, count)
        labels[split] = np.array([row["label"] for row in rows], np.int64)
        sources[split] = [f"{number}" for number in range(count)]
        digests = [
            row_digest(whole(np.ascontiguousarray(image.transpose(1, 2, 0))), int(label), source)
            for image, label, source in zip(images[split], labels[split], sources[split], strict=True)
        ]
        check_digest(stored, split, digests, whole_split=count == record.rows)
    # A set of two images is one source, seen in two places.
    evaluated = list(sources.values())[-1][: 1 if sum(stored.spec.splits.values()) == len(CORNERS) else None]
    return EvaluationData(describe_data(stored, limit, evaluated), sources, images, labels, stored)


def shifted_sources(stored: StoredFolder, limit: int | None) -> EvaluationData:
    """Returns the sources of `shifted`, without their images, which `read_shifted` reads."""
    (split,) = stored.spec.splits
    records = stored.manifest.sources[split]
    names = [record.name for record in records[: check_limit(len(records), limit)]]
    return EvaluationData(describe_data(stored, limit, names), {split: names}, {}, {}, stored)


def read_shifted(stored: StoredFolder, start: int, stop: int) -> tuple[Pixels, np.ndarray, np.ndarray]:
    """Reads bases (n, 3, 288, 288), labels (n,), -1 if unknown, and pairs (n, P, 4) of the sources [start, stop).

    Raises:
        StoredSetError: If rows differ from the digests in the manifest.
    """
    (split,), config = stored.spec.splits, stored.default_config
    rows, images = stored.rows_and_images(config, split, start, stop)
    for image, row, record in zip(images, rows, stored.manifest.sources[split][start:stop], strict=True):
        patch = np.ascontiguousarray(image.transpose(1, 2, 0))
        if row["source"] != record.name or sha256_hex(patch.tobytes()) != record.patch_sha256:
            raise StoredSetError(
                f"{stored.name}/{config}/{split}, source {record.name}: the image differs from its "
                "digest in the manifest; build the set again"
            )
    return (
        images,
        np.array([row["label"] for row in rows], np.int64),
        np.array([row["pairs"] for row in rows], np.int64),
    )


def check_digest(stored: StoredFolder, split: str, digests: list[bytes], *, whole_split: bool) -> None:
    """Raises StoredSetError unless a split's rows have the digest of the manifest.

    Args:
        stored: The set.
        split: Its split.
        digests: Digests of the rows.
        whole_split: Whether these are all of its rows; a part has no digest to compare with.
    """
    config = stored.default_config
    if whole_split and split_digest(digests) != stored.manifest.configs[config].splits[split].digest:
        raise StoredSetError(
            f"{stored.name}/{config}/{split}: the images differ from their digest in the manifest; build the set again"
        )


def check_limit(there: int, limit: int | None) -> int:
    """Returns the number of sources to evaluate. Raises OptionError if `limit` is larger than their number."""
    if limit is not None and limit > there:
        raise OptionError(
            NamedArgument("limit", limit),
            f" asks for more than the {there} sources that are there; leave it out for all",
            code="too-many",
        )
    return there if limit is None else limit


def describe_data(stored: StoredFolder, limit: int | None, evaluated: Sequence[str]) -> DataContent:
    """Returns the section `data` of an entry. evaluated: the sources of each block of its predictions."""
    spec, manifest = stored.spec, stored.manifest
    splits = manifest.configs[stored.default_config].splits
    counts = {
        split: record.rows // spec.rows_per_source if not spec.needs_images else len(manifest.sources[split])
        for split, record in splits.items()
    }
    digests = {split: record.digest for split, record in splits.items()}
    track = OTHER if limit is not None else manifest.track
    facts: dict[str, object] = {
        "set": spec.name,
        "data_version": manifest.spec_version,
        "layout": manifest.layout,
        "track": track,
        "canonical": track in (OFFICIAL, UNVERIFIED),
        **({"caveat": manifest.caveat} if manifest.caveat else {}),
        "pixels": manifest.pixels,
        "digests": digests,
        "sources": {split: check_limit(count, limit) for split, count in counts.items()},
        "limit": limit,
        "evaluated": len(evaluated),
        "sources_sha256": sources_digest(evaluated),
    }
    return cast("DataContent", facts)
