"""Completes a set whose rows are written: pictures, card, manifest, and a last count of what lies there."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from qi_datasets.builder import Builder
from qi_datasets.errors import OutputError
from qi_datasets.pixels.contact_sheet import Strip, contact_sheet
from qi_datasets.pixels.decoding import decoded
from qi_datasets.set_spec import SetSpec
from qi_datasets.storage.card import CARD, write_card
from qi_datasets.storage.manifest import Manifest
from qi_datasets.storage.parquet import PREVIEW_ROWS, WrittenSplit, file_record, stored_rows

PREVIEW = "preview.png"


def complete(folder: Path, builder: Builder, manifest: Manifest, splits: Sequence[WrittenSplit]) -> Manifest:
    """Writes what goes with a set's rows, and gives the manifest as it reads back, with a record of every file.

    folder: where the rows lie. manifest: all of it but `files`. splits: of all configs, the first config's first.
    Raises OutputError when rows are missing.
    """
    first, _ = next(row for split in splits for row in split.first)
    pictures = {PREVIEW: list(strips(builder.spec, splits)), **builder.pictures(decoded(first))}
    for name, lines in pictures.items():
        contact_sheet(lines, folder / name)
    write_card(folder, builder.spec, manifest)
    files = {name: record for split in splits for name, record in split.files.items()}
    files |= {name: file_record(folder / name) for name in (CARD, *pictures)}
    manifest = replace(manifest, files=files)
    manifest.write(folder)
    check_counts(folder, manifest)
    return Manifest.read(folder)


def check_counts(folder: Path, manifest: Manifest) -> None:
    """OutputError unless the stored files have as many rows as the manifest says: the last check before the swap."""
    for name, config in manifest.configs.items():
        for split, record in config.splits.items():
            rows = sum(stored_rows(folder / file) for file in record.files)
            if rows != record.rows:
                raise OutputError(f"{name}/{split} was written with {rows} of {record.rows} rows; is the disk full?")


def strips(spec: SetSpec, splits: Sequence[WrittenSplit]) -> Iterator[Strip]:
    """Lines of the contact sheet: every split of the first config, then the first split of each other config."""
    first_split = next(iter(spec.splits))
    for split in splits:
        if split.border == 0 or split.split == first_split:
            # Wide borders take long to shrink and show little: half as many will do.
            rows = split.first if split.border == 0 else split.first[: PREVIEW_ROWS // 2]
            captions = [spec.labels[label] if label >= 0 else "unknown" for _, label in rows]
            yield Strip(f"{split.config}\n{split.split}", [decoded(png) for png, _ in rows], captions)
