"""Reads `manifest.json` strictly, and writes it: text to checked JSON and back."""

import hashlib
import json
import re
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from qi_datasets.errors import NewerSetError

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

MANIFEST = "manifest.json"

MANIFEST_VERSION = 1
"""Version of everything that is stored beside the pixels.

0: package 0.1.0, whose manifests name no version; labels of ImageNet's images may be missing.
1: every ImageNet image has its synset; cards state the terms; splits no longer count the bytes of their images; the
    manifest names the columns and holds its own digest; `croissant.json` describes the set.
"""

SEAL, VERSION = "manifest_sha256", "manifest_version"
LARGEST = 1_000_000_000
"""The largest size of a manifest in bytes; that of 3,000 sources has a million."""

_SCHEMA = "manifest.schema.json"

_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[\w./-]{1,200}", re.ASCII)
_WNID = re.compile(r"(n[0-9]{8})?", re.ASCII)
_SOURCE_FIELDS = {"name", "wnid", "bytes", "sha256", "patch_sha256"}


def parse_manifest(data: bytes) -> dict[str, Any]:
    """Returns the fields of a manifest. Raises ValueError, which says in one line what is wrong with it.

    A manifest of version 0 gets this number. From version 1 on its own digest must agree, and the result leaves it out.

    Raises:
        NewerSetError: If it is of a later version.
    """
    if len(data) > LARGEST:
        raise ValueError(f"it has more than {LARGEST} bytes")
    try:
        content = json.loads(data.decode(), parse_constant=_no_number, parse_float=_no_number)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if isinstance(content, dict) and isinstance(content.get(VERSION), int) and content[VERSION] > MANIFEST_VERSION:
        raise NewerSetError(
            f"has version {content[VERSION]}, this package knows {MANIFEST_VERSION}; upgrade qi-datasets"
        )
    check_schema(content)
    seal = content.pop(SEAL, None)
    if seal is not None and seal != _compute_seal(content):
        raise ValueError("it was changed after it was written: its own SHA-256 differs")
    if content.setdefault(VERSION, 0) == 0:
        for split in (split for config in content["configs"].values() for split in config["splits"].values()):
            split.pop("image_bytes", None)
    return dict(content)


def text_of(content: dict[str, object]) -> str:
    """Returns the text of a manifest with these fields and its own digest."""
    return json.dumps(content | {SEAL: _compute_seal(content)}, indent=1) + "\n"


def _compute_seal(content: dict[str, object]) -> str:
    """Returns the SHA-256 (hex) of a manifest's fields without the digest itself, independent of the file's layout."""
    fields = {name: value for name, value in content.items() if name != SEAL}
    return hashlib.sha256(json.dumps(fields, separators=(",", ":")).encode()).hexdigest()


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no whole number")


@lru_cache(maxsize=1)
def _validator() -> "Draft202012Validator":
    from jsonschema import Draft202012Validator

    return Draft202012Validator(json.loads(files("qi_datasets.storage").joinpath(_SCHEMA).read_text(encoding="utf-8")))


def check_schema(content: Any) -> None:
    """Raises ValueError unless the manifest has the fields of the schema, each of its type and in its range."""
    try:
        sources = content["sources"]
        # Thousands of records have one form: records that are plainly right skip the validator, which takes a second.
        plain = {split: [r for r in records if not _plainly_right(r)] for split, records in sources.items()}
        content = content | {"sources": plain}
    except (TypeError, KeyError, AttributeError):
        pass
    try:
        error = next(iter(_validator().iter_errors(content)), None)
    except RecursionError as problem:
        raise ValueError("it is nested too deeply") from problem
    if error is not None:
        where = "/".join(map(str, error.absolute_path)) or "it"
        raise ValueError(f"{where[:200]}: {error.message[:200]}")
    splits = [split for config in content["configs"].values() for split in config["splits"].values()]
    if len({bool(split["files"]) for split in splits}) > 1:
        raise ValueError("some splits have no files; a recipe has none at all")


def _plainly_right(record: object) -> bool:
    """Returns whether a source's record has the usual form; the schema decides about others."""
    return (
        type(record) is dict
        and record.keys() == _SOURCE_FIELDS
        and type(record["bytes"]) is int
        and 0 <= record["bytes"] <= 10**15
        and all(type(record[name]) is str for name in _SOURCE_FIELDS - {"bytes"})
        and bool(_NAME.fullmatch(record["name"]) and _WNID.fullmatch(record["wnid"]))
        and bool(_SHA256.fullmatch(record["sha256"]) and _SHA256.fullmatch(record["patch_sha256"]))
    )
