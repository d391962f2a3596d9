"""Writes PNG files of images that are black outside one rectangle, without compressing black, and of photographs.

`photograph_png` is Pillow's writer. The rest of this file is about the other images, which are mostly black.
The same content is written many times, at different positions on different canvases. So the work has two parts.
`PatchEncoder(content)` filters and Huffman-codes the rows of the content once.
`PatchEncoder.png` then joins those rows with the code of the black between them, which depends on widths alone.

How the file is made ("PNG" is the W3C PNG specification):

* Filter (PNG section 9). The content's rows use Paeth, all other rows None. Black predicts black, so each filtered
  byte is 0 but for the filter types, the content's residuals, and those of the one pixel column to its right.
* Deflate (RFC 1951): a block of black, a block of the content's rows, a block of black, each with Huffman tables of
  its own (section 3.2.7). Residuals are coded as literals and black as matches of distance 1; in the blocks of black
  258 zeros cost two bits. No zlib compressor is involved, so the bytes depend on no version of one.
* Adler-32 (RFC 1950 section 8.2) is linear in the bytes and their positions, so that zeros need not be read.
"""

import functools
import io
import operator
import struct
import zlib
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from qi_datasets.errors import OptionError
from qi_datasets.pixels.deflate import LAST, MORE, Code, black_code, row_codes

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {1: 0, 3: 2}  # PNG section 11.2.1: channels -> greyscale, truecolour
_PAETH = 4

_ZLIB_HEADER = b"\x78\x01"  # RFC 1950 section 2.2: deflate, window of 32 KiB, no dictionary
_ADLER_BASE = 65521


