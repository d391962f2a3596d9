"""Selects the files of a set to publish: all that its manifest lists, or the recipe alone."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from qi_datasets.errors import OptionError
from qi_datasets.evaluation.hub_results import benchmark_file
from qi_datasets.registry import look_up_spec
from qi_datasets.set_spec import SetSpec
from qi_datasets.storage.card import CARD, whole_card
from qi_datasets.storage.hub import BENCHMARK, MAIN, HubPlace
from qi_datasets.storage.manifest import FileRecord, Manifest
from qi_datasets.storage.manifest_file import MANIFEST
from qi_datasets.storage.parquet import file_record


@dataclass(frozen=True)
class LocalFile:
    """A file to publish. data: its path, or its bytes."""

    data: Path | bytes
    bytes: int
    sha256: str

    def git_sha1(self) -> str:
        """Returns git's hash of a small file, which the Hub uses too."""
        data = self.data.read_bytes() if isinstance(self.data, Path) else self.data
        return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Content:
    """The part of a set that is published.

    Attributes:
        spec: The set.
        manifest: The published manifest.
        files: Files by path in the repository.
        free: Whether anybody may publish them.
    """

    spec: SetSpec
    manifest: Manifest
    files: Mapping[str, LocalFile]
    free: bool

    def without(self, path: str) -> "Content":
        """Returns the same content without one file."""
        return replace(self, files={name: file for name, file in self.files.items() if name != path})


def content_of(folder: Path, place: HubPlace, *, recipe_only: bool = False, tag: str | None = None) -> Content:
    """Returns the content to publish of the set in a folder.

    Args:
        folder: The set's folder.
        place: The repository, for the card of a recipe.
        recipe_only: Publish only card and manifest.
        tag: The tag, for the card of a recipe.
    """
    manifest = Manifest.read(folder)
    spec = look_up_spec(manifest.name)
    if recipe_only:
        named = tag or (manifest.spec_version if place.revision == MAIN else place.revision)
        return recipe_of(spec, manifest, HubPlace(place.repo_id, named))
    records = {**manifest.files, MANIFEST: file_record(folder / MANIFEST)}
    files = {name: LocalFile(folder / name, record.bytes, record.sha256) for name, record in records.items()}
    if manifest.recipe:
        raise OptionError(f"{folder} is a recipe and holds no images; publish it as one")
    return Content(spec, manifest, files | benchmark_of(spec, manifest), manifest.publishable(spec))


def benchmark_of(spec: SetSpec, manifest: Manifest) -> dict[str, LocalFile]:
    """Returns the file, by its path, that makes a set a benchmark on the Hub; nothing for other sets."""
    text = benchmark_file(spec, manifest)
    return {} if text is None else {BENCHMARK: local_file(text.encode())}


def local_file(data: bytes) -> LocalFile:
    """Returns a file with these bytes."""
    return LocalFile(data, len(data), hashlib.sha256(data).hexdigest())


def recipe_of(spec: SetSpec, manifest: Manifest, place: HubPlace) -> Content:
    """Returns the recipe: card and manifest, without the names of missing files."""
    configs = {
        name: replace(config, splits={split: replace(record, files=[]) for split, record in config.splits.items()})
        for name, config in manifest.configs.items()
    }
    bare = replace(manifest, configs=configs, files={})
    card = whole_card(spec, bare, recipe=str(place)).encode()
    digest = hashlib.sha256(card).hexdigest()
    bare = replace(bare, files={CARD: FileRecord(len(card), digest)})
    files = {CARD: local_file(card), MANIFEST: local_file(bare.text.encode()), **benchmark_of(spec, bare)}
    return Content(spec, bare, files, free=True)
