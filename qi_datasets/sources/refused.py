"""Copies of ImageNet of which no set can be made, and why."""

from collections.abc import Iterable
from pathlib import PurePath

from qi_datasets.errors import SourceError

_GIVE = "give the original validation images"

REASONS = {
    ".beton": "is a file of FFCV: images whose longer side is capped, of which some, chosen at random, were encoded "
    "again, without their names",
    ".rec": "is a RecordIO file of MXNet: images that were resized and encoded again, without their names",
    ".npz": "is an archive of arrays, such as downsampled ImageNet: pixels of 64 x 64 or fewer, without names",
    ".lmdb": "is a database whose keys tell no names of ImageNet's files",
}
"""Ending of a file -> what it is, and what is missing in it."""


def refuse(files: Iterable[str]) -> None:
    """Raises SourceError for the first of these files that is a copy of which no set can be made."""
    for file in files:
        reason = REASONS.get(PurePath(file).suffix.lower())
        if reason:
            raise SourceError(f"{file} {reason}; {_GIVE}")
