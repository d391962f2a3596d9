"""Zip archives: their members, and Kaggle's download of ImageNet as it is; nothing is unpacked.

`zipfile` makes an object of every entry: gigabytes for the two million of Kaggle's archive. Here the directory is read
from the disk piece by piece, and only requested entries are kept (APPNOTE.TXT of PKWARE, 4.3 and 4.5).
"""

import os
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, BinaryIO, ClassVar, Self

from qi_datasets.errors import SourceError
from qi_datasets.imagenet import IMAGENET_VAL
from qi_datasets.sources.base import ArchiveSource, SourceImage, by_name, refuse_outside
from qi_datasets.sources.reading import check_image_size, open_archive, open_regular

_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_SIZES = struct.Struct("<3H")
_LONGEST_ENTRY = _ENTRY.size + 3 * 0xFFFF
_LOCAL = struct.Struct("<4s5H3L2H")
_LONGEST_COMMENT = 65_535
_FULL = 0xFFFFFFFF
"""Value of a 32-bit field whose number is in the entry's zip64 field."""

_PIECE = 1 << 20
_STORED, _DEFLATED = 0, 8
_ENCRYPTED = 1
_UTF8 = 0x800


@dataclass(frozen=True, slots=True)
class ZipMember:
    """A file in a zip: its name, and what is needed to read it.

    offset: offset of its header in bytes.
    packed: compressed size in bytes.
    size: size in bytes.
    method: compression method, 0 for none, 8 for deflate.
    crc: CRC-32 of its bytes.
    """

    name: str
    offset: int
    packed: int
    size: int
    method: int
    crc: int


@dataclass(frozen=True)
class ZipLocation:
    """A file in a zip."""

    path: str
    member: ZipMember

    def read(self) -> bytes:
        """Returns the file's bytes. Raises SourceError if they are damaged, or too many for an image."""
        check_image_size(self.member.size, self)
        with open_regular(self.path) as file:
            return b"".join(member_pieces(file, self.member, str(self)))

    def __str__(self) -> str:
        return f"{self.member.name} in {self.path}"


@dataclass(frozen=True)
class ZipSource(ArchiveSource):
    """A zip of validation files, such as Kaggle's. names: image name -> SourceImage."""

    layout: ClassVar[str] = "zip"

    @classmethod
    def find(cls, where: str) -> Self | None:
        """Returns the source; None if the zip has no validation files."""
        with open_archive(where) as file:
            found = sorted(zip_members(file, where, _VALIDATION), key=lambda member: member.offset)
        for before, member in pairwise(found):
            if before.offset + _LOCAL.size + before.packed > member.offset:
                raise SourceError(
                    f"{where} is damaged: {before.name} and {member.name} overlap; fetch it again", code="damaged"
                )
        images = ((named, member) for member in found if (named := IMAGENET_VAL.named(os.path.basename(member.name))))
        unique = by_name(((named[0], SourceImage(*named, ZipLocation(where, one))) for named, one in images), where)
        return cls.of_images(where, unique)


_VALIDATION = re.compile(rb"(?:^|/)ILSVRC2012_val_[^/]*\Z", re.IGNORECASE)


def zip_members(file: BinaryIO, where: str, wanted: "re.Pattern[bytes] | None" = None) -> Iterator[ZipMember]:
    """Yields the files in a zip, in the order of its directory, which is read piece by piece.

    Args:
        file: The zip, which must be seekable.
        where: Its name in messages.
        wanted: Pattern to find in the stored names; other entries are left out.

    Raises:
        SourceError: If the directory is missing or damaged; an entry is outside of the archive, is encrypted, or leads
            out of the folder to unpack it in.
    """
    try:
        entries, size, start = _directory(file)
        file.seek(start)
        data, at, left = b"", 0, size
        for _ in range(entries):
            # No entry is longer, with name, extra fields and comment.
            if len(data) - at < _LONGEST_ENTRY and left:
                piece = file.read(min(_PIECE, left))
                if not piece:
                    raise ValueError("its directory is cut off")
                left -= len(piece)
                data, at = data[at:] + piece, 0
            name_size, extra_size, comment_size = _SIZES.unpack_from(data, at + 28)
            name = at + _ENTRY.size
            if wanted is None or wanted.search(data[name : name + name_size]):
                member = _member(data, at)
                refuse_outside(member.name, where)
                if member.offset + _LOCAL.size + member.packed > start:
                    raise ValueError(f"{member.name} lies outside of it")
                if not member.name.endswith("/"):
                    yield member
            at = name + name_size + extra_size + comment_size
    except (ValueError, struct.error) as error:
        raise SourceError(f"{where} is cut off or damaged ({error}); fetch it again", code="damaged") from error
    except OSError as error:
        raise SourceError(
            f"cannot read {where}: {error.strerror or error}; check its permissions", code="cannot-read"
        ) from error


