"""Brings a stored set of an earlier version of this package up to date without reading a source image."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa

from qi_datasets.building.complete import complete_set
from qi_datasets.errors import StoredSetError, one_line
from qi_datasets.imagenet import label_of, val_wnid, wnids
from qi_datasets.progress import bar_over
from qi_datasets.registry import builder_of, look_up_spec
from qi_datasets.set_spec import SetSpec
from qi_datasets.specs import SPECS
from qi_datasets.storage.location import Place, fetch, join_place
from qi_datasets.storage.manifest import FileRecord, Manifest, SourceRecord, columns_of, with_pixels
from qi_datasets.storage.manifest_file import MANIFEST_VERSION
from qi_datasets.storage.parquet import WrittenSplit, file_record, first_rows, rewrite_columns, stored_rows
from qi_datasets.storage.schema import schema_of

DAMAGED = (ValueError, TypeError, KeyError, AttributeError, pa.ArrowException)
"""Errors from reading a set that differs from its manifest."""


def refresh_files(folder: Place, manifest: Manifest, staging: Path, progress: bool = False) -> Manifest:
    """Writes a stored set into an empty folder as this version stores it, and returns the new manifest.

    Images, digests and records of the source files stay as they are; labels, pictures, card and manifest are new.

    Args:
        folder: The set's folder.
        manifest: The set's manifest, as it was stored.
        staging: The empty folder.
        progress: Show a bar, if standard error is a terminal.

    Raises:
        StoredSetError: If the set differs from its manifest, or if only its builder knows which of its
            columns depend on a synset.
    """
    try:
        spec = look_up_spec(manifest.name)
        sources = {split: list(map(with_synset, records)) for split, records in manifest.sources.items()}
        if sources != manifest.sources and spec.name not in SPECS:
            raise StoredSetError(f"{folder} is another package's set with new synsets; build it again from its images")
        total = sum(part.rows for config in manifest.configs.values() for part in config.splits.values())
        with bar_over(manifest.name, total, "row", progress) as bar:
            splits = []
            for split in relabel_splits(folder, manifest, spec, sources, staging):
                splits.append(split)
                bar.update(split.rows)
        now = replace(
            manifest,
            manifest_version=MANIFEST_VERSION,
            package_version=version("qi-datasets"),
            sources=sources,
            columns=columns_of(spec),
            files={},
        )
        return complete_set(staging, builder_of(spec, manifest.size), with_pixels(spec, now), splits)
    except DAMAGED as error:
        raise StoredSetError(f"{folder} is not as its manifest says ({one_line(error)}); build it again") from error


def with_synset(source: SourceRecord) -> SourceRecord:
    """Returns the record with the published synset, if the source is an image of ImageNet val."""
    return replace(source, wnid=val_wnid(source.name) or source.wnid)


def relabel_splits(
    folder: Place, manifest: Manifest, spec: SetSpec, sources: Mapping[str, list[SourceRecord]], staging: Path
) -> Iterator[WrittenSplit]:
    """Yields each split of each config, copied with the labels that follow from its sources.

    Args:
        folder: The set's folder.
        manifest: The set's manifest, as it was stored.
        spec: The set.
        sources: The sources by split, with the synsets of this version.
        staging: The folder for the copies.
    """
    schema = schema_of(spec)
    for config, record in manifest.configs.items():
        for split, part in record.splits.items():
            columns = synset_columns(spec, sources[split]) if sources != manifest.sources else {}
            files, start = {}, 0
            for name in part.files:
                path = copy_file(folder, name, manifest.files[name], staging)
                stop = start + stored_rows(path)
                if columns:
                    rewrite_columns(path, schema, {column: values[start:stop] for column, values in columns.items()})
                files[name] = file_record(path) if columns else manifest.files[name]
                start = stop
            if start != part.rows or (sources and start != len(sources[split]) * spec.rows_per_source):
                raise ValueError(f"{config}/{split} has {start} rows")
            yield WrittenSplit(
                config, record.border, split, part.rows, part.digest, files, first_rows(staging / part.files[0])
            )


def synset_columns(spec: SetSpec, sources: Sequence[SourceRecord]) -> dict[str, list[object]]:
    """Returns the columns of one split that depend on its sources' synsets, with a value for each row."""
    by_row: list[str] = [source.wnid for source in sources for _ in range(spec.rows_per_source)]
    columns: dict[str, list[object]] = {"wnid": list(by_row)} if "wnid" in spec.columns else {}
    if tuple(spec.labels) == wnids():
        columns["label"] = list(map(label_of, by_row))
    return columns


def copy_file(folder: Place, name: str, record: FileRecord, staging: Path) -> Path:
    """Copies a set's file and returns the copy; ValueError if the file differs from its record.

    Args:
        folder: The set's folder.
        name: The file's name, relative to the folder.
        record: The file's record in the manifest.
        staging: The folder for the copy, which has the same name.
    """
    path = staging / name
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        fetch(join_place(folder, name), path)
    except FileNotFoundError as error:
        raise ValueError(f"{name} is gone") from error
    if file_record(path) != record:
        raise ValueError(f"{name} was changed")
    return path
