"""Writes a planned set into an empty folder."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from itertools import islice
from pathlib import Path

from qi_datasets.builder import GeneratedSet, ImageSet
from qi_datasets.building.complete import complete_set
from qi_datasets.building.encoding import decode_source, encode_generated, encode_source
from qi_datasets.building.engine import Engine
from qi_datasets.building.plan import Plan
from qi_datasets.errors import BuilderError
from qi_datasets.progress import bar_over
from qi_datasets.specs import SPEC_VERSION
from qi_datasets.storage.compare import compare
from qi_datasets.storage.manifest import (
    GENERATED,
    UNVERIFIED,
    VERIFIED,
    ConfigRecord,
    Manifest,
    SourceRecord,
    SplitRecord,
    columns_of,
    library_versions,
    with_pixels,
)
from qi_datasets.storage.parquet import SplitWriter

BATCH = 16
"""Sources that a worker takes at a time: few, to limit memory, but enough to make handing over cheap."""


def write_set(plan: Plan, staging: Path, engine: Engine, progress: bool) -> tuple[Manifest, tuple[str, ...]]:
    """Writes all files of the set into an empty folder, and reads back their row counts.

    Args:
        plan: The set.
        staging: The folder.
        engine: Decodes and encodes the sources.
        progress: Show a bar, if standard error is a terminal.

    Returns:
        The manifest, and a line for each image that the set holds only in part.
    """
    spec = plan.spec
    with ExitStack() as stack:
        thread = stack.enter_context(ThreadPoolExecutor(max_workers=1))
        writers = {
            (border, split): stack.enter_context(SplitWriter(staging, spec, border, split, plan.rows(split), thread))
            for border in plan.borders
            for split in plan.images or spec.splits
        }
        remarks: list[str] = []
        sources = write_rows(plan, staging, writers, engine, progress, remarks)
    splits = [writer.written for writer in writers.values()]
    configs = {
        spec.config_of(border): ConfigRecord(
            border,
            plan.builder.size + 2 * border,
            {one.split: SplitRecord(one.rows, one.digest, list(one.files)) for one in splits if one.border == border},
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
        columns=columns_of(spec),
    )
    manifest = with_pixels(spec, manifest)
    if plan.recipe and manifest.pixels == UNVERIFIED and compare(manifest, plan.recipe.manifest).same_pixels:
        manifest = replace(manifest, pixels=VERIFIED, verified_against=plan.recipe.where)
    if spec.digests and not spec.needs_images and plan.canonical and manifest.pixels == UNVERIFIED:
        raise BuilderError(f"{spec.name}: the pixels differ from the pinned ones; is numpy or this package damaged?")
    return complete_set(staging, plan.builder, manifest, splits), tuple(remarks)


def write_rows(
    plan: Plan,
    staging: Path,
    writers: Mapping[tuple[int, str], SplitWriter],
    engine: Engine,
    progress: bool,
    remarks: list[str],
) -> dict[str, list[SourceRecord]]:
    """Writes the rows of all splits and borders, and returns the records of their sources, by split.

    Args:
        plan: The set.
        staging: The folder, which may hold copies of images for a while.
        writers: The writers by border and split.
        engine: Decodes and encodes the sources.
        progress: Show a bar, if standard error is a terminal.
        remarks: A list that gets a line for each image that the set holds only in part.
    """
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
        given = (image.held() for image in images) if ship else images
        decode = partial(decode_source, plan.builder)
        encode = partial(encode_source, plan.borders, plan.spec.label_in_digest)
        encoded = stack.enter_context(engine.in_order(decode, given, BATCH, encode))
        for split, members in plan.images.items():
            sources[split] = []
            for source in islice(encoded, len(members)):
                sources[split].append(source.decoded.record)
                remarks += filter(None, [source.decoded.remark])
                for border, rows in source.rows.items():
                    for row in rows:
                        writers[border, split].write(row)
                bar.update()
    return sources
