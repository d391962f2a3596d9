"""Integrity checks on a set's files: the folder's listing, the card, the types of columns."""

import json
from collections.abc import Iterator
from importlib.metadata import version

import yaml

from qi_datasets.building.complete import PREVIEW
from qi_datasets.pixels.digests import sha256_hex
from qi_datasets.registry import builder_of
from qi_datasets.storage.card import CARD, card_text, front_matter
from qi_datasets.storage.croissant import CROISSANT, description
from qi_datasets.storage.hub import BENCHMARK
from qi_datasets.storage.location import entries_below, is_system_file, join_place, read_bytes
from qi_datasets.storage.manifest import FileRecord
from qi_datasets.storage.manifest_file import MANIFEST
from qi_datasets.storage.parquet import file_names
from qi_datasets.storage.schema import HUB_METADATA, schema_of
from qi_datasets.verification.integrity.chunk import ExaminedRows
from qi_datasets.verification.stored_folder import UNDECODABLE, UNREADABLE, StoredFolder, open_image

SHORT = 12
"""Hex digits of a digest in a message."""

HUBS_OWN = (".gitattributes", ".git", ".cache", BENCHMARK)
"""Files that the Hub, its clients and publishing put beside a set; no loader reads them."""

LARGEST_CARD = 1_000_000
LARGEST_CROISSANT = 100_000_000
FENCE = "---\n"

TEXTS = (".md", ".json", ".yaml")
"""File name extensions of text files."""


def files(stored: StoredFolder, seen: ExaminedRows) -> Iterator[str]:
    """Yields files that are missing, truncated or changed."""
    for name, record in stored.manifest.files.items():
        found = seen.files[name]
        if isinstance(found, str):
            yield f"{name} can't be read ({found})"
        elif lines := line_ends(stored, name, record):
            yield lines
        elif found.bytes != record.bytes:
            yield f"{name} has {found.bytes} bytes, the manifest says {record.bytes}"
        elif found.sha256 != record.sha256:
            yield f"{name} has SHA-256 {found.sha256[:SHORT]}..., the manifest says {record.sha256[:SHORT]}..."


def line_ends(stored: StoredFolder, name: str, record: FileRecord) -> str:
    """Returns what to do about a text file that is right except for Windows' line ends; "" for other files."""
    if not name.endswith(TEXTS):
        return ""
    try:
        text = read_bytes(join_place(stored.folder, name), LARGEST_CROISSANT)
    except OSError:
        return ""
    unix = text.replace(b"\r\n", b"\n")
    if unix == text or sha256_hex(unix) != record.sha256:
        return ""
    return f"{name} has line ends of Windows (CRLF), as an editor or git writes them; write it with LF again"


def listed(stored: StoredFolder, seen: ExaminedRows) -> Iterator[str]:
    """Yields files that the manifest doesn't list, lists wrongly, or should list."""
    record = stored.manifest
    known = {MANIFEST, *record.files}
    folders = {name.rpartition("/")[0] for name in record.files}
    for name, kind in entries_below(stored.folder):
        if name in known or name.split("/")[0] in HUBS_OWN or is_system_file(name):
            continue
        if kind != "directory" or name not in folders:
            yield f"{name} ({kind}) is not in the manifest, yet stock loaders or people may read it; remove it"
    wanted = {CARD, PREVIEW}
    for config, configured in record.configs.items():
        for split, part in configured.splits.items():
            names = file_names(stored.spec, configured.border, split, part.rows)
            wanted.update(names)
            if part.files != names:
                found, right = ", ".join(part.files[:2]), ", ".join(names[:2])
                yield f"{config}/{split} lies in {found}, but the writer calls that {right}"
    if record.package_version == version("qi-datasets"):
        wanted |= {CROISSANT, *pictures(stored)}
        more = [name for name in record.files if name not in wanted]
    else:  # another version may have other pictures
        usual = {*wanted, CROISSANT}
        more = [name for name in record.files if name not in usual and ("/" in name or not name.endswith(".png"))]
    for name in sorted(wanted - record.files.keys()):
        yield f"{name} belongs to the set, but the manifest doesn't list it"
    for name in more:
        yield f"the manifest lists {name}, which is no file of such a set"


def pictures(stored: StoredFolder) -> set[str]:
    """Returns the names of the pictures that the set's builder adds; none if its first row can't be read."""
    config = stored.manifest.configs.get(stored.default_config)
    for split in config.splits if config else ():
        try:
            (row,) = stored.rows(stored.default_config, split, 0, 1)
            return set(builder_of(stored.spec, stored.manifest.size).pictures(open_image(row["image"])))
        except (*UNDECODABLE, ValueError):
            break  # the check `readable` reports this
    return set()