def _paeth_residuals(content: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Returns residuals of filter type Paeth (PNG section 9.4): of the content's rows, and of the column after them.

    `content` is uint8 (h, w, c) with black on all sides; the result is uint8 (h, (w + 1) * c).
    """
    h, w, c = content.shape
    stride = (w + 2) * c
    framed = np.zeros((h + 1, stride), np.uint8)
    framed[1:, c:-c] = content.reshape(h, w * c)
    flat = framed.ravel()
    here, left, up, corner = flat[stride + c :], flat[stride:-c], flat[c:-stride], flat[: -stride - c]
    # The predictor left + up - corner may not fit a byte, but its distances do. Where corner lies outside [left, up],
    # the distance to it is the sum of those to left and up, so that it is never the nearest.
    from_left, from_up = _distance(up, corner), _distance(left, corner)
    predicted = _chosen(from_left <= from_up, left, up)
    nearest = _distance(from_left, from_up) < np.minimum(from_left, from_up)
    nearest &= (up > corner) != (left > corner)
    residuals = np.empty((h, stride), np.uint8)
    np.subtract(here, _chosen(nearest, corner, predicted), out=residuals.ravel()[:-c])
    return residuals[:, :-c]


def _distance(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.maximum(one, other) - np.minimum(one, other)


def _chosen(
    condition: npt.NDArray[np.bool_], one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    """Returns `one` where the condition holds, else `other`: like numpy.where, but several times as fast for bytes."""
    chosen = one ^ other
    chosen &= np.negative(condition.view(np.uint8))
    chosen ^= other
    return chosen


class _Sums(NamedTuple):
    """Sums over residuals, in [0, 255] each, that Adler-32 needs.

    Fields:
        total: sum of the residuals.
        by_row: sum of residual times row.
        by_column: sum of residual times its byte offset from the row's first residual.
    """

    total: int
    by_row: int
    by_column: int

    @classmethod
    def of(cls, residuals: npt.NDArray[np.uint8]) -> Self:
        """Returns the sums over residuals, (h, n)."""
        h, n = residuals.shape
        row_sums, column_sums = residuals.sum(axis=1, dtype=np.int64), residuals.sum(axis=0, dtype=np.int64)
        return cls(int(row_sums.sum()), int(row_sums @ np.arange(h)), int(column_sums @ np.arange(n)))


def _chunk(kind: bytes, data: bytes) -> tuple[bytes, ...]:
    """Returns the PNG chunk (PNG section 5.3), in pieces."""
    return struct.pack(">I", len(data)), kind, data, struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


_END = b"".join(_chunk(b"IEND", b""))


class PatchEncoder:
    """Writes PNG files of black images that have the same content at any position.

    The files have one IDAT chunk and depend on the arguments alone. Making the encoder takes some 50 bytes of memory
    per byte of content, and keeping it some 8.

    Args:
        content: uint8 (h, w, c), h and w at least 1, c 1 (grey) or 3 (RGB). It is copied.

    Raises:
        OptionError: If the content has another shape or dtype.
    """

    def __init__(self, content: npt.NDArray[np.uint8]) -> None:
        if not isinstance(content, np.ndarray) or content.dtype != np.uint8:
            raise OptionError(
                f"content must be a uint8 array, got {getattr(content, 'dtype', type(content))}", code="bad-shape"
            )
        if content.ndim != 3 or 0 in content.shape or content.shape[2] not in _COLOUR_TYPES:
            raise OptionError(
                f"content must have the shape (h, w, 1) or (h, w, 3), got {content.shape}", code="bad-shape"
            )
        self._shape = content.shape
        residuals = _paeth_residuals(content)
        codes, lengths = row_codes()
        counts = np.bincount(residuals.ravel(), minlength=256)
        self._code = codes[int((lengths @ counts).argmin())]
        self._rows = self._code.coded(residuals)
        self._sums = _Sums.of(residuals)
        self._right = residuals[:, -content.shape[2] :].copy()

    @functools.cached_property
    def _at_edge(self) -> tuple[list[bytes], _Sums]:
        """Rows and sums if the content touches the canvas's right edge, so that no column follows it."""
        cut = self._code.lengths[self._right].sum(axis=1).tolist()
        rows = [row[:-count] for row, count in zip(self._rows, cut, strict=True)]
        (total, by_row, by_column), right = self._sums, _Sums.of(self._right)
        _, w, c = self._shape
        by_column -= right.by_column + w * c * right.total
        return rows, _Sums(total - right.total, by_row - right.by_row, by_column)

    def png(self, y: int, x: int, height: int, width: int) -> bytes:
        """Returns the PNG file of a black image with the content.

        Args:
            y: Row of the content's top-left pixel.
            x: Column of the content's top-left pixel.
            height: Rows of the image.
            width: Columns of the image.

        Raises:
            OptionError: If the content is not inside the image.
        """
        frame = _frame(self._code, self._shape, y, x, height, width)
        rows, sums = self._at_edge if frame.at_edge else (self._rows, self._sums)
        first, *others = rows
        pieces = [frame.before + first, *others]
        pieces[-1] += frame.after
        deflated = np.packbits(np.frombuffer(frame.between.join(pieces), np.uint8), bitorder="little")
        data = b"".join([_ZLIB_HEADER, deflated.data, frame.adler(sums)])
        return b"".join([frame.head, *_chunk(b"IDAT", data), _END])


class _Frame(NamedTuple):
    """The parts of a file that depend on its content's position, code and shape: the same for many contents.

    Fields:
        head: the file up to its IDAT chunk.
        before: bit string of all before the first row's residuals: a block of black, and the content's first bits.
        between: bit string of all from one row's residuals to the next's.
        after: bit string of all after the last row's residuals, up to the end of the second block of black.
        at_edge: whether the content ends at the canvas's right edge.
        fixed, by_total, by_row: terms and factors of the higher half of the Adler-32.
        filters: sum of the filter types of the content's rows.
    """

    head: bytes
    before: bytes
    between: bytes
    after: bytes
    at_edge: bool
    fixed: int
    by_total: int
    by_row: int
    filters: int

    def adler(self, sums: _Sums) -> bytes:
        """Returns the Adler-32: 1 + the sum of all bytes, and the sum of that sum's values after each byte."""
        low = 1 + self.filters + sums.total
        high = self.fixed + self.by_total * sums.total - self.by_row * sums.by_row - sums.by_column
        return struct.pack(">HH", high % _ADLER_BASE, low % _ADLER_BASE)


@functools.lru_cache(maxsize=256)
def _frame(code: Code, shape: tuple[int, int, int], y: int, x: int, height: int, width: int) -> _Frame:
    # NumPy integers, which callers may have from a table's columns, would overflow in the sums below.
    y, x, height, width = map(operator.index, (y, x, height, width))
    h, w, c = shape
    if not (0 <= y <= height - h and 0 <= x <= width - w):
        raise OptionError(
            f"content of {h}x{w} at row {y}, column {x} does not fit a canvas of {height}x{width}", code="does-not-fit"
        )
    stride, at_edge = 1 + width * c, x + w == width
    right = 0 if at_edge else (width - x - w - 1) * c
    row_start = code.literals[_PAETH] + code.zeros(x * c)
    size, filters = height * stride, _PAETH * h
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[c], 0, 0, 0)
    return _Frame(
        head=b"".join([_SIGNATURE, *_chunk(b"IHDR", header)]),
        before=_black_block(MORE, y * stride) + MORE + code.start + row_start,
        between=code.zeros(right) + row_start,
        after=code.end + _black_block(LAST, right + (height - y - h) * stride),
        at_edge=at_edge,
        # The byte at position p is counted size - p times.
        fixed=size * (1 + filters) - stride * (y * filters + filters * (h - 1) // 2),
        by_total=size - stride * y - 1 - x * c,
        by_row=stride,
        filters=filters,
    )


@functools.lru_cache(maxsize=32)
def _black_block(opening: bytes, count: int) -> bytes:
    """Returns the bit string of a block of `count` zero bytes."""
    black = black_code()
    return opening + black.start + black.zeros(count) + black.end


def photograph_png(image: npt.NDArray[np.uint8]) -> bytes:
    """Returns the PNG file of an image, uint8 (h, w, c) with c 1 or 3, by Pillow and zlib at its fastest level.

    Pillow lets other threads work at the same time. The bytes depend on its version of zlib, the pixels don't.
    """
    file = io.BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(file, "PNG", compress_level=1)
    return file.getvalue()
