"""Integrity checks on a set as a whole: its files, its manifest, its sources, its digests."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from qi_datasets.building.selection import official_selection, selection_digest
from qi_datasets.errors import OptionError, StoredSetError
from qi_datasets.imagenet import val_wnid
from qi_datasets.registry import specs
from qi_datasets.specs import SPEC_VERSION
from qi_datasets.storage.location import set_name
from qi_datasets.storage.manifest import GENERATED, PINNED, VERIFIED, with_pixels
from qi_datasets.storage.manifest_file import MANIFEST
from qi_datasets.verification.integrity.chunk import ExaminedRows
from qi_datasets.verification.stored_folder import StoredFolder

DEMO_NAME = re.compile(r"demo_\d{5,}", re.ASCII)

SHORT = 12
"""Hex digits of a digest in a message."""


def manifest(stored: StoredFolder, seen: ExaminedRows) -> Iterator[str]:
    """Yields a manifest that contradicts the spec table or itself."""
    spec, record = stored.spec, stored.manifest
    if record.spec_version != SPEC_VERSION:
        yield f"{MANIFEST} is of spec version {record.spec_version}, this package knows {SPEC_VERSION}; build again"
    option = spec.size_option
    try:
        if option is None and record.size != spec.size:
            yield f"{MANIFEST} says {record.size} pixels per side, the specification {spec.size}"
        elif option is not None:
            option.check(record.size)
    except OptionError as error:
        yield f"{MANIFEST}: {error}"
    if stored.default_config not in record.configs:
        yield f"{MANIFEST} has no config {stored.default_config}"
    for name, config in record.configs.items():
        if name != spec.config_of(config.border):
            yield f"{MANIFEST}: config {name} has border {config.border}"
        if config.size != record.size + 2 * config.border:
            yield f"{MANIFEST}: config {name} has images of {config.size} pixels, not {record.size} and borders"
        if list(config.splits) != list(spec.splits):
            yield f"{MANIFEST}: config {name} has the splits {', '.join(config.splits)}, not {', '.join(spec.splits)}"
        unlisted = [file for split in config.splits.values() for file in split.files if file not in record.files]
        if unlisted:
            yield f"{MANIFEST} names {unlisted[0]}, but not its size and SHA-256"
    yield from claims(stored)


def claims(stored: StoredFolder) -> Iterator[str]:
    """Yields claims of a manifest that differ from what follows from the rest of it."""
    spec, record = stored.spec, stored.manifest
    name = set_name(spec, record.size)
    if stored.name not in ("", name) and stored.name.partition("-")[0] in specs():
        yield f"the folder is called {stored.name}, but {MANIFEST} says that it holds {name}"
    known = with_pixels(spec, record)
    if (record.pixels, record.verified_against) != (known.pixels, known.verified_against):
        yield f"{MANIFEST} says pixels {record.pixels}, but by its digests they are {known.pixels}"
    names = {split: [source.name for source in members] for split, members in record.sources.items()}
    official = names == official_selection(spec) if spec.needs_images else True
    if record.canonical != (official and record.size == spec.size):
        yield f"{MANIFEST} says canonical {record.canonical}, but its sources and size say otherwise"
    if list(names) != (list(spec.splits) if spec.needs_images else []):
        yield f"{MANIFEST} has sources for {', '.join(names) or 'no split'}"
    if (record.layout == GENERATED) == spec.needs_images:
        yield f"{MANIFEST} says layout {record.layout}, which {spec.name} can't have"
    if record.demo and not all(DEMO_NAME.fullmatch(one) for members in names.values() for one in members):
        yield f"{MANIFEST} says that the set is made from demo pictures, but its sources have other names"


def counts(stored: StoredFolder, seen: ExaminedRows) -> Iterator[str]:
    """Yields splits whose number of rows differs from that of manifest, specification or the manifest's sources."""
    spec = stored.spec
    for config, record in stored.manifest.configs.items():
        for split, part in record.splits.items():
            try:
                found = stored.count(config, split)
            except StoredSetError:
                continue  # the check `readable` reports this
            wanted = {"the manifest": part.rows}
            if not spec.needs_images and split in spec.splits:
                wanted["the specification"] = spec.rows(split)
            if spec.needs_images:
                sources = len(stored.manifest.sources.get(split, []))
                wanted[f"{spec.rows_per_source} per source of the manifest"] = sources * spec.rows_per_source
            if stored.manifest.canonical and split in spec.splits:
                wanted["the specification of a canonical set"] = spec.rows(split)
            for who, rows in wanted.items():
                if found != rows:
                    yield f"{config}/{split} has {found} rows, but {rows} by {who}"


def balance(stored: StoredFolder, seen: ExaminedRows) -> Iterator[str]:
    """Yields splits in which one label is more frequent than another."""
    for split, labels in seen.labels.items():
        found = Counter(labels)
        numbers = [found[label] for label in range(len(stored.spec.labels))]
        if len(set(numbers)) > 1 or sum(numbers) != len(labels):
            yield f"{split} has {', '.join(f'{n} {name}' for n, name in zip(numbers, stored.spec.labels, strict=True))}"