def card(stored: StoredFolder, seen: ExaminedRows) -> Iterator[str]:
    """Yields differences of the card from spec table and manifest; also of its text, if this version wrote it."""
    try:
        text = read_bytes(join_place(stored.folder, CARD), LARGEST_CARD).decode()
    except (OSError, UnicodeDecodeError) as error:
        yield f"{CARD} can't be read ({getattr(error, 'strerror', None) or type(error).__name__})"
        return
    head, closed, body = text.removeprefix(FENCE).partition(f"\n{FENCE}")
    if not (text.startswith(FENCE) and closed and len(text) <= LARGEST_CARD):
        if b"\r\n" in text.encode():
            return  # the check `files` reports this
        yield f"{CARD} has no head between two lines of dashes, so stock loaders guess what is where"
        return
    difference = first_other_token(head, front_matter(stored.spec, stored.manifest).to_yaml())
    if difference:
        yield f"the head of {CARD} {difference}"
    elif stored.manifest.package_version == version("qi-datasets"):
        wanted = card_text(stored.spec, stored.manifest)
        if body.strip() != wanted.strip():
            lines = zip(body.strip().splitlines(), wanted.strip().splitlines(), strict=False)
            line = next((found for found, right in lines if found != right), "its end")
            yield f"the text of {CARD} is not the one that this package writes: {line[:80]!r}"


def croissant(stored: StoredFolder, seen: ExaminedRows) -> Iterator[str]:
    """Yields differences of `croissant.json` from the one that this package writes for the manifest."""
    record = stored.manifest
    if CROISSANT not in record.files or record.package_version != version("qi-datasets"):
        return
    try:
        found = json.loads(read_bytes(join_place(stored.folder, CROISSANT), LARGEST_CROISSANT))
    except (OSError, ValueError, RecursionError):
        yield f"{CROISSANT} can't be read"
        return
    data = {name: file for name, file in record.files.items() if name.endswith(".parquet")}
    wanted = description(stored.spec, record, data)
    if found != wanted:
        other = found if isinstance(found, dict) else {}
        where = next((name for name in wanted if other.get(name) != wanted[name]), "what is beside its fields")
        yield f"{CROISSANT} is not the one that this package writes: {where} differs"


def first_other_token(found: str, wanted: str) -> str:
    """Returns the first place where two YAML texts differ in meaning; "" if none; line breaks do not count."""
    try:
        tokens = list(tokens_of(found))
    except (yaml.YAMLError, RecursionError, ValueError):
        return "is no YAML"
    right = list(tokens_of(wanted))
    for token, other in zip(tokens, right, strict=False):
        if token != other:
            return f"says {token[1][:80]!r}, where the manifest gives {other[1][:80]!r}"
    return "" if len(tokens) == len(right) else "is longer or shorter than what the manifest gives"


def tokens_of(text: str) -> Iterator[tuple[str, str, bool]]:
    """Yields kind, value, and whether it is unquoted, of each token of a YAML text."""
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        yield type(token).__name__, str(getattr(token, "value", "")), bool(getattr(token, "plain", True))


def schema(stored: StoredFolder, seen: ExaminedRows) -> Iterator[str]:
    """Yields files whose columns, types or feature names (such as those of labels) are not as specified."""
    wanted = schema_of(stored.spec)
    features = json.loads(wanted.metadata[HUB_METADATA.encode()])
    for config, record in stored.manifest.configs.items():
        for split in record.splits:
            try:
                for file, group, _ in stored.row_groups(config, split):
                    if group:
                        continue
                    found = file.schema_arrow
                    if not found.remove_metadata().equals(wanted.remove_metadata()):
                        columns = ", ".join(f"{field.name} {field.type}" for field in found)
                        yield f"{config}/{split} has the columns {columns}"
                    elif features_of(found.metadata) != features:
                        yield f"{config}/{split}: stock loaders take other features (label names, types) from the file"
            except UNREADABLE:
                continue  # the check `readable` reports this


def features_of(metadata: dict[bytes, bytes] | None) -> object:
    """Returns the Hub's features in the metadata of a Parquet file; None if there are none, or other metadata too."""
    if not metadata or set(metadata) != {HUB_METADATA.encode()}:
        return None
    try:
        return json.loads(metadata[HUB_METADATA.encode()])
    except (ValueError, RecursionError):
        return None
