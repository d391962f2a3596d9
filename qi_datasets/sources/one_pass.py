"""Archives that can only be read from front to back: one pass copies the images that may be selected, and no others."""

import bz2
import gzip
import heapq
import io
import json
import lzma
import os
import re
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tarfile import BLOCKSIZE
from typing import Any, BinaryIO, ClassVar, Protocol, TypeAlias, cast

from qi_datasets.errors import SourceError, one_line
from qi_datasets.imagenet import IMAGENET_VAL
from qi_datasets.pixels.digests import sha256_hex
from qi_datasets.progress import bar_over
from qi_datasets.sources.base import ArchiveSource, FileLocation, Source, SourceImage, contradictions
from qi_datasets.sources.reading import check_image_size, open_archive, open_regular
from qi_datasets.sources.tar import TarMember, tar_members
from qi_datasets.sources.webdataset import named_images
from qi_datasets.sources.zip import ZipMember, member_pieces, zip_members

MOST_EXPANSION = 20
"""Largest ratio of a compressed archive's content to its size; photographs hardly shrink."""

_FREE = 100_000_000
"""Size in bytes that the content of any archive may have, whatever the ratio."""

_COMPRESSED = re.compile(rb"\.(?:tar\.gz|tgz|tar\.bz2|tar\.xz)\Z", re.IGNORECASE)
_PIECE = 1 << 20
_DONE = "done.json"
_DAMAGE = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)