def balance_figure(stored: StoredFolder, seen: ExaminedRows) -> str:
    """Returns rows per label."""
    found = Counter(label for labels in seen.labels.values() for label in labels)
    return " / ".join(str(found[label]) for label in range(len(stored.spec.labels)))


def sources(stored: StoredFolder, seen: ExaminedRows) -> Iterator[str]:
    """Yields rows whose source or synset is not the manifest's, and sources that occur in two splits."""
    per_source = stored.spec.rows_per_source
    for split, names in seen.sources.items():
        recorded = stored.manifest.sources.get(split, [])
        for number, name, wnid in zip(seen.numbers[split], names, seen.wnids[split], strict=True):
            where = f"{stored.default_config}/{split} row {number}"
            if number // per_source >= len(recorded):
                continue  # the check `counts` reports this
            source = recorded[number // per_source]
            if name != source.name:
                yield f"{where} has the source {name}, the manifest says {source.name}"
            elif wnid != source.wnid:
                yield f"{where} ({name}) has the synset {wnid!r}, the manifest says {source.wnid!r}"
            elif not stored.manifest.outdated and wnid != (val_wnid(name) or wnid):
                yield f"{where} ({name}) has the synset {wnid!r}, but ImageNet gives it {val_wnid(name)!r}"
    home: dict[str, str] = {}
    for split, names in seen.sources.items():
        for name in dict.fromkeys(names):
            if name in home:
                yield f"{name} is in {home[name]} and in {split}"
            home.setdefault(name, split)


def sources_figure(stored: StoredFolder, seen: ExaminedRows) -> str:
    """Returns the number of sources by split."""
    return ", ".join(f"{split} {len(set(names))}" for split, names in seen.sources.items())


def digests(stored: StoredFolder, seen: ExaminedRows) -> Iterator[str]:
    """Yields splits whose digest, computed from the stored pixels, labels and sources, is not the manifest's."""
    for config, record in stored.manifest.configs.items():
        for split, part in record.splits.items():
            found = seen.split_digest(config, split)
            if found != part.digest:
                yield f"{config}/{split} has the digest {found[:SHORT]}..., the manifest says {part.digest[:SHORT]}..."


def digests_figure(stored: StoredFolder, seen: ExaminedRows) -> str:
    """Returns the number of computed digests."""
    return f"{len(seen.digests)} splits"


def pinned_digests(stored: StoredFolder) -> Mapping[str, str]:
    """Returns the split digests that this package pins for such a set, by split; none for most sets of photographs.

    A set of demo pictures must have its pinned digests if its manifest says that its pixels agree with them.
    """
    spec, record = stored.spec, stored.manifest
    if record.demo:
        return spec.demo_digests if record.pixels == VERIFIED else {}
    # A set of other photographs under the official names is not damaged: its track says so.
    return spec.digests if record.size == spec.size and (not spec.needs_images or record.pixels == PINNED) else {}


def selects_officially(stored: StoredFolder) -> bool:
    """Returns whether the set claims to be the official selection, whose digest the package pins."""
    return bool(stored.spec.selection_digest) and stored.manifest.canonical


def is_pinned(stored: StoredFolder) -> bool:
    """Returns whether the package pins this set's digests, or its selection's."""
    return bool(pinned_digests(stored)) or selects_officially(stored)


def pinned(stored: StoredFolder, seen: ExaminedRows) -> Iterator[str]:
    """Yields splits, or selections, whose digest is not the one that this package pins."""
    spec = stored.spec
    for split, wanted in pinned_digests(stored).items():
        found = seen.split_digest(stored.default_config, split)
        if found != wanted:
            yield f"{split} has the digest {found[:SHORT]}..., data version {SPEC_VERSION} has {wanted[:SHORT]}..."
    if selects_officially(stored):
        chosen = {split: [record.name for record in stored.manifest.sources.get(split, [])] for split in spec.splits}
        if selection_digest(chosen) != spec.selection_digest:
            yield f"the manifest says canonical, but its sources are not the official selection of {spec.title}"


def pinned_figure(stored: StoredFolder, seen: ExaminedRows) -> str:
    """Returns what is pinned."""
    digests = pinned_digests(stored)
    return f"{len(digests)} splits" if digests else "the official selection; pixels not verified"


def duplicates(stored: StoredFolder, seen: ExaminedRows) -> Iterator[str]:
    """Yields pictures that occur under several source names in different splits."""
    homes: dict[bytes, dict[str, str]] = {}
    for split, contents in seen.contents.items():
        for content, source in zip(contents, seen.sources[split], strict=True):
            homes.setdefault(content, {}).setdefault(split, source)
    for places in homes.values():
        if len(places) > 1:
            yield "the same pixels: " + ", ".join(f"{source} ({split})" for split, source in places.items())


def duplicates_figure(stored: StoredFolder, seen: ExaminedRows) -> str:
    """Returns the number of pictures that are in several splits."""
    return f"{seen.findings.counts['duplicates']} pictures"
