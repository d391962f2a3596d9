"""Loads a set from the Hub: resolves its revision once, and fetches and checks whole files before rows are read."""

import glob
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from datasets.table import table_cast

from qi_datasets.errors import NamedArgument, NotOnHubError, OptionError, StoredSetError
from qi_datasets.registry import look_up_spec
from qi_datasets.set_spec import SetSpec
from qi_datasets.storage.hub import MAIN, HubPlace
from qi_datasets.storage.location import default_output, exists, set_folder, set_name
from qi_datasets.storage.manifest import check_set
from qi_datasets.storage.published import PublishedSet, published_set
from qi_datasets.storage.schema import schema_of
from qi_datasets.storage.staging import finished_place

REPO = "QI_DATASETS_REPO"
"""The environment variable with the repository of sets that are not built on this machine."""

READ_ROWS = 100
"""Rows that a stream reads at a time: one row group."""


def repo_for(
    spec: SetSpec,
    side: int,
    repo_id: str | None,
    revision: str | None,
    *,
    output: str | Path | None,
    imagenet_val: str | Path | None,
) -> str | None:
    """Returns the repository that a set is loaded from; None for a set of this machine.

    Without `repo_id` it is `$QI_DATASETS_REPO`, unless the set is built here or can be made at once, or `output` or
    images are given.

    Args:
        spec: The set.
        side: Side of its images at border 0, in pixels.
        repo_id: As in `load_dataset`.
        revision: As in `load_dataset`.
        output: As in `load_dataset`.
        imagenet_val: As in `load_dataset`.

    Raises:
        OptionError: If arguments exclude each other or have no effect.
    """
    for name, value in {"output": output, "imagenet_val": imagenet_val}.items():
        if value is not None and (repo_id is not None or revision is not None):
            other = "repo_id" if repo_id is not None else "revision"
            raise OptionError(
                f"{name} and {other} exclude each other: a set comes from here or from the Hub", code="contradiction"
            )
    default = os.environ.get(REPO) or None
    if repo_id is not None or (revision is not None and default is not None):
        return repo_id or default
    if revision is not None:
        raise OptionError(
            NamedArgument("revision", f"{revision!r}"),
            " has no effect without ",
            NamedArgument("repo_id", "'ORG/NAME'"),
            f" (or ${REPO})",
            code="no-effect",
        )
    here = output is not None or imagenet_val is not None or not spec.needs_images
    return None if here or exists(finished_place(set_folder(default_output(), spec, side))) else default


def find_published(spec: SetSpec, side: int, repo_id: str, revision: str | None) -> PublishedSet:
    """Returns the set in a repository, or in the repository with the set's name added, as `qi-publish` names several.

    Args:
        spec: The set.
        side: Side of the images at border 0, in pixels.
        repo_id: "ORG/NAME".
        revision: A tag, branch or commit; None for main.

    Raises:
        HubError: If the Hub refuses.
        NotOnHubError: If there is no such repository or revision.
        StoredSetError: If it holds another set, size or data version, or a recipe.
    """
    place = HubPlace(repo_id, MAIN if revision is None else revision)
    try:
        found = published_set(place)
    except NotOnHubError as error:
        try:
            found = published_set(HubPlace(f"{repo_id}-{set_name(spec, side)}", place.revision))
        except NotOnHubError:
            raise error from None
    manifest = found.manifest
    check_set(
        manifest,
        spec,
        side,
        found.place,
        other="check repo_id and revision",
        older="ask for another revision, or install the version of this package that reads it",
    )
    if manifest.recipe:
        images = "--demo" if manifest.demo else "--imagenet-val PATH"
        raise StoredSetError(
            f"{found.place} is a recipe and holds no images: make the set from yours with "
            f"`qi-build {images} --recipe {found.place}`",
            code="recipe",
        )
    return found


def file_names_at_border_0(spec: SetSpec, found: PublishedSet) -> dict[str, list[str]]:
    """Returns the names of the files at border 0, by split; StoredSetError if the manifest names none."""
    config = found.manifest.configs.get(spec.config_of(0))
    files = {} if config is None else {split: list(record.files) for split, record in config.splits.items()}
    listed = all(name in found.manifest.files for names in files.values() for name in names)
    if not files or not all(files.values()) or not listed:
        raise StoredSetError(f"the manifest of {found.place} names no files at border 0; tell its owners")
    return files


def local_files(found: PublishedSet, files: dict[str, list[str]], splits: Iterable[str]) -> dict[str, list[str]]:
    """Returns patterns, for `datasets`, of this machine's checked copies of some splits' files."""
    return {split: [glob.escape(str(found.file(name))) for name in files[split]] for split in splits}


@dataclass
class ShardsConfig(datasets.BuilderConfig):  # type: ignore[misc]
    """The source of a stream. shards: names of files by split."""

    found: PublishedSet | None = None
    shards: dict[str, list[str]] = field(default_factory=dict)


class Shards(datasets.ArrowBasedBuilder):  # type: ignore[misc]
    """A published set as streams: stock in every way, but files are fetched and checked when they are needed."""

    BUILDER_CONFIG_CLASS = ShardsConfig

    def _info(self) -> datasets.DatasetInfo:
        schema = schema_of(look_up_spec(self.config.found.manifest.name))
        return datasets.DatasetInfo(features=datasets.Features.from_arrow_schema(schema))

    def _split_generators(self, dl_manager: object) -> list[datasets.SplitGenerator]:
        return [
            datasets.SplitGenerator(split, gen_kwargs={"shards": names}) for split, names in self.config.shards.items()
        ]

    def _generate_tables(self, shards: list[str]) -> Iterator[tuple[str, pa.Table]]:
        for name in shards:
            with pq.ParquetFile(self.config.found.file(name)) as file:
                for number, batch in enumerate(file.iter_batches(READ_ROWS)):
                    table = pa.Table.from_batches([batch])
                    yield f"{name} {number}", table_cast(table, self.info.features.arrow_schema)


def stream(
    found: PublishedSet, files: dict[str, list[str]], split: str | list[str] | None, stock: Mapping[str, object]
) -> datasets.IterableDataset | datasets.IterableDatasetDict:
    """Returns an IterableDataset of a split, or an IterableDatasetDict of all; files are fetched when they are needed.

    Args:
        found: The set.
        files: Their names at border 0, by split.
        split: The name of a split, or several; None for all.
        stock: Further arguments of `datasets.load_dataset`; a stream from the Hub takes none of them.
    """
    if stock:
        raise OptionError(f"{', '.join(stock)} has no effect on a stream from the Hub; leave it out", code="no-effect")
    builder = Shards(hash=found.commit, found=found, shards=files)
    return builder.as_streaming_dataset(split)
