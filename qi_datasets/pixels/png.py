"""PNG files: of images that are black outside one rectangle, without compressing black, and of photographs.

`photograph_png` is Pillow's writer. The rest of this page is about the other images, most of which is black.
The same content is written many times, at other places on other canvases. So the work is split in two. `PatchEncoder(content)` filters and Huffman-codes the rows of the content once.
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
from qi_datasets.pixels.deflate import LAST, MORE, black_code, row_codes

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {1: 0, 3: 2}  # PNG section 11.2.1: channels -> greyscale, truecolour
_PAETH = 4

_ZLIB_HEADER = b"\x78\x01"  # RFC 1950 section 2.2: deflate, window of 32 KiB, no dictionary
_ADLER_BASE = 65521


def _paeth_residuals(content: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Bytes of the content's rows and of the black column to their right after filter type Paeth (PNG section 9.4).

    `content` is uint8 (h, w, c) with black on all sides; the result is uint8 (h, (w + 1) * c).
    """
    h, w, c = content.shape
    framed = np.zeros((h + 1, (w + 2) * c), np.int16)
    framed[1:, c:-c] = content.reshape(h, w * c)
    left, up, corner = framed[1:, :-c], framed[:-1, c:], framed[:-1, :-c]
    from_left = up - corner
    from_up = left - corner
    from_corner = np.abs(from_left + from_up)
    np.abs(from_left, out=from_left)
    np.abs(from_up, out=from_up)
    predicted = np.where(from_up <= from_corner, up, corner)
    np.copyto(predicted, left, where=from_left <= np.minimum(from_up, from_corner))
    return (framed[1:, c:] - predicted).astype(np.uint8)


class _Rows(NamedTuple):
    """The residuals of a content's rows, coded, and the sums over them that Adler-32 needs.

    Fields:
        bits: per row, the bit string of its residuals.
        total: sum of the residuals, in [0, 255] each.
        by_row: sum of residual times row.
        by_column: sum of residual times its byte offset from the row's first residual.
    """

    bits: list[bytes]
    total: int
    by_row: int
    by_column: int

    @classmethod
    def of(cls, bits: list[bytes], residuals: npt.NDArray[np.uint8]) -> Self:
        """The rows with their sums."""
        h, n = residuals.shape
        row_sums = residuals.sum(axis=1, dtype=np.int64)
        column_sums = residuals.sum(axis=0, dtype=np.int64)
        by_row, by_column = row_sums @ np.arange(h), column_sums @ np.arange(n)
        return cls(bits, int(row_sums.sum()), int(by_row), int(by_column))


def _chunk(kind: bytes, data: bytes) -> tuple[bytes, ...]:
    """PNG chunk (PNG section 5.3), in pieces."""
    return struct.pack(">I", len(data)), kind, data, struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


_END_CHUNK = b"".join(_chunk(b"IEND", b""))


class PatchEncoder:
    """Writes PNG files of black images that hold the same content at any place.

    The files have one IDAT chunk and depend on the arguments alone. Making the encoder takes some 50 bytes of memory
    per byte of content, and keeping it some 16.

    Args:
        content: uint8 (h, w, c), h and w at least 1, c 1 (grey) or 3 (RGB). It is copied.

    Raises:
        OptionError: the content has another shape or dtype.
    """

    def __init__(self, content: npt.NDArray[np.uint8]) -> None:
        if not isinstance(content, np.ndarray) or content.dtype != np.uint8:
            raise OptionError(f"content must be a uint8 array, got {getattr(content, 'dtype', type(content))}")
        if content.ndim != 3 or 0 in content.shape or content.shape[2] not in _COLOUR_TYPES:
            raise OptionError(f"content must have the shape (h, w, 1) or (h, w, 3), got {content.shape}")
        self._shape = content.shape
        self._residuals = _paeth_residuals(content)
        codes, lengths = row_codes()
        counts = np.bincount(self._residuals.ravel(), minlength=256)
        self._code = codes[int((lengths @ counts).argmin())]
        self._inside = _Rows.of(self._code.coded(self._residuals), self._residuals)

    @functools.cached_property
    def _at_edge(self) -> _Rows:
        """The rows at the canvas's right edge: without the residuals of the column to the content's right."""
        _, w, c = self._shape
        residuals, right = self._residuals[:, : w * c], self._residuals[:, w * c :]
        cut = self._code.lengths[right].sum(axis=1).tolist()
        bits = [row[:-count] for row, count in zip(self._inside.bits, cut, strict=True)]
        return _Rows.of(bits, residuals)

    def png(self, y: int, x: int, height: int, width: int) -> bytes:
        """PNG file of a black image with the content's top-left pixel at row `y` and column `x`, all in pixels.

        Raises:
            OptionError: the content does not lie within the `height` x `width` canvas.
        """
        # NumPy integers, which callers may have from a table's columns, would overflow in the sums below.
        y, x, height, width = map(operator.index, (y, x, height, width))
        h, w, c = self._shape
        if not (0 <= y <= height - h and 0 <= x <= width - w):
            raise OptionError(f"content of {h}x{w} at row {y}, column {x} does not fit a canvas of {height}x{width}")
        stride = 1 + width * c
        if x + w < width:
            rows, right = self._inside, (width - x - w - 1) * c
        else:
            rows, right = self._at_edge, 0
        below = (height - y - h) * stride

        code, black = self._code, black_code()
        row_start = code.literals[_PAETH] + code.zeros(x * c)
        bits = b"".join(
            [
                MORE + black.start + black.zeros(y * stride) + black.end,
                MORE + code.start + row_start + (code.zeros(right) + row_start).join(rows.bits) + code.end,
                LAST + black.start + black.zeros(right + below) + black.end,
            ]
        )
        deflated = np.packbits(np.frombuffer(bits, np.uint8), bitorder="little").tobytes()

        # Adler-32: 1 + the sum of all bytes, and the sum of that sum's values after each byte.
        size = height * stride
        total = _PAETH * h + rows.total
        rows_above = y * total + _PAETH * h * (h - 1) // 2 + rows.by_row
        by_position = stride * rows_above + (1 + x * c) * rows.total + rows.by_column
        low = (1 + total) % _ADLER_BASE
        high = (size * (1 + total) - by_position) % _ADLER_BASE

        header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[c], 0, 0, 0)
        data = b"".join([_ZLIB_HEADER, deflated, struct.pack(">HH", high, low)])
        return b"".join([_SIGNATURE, *_chunk(b"IHDR", header), *_chunk(b"IDAT", data), _END_CHUNK])


def photograph_png(image: npt.NDArray[np.uint8]) -> bytes:
    """PNG file of an image, uint8 (h, w, c) with c 1 or 3, by Pillow and zlib at its fastest level.

    Pillow lets other threads work meanwhile. The bytes depend on its version of zlib, the pixels don't.
    """
    file = io.BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(file, "PNG", compress_level=1)
    return file.getvalue()