def _directory(file: BinaryIO) -> tuple[int, int, int]:
    """Returns the number of a zip's entries, and size and offset of its directory. Raises ValueError without one."""
    total = file.seek(0, os.SEEK_END)
    tail_at = max(0, total - _END.size - _LONGEST_COMMENT)
    file.seek(tail_at)
    tail = file.read(total - tail_at)
    found = tail.rfind(b"PK\5\6")
    if found < 0 or len(tail) - found < _END.size:
        raise ValueError("it has no directory at its end")
    end = tail_at + found
    _, _, _, _, entries, size, start, _ = _END.unpack_from(tail, found)
    if entries == _FULL >> 16 or _FULL in (size, start):
        file.seek(max(0, end - _END64_LOCATOR.size))
        signature, _, place, _ = _END64_LOCATOR.unpack(file.read(_END64_LOCATOR.size))
        if signature == b"PK\6\7":
            file.seek(min(place, total))
            signature, *_, entries, size, start = _END64.unpack(file.read(_END64.size))
            if signature != b"PK\6\6":
                raise ValueError("it has no directory where it says")
    if start + size > end or entries * _ENTRY.size > size:
        raise ValueError("its directory is outside of the file")
    return entries, size, start


def _member(data: bytes, at: int) -> ZipMember:
    """Returns one entry of a directory. Raises ValueError if it is damaged."""
    fields: tuple[Any, ...] = _ENTRY.unpack_from(data, at)
    signature, _, _, flags, method, _, _, crc, packed, size, name_size, extra_size = fields[:12]
    offset = fields[-1]
    if signature != b"PK\1\2":
        raise ValueError("its directory holds something else")
    start = at + _ENTRY.size
    name = data[start : start + name_size].decode("utf-8" if flags & _UTF8 else "cp437")
    if flags & _ENCRYPTED:
        raise ValueError(f"{name} is encrypted")
    numbers = [size, packed, offset]
    if _FULL in numbers:
        extra = data[start + name_size : start + name_size + extra_size]
        while len(extra) >= 4:
            kind, length = struct.unpack_from("<2H", extra)
            if kind == 1:
                places = [place for place, number in enumerate(numbers) if number == _FULL]
                values = struct.unpack_from(f"<{len(places)}Q", extra[: 4 + length], 4)
                for place, value in zip(places, values, strict=True):
                    numbers[place] = value
                break
            extra = extra[4 + length :]
    return ZipMember(name, numbers[2], numbers[1], numbers[0], method, crc)


def member_pieces(file: BinaryIO, member: ZipMember, where: str) -> Iterator[bytes]:
    """Yields the bytes of a file in a zip, piece by piece, and never more than its entry announces.

    Args:
        file: The zip, which must be seekable.
        member: The file.
        where: Its name in messages.

    Raises:
        SourceError: If the bytes are damaged: truncated, more or fewer than announced, of another checksum, or
            compressed in a way that is not supported.
    """
    if member.method not in (_STORED, _DEFLATED):
        raise SourceError(
            f"{where} is compressed by method {member.method}; unpack the archive, and give the folder", code="damaged"
        )
    file.seek(member.offset)
    header = file.read(_LOCAL.size)
    if len(header) < _LOCAL.size or header[:4] != b"PK\3\4":
        raise SourceError(f"{where} is not where the archive's directory says; fetch the archive again")
    fields = _LOCAL.unpack(header)
    file.seek(member.offset + _LOCAL.size + fields[-2] + fields[-1])
    inflate = zlib.decompressobj(-zlib.MAX_WBITS) if member.method == _DEFLATED else None
    left, size, crc = member.packed, 0, 0
    try:
        while left and size <= member.size and (data := file.read(min(_PIECE, left))):
            left -= len(data)
            while data and size <= member.size:
                piece = inflate.decompress(data, _PIECE) if inflate else data
                data = inflate.unconsumed_tail if inflate else b""
                size, crc = size + len(piece), zlib.crc32(piece, crc)
                yield piece
    except zlib.error as error:
        raise SourceError(f"{where} is damaged ({error}); fetch the archive again", code="damaged") from error
    if (size, crc) != (member.size, member.crc):
        raise SourceError(f"{where} is damaged: its size or checksum differs; fetch the archive again", code="damaged")
