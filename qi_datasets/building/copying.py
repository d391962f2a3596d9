"""Copies the images of sources that can only be read from front to back, in one pass, before a set is built."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import TypeVar

from platformdirs import user_cache_path

from qi_datasets.building.selection import official_names, order_key, selection_ranks
from qi_datasets.imagenet import IMAGENET_VAL
from qi_datasets.pixels.digests import sha256_hex
from qi_datasets.set_spec import SetSpec
from qi_datasets.sources import OnePassSource, Source
from qi_datasets.sources.base import ArchiveSource, HeldLocation, SourceImage
from qi_datasets.sources.one_pass import WantedImages
from qi_datasets.storage.manifest import Manifest
from qi_datasets.storage.scratch import scratch_folder

Item = TypeVar("Item")

FETCHED = "fetched"
"""Folder in the platform's cache where downloaded images stay until the sets that need them are built."""

_SAMPLED, _SECONDS = 8, 1.0
"""An estimate reads at most this many first images, for at most this many seconds."""


def images_wanted_by(chosen: Sequence[SetSpec], counts: Mapping[str, Mapping[str, int]]) -> WantedImages:
    """Returns the images of ImageNet val that these sets may take.

    Args:
        chosen: the sets.
        counts: set name -> split -> number of sources, for every set that differs from the spec table.
    """
    places = [selection_ranks(spec, counts) for spec in chosen if spec.needs_images]
    official = not any(counts.keys() & {spec.name, spec.first_rank_after} for spec in chosen)
    names = frozenset(name for part in places for name in official_names(part)) if official else None
    return WantedImages(names, max((part.stop for part in places), default=0), _order)


def wanted_by_recipe(manifest: Manifest) -> WantedImages:
    """Returns the images that a recipe takes."""
    records = [record for members in manifest.sources.values() for record in members]
    names = frozenset(record.name for record in records)
    return WantedImages(names, len(names), _order, frozenset((record.bytes, record.sha256) for record in records))


def _order(name: str) -> bytes:
    return order_key(name, IMAGENET_VAL)


@contextmanager
def make_random_access(
    source: Source | None, wanted: Callable[[], WantedImages], progress: bool
) -> Iterator[Source | None]:
    """Yields a source whose images can be read in any order, while the block runs.

    A compressed archive's images are copied to scratch space, which is always removed. Images that come over a
    network are kept if the block fails, so that the next run continues there.

    Args:
        source: the source.
        wanted: says which images may be selected.
        progress: whether a bar is shown.
    """
    if not isinstance(source, OnePassSource):
        yield source
        return
    copied = wanted()
    fetched = fetched_folder(source, copied) if source.lasting else None
    with nullcontext(fetched) if fetched else scratch_folder() as folder:
        yield source.copied(copied, folder, progress)
    if fetched:
        shutil.rmtree(fetched, ignore_errors=True)


def fetched_folder(source: OnePassSource, wanted: WantedImages) -> Path:
    """Returns the folder for these images of a source; its name follows from URLs, sizes and image names."""
    parts = [f"{part.label} {part.size}" for part in source.parts]
    images = sorted(wanted.names or [str(wanted.most)]) + sorted(digest for _, digest in wanted.contents)
    return user_cache_path("qi-datasets") / FETCHED / sha256_hex("\n".join(parts + images).encode())[:32]


def assume_source(source: OnePassSource, wanted: WantedImages) -> tuple[Source, float]:
    """Returns a source for planning, as if an archive held all wanted images, and the estimated seconds to read it.

    Its images are a few of the archive's first ones, under all names in turn.
    """
    first: list[SourceImage] = []
    start, read = time.perf_counter(), 1
    for image, data, count in source.first_images():
        read = count
        if len(first) < _SAMPLED:
            first.append(SourceImage(image.name, image.wnid, HeldLocation(data, str(image.location))))
        if time.perf_counter() - start > _SECONDS:
            break
    seconds = (time.perf_counter() - start) * source.size / read
    names = wanted.names or official_names(range(wanted.most))
    images = {
        name: SourceImage(name, "", image.location)
        for name, image in zip(names, _again(first, len(names)), strict=True)
    }
    return _AssumedImages(source.where, images, IMAGENET_VAL), seconds


class _AssumedImages(ArchiveSource):
    """Images that stand for an archive's unread ones. names: image name -> SourceImage."""

    layout = OnePassSource.layout


def _again(items: Sequence[Item], count: int) -> Iterator[Item]:
    return islice((item for _ in range(count) for item in items), count)
