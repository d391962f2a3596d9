"""Writes a planned set into an empty folder: rows, pictures, card, manifest."""

import io
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from itertools import islice
from pathlib import Path

from PIL import Image

from qi_datasets.builder import GeneratedSet, ImageSet
from qi_datasets.building.encoding import encode_batch, encode_generated
from qi_datasets.building.engine import Engine
from qi_datasets.building.plan import Plan
from qi_datasets.errors import BuilderError, OutputError
from qi_datasets.pixels.contact_sheet import Strip, contact_sheet
from qi_datasets.progress import bar_over
from qi_datasets.sources import SourceImage
from qi_datasets.specs import SPEC_VERSION, SetSpec
from qi_datasets.storage.card import CARD, write_card
from qi_datasets.storage.manifest import (
    GENERATED,
    UNVERIFIED,
    ConfigRecord,
    Manifest,
    SourceRecord,
    SplitRecord,
    library_versions,
    with_pixels,
)
from qi_datasets.storage.parquet import PREVIEW_ROWS, SplitWriter, file_record, stored_rows
from qi_datasets.storage.rows import EncodedRow, EncodedSource

PREVIEW = "preview.png"

BATCH = 16
"""Sources that a worker takes at a time: few, so that memory stays flat; enough that handing over is cheap."""


def write_set(plan: Plan, staging: Path, engine: Engine, progress: bool) -> Manifest:
    """Writes everything that belongs to the set into an empty folder, and reads back what can be counted."""
    spec = plan.spec
    with ExitStack() as stack:
        thread = stack.enter_context(ThreadPoolExecutor(max_workers=1))
        writers = {
            (border, split): stack.enter_context(SplitWriter(staging, spec, border, split, plan.rows(split), thread))
            for border in plan.borders
            for split in plan.images or spec.splits
        }
        sources = write_rows(plan, staging, writers, engine, progress)
    configs = {
        spec.config_of(border): ConfigRecord(
            border,
            plan.builder.size + 2 * border,
            {
                split: SplitRecord(writer.rows, writer.digest, list(writer.files), writer.image_bytes)
                for (of, split), writer in writers.items()
                if of == border
            },
        )
        for border in plan.borders
    }
    manifest = Manifest(
        name=spec.name,
        spec_version=SPEC_VERSION,
        package_version=version("qi-datasets"),
        canonical=plan.canonical,
        pixels=UNVERIFIED,
        layout=plan.source.layout if plan.source else GENERATED,
        size=plan.builder.size,
        configs=configs,
        sources=sources,
        libraries=library_versions(),
    )
    manifest = with_pixels(spec, manifest)
    if spec.digests and plan.canonical and manifest.pixels == UNVERIFIED:
        raise BuilderError(f"{spec.name}: the pixels differ from the pinned ones; is numpy or this package damaged?")
    first = next(row for writer in writers.values() for row in writer.first)
    pictures = {PREVIEW: list(strips(spec, writers)), **plan.builder.pictures(opened(first))}
    for name, lines in pictures.items():
        contact_sheet(lines, staging / name)
    write_card(staging, spec, manifest)
    files = {name: record for writer in writers.values() for name, record in writer.files.items()}
    files |= {name: file_record(staging / name) for name in (CARD, *pictures)}
    manifest = replace(manifest, files=files)
    manifest.write(staging)
    check_counts(staging, manifest)
    return Manifest.read(staging)


def check_counts(folder: Path, manifest: Manifest) -> None:
    """OutputError unless the stored files have as many rows as the manifest says: the last check before the swap."""
    for name, config in manifest.configs.items():
        for split, record in config.splits.items():
            rows = sum(stored_rows(folder / file) for file in record.files)
            if rows != record.rows:
                raise OutputError(f"{name}/{split} was written with {rows} of {record.rows} rows; is the disk full?")


def write_rows(
    plan: Plan, staging: Path, writers: Mapping[tuple[int, str], SplitWriter], engine: Engine, progress: bool
) -> dict[str, list[SourceRecord]]:
    """Writes the rows of all splits and borders; the records of their sources, by split."""
    sources: dict[str, list[SourceRecord]] = {}
    with ExitStack() as stack:
        if isinstance(plan.builder, GeneratedSet):
            total = sum(map(plan.rows, plan.spec.splits))
            bar = stack.enter_context(bar_over(plan.spec.name, total, "row", progress))
            for split in plan.spec.splits:
                for row in encode_generated(plan.builder, split):
                    writers[0, split].write(row)
                    bar.update()
            return sources
        if not isinstance(plan.builder, ImageSet) or plan.source is None:
            raise BuilderError(f"{plan.spec.name}: a builder is a GeneratedSet, or an ImageSet with a source")
        images = [image for images in plan.images.values() for image in images]
        images = stack.enter_context(plan.source.at_hand(images, staging))
        bar = stack.enter_context(bar_over(plan.spec.name, len(images), "image", progress))
        ship = engine.dask is not None and not plan.source.on_shared_files
        encoded = encoded_in_order(plan.builder, images, plan.borders, engine, ship)
        for split, members in plan.images.items():
            sources[split] = []
            for source in islice(encoded, len(members)):
                sources[split].append(
                    SourceRecord(source.image.name, source.image.wnid, source.size, source.sha256, source.patch_sha256)
                )
                for border, rows in source.rows.items():
                    for row in rows:
                        writers[border, split].write(row)
                bar.update()
    return sources


def encoded_in_order(
    builder: ImageSet, images: list[SourceImage], borders: tuple[int, ...], engine: Engine, ship: bool
) -> Iterator[EncodedSource]:
    """Every source with its rows, in the given order. ship: send the images' bytes along with the work."""
    work = partial(encode_batch, builder, borders=borders)
    batches: Iterable[list[SourceImage]] = (images[start : start + BATCH] for start in range(0, len(images), BATCH))
    if ship:
        batches = ([image.held() for image in batch] for batch in batches)
    for batch in engine.in_order(work, batches):
        yield from batch


def strips(spec: SetSpec, writers: Mapping[tuple[int, str], SplitWriter]) -> Iterator[Strip]:
    """Lines of the contact sheet: every split of the first config, then the first split of each other config."""
    first_split = next(iter(spec.splits))
    for (border, split), writer in writers.items():
        if border == 0 or split == first_split:
            title = f"{writer.config}\n{split}"
            # Wide borders take long to shrink and show little: half as many will do.
            rows = writer.first if border == 0 else writer.first[: PREVIEW_ROWS // 2]
            yield Strip(title, [opened(row) for row in rows], [caption(spec, row) for row in rows])


def opened(row: EncodedRow) -> Image.Image:
    """The image of a row."""
    return Image.open(io.BytesIO(row.png))


def caption(spec: SetSpec, row: EncodedRow) -> str:
    """The name of a row's label."""
    label = row.values["label"]
    return spec.labels[label] if label >= 0 else "unknown"
