"""Unpacks submissions from zip files into a folder, or refuses them; nothing is written outside of the folder."""

import stat
import zipfile
from pathlib import Path, PurePosixPath
from typing import IO

from qi_datasets.errors import OptionError, one_line
from qi_datasets.leaderboard.collection import BESIDE, LARGEST

MOST_FILES = 200
MOST_BYTES = sum((*LARGEST.values(), *BESIDE.values())) + 1_000_000
"""Largest size of all unpacked files together, in bytes."""

LONGEST_NAME = 200
_PIECE = 1 << 20
_BESIDE = ("__MACOSX/",)
"""Files that archivers add."""


def unpack_entries(archive: Path, folder: Path) -> Path:
    """Unpacks a zip file of entries into an empty folder.

    Args:
        archive: The file.
        folder: The folder for its files.

    Returns:
        The folder of the entry, if the archive has one folder and nothing beside it, else `folder`.

    Raises:
        OptionError: If the file is not such an archive: its first fault in one line. Nothing is kept then.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            members = [one for one in file.infolist() if not one.filename.startswith(_BESIDE)]
            if len(members) > MOST_FILES:
                raise OptionError(
                    f"{archive.name} holds {len(members)} files; a submission has {MOST_FILES} at most",
                    code="bad-archive",
                )
            for member in members:
                check_member(member)
            left = MOST_BYTES
            for member in members:
                if not member.is_dir():
                    target = folder / PurePosixPath(member.filename)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with file.open(member) as source:
                        left = copy_member(source, target, left)
    except OptionError as error:
        raise OptionError(f"{archive.name} is refused: {one_line(error)}", code="bad-archive") from error
    except (OSError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:
        raise OptionError(f"{archive.name} can't be unpacked: {one_line(error)[:100]}", code="bad-archive") from error
    inside = list(folder.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def check_member(member: zipfile.ZipInfo) -> None:
    """Raises OptionError for a member that is not a plain file or folder inside the archive."""
    name, shown = member.filename, repr(member.filename[:60])
    parts = name.rstrip("/").split("/")
    if len(name) > LONGEST_NAME:
        raise OptionError(f"the name {shown}... has {len(name)} characters", code="bad-archive")
    if not name.isprintable() or "\\" in name or ":" in name or any(part in ("", ".", "..") for part in parts):
        raise OptionError(f"the name {shown} is no relative path of plain names", code="bad-archive")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise OptionError(f"{shown} is a link or no file; put the file itself there", code="bad-archive")


def copy_member(source: IO[bytes], target: Path, left: int) -> int:
    """Copies a file, and returns how many bytes are left. Raises OptionError if it is longer: sizes may be false."""
    with target.open("xb") as file:
        while piece := source.read(_PIECE):
            left -= len(piece)
            if left < 0:
                raise OptionError(f"its files are larger than {MOST_BYTES // 10**6} MB together", code="bad-archive")
            file.write(piece)
    return left
