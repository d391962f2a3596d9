"""Makes a set: selection, builder and storage put together, under a bar to watch."""

import io
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image
from platformdirs import user_cache_path
from tqdm import tqdm

from qi_datasets.builder import Builder, GeneratedSet, ImageSet
from qi_datasets.card import CARD, write_card
from qi_datasets.digests import sha256_hex
from qi_datasets.encoding import EncodedRow, EncodedSource, encode_batch, encode_generated
from qi_datasets.errors import BuilderError, OptionError, OutputError, StoredSetError
from qi_datasets.manifest import (
    GENERATED,
    UNVERIFIED,
    ConfigRecord,
    Manifest,
    SourceRecord,
    SplitRecord,
    library_versions,
    pixels_verified,
)
from qi_datasets.parallel import Engine
from qi_datasets.parquet import PREVIEW_ROWS, SplitWriter, file_record, stored_rows
from qi_datasets.places import Place, exists, joined, place_of
from qi_datasets.preview import Strip, contact_sheet
from qi_datasets.registry import builder_of
from qi_datasets.selection import official_selection, select
from qi_datasets.sources import Source, SourceImage
from qi_datasets.specs import BORDER, SPEC_VERSION, SetSpec
from qi_datasets.staging import locked, replaced_whole

HOME = "QI_DATASETS_HOME"
PREVIEW = "preview.png"

BATCH = 16
"""Sources that a worker takes at a time: few, so that memory stays flat; enough that handing over is cheap."""

Splits = Mapping[str, Mapping[str, int]]
"""Set name -> split name -> number of sources, for sets that are not to have their official sizes."""


@dataclass(frozen=True)
class BuiltSet:
    """A set on disk. seconds: how long it took; `made` is False when it was there already."""

    folder: Place
    manifest: Manifest
    seconds: float
    made: bool


@dataclass(frozen=True)
class Plan:
    """What a set is to become: worked out and checked before anything is written.

    images: by split, in row order; empty for a set that needs none. canonical: all of it as the spec table says.
    """

    builder: Builder
    borders: tuple[int, ...]
    source: Source | None
    images: Mapping[str, list[SourceImage]]
    canonical: bool

    @property
    def spec(self) -> SetSpec:
        """The set's row of the spec table."""
        return self.builder.spec

    def rows(self, split: str) -> int:
        """Number of rows that a split will have."""
        return len(self.images[split]) * self.spec.rows_per_source if self.images else self.spec.rows(split)


def plan_set(
    spec: SetSpec,
    source: Source | None = None,
    *,
    splits: Splits | None = None,
    official: bool = True,
    borders: Iterable[int] | None = None,
    size: int | None = None,
) -> Plan:
    """Selects a set's images and checks its options.

    splits: sizes that differ from the spec table's. official: demand the official selection of an ImageNet val source;
    otherwise the same order runs over the images that are there. borders: pixels, default the official ones; 0 is
    always among them. Raises OptionError or SourceError.
    """
    builder = builder_of(spec, size)
    asked = spec.borders if borders is None else tuple(BORDER.check(border) for border in borders)
    wanted = tuple(sorted({0, *asked})) if spec.borders else (0,)
    if not spec.needs_images:
        return Plan(builder, wanted, None, {}, builder.size == spec.size)
    if source is None:
        raise OptionError(f"{spec.name} is made from images: give --imagenet-val PATH, or --demo to try it without")
    chosen = select(spec, source.names, official=official and source.imagenet_val, splits=splits, where=str(source))
    canonical = source.imagenet_val and builder.size == spec.size and chosen == official_selection(spec)
    images = {split: [source.chosen(name) for name in names] for split, names in chosen.items()}
    return Plan(builder, wanted, source, images, canonical)


def build_set(
    plan: Plan, output: Place, *, engine: Engine | None = None, force: bool = False, progress: bool = False
) -> BuiltSet:
    """Makes the planned set in the folder of its name below `output`, or finds that it is there.

    output: a folder, or an fsspec URL. engine: where sources are decoded and encoded, default one process per core; it
    never changes a byte. force: make it again, whatever is there.
    progress: show a bar, if standard error is a terminal. Raises SourceError for an image that is damaged, OutputError
    when the folder can't be written or holds another set that must not vanish silently; then nothing is changed.
    """
    start = time.perf_counter()
    folder = set_folder(output, plan.spec, plan.builder.size)
    with locked(folder):
        if not force:
            plan, found = with_what_is_there(plan, folder)
            if found is not None:
                return BuiltSet(folder, found, time.perf_counter() - start, made=False)
        with replaced_whole(folder) as staging:
            manifest = write_set(plan, staging, engine or Engine(), progress)
    return BuiltSet(folder, manifest, time.perf_counter() - start, made=True)


def default_output() -> Place:
    """Where sets are kept: `$QI_DATASETS_HOME`, else the platform's cache folder."""
    home = os.environ.get(HOME)
    return place_of(home) if home else user_cache_path("qi-datasets")


def set_folder(output: Place, spec: SetSpec, size: int) -> Place:
    """Where a set lies below an output place; one of another size than the official has a folder of its own."""
    option = "" if spec.size_option is None or size == spec.size else f"-{spec.size_option.name}_{size}"
    return joined(output, f"{spec.name}{option}")


def with_what_is_there(plan: Plan, folder: Place) -> tuple[Plan, Manifest | None]:
    """The plan with the borders that were built before, and the manifest if all of it is there already."""
    if not exists(folder):
        return plan, None
    again = "add --force to replace it, or choose another output folder"
    try:
        manifest = Manifest.read(folder)
    except StoredSetError as error:
        raise OutputError(f"{folder} exists but is no set of this package; {again}") from error
    difference = difference_from(plan, manifest)
    if difference is None:
        borders = tuple(sorted({*plan.borders, *manifest.borders}))
        whole = set(plan.borders) <= manifest.borders and not manifest.missing_files(folder)
        return replace(plan, borders=borders), manifest if whole and not tells_more(plan, manifest) else None
    if plan.spec.needs_images:
        raise OutputError(f"{folder} holds {plan.spec.name} {difference}; {again}")
    return plan, None


def difference_from(plan: Plan, manifest: Manifest) -> str | None:
    """In what the planned set differs from a stored one, borders aside; None if in nothing. Reads the sources."""
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


def tells_more(plan: Plan, manifest: Manifest) -> bool:
    """Whether the plan knows a synset that the stored set lacks or has otherwise."""
    stored = [source.wnid for sources in manifest.sources.values() for source in sources]
    planned = [image.wnid for images in plan.images.values() for image in images]
    return any(new not in ("", old) for new, old in zip(planned, stored, strict=True))


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
    manifest = replace(manifest, pixels=pixels_verified(spec, manifest.default_config))
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


def bar_over(name: str, total: int, unit: str, progress: bool) -> "tqdm[Any]":
    """A progress bar on standard error, silent where that is no terminal."""
    return tqdm(total=total, desc=name, unit=unit, disable=None if progress else True, leave=False)
