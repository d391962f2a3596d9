"""Loads a set from the Hub: its revision resolved once, its files fetched whole and checked before a row is seen."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq

from qi_datasets.errors import NotOnHubError, OptionError, StoredSetError
from qi_datasets.set_spec import SetSpec
from qi_datasets.specs import SPEC_VERSION
from qi_datasets.storage.hub import MAIN, HubPlace
from qi_datasets.storage.location import set_folder
from qi_datasets.storage.published import PublishedSet, published_set

REPO = "QI_DATASETS_REPO"
"""The variable that names the repository from which sets come that are built nowhere on this machine."""

READ_ROWS = 100
"""Rows that a stream reads at a time: a row group."""


def default_repo() -> str | None:
    """What `$QI_DATASETS_REPO` says."""
    return os.environ.get(REPO) or None


def published(spec: SetSpec, side: int, repo_id: str, revision: str | None) -> PublishedSet:
    """The set in a repository, or in the one that `qi-publish` makes of its name where it publishes several sets.

    side: of the images at border 0, in pixels.
    Raises HubError, NotOnHubError, and StoredSetError for another set, size or data version, or a recipe.
    """
    folder = str(set_folder(Path(), spec, side))
    place = HubPlace(repo_id, MAIN if revision is None else revision)
    try:
        found = published_set(place)
    except NotOnHubError as error:
        try:
            found = published_set(HubPlace(f"{repo_id}-{folder}", place.revision))
        except NotOnHubError:
            raise error from None
    manifest = found.manifest
    if (manifest.name, manifest.size) != (spec.name, side):
        raise StoredSetError(
            f"{found.place} holds {manifest.name} of {manifest.size} pixels, not {spec.name} of {side}; "
            "check repo_id and revision"
        )
    if manifest.spec_version != SPEC_VERSION:
        raise StoredSetError(
            f"{found.place} holds {spec.name} of data version {manifest.spec_version}, this package reads "
            f"{SPEC_VERSION}; ask for another revision, or install the version of this package that reads it"
        )
    if manifest.recipe:
        images = "--demo" if manifest.demo else "--imagenet-val PATH"
        raise StoredSetError(
            f"{found.place} is a recipe and holds no images: make the set from yours with "
            f"`qi-build {images} --recipe {found.place}`"
        )
    return found


def names(spec: SetSpec, found: PublishedSet) -> dict[str, list[str]]:
    """The names of the files at border 0, by split; StoredSetError if the manifest names none."""
    config = found.manifest.configs.get(spec.config_of(0))
    files = {} if config is None else {split: list(record.files) for split, record in config.splits.items()}
    if (
        not files
        or not all(files.values())
        or not all(name in found.manifest.files for ns in files.values() for name in ns)
    ):
        raise StoredSetError(f"the manifest of {found.place} names no files at border 0; tell its owners")
    return files


def local_files(found: PublishedSet, files: dict[str, list[str]], splits: Iterable[str]) -> dict[str, list[str]]:
    """Paths of checked copies on this machine of the files of some splits."""
    return {split: [str(found.file(name)) for name in files[split]] for split in splits}


def stream(found: PublishedSet, files: dict[str, list[str]], split: str | None) -> Any:
    """An IterableDataset of a split, or an IterableDatasetDict of all: each file is fetched when its rows are due."""
    if split is not None and split not in files:
        raise OptionError(f"a stream has whole splits, not {split!r}; give one of {', '.join(files)}")
    streams = {
        name: datasets.IterableDataset.from_generator(
            rows,
            features=features_of(found),
            gen_kwargs={"found": found, "shards": files[name]},
            split=datasets.Split(name),
        )
        for name in (files if split is None else [split])
    }
    return datasets.IterableDatasetDict(streams) if split is None else streams[split]


def features_of(found: PublishedSet) -> datasets.Features:
    """The stored columns, as the set's row of the spec table has them."""
    from qi_datasets.registry import spec_named
    from qi_datasets.storage.schema import schema_of

    return datasets.Features.from_arrow_schema(schema_of(spec_named(found.manifest.name)))


def rows(found: PublishedSet, shards: list[str]) -> Iterator[dict[str, Any]]:
    """The stored rows of some files, in order."""
    for name in shards:
        with pq.ParquetFile(found.file(name)) as file:
            for batch in file.iter_batches(READ_ROWS):
                yield from batch.to_pylist()
