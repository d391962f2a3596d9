"""Copies of ImageNet from which no set can be made, with the reasons."""

from collections.abc import Sequence
from pathlib import PurePath

from qi_datasets.errors import SourceError
from qi_datasets.pixels.decoding import FORMATS
from qi_datasets.sources.base import NAMED

_GIVE = "give the original validation images"

REASONS = {
    ".beton": "is a file of FFCV: images whose longer side is capped, of which some, chosen at random, were encoded "
    "again, without their names",
    ".rec": "is a RecordIO file of MXNet: images that were resized and encoded again, without their names",
    ".npz": "is an archive of arrays, such as downsampled ImageNet: pixels of 64 x 64 or fewer, without names",
    ".lmdb": "is a database whose keys tell no names of ImageNet's files",
}
"""File name extension -> its format, and what that format lacks."""

UNREAD = frozenset(
    (
        *(".heic", ".heif", ".avif", ".jxl", ".jp2", ".j2k", ".jpx", ".psd", ".svg", ".ppm", ".pgm", ".tga", ".ico"),
        *(".exr", ".hdr", ".cr2", ".cr3", ".nef", ".arw", ".dng", ".raw"),
    )
)
"""Extensions of picture formats that are not read."""

REMEDY = f"{', '.join(FORMATS)} are read; convert them"


def counted(names: Sequence[str], noun: str) -> str:
    """Returns a number of files with examples: "2 files (a.png, b.png) are"."""
    examples = ", ".join(sorted(names)[:NAMED]) + (", ..." if len(names) > NAMED else "")
    return f"{len(names)} {noun}{'' if len(names) == 1 else 's'} ({examples}) {'is' if len(names) == 1 else 'are'}"


def refuse(files: Sequence[str]) -> None:
    """Raises SourceError for the first of these files that is a copy from which no set can be made.

    If there is none, it is raised for pictures of kinds that are not read.
    """
    for file in files:
        reason = REASONS.get(PurePath(file).suffix.lower())
        if reason:
            raise SourceError(f"{file} {reason}; {_GIVE}")
    unread = [file for file in files if PurePath(file).suffix.lower() in UNREAD]
    if unread:
        raise SourceError(f"no picture can be read: {counted(unread, 'picture')} there, but {REMEDY}")
