"""The manifest of a stored set: what it is, what it was made from, and the digests that prove it."""

import json
import platform
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from PIL import features as pillow_features

from qi_datasets.errors import StoredSetError
from qi_datasets.pixels.digests import sha256_hex
from qi_datasets.sources import DemoSource
from qi_datasets.specs import MIT, Licence, SetSpec
from qi_datasets.storage.location import Place, file_size, joined, read_text

MANIFEST = "manifest.json"
LIBRARIES = ("numpy", "pillow", "pyarrow", "datasets")

GENERATED = "generated"
"""The layout of a set that needs no input."""

PINNED, VERIFIED, UNVERIFIED = "pinned", "verified", "unverified"
"""What is known of a set's pixels: they are the official ones; they are those of another manifest; nothing."""

DEMO_DIGESTS = "the digests of the demo pictures that this package pins"


@dataclass(frozen=True)
class SplitRecord:
    """One split of one config: its number of rows, its digest (hex), its files and their size in bytes."""

    rows: int
    digest: str
    files: list[str]
    image_bytes: int


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

    def licence(self, spec: SetSpec) -> Licence:
        """The terms of this set's pixels."""
        return MIT if self.demo else spec.licence

    def publishable(self, spec: SetSpec) -> bool:
        """Whether anybody may publish this set's pixels."""
        return self.demo or spec.publishable

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
        """The manifest in a set's folder; StoredSetError when there is none, or none that can be understood."""
        path = joined(folder, MANIFEST)
        try:
            content: dict[str, Any] = json.loads(read_text(path))
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
