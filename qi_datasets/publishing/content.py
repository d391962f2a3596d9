"""What of a set is published: all files that its manifest lists, or the recipe alone."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from qi_datasets.errors import OptionError
from qi_datasets.registry import spec_named
from qi_datasets.set_spec import SetSpec
from qi_datasets.storage.card import CARD, whole_card
from qi_datasets.storage.hub import MAIN, HubPlace
from qi_datasets.storage.manifest import MANIFEST, FileRecord, Manifest
from qi_datasets.storage.parquet import file_record


@dataclass(frozen=True)
class LocalFile:
    """A file that is published. data: where it lies, or its bytes."""

    data: Path | bytes
    bytes: int
    sha256: str

    def git_sha1(self) -> str:
        """The hash by which git, and so the Hub, knows a small file."""
        data = self.data.read_bytes() if isinstance(self.data, Path) else self.data
        return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Content:
    """What is published of a set.

    spec: the set.
    manifest: as it is published.
    files: by path in the repository.
    free: whether anybody may publish them.
    """

    spec: SetSpec
    manifest: Manifest
    files: Mapping[str, LocalFile]
    free: bool


def content_of(folder: Path, place: HubPlace, *, recipe_only: bool = False, tag: str | None = None) -> Content:
    """What is published of the set in a folder.

    folder: where the set lies.
    place: where it is published, for the card of a recipe.
    recipe_only: card and manifest alone.
    tag: as what it is published, for the card of a recipe.
    """
    manifest = Manifest.read(folder)
    spec = spec_named(manifest.name)
    if recipe_only:
        named = tag or (manifest.spec_version if place.revision == MAIN else place.revision)
        return recipe_of(spec, manifest, HubPlace(place.repo_id, named))
    records = {**manifest.files, MANIFEST: file_record(folder / MANIFEST)}
    files = {name: LocalFile(folder / name, record.bytes, record.sha256) for name, record in records.items()}
    if manifest.recipe:
        raise OptionError(f"{folder} is a recipe and holds no images; publish it as one")
    return Content(spec, manifest, files, manifest.publishable(spec))


def recipe_of(spec: SetSpec, manifest: Manifest, place: HubPlace) -> Content:
    """The recipe: card and manifest, without the names of files that are not there."""
    configs = {
        name: replace(config, splits={split: replace(record, files=[]) for split, record in config.splits.items()})
        for name, config in manifest.configs.items()
    }
    bare = replace(manifest, configs=configs, files={})
    card = whole_card(spec, bare, recipe=str(place)).encode()
    digest = hashlib.sha256(card).hexdigest()
    bare = replace(bare, files={CARD: FileRecord(len(card), digest)})
    text = bare.text.encode()
    files = {
        CARD: LocalFile(card, len(card), digest),
        MANIFEST: LocalFile(text, len(text), hashlib.sha256(text).hexdigest()),
    }
    return Content(spec, bare, files, free=True)
