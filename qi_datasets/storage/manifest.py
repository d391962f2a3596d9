"""The manifest of a stored set: what it is, what it was made from, and the digests that prove it."""

import json
import platform
import re
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from PIL import features as pillow_features

from qi_datasets.errors import NewerSetError, StoredSetError
from qi_datasets.pixels.digests import sha256_hex
from qi_datasets.set_spec import MIT, Licence, SetSpec
from qi_datasets.sources import DemoSource
from qi_datasets.storage.location import Place, file_size, files_below, joined, read_text

MANIFEST = "manifest.json"

MANIFEST_VERSION = 1
"""Version of what is stored beside the pixels.

0: package 0.1.0, whose manifests name no version; labels of ImageNet's images may be missing.
1: every ImageNet image has its synset; cards state the terms; splits no longer count the bytes of their images.
"""

LIBRARIES = ("numpy", "pillow", "pyarrow", "datasets")

PARQUET_NAME = re.compile(r"\w+/\w+-\d{5}-of-\d{5}\.parquet", re.ASCII)

GENERATED = "generated"
"""The layout of a set that needs no input."""

PINNED, VERIFIED, UNVERIFIED = "pinned", "verified", "unverified"
"""What is known of a set's pixels: they are the official ones; they are those of another manifest; nothing."""

DEMO_DIGESTS = "the digests of the demo pictures that this package pins"


@dataclass(frozen=True)
class SplitRecord:
    """One split of one config: its number of rows, its digest (hex), and its files."""

    rows: int
    digest: str
    files: list[str]


@dataclass(frozen=True)
class ConfigRecord:
    """One config: its border and its images' side in pixels, and its splits."""

    border: int
    size: int
    splits: dict[str, SplitRecord]

    @property
    def digest(self) -> str:
        """One digest (hex) for all splits."""
        return sha256_hex("".join(split.digest for split in self.splits.values()).encode())


@dataclass(frozen=True)
class SourceRecord:
    """One source image: its file's size and SHA-256 and its patch's, so that a mismatch tells which of them differs."""

    name: str
    wnid: str
    bytes: int
    sha256: str
    patch_sha256: str


@dataclass(frozen=True)
class FileRecord:
    """Size in bytes and SHA-256 of a file of the set."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What `manifest.json` says. size: side of the images at border 0. sources: by split, in row order."""

    manifest_version: int = field(default=MANIFEST_VERSION, kw_only=True)
    name: str
    spec_version: str
    package_version: str
    canonical: bool
    pixels: str
    layout: str
    size: int
    configs: dict[str, ConfigRecord]
    sources: dict[str, list[SourceRecord]]
    files: dict[str, FileRecord] = field(default_factory=dict)
    libraries: dict[str, str] = field(default_factory=dict)
    verified_against: str = ""

    @property
    def demo(self) -> bool:
        """Whether the set is made from the built-in demo pictures."""
        return self.layout == DemoSource.layout

    @property
    def pictures(self) -> tuple[int, int]:
        """How many sources have different pixels, and how many sources there are."""
        sources = [source for members in self.sources.values() for source in members]
        return len({source.patch_sha256 for source in sources}), len(sources)

    @property
    def repeats(self) -> str:
        """A sentence on pictures that stand under several names; "" if every name has a picture of its own."""
        distinct, names = self.pictures
        if distinct == names:
            return ""
        official = ": this is not ImageNet's validation set" if self.canonical else ""
        return f"{self.name}: {distinct} distinct pictures under {names} names{official}"

    @property
    def knowledge(self) -> str:
        """What is known of the set, in words: whether its selection is the official one, and of its pixels."""
        pixels = {
            PINNED: "pixels are the official ones",
            VERIFIED: f"pixels verified against {self.verified_against}",
        }.get(self.pixels, "pixels not verified")
        if self.layout == GENERATED:
            return pixels
        return f"{'official selection' if self.canonical else 'not the official selection'}, {pixels}"

    def licence(self, spec: SetSpec) -> Licence:
        """The terms of this set's pixels."""
        return MIT if self.demo else spec.licence

    def publishable(self, spec: SetSpec) -> bool:
        """Whether anybody may publish this set's pixels."""
        return self.demo or spec.publishable

    @property
    def outdated(self) -> bool:
        """Whether the set was written by an earlier version of this package, which stored less."""
        return self.manifest_version < MANIFEST_VERSION

    @property
    def borders(self) -> frozenset[int]:
        """The borders of the configs."""
        return frozenset(config.border for config in self.configs.values())

    @property
    def default_config(self) -> ConfigRecord:
        """The first config."""
        return next(iter(self.configs.values()))

    def write(self, folder: Path) -> None:
        """Writes the manifest into the set's folder."""
        (folder / MANIFEST).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Place) -> Self:
        """The manifest in a set's folder, of this or an earlier version.

        Raises StoredSetError when there is none, or none that can be understood; NewerSetError for a later version.
        """
        path = joined(folder, MANIFEST)
        try:
            content: dict[str, Any] = json.loads(read_text(path))
            number = content.setdefault("manifest_version", 0)
            if type(number) is not int or number < 0:
                raise ValueError(f"manifest_version {number!r}")
            if number > MANIFEST_VERSION:
                raise NewerSetError(
                    f"{path} has version {number}, this package knows {MANIFEST_VERSION}; upgrade qi-datasets"
                )
            if number == 0:
                for record in (split for config in content["configs"].values() for split in config["splits"].values()):
                    del record["image_bytes"]
            configs = {
                name: ConfigRecord(
                    config["border"],
                    config["size"],
                    {split: SplitRecord(**record) for split, record in config["splits"].items()},
                )
                for name, config in content.pop("configs").items()
            }
            sources = {
                split: [SourceRecord(**record) for record in records]
                for split, records in content.pop("sources").items()
            }
            files = {name: FileRecord(**record) for name, record in content.pop("files").items()}
            return cls(configs=configs, sources=sources, files=files, **content)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise StoredSetError(f"cannot read {path} ({reason}); without it {folder} is no set") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoredSetError(f"{path} is no manifest of this package ({error!r}); build the set again") from error

    def foreign_files(self, folder: Place) -> list[str]:
        """Files in the set's folder, by relative path, that nobody takes for the set's, listed or not."""
        known = {MANIFEST, *self.files}
        return [name for name in files_below(folder) if name not in known and not PARQUET_NAME.fullmatch(name)]

    def missing_files(self, folder: Place) -> list[str]:
        """Files of the set that are gone or have another size."""
        return [name for name, record in self.files.items() if file_size(joined(folder, name)) != record.bytes]


def library_versions() -> dict[str, str]:
    """Versions of what may influence pixels or files: Python, the libraries, and Pillow's JPEG decoder."""
    found = {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}
    decoder = "libjpeg_turbo" if pillow_features.check("libjpeg_turbo") else "jpg"
    return found | {decoder: pillow_features.version(decoder) or "unknown"}


def with_pixels(spec: SetSpec, manifest: Manifest) -> Manifest:
    """The manifest with what is known of its pixels: whether the package pins the digests of its default config."""
    digests = {split: record.digest for split, record in manifest.default_config.splits.items()}
    if digests == dict(spec.digests):
        return replace(manifest, pixels=PINNED, verified_against="")
    if manifest.demo and digests == dict(spec.demo_digests):
        return replace(manifest, pixels=VERIFIED, verified_against=DEMO_DIGESTS)
    return replace(manifest, pixels=UNVERIFIED, verified_against="")
