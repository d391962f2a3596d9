"""Writes the origin of rows into a data set's info when it is loaded, and reads it back from there."""

import json
import warnings
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import datasets

from qi_datasets.errors import OptionError
from qi_datasets.set_spec import SetSpec
from qi_datasets.storage.location import place_of
from qi_datasets.storage.manifest import Manifest

Loaded = TypeVar("Loaded")

_MARK = "provenance: "
"""The beginning of the line of a description that holds the provenance as JSON."""


def provenance(source: object) -> dict[str, Any]:
    """Returns the facts to quote beside a figure: set, data version, split digests, official selection, pixels, layout.

    Args:
        source: A result of `load_dataset` (a data set, a dictionary of splits, a view, a stream, also filtered or
            mapped), a data set of `qi_datasets.torch`, or the folder or URL of a stored set.

    Raises OptionError for anything else, and for rows of several sets together; StoredSetError for a folder without
    a set.

    Returns:
        The keys `set`, `data_version`, `package_version`, `official_selection` (bool), `track` ("official",
        "unverified", "demo" or "other": figures compare within a track), `caveat` (a sentence on why the set may
        not be the official one, or ""), `pixels` ("pinned", "verified" or "unverified"), `verified_against`,
        `layout`, `size` (pixels) and `digests` (config -> split -> hex).

    Example:
        >>> from qi_datasets import load_dataset
        >>> facts = provenance(load_dataset("rook"))
        >>> facts["set"], facts["track"], facts["pixels"]
        ('rook', 'official', 'pinned')
    """
    if isinstance(source, str | Path):
        return Manifest.read(place_of(source)).provenance
    rows = next(iter(source.values()), None) if isinstance(source, dict) else getattr(source, "rows", source)
    description = getattr(getattr(rows, "info", None), "description", None) or ""
    found = [line.removeprefix(_MARK) for line in description.splitlines() if line.startswith(_MARK)]
    if len(set(found)) != 1:
        what = "rows of several sets" if found else f"a {type(source).__name__} that load_dataset did not make"
        raise OptionError(f"{what} has no provenance; give a result of load_dataset, or a set's folder")
    told: dict[str, Any] = json.loads(found[0])
    return told


def with_provenance(loaded: Loaded, spec: SetSpec, manifest: Manifest) -> Loaded:
    """Returns the rows with their provenance in the info; announces demo and repeated pictures once per process."""
    if manifest.demo:
        _announce(
            f"{manifest.name} holds procedural demo pictures, not photographs of ImageNet: figures measured on it are "
            "of the demo"
        )
    if manifest.repeats:
        _announce(manifest.repeats)
    each: Iterable[Any] = (
        loaded.values() if isinstance(loaded, dict) else loaded if isinstance(loaded, list | tuple) else [loaded]
    )
    for rows in each:
        rows.info.description = f"{spec.title}. {spec.summary}\n{_MARK}{json.dumps(manifest.provenance)}"
        rows.info.version = datasets.Version(manifest.spec_version)
        rows.info.license = manifest.licence(spec).name or manifest.licence(spec).id
    return loaded


@cache
def _announce(what: str) -> None:
    warnings.warn(what, stacklevel=6)
