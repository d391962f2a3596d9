"""Tar archives: their members, and `ILSVRC2012_img_val.tar` as it is; nothing is unpacked."""

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, ClassVar, Self, cast

from qi_datasets.errors import SourceError, one_line
from qi_datasets.imagenet import IMAGENET_VAL
from qi_datasets.sources.base import ArchiveSource, SourceImage, SpanLocation, UnnamedError, by_name, refuse_outside
from qi_datasets.sources.reading import open_archive

TAR_NAME = "ILSVRC2012_img_val.tar"
_END_OF_ARCHIVE = bytes(2 * tarfile.BLOCKSIZE)

_LONGEST_HEADER = 1_000_000
"""Largest number of bytes that a header may ask for; real headers with long names need a few hundred."""

_DAMAGE = (tarfile.TarError, ValueError, OverflowError, MemoryError, RecursionError, KeyError, IndexError)
"""Errors of `tarfile` about headers with a right checksum and wrong fields."""


@dataclass(frozen=True, slots=True)
class TarMember:
    """A regular file in a tar: its name, offset and size."""

    name: str
    offset: int
    size: int


@dataclass(frozen=True)
class TarSource(ArchiveSource):
    """A tar of validation files. names: image name -> SourceImage."""

    layout: ClassVar[str] = "tar"

    @classmethod
    def find(cls, path: Path) -> Self | None:
        """Returns the source of a tar, or of a folder of tars, else None. Raises SourceError for a truncated tar."""
        archive = path / TAR_NAME if path.is_dir() else path
        if not archive.is_file():
            return None
        images = by_name(((image.name, image) for image in validation_members(archive)), str(archive))
        if not images:
            raise UnnamedError(f"{archive} holds no ILSVRC2012_val_*.JPEG; is it {TAR_NAME}?")
        return cls.of_images(str(archive), images)


def validation_members(archive: Path) -> Iterator[SourceImage]:
    """Yields the validation images of a tar, in its order."""
    with open_archive(str(archive)) as file:
        for member in tar_members(file, str(archive)):
            names = IMAGENET_VAL.named(os.path.basename(member.name))
            if names:
                label = f"{member.name} in {archive}"
                yield SourceImage(*names, SpanLocation(str(archive), member.offset, member.size, label))


def tar_members(file: BinaryIO, where: str) -> Iterator[TarMember]:
    """Yields the regular files in a tar, in its order; reads their headers, and seeks past their bytes.

    Args:
        file: The tar; a stream will do whose `seek` only skips forward.
        where: Its name in messages.

    Raises:
        SourceError: If the tar is damaged, truncated (the blocks that end it are missing), or can't be read; a member
            leads out of the folder to unpack it in.
    """
    try:
        with tarfile.open(fileobj=cast("BinaryIO", _Headers(file)), mode="r:") as tar:
            last = -1
            for member in tar:
                if member.size < 0 or not last < member.offset <= member.offset_data <= tar.offset:
                    raise SourceError(f"{where} is damaged at byte {member.offset}; fetch it again", code="damaged")
                last = member.offset
                if member.isfile() and not member.issparse():
                    refuse_outside(member.name, where)
                    yield TarMember(member.name, member.offset_data, member.size)
                # Otherwise `tarfile` would keep all that it has read: gigabytes for ImageNet's training images.
                tar.members = []  # type: ignore[attr-defined]
            # tarfile takes a missing or damaged header for the end; only these zeros show that the tar is complete.
            end = tar.offset
            file.seek(end)
            if file.read(len(_END_OF_ARCHIVE)) != _END_OF_ARCHIVE:
                raise SourceError(f"{where} is cut off or damaged at byte {end}; fetch it again", code="damaged")
    except _DAMAGE as error:
        raise SourceError(
            f"{where} is cut off or no tar ({one_line(error)}); fetch it again", code="damaged"
        ) from error
    except OSError as error:
        raise SourceError(
            f"cannot read {where}: {error.strerror or error}; check its permissions", code="cannot-read"
        ) from error


class _Headers:
    """A tar for `tarfile` to read its headers from: a header that asks for too many bytes counts as damaged."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell, self.name = file.seek, file.tell, getattr(file, "name", "")

    def read(self, size: int) -> bytes:
        """Returns at most `size` bytes."""
        if not 0 <= size <= _LONGEST_HEADER:
            raise tarfile.ReadError(f"a header asks for {size} bytes")
        return self._file.read(size)
