"""The manifest of a stored set: its description, its sources, and its digests."""

import platform
import re
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any, Self

from qi_datasets.errors import NewerSetError, StoredSetError, one_line
from qi_datasets.pixels.decoding import USUAL_DECODER, jpeg_decoder
from qi_datasets.pixels.digests import sha256_hex
from qi_datasets.set_spec import MIT, Licence, SetSpec
from qi_datasets.sources import DemoSource
from qi_datasets.specs import SPEC_VERSION
from qi_datasets.storage.location import Place, file_size, files_below, is_system_file, join_place, read_bytes
from qi_datasets.storage.manifest_file import LARGEST, MANIFEST, MANIFEST_VERSION, parse_manifest, text_of

LIBRARIES = ("numpy", "pillow", "pyarrow", "datasets")

PARQUET_NAME = re.compile(r"\w+/\w+-\d{5}-of-\d{5}\.parquet", re.ASCII)

GENERATED = "generated"
"""The layout of a set that needs no input."""

PINNED, VERIFIED, UNVERIFIED = "pinned", "verified", "unverified"
"""States of a set's pixels: equal to the official ones; equal to those of another manifest; not verified."""

OFFICIAL, DEMO, OTHER = "official", "demo", "other"
TRACKS = (OFFICIAL, UNVERIFIED, DEMO, OTHER)
"""Groups of comparable figures, the most valuable first: on the official pixels; on official names with pixels that
no digest confirms; on the demo pictures; on other images, where only the same set compares.
"""

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
        """One digest (hex) of all splits."""
        return sha256_hex("".join(split.digest for split in self.splits.values()).encode())


@dataclass(frozen=True)
class SourceRecord:
    """One source image.

    Attributes:
        name: Its name in its source.
        wnid: Its synset, "" if there is none.
        bytes: Size of its file.
        sha256: SHA-256 of its file.
        patch_sha256: SHA-256 of its patch: so a mismatch shows whether file or decoder differs.
    """

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
    """The content of `manifest.json`.

    Attributes:
        manifest_version: Version of its form, see `MANIFEST_VERSION`.
        name: The set's name.
        spec_version: Version of the data.
        package_version: Version of the package that wrote it.
        canonical: Whether the set is the whole official one.
        pixels: State of the pixels: `PINNED`, `VERIFIED` or `UNVERIFIED`.
        layout: Layout of the source.
        size: Side of the images at border 0.
        configs: Configs by name, the default one first.
        sources: Sources by split, in row order.
        files: Files by path relative to the set's folder.
        libraries: Name -> version of the libraries that made the set.
        verified_against: The manifest that the pixels were compared with, if `pixels` is "verified".
        columns: Name -> type of the columns beside `image`; empty in manifests of older versions.
    """

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
    columns: dict[str, str] = field(default_factory=dict)

    @property
    def recipe(self) -> bool:
        """True if it describes how to make a set, without its files."""
        return not any(split.files for config in self.configs.values() for split in config.splits.values())

    @property
    def demo(self) -> bool:
        """True if the set is made from the built-in demo pictures."""
        return self.layout == DemoSource.layout

    @property
    def decoder(self) -> str:
        """The library that decoded the set's JPEG files, and its version: "libjpeg-turbo 3.2.0"."""
        if "libjpeg_turbo" in self.libraries:
            return f"{USUAL_DECODER} {self.libraries['libjpeg_turbo']}"
        return f"libjpeg {self.libraries['jpg']}" if "jpg" in self.libraries else "an unknown decoder"

    @property
    def pictures(self) -> tuple[int, int]:
        """The number of sources with different pixels, and the number of sources."""
        sources = [source for members in self.sources.values() for source in members]
        return len({source.patch_sha256 for source in sources}), len(sources)

    @property
    def repeats(self) -> str:
        """A sentence on pictures with several names; "" if every name has a picture of its own."""
        distinct, names = self.pictures
        if distinct == names:
            return ""
        shared = f", {self.shared} of them in several splits" if self.shared else ""
        official = ": this is not ImageNet's validation set" if self.canonical and self.pixels != PINNED else ""
        return f"{self.name}: {distinct} distinct pictures under {names} names{shared}{official}"

    @property
    def shared(self) -> int:
        """The number of pictures that are in more than one split."""
        splits = [{source.patch_sha256 for source in members} for members in self.sources.values()]
        return sum(count > 1 for count in Counter(chain.from_iterable(splits)).values())

    @property
    def track(self) -> str:
        """The track of figures on the whole set, one of `TRACKS` (cards/specification.md, "entries")."""
        if self.canonical and self.pixels == PINNED:
            return OFFICIAL
        if self.shared:
            return OTHER
        if self.canonical:
            return OFFICIAL if self.pixels == VERIFIED else UNVERIFIED
        return DEMO if self.demo and self.verified_against == DEMO_DIGESTS else OTHER

    @property
    def caveat(self) -> str:
        """A sentence on why the set may not be the official one; "" for an official set."""
        return self.repeats or (f"{self.name}: official names, pixels unverified" if self.track == UNVERIFIED else "")

    @property
    def knowledge(self) -> str:
        """A sentence on whether the set's selection and its pixels are the official ones."""
        pixels = {
            PINNED: "pixels are the official ones",
            VERIFIED: f"pixels verified against {self.verified_against}",
        }.get(self.pixels, "pixels not verified")
        if self.layout == GENERATED:
            return pixels
        return f"{'official selection' if self.canonical else 'not the official selection'}, {pixels}"

    @property
    def provenance(self) -> dict[str, Any]:
        """The facts to quote beside a figure that was measured on this set; names and values are JSON's."""
        return {
            "set": self.name,
            "data_version": self.spec_version,
            "package_version": self.package_version,
            "official_selection": self.canonical,
            "track": self.track,
            "caveat": self.caveat,
            "pixels": self.pixels,
            "verified_against": self.verified_against,
            "layout": self.layout,
            "size": self.size,
            "digests": {
                name: {split: part.digest for split, part in config.splits.items()}
                for name, config in self.configs.items()
            },
        }

    def licence(self, spec: SetSpec) -> Licence:
        """Returns the terms of this set's pixels."""
        return MIT if self.demo else spec.licence

    def publishable(self, spec: SetSpec) -> bool:
        """Returns whether anybody may publish this set's pixels."""
        return self.demo or spec.publishable

    @property
    def outdated(self) -> bool:
        """True if an earlier version of this package, which stored less, wrote the set."""
        return self.manifest_version < MANIFEST_VERSION

    @property
    def borders(self) -> frozenset[int]:
        """The borders of the configs."""
        return frozenset(config.border for config in self.configs.values())

    @property
    def default_config(self) -> ConfigRecord:
        """The first config."""
        return next(iter(self.configs.values()))

    @property
    def text(self) -> str:
        """The manifest as its file holds it."""
        return text_of(asdict(self))

    def write(self, folder: Path) -> None:
        """Writes the manifest into the set's folder."""
        (folder / MANIFEST).write_text(self.text, encoding="utf-8")

    @classmethod
    def read(cls, folder: Place) -> Self:
        """Returns the manifest in a set's folder, or in a JSON file, of this or an earlier version.

        Raises:
            StoredSetError: If it is missing or can't be understood.
            NewerSetError: If it is of a later version.
        """
        path = folder if str(folder).endswith(".json") else join_place(folder, MANIFEST)
        try:
            content = parse_manifest(read_bytes(path, LARGEST))
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
        except NewerSetError as error:
            raise NewerSetError(f"{path} {error}") from error
        except ValueError as error:
            raise StoredSetError(f"{path} is no manifest of this package ({one_line(error)}); build again") from error

    def foreign_files(self, folder: Place) -> list[str]:
        """Returns the relative paths of files in the set's folder that don't belong to the set, listed or not."""
        known = {MANIFEST, *self.files}
        others = (name for name in files_below(folder) if name not in known and not is_system_file(name))
        return [name for name in others if not PARQUET_NAME.fullmatch(name)]

    def missing_files(self, folder: Place) -> list[str]:
        """Returns the set's files that are missing or have another size."""
        return [name for name, record in self.files.items() if file_size(join_place(folder, name)) != record.bytes]


