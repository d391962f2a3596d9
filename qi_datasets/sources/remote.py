"""Archives behind fsspec URLs, such as `hf://datasets/timm/imagenet-1k-wds`: read in ranges, or whole, once."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO, cast

import fsspec

from qi_datasets.errors import SourceError, one_line
from qi_datasets.imagenet import IMAGENET_VAL
from qi_datasets.sources.base import Source
from qi_datasets.sources.one_pass import OnePassSource
from qi_datasets.sources.splits import of_validation
from qi_datasets.sources.tar import tar_members

MOST_REQUESTS = 3000
"""Largest number of requests for ranges of a source: about as many as the Hub answers within five minutes."""

_WINDOW = 4096
"""Bytes that are fetched at an expected header: those of a sample's small files and the next sample's header."""

_PIECE = 8_000_000
"""Bytes that are fetched at a time from a file that is read whole."""

_PROBED = 24
"""Number of members from which the size of all is estimated."""

_PLAIN, _PACKED = (".tar",), (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


@dataclass(frozen=True)
class RemotePart:
    """A file behind a URL. label: the URL. size: its size in bytes. parts: number of such files of the source."""

    label: str
    size: int
    parts: int

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Opens the file for reading from front to back."""
        fs, path = fsspec.url_to_fs(self.label)
        with fs.open(path, "rb", block_size=_PIECE, cache_type="readahead") as file:
            yield file

    def in_ranges(self, share: float) -> "RangeFile | None":
        """Returns the file for reading in ranges if that fetches fewer bytes, else None.

        Args:
            share: The wanted share of the images, from 0 to 1.
        """
        if not self.label.endswith(_PLAIN):
            return None
        file = RangeFile(self.label, self.size)
        members = list(islice(tar_members(cast("BinaryIO", file), self.label), _PROBED))
        if not members:
            return None
        end = members[-1].offset + members[-1].size
        requests = self.size / end * file.requests
        fetched = requests * _WINDOW + share * self.size
        return file if fetched < self.size and requests * self.parts <= MOST_REQUESTS else None


class RangeFile(io.RawIOBase):
    """A file behind a URL that fetches the bytes that are read, a few kilobytes at least.

    requests: number of requests.
    """

    def __init__(self, url: str, size: int) -> None:
        fs, path = fsspec.url_to_fs(url)
        # Without a cache: that of the Hub's file system fetches five megabytes at a time.
        self._file = fs.open(path, "rb", cache_type="none")
        self._size, self._at, self._start, self._held = size, 0, 0, b""
        self.requests = 0

    def tell(self) -> int:
        """Returns the position of the next byte."""
        return self._at

    def seek(self, place: int, whence: int = io.SEEK_SET) -> int:
        """Moves to a position."""
        self._at = place
        return place

    def read(self, size: int | None = -1) -> bytes:
        """Returns at most `size` bytes."""
        left = max(0, self._size - self._at)
        size = left if size is None or size < 0 else min(size, left)
        if not self._start <= self._at or self._at + size > self._start + len(self._held):
            self._start = self._at
            stop = min(self._size, self._at + max(size, _WINDOW))
            self._file.seek(self._at)
            self._held = self._file.read(stop - self._at) if stop > self._at else b""
            self.requests += 1
        found = self._held[self._at - self._start :][:size]
        self._at += len(found)
        return found


def find_remote(url: str) -> Source | None:
    """Returns the source of the validation tars at or below a URL; None if there are none; reads none of them yet."""
    try:
        fs, path = fsspec.url_to_fs(url)
        found: dict[str, Any] = fs.find(path, detail=True) if not fs.isfile(path) else {path: fs.info(path)}
    except Exception as error:  # a file system of fsspec may raise any exception, also those of its HTTP client
        raise SourceError(
            f"cannot list {url}: {one_line(error)}; check the URL and your access to it", code="cannot-read"
        ) from error
    for endings, layout in ((_PLAIN, "webdataset shards"), (_PACKED, OnePassSource.layout)):
        files = sorted(file for file in found if file.lower().endswith(endings))
        validation, unnamed = of_validation(files, path)
        chosen = validation or unnamed
        if chosen:
            parts = tuple(RemotePart(fs.unstrip_protocol(one), found[one]["size"], len(chosen)) for one in chosen)
            return OnePassSource(url, {}, IMAGENET_VAL, parts=parts, lasting=True, kind=layout)
    return None
