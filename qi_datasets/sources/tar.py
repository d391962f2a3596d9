"""The untouched `ILSVRC2012_img_val.tar`: one pass over its headers, then seeks; nothing is unpacked."""

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, ClassVar, Self, cast

from qi_datasets.errors import SourceError, one_line
from qi_datasets.imagenet import IMAGENET_VAL
from qi_datasets.sources.base import Source, SourceImage, SpanLocation, by_name, contradictions
from qi_datasets.sources.reading import open_regular

TAR_NAME = "ILSVRC2012_img_val.tar"
_END_OF_ARCHIVE = bytes(2 * tarfile.BLOCKSIZE)

_LONGEST_HEADER = 1_000_000
"""Bytes that a header may ask for; real ones, of long names, are of a few hundred."""

_DAMAGE = (tarfile.TarError, ValueError, OverflowError, MemoryError, RecursionError, KeyError, IndexError)
"""What `tarfile` raises over headers whose checksum is right and whose fields are not."""


@dataclass(frozen=True)
class TarSource(Source):
    """A tar of validation files. names: image name -> SourceImage."""

    layout: ClassVar[str] = "tar"

    def located(self, name: str) -> SourceImage:
        """The image of that name."""
        found: SourceImage = self.names[name]
        return found

    @classmethod
    def find(cls, path: Path) -> Self | None:
        """The source, if `path` is a tar or a folder that holds ImageNet's; SourceError for one that is cut off."""
        archive = path / TAR_NAME if path.is_dir() else path
        if not archive.is_file():
            return None
        images = by_name(((image.name, image) for image in members(archive)), str(archive))
        if not images:
            raise SourceError(f"{archive} holds no ILSVRC2012_val_*.JPEG; is it {TAR_NAME}?")
        warnings = contradictions(IMAGENET_VAL, ((image.name, image.wnid) for image in images.values()))
        return cls(str(archive), images, IMAGENET_VAL, warnings)


def members(archive: Path) -> Iterator[SourceImage]:
    """The validation images of a tar, in its order. A tar without its end-of-archive blocks is an error."""
    try:
        with (
            open_regular(str(archive)) as file,
            tarfile.open(fileobj=cast("BinaryIO", _Headers(file)), mode="r:") as tar,
        ):
            last = -1
            for member in tar:
                if member.size < 0 or not last < member.offset <= member.offset_data <= tar.offset:
                    raise SourceError(f"{archive} is damaged at byte {member.offset}; fetch it again")
                last = member.offset
                match = IMAGENET_VAL.file.fullmatch(os.path.basename(member.name))
                if match and member.isfile() and not member.issparse():
                    label = f"{member.name} in {archive}"
                    span = SpanLocation(str(archive), member.offset_data, member.size, label)
                    yield SourceImage(match["id"], match["wnid"] or "", span)
            # tarfile takes a missing or damaged header for the end; only these zeros say that nothing was cut off.
            end = tar.offset
            file.seek(end)
            if file.read(len(_END_OF_ARCHIVE)) != _END_OF_ARCHIVE:
                raise SourceError(f"{archive} is cut off or damaged at byte {end}; fetch it again")
    except _DAMAGE as error:
        raise SourceError(f"{archive} is cut off or no tar ({one_line(error)}); fetch it again") from error
    except OSError as error:
        raise SourceError(f"cannot read {archive}: {error.strerror}; check its permissions") from error


class _Headers:
    """A tar as `tarfile` reads its headers: one that asks for too many bytes at once counts as damaged."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell, self.name = file.seek, file.tell, file.name

    def read(self, size: int) -> bytes:
        """At most `size` bytes."""
        if not 0 <= size <= _LONGEST_HEADER:
            raise tarfile.ReadError(f"a header asks for {size} bytes")
        return self._file.read(size)