def check_set(manifest: Manifest, spec: SetSpec, side: int, where: object, *, other: str, older: str) -> None:
    """Raises StoredSetError unless the manifest is that of the requested set and data version.

    Args:
        manifest: The manifest of the stored set.
        spec: The requested set.
        side: The requested side of images at border 0, in pixels.
        where: The location's name in messages.
        other: The end of the message about another set: what to do.
        older: The same about another data version.
    """
    if (manifest.name, manifest.size) != (spec.name, side):
        there = f"{manifest.name} of {manifest.size} pixels"
        raise StoredSetError(f"{where} holds {there}, not {spec.name} of {side}; {other}", code="other-set")
    if manifest.spec_version != SPEC_VERSION:
        there = f"{spec.name} of data version {manifest.spec_version}"
        raise StoredSetError(f"{where} holds {there}, this package reads {SPEC_VERSION}; {older}", code="other-version")


def columns_of(spec: SetSpec) -> dict[str, str]:
    """Returns the types of a set's columns beside its image, as manifests name them."""
    return {"label": "label", **spec.columns}


def library_versions() -> dict[str, str]:
    """Returns the versions of all that may influence pixels or files: Python, libraries, Pillow's JPEG decoder."""
    found = {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}
    name, number = jpeg_decoder()
    return found | {"libjpeg_turbo" if name == USUAL_DECODER else "jpg": number}


def with_pixels(spec: SetSpec, manifest: Manifest) -> Manifest:
    """Returns the manifest with the state of its pixels, judged by the digests that this package pins."""
    digests = {split: record.digest for split, record in manifest.default_config.splits.items()}
    if digests == dict(spec.digests):
        return replace(manifest, pixels=PINNED, verified_against="")
    if manifest.demo and digests == dict(spec.demo_digests):
        return replace(manifest, pixels=VERIFIED, verified_against=DEMO_DIGESTS)
    if manifest.pixels == VERIFIED and manifest.verified_against not in ("", DEMO_DIGESTS):
        return manifest  # The hashes of a recipe agreed.
    return replace(manifest, pixels=UNVERIFIED, verified_against="")
