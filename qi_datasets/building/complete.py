"""Completes a set whose rows are written: adds pictures, card and manifest, and counts the files."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from qi_datasets.builder import Builder
from qi_datasets.errors import OutputError
from qi_datasets.pixels.contact_sheet import Strip, contact_sheet
from qi_datasets.pixels.decoding import decode_file
from qi_datasets.set_spec import SetSpec
from qi_datasets.storage.card import CARD, write_card
from qi_datasets.storage.croissant import CROISSANT, write_croissant
from qi_datasets.storage.manifest import Manifest
from qi_datasets.storage.parquet import WrittenSplit, file_record, stored_rows

PREVIEW = "preview.png"


def complete_set(folder: Path, builder: Builder, manifest: Manifest, splits: Sequence[WrittenSplit]) -> Manifest:
    """Writes all files of a set but its rows, and returns the manifest as it reads back, with a record of every file.

    Args:
        folder: The folder with the rows.
        builder: The set's builder, which may add pictures.
        manifest: The manifest without `files`.
        splits: The splits of all configs, those of the first config first.

    Raises:
        OutputError: If rows are missing.
    """
    first, _ = next(row for split in splits for row in split.first)
    pictures = {PREVIEW: list(make_strips(builder.spec, splits)), **builder.pictures(decode_file(first))}
    for name, lines in pictures.items():
        contact_sheet(lines, folder / name)
    files = {name: record for split in splits for name, record in split.files.items()}
    write_card(folder, builder.spec, replace(manifest, files=files))
    write_croissant(folder, builder.spec, manifest, files)
    files |= {name: file_record(folder / name) for name in (CARD, CROISSANT, *pictures)}
    manifest = replace(manifest, files=files)
    manifest.write(folder)
    check_counts(folder, manifest)
    return Manifest.read(folder)


def check_counts(folder: Path, manifest: Manifest) -> None:
    """Raises OutputError unless the stored files have as many rows as the manifest says."""
    for name, config in manifest.configs.items():
        for split, record in config.splits.items():
            rows = sum(stored_rows(folder / file) for file in record.files)
            if rows != record.rows:
                raise OutputError(
                    f"{name}/{split} was written with {rows} of {record.rows} rows; is the disk full?", code="disk-full"
                )


def make_strips(spec: SetSpec, splits: Sequence[WrittenSplit]) -> Iterator[Strip]:
    """Yields the contact sheet's lines: one source at every border, if there are several; first rows of each split."""
    unbordered = [split for split in splits if split.border == 0]
    at_borders = [split for split in splits if split.split == unbordered[0].split]
    if len(at_borders) > 1:
        for number in range(min(spec.rows_per_source, len(unbordered[0].first))):
            images = [decode_file(split.first[number][0]) for split in at_borders]
            label = unbordered[0].first[number][1]
            yield Strip(label_name(spec, label), images, [f"border {split.border}" for split in at_borders])
    for split in unbordered:
        captions = [label_name(spec, label) for _, label in split.first]
        yield Strip(split.split, [decode_file(png) for png, _ in split.first], captions)


def label_name(spec: SetSpec, label: int) -> str:
    """Returns the name of a label; "" for an unknown label (-1)."""
    return spec.labels[label] if label >= 0 else ""