_OPENERS: Mapping[bytes, Callable[[BinaryIO], Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ": lzma.LZMAFile,
}
"""The first bytes of compressed files -> the function that reads them."""


@dataclass(frozen=True)
class WantedImages:
    """The images that a pass copies.

    Attributes:
        names: Their names; None for the first ones by `order`.
        most: Their number, if no names are given.
        order: The sort key of a name in the order of selections.
        contents: Size and SHA-256 (hex) of images that are copied if they have no names.
    """

    names: frozenset[str] | None
    most: int
    order: Callable[[str], Any]
    contents: frozenset[tuple[int, str]] = frozenset()


class Part(Protocol):
    """One file of an archive that is read from front to back."""

    @property
    def label(self) -> str:
        """The name in messages."""

    @property
    def size(self) -> int:
        """Its size in bytes."""

    def open(self) -> AbstractContextManager[BinaryIO]:
        """Opens the file for reading; it need not be able to seek."""

    def in_ranges(self, share: float) -> Any:
        """Returns the file for reading in ranges if that fetches fewer bytes, else None; share: the wanted share."""


@dataclass(frozen=True)
class OnePassSource(Source):
    """An archive whose images are only known after a pass over it. names: empty until then.

    Attributes:
        parts: Its files.
        lasting: Whether copies are worth keeping when the pass is interrupted, since they came from
            a network.
        kind: The layout.
    """

    layout: ClassVar[str] = "compressed tar"
    parts: tuple[Part, ...] = field(kw_only=True)
    lasting: bool = field(default=False, kw_only=True)
    kind: str = field(default=layout, kw_only=True)

    def located(self, name: str) -> SourceImage:
        """Raises SourceError: nothing was read yet."""
        raise SourceError(f"{self.where} has not been read; copy its images first")

    @property
    def size(self) -> int:
        """Size of the archive in bytes."""
        return sum(part.size for part in self.parts)

    def copied(self, wanted: WantedImages, folder: Path, progress: bool) -> "CopiedSource":
        """Copies the wanted images below a folder in one pass over the archive, and returns their source.

        Parts that an earlier pass over the same archive has finished in that folder are reused.

        Args:
            wanted: The wanted images.
            folder: Folder for the copies, which must stay until the images have been read.
            progress: Whether to show a bar.

        Raises:
            SourceError: If the archive is damaged, can't be read, or has no validation image; or a name occurs twice
                with different bytes.
        """
        kept = _Kept(wanted)
        share = min(1.0, (len(wanted.names) if wanted.names else wanted.most) / IMAGENET_VAL.images)
        with bar_over(os.path.basename(self.where) or self.where, self.size, "B", progress, scaled=True) as bar:
            for number, part in enumerate(self.parts):
                _copy_part(part, folder / f"{number:05d}", kept, bar.update, share)
                if kept.seen_all:
                    break
        images = {
            name: SourceImage(name, kept.wnids[name], FileLocation(str(path))) for name, path in kept.paths.items()
        }
        if not images:
            raise SourceError(f"{self.where} holds no ILSVRC2012_val_*.JPEG that could be selected", code="no-images")
        given = ((image.name, image.wnid) for image in images.values())
        warnings = self.warnings + contradictions(IMAGENET_VAL, given)
        return CopiedSource(self.where, images, IMAGENET_VAL, warnings, origin=self.kind)

    def first_images(self) -> Iterator[tuple[SourceImage, bytes, int]]:
        """Yields the first validation images, their bytes, and the number of bytes of the archive read so far."""
        with self.parts[0].open() as raw:
            counter = _Counter(raw, lambda count: None)
            for names, member, read in _passing_images(counter, self.parts[0]):
                yield SourceImage(*names, FileLocation(member.name)), read(), counter.total

    def __str__(self) -> str:
        return f"{self.where} ({self.kind}, {self.collection})"


@dataclass(frozen=True)
class CopiedSource(ArchiveSource):
    """Images that a pass has copied. names: image name -> SourceImage. origin: their original layout."""

    origin: str = field(kw_only=True)

    @property
    def layout(self) -> str:  # type: ignore[override]
        """The original layout of the images."""
        return self.origin


class _Kept:
    """The images that a pass has copied so far, never more than are wanted.

    paths: image name, or SHA-256 of an image without name, -> its copy.
    wnids: the same -> its synset in the archive.
    """

    def __init__(self, wanted: WantedImages) -> None:
        self._wanted = wanted
        self._first: list[tuple[_Reversed, str]] = []
        self._seen: set[str] = set()
        self.paths: dict[str, Path] = {}
        self.wnids: dict[str, str] = {}
        self._sizes = {size for size, _ in wanted.contents}
        self._digests = {digest for _, digest in wanted.contents}

    @property
    def seen_all(self) -> bool:
        """True if every wanted image was seen."""
        return len(self._seen) >= IMAGENET_VAL.images

    @property
    def takes_unnamed(self) -> bool:
        """True if images without names may be wanted."""
        return bool(self._sizes)

    def digest_of(self, size: int, read: Callable[[], bytes]) -> str:
        """Returns the SHA-256 of an image without name, if its content is wanted, else ""."""
        digest = sha256_hex(read()) if size in self._sizes else ""
        return digest if digest in self._digests else ""

    def see(self, name: str, wnid: str) -> bool:
        """Registers an image of the archive; returns whether to copy it. Removes the copy that it replaces."""
        if name in self._digests:
            self.wnids[name] = wnid
            return True
        if name in self._seen:
            return name in self.paths
        self._seen.add(name)
        if self._wanted.names is not None:
            kept = name in self._wanted.names
        else:
            heapq.heappush(self._first, (_Reversed(self._wanted.order(name)), name))
            kept = True
            if len(self._first) > self._wanted.most:
                last = heapq.heappop(self._first)[1]
                kept = last != name
                if last in self.paths:
                    self.paths.pop(last).unlink(missing_ok=True)
                    del self.wnids[last]
        if kept:
            self.wnids[name] = wnid
        return kept


class _Reversed:
    """A key that sorts in reverse."""

    def __init__(self, key: Any) -> None:
        self.key = key

    def __lt__(self, other: "_Reversed") -> bool:
        return bool(other.key < self.key)


def _copy_part(part: Part, folder: Path, kept: _Kept, update: Callable[[int], object], share: float) -> None:
    """Copies the wanted images of one part into a folder, unless an earlier pass has finished it.

    Args:
        part: The part.
        folder: Folder for the images.
        kept: The wanted images, and those that are copied already.
        update: Called with the number of bytes that were read, for a bar.
        share: The wanted share of all images, from 0 to 1.
    """
    if (folder / _DONE).exists():
        for name, wnid in json.loads((folder / _DONE).read_text(encoding="utf-8")):
            if kept.see(name, wnid) and (folder / name).exists():
                kept.paths[name] = folder / name
        update(part.size)
        return
    seen = []
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for (named, wnid), member, read in _images(part, update, share, kept.takes_unnamed):
            name = named or kept.digest_of(member.size, read)
            if name:
                seen.append((name, wnid))
            if not name or not kept.see(name, wnid):
                continue
            check_image_size(member.size, f"{member.name} in {part.label}")
            data, path = read(), kept.paths.get(name)
            if path is None:
                kept.paths[name] = folder / name
                kept.paths[name].write_bytes(data)
            elif path.read_bytes() != data:
                raise SourceError(
                    f"{part.label}: {name} occurs twice with different bytes; remove one of them", code="two-of-a-name"
                )
            if kept.seen_all:
                break
        (folder / f"{_DONE}.new").write_text(json.dumps(seen), encoding="utf-8")
        (folder / f"{_DONE}.new").rename(folder / _DONE)
    except OSError as error:
        reason = error.strerror or one_line(error)
        raise SourceError(
            f"cannot copy images to {folder}: {reason}; make room there, or set TMPDIR", code="cannot-read"
        ) from error


_Images: TypeAlias = Iterator[tuple[tuple[str, str], TarMember, Callable[[], bytes]]]
"""Name and synset, member, and the function that reads its bytes, of each validation image of a tar."""


def _images(part: Part, update: Callable[[int], object], share: float, unnamed: bool) -> _Images:
    """Yields the validation images of one part, fetching as little as possible; unnamed: also those without a name."""
    ranges = part.in_ranges(share)
    if ranges is None:
        with part.open() as raw:
            yield from _passing_images(_Counter(raw, update), part, unnamed)
        return

    def read(member: TarMember) -> bytes:
        before = ranges.tell()
        ranges.seek(member.offset)
        data = ranges.read(member.size)
        ranges.seek(before)
        return bytes(data)

    ranges.seek(0)
    yield from named_images(tar_members(ranges, part.label), read, part.label, unnamed=unnamed)
    update(part.size)


def _passing_images(raw: "_Counter", part: Part, unnamed: bool = False) -> _Images:
    """Yields the results of `named_images` for a tar that is read from front to back."""
    with _as_source_errors(part):
        buffered = io.BufferedReader(raw, _PIECE)
        begin = buffered.peek(8)[:8]
        opener = next((opener for magic, opener in _OPENERS.items() if begin.startswith(magic)), None)
        plain = cast("BinaryIO", buffered if opener is None else opener(cast("BinaryIO", buffered)))
        forward = ForwardFile(plain, part.label, max(_FREE, MOST_EXPANSION * part.size))

        def read(member: TarMember) -> bytes:
            with _as_source_errors(part):
                forward.seek(member.offset)
                data = forward.read(member.size)
            if len(data) != member.size:
                raise SourceError(f"{part.label} is cut off in {member.name}; fetch it again", code="damaged")
            return data

        members = tar_members(cast("BinaryIO", forward), part.label)
        yield from named_images(members, read, part.label, passing=True, unnamed=unnamed)


@contextmanager
def _as_source_errors(part: Part) -> Iterator[None]:
    """Turns errors about an archive that is damaged or can't be read into SourceError."""
    try:
        yield
    except _DAMAGE as error:
        raise SourceError(
            f"{part.label} is cut off or damaged ({one_line(error)}); fetch it again", code="damaged"
        ) from error
    except OSError as error:
        reason = error.strerror or one_line(error)
        raise SourceError(
            f"cannot read {part.label}: {reason}; check it and your access to it", code="cannot-read"
        ) from error


class _Counter(io.RawIOBase):
    """A file that counts the bytes that are read from it, and reports them."""

    def __init__(self, file: BinaryIO, update: Callable[[int], object]) -> None:
        self._file, self._update, self.total = file, update, 0

    def readable(self) -> bool:
        """Returns True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Reads into a buffer, and returns the number of bytes."""
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self.total += len(data)
        self._update(len(data))
        return len(data)


class ForwardFile:
    """A stream that seeks forwards by reading, and back by a block at most: `tarfile` needs no more.

    file: the stream, at its beginning.
    label: its name in messages.
    most: its largest size in bytes.
    """

    def __init__(self, file: BinaryIO, label: str, most: int) -> None:
        self._file, self._label, self._most = file, label, most
        self._read, self._tail, self._back = 0, b"", 0

    def tell(self) -> int:
        """Returns the position of the next byte."""
        return self._read - self._back

    def seek(self, place: int) -> int:
        """Moves to a position ahead, or at most a block back. Raises ValueError for others."""
        if place < self._read - len(self._tail):
            raise ValueError(f"byte {place} has passed")
        self._back = max(0, self._read - place)
        while self._read < place and self._advance(min(_PIECE, place - self._read)):
            pass
        return self.tell()

    def read(self, size: int) -> bytes:
        """Returns at most `size` bytes."""
        again = self._tail[len(self._tail) - self._back :][:size]
        self._back -= len(again)
        pieces, left = [again], size - len(again)
        while left and (data := self._advance(min(_PIECE, left))):
            pieces.append(data)
            left -= len(data)
        return b"".join(pieces)

    def _advance(self, size: int) -> bytes:
        data = self._file.read(size)
        self._read += len(data)
        self._tail = (self._tail + data if len(data) < BLOCKSIZE else data)[-BLOCKSIZE:]
        if self._read > self._most:
            raise SourceError(
                f"{self._label} holds more than {self._most} bytes, {MOST_EXPANSION} times its own; an archive of "
                "photographs does not",
                code="too-large",
            )
        return data


class _Local:
    """A part on this machine, which is read whole."""

    def in_ranges(self, share: float) -> None:
        """Returns None."""


@dataclass(frozen=True)
class FilePart(_Local):
    """A file on this machine."""

    label: str
    size: int

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Opens the file for reading."""
        with open_regular(self.label) as file:
            yield file


@dataclass(frozen=True)
class ZipPart(_Local):
    """A file inside a zip."""

    path: str
    member: ZipMember

    @property
    def label(self) -> str:
        """The name in messages."""
        return f"{self.member.name} in {self.path}"

    @property
    def size(self) -> int:
        """Its size in bytes."""
        return self.member.size

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Opens the file for reading once from front to back."""
        with open_archive(self.path) as file:
            yield cast("BinaryIO", _Pieces(member_pieces(file, self.member, self.label)))


class _Pieces:
    """A file made of pieces of bytes."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, b""

    def read(self, size: int) -> bytes:
        """Returns at most `size` bytes, and fewer also before the end."""
        self._rest = self._rest or next(self._pieces, b"")
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def is_compressed(path: str) -> bool:
    """Returns whether a file begins like a compressed file of a kind that is read."""
    try:
        with open_regular(path) as file:
            return file.read(6).startswith(tuple(_OPENERS))
    except OSError:
        return False


def find_compressed(path: str) -> OnePassSource | None:
    """Returns the source of a compressed tar, or of a zip of such; None for other files; reads no member yet."""
    if is_compressed(path):
        return OnePassSource(path, {}, IMAGENET_VAL, parts=(FilePart(path, os.path.getsize(path)),))  # noqa: PTH202
    with open_archive(path) as file:
        members = sorted(zip_members(file, path, _COMPRESSED), key=lambda member: member.offset)
    return (
        OnePassSource(path, {}, IMAGENET_VAL, parts=tuple(ZipPart(path, one) for one in members)) if members else None
    )
