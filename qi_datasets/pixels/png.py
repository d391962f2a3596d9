"""PNG files of images that are black outside one rectangle, written without compressing black.

The same content is written many times, at other places on other canvases, and most of each image is black. So the
work is split in two. `PatchEncoder(content)` filters and Huffman-codes the rows of the content once.
`PatchEncoder.png` then joins those rows with the code of the black between them, which depends on widths alone.

How the file is made ("PNG" is the W3C PNG specification):

* Filter (PNG section 9). The content's rows use Paeth, all other rows None. Black predicts black, so each filtered
  byte is 0 but for the filter types, the content's residuals, and those of the one pixel column to its right.
* Deflate (RFC 1951): a block of black, a block of the content's rows, a block of black, each with Huffman tables of
  its own (section 3.2.7). Residuals are coded as literals and black as matches of distance 1; in the blocks of black
  258 zeros cost two bits. No zlib compressor is involved, so the bytes depend on no version of one.
* Adler-32 (RFC 1950 section 8.2) is linear in the bytes and their positions, so that zeros need not be read.

Bit strings are held as `bytes` of zeros and ones, one byte per bit in the order of the stream: concatenation needs
no shifts, and `numpy.packbits` makes the stream of them in one pass.
"""

import functools
import heapq
import itertools
import operator
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qi_datasets.errors import OptionError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {1: 0, 3: 2}  # PNG section 11.2.1: channels -> greyscale, truecolour
_PAETH = 4

_ZLIB_HEADER = b"\x78\x01"  # RFC 1950 section 2.2: deflate, window of 32 KiB, no dictionary
_ADLER_BASE = 65521

_MORE, _LAST = b"\x00", b"\x01"  # the bit that opens a block
_END_OF_BLOCK = 256
_LONGEST_MATCH = 258
_LONGEST = 285  # the symbol of the longest match, which has no extra bits
_MAX_CODE_LENGTH = 15
_MAX_LENGTH_CODE_LENGTH = 7
# Only distance 1 (symbol 0) is used. A second symbol completes the code, which costs nothing: neither can be
# shorter than one bit, and some decoders reject a code with unused words.
_DISTANCE_LENGTHS = (1, 1)
_DISTANCE_ONE = b"\x00"
_LENGTHS_ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)  # RFC 1951 section 3.2.7

_ABSENT, _SEPARATOR = 2, 3  # not bits: the padding of short codes in `_Code.table`, and the end of a piece
_SEPARATOR_SYMBOL = 256  # row of `_Code.table`, beyond those of the literals

# A residual r in [-128, 127] is taken to occur in proportion to 1 / (|r| + spread)**3. Photographs have such peaked,
# heavy-tailed residuals, each with its own spread; the best of these tables comes within 1 % of a table fitted to the
# patch, whose making would take longer than all the rest. The largest spread is that of noise.
_SPREADS = (1, 2, 4, 8, 16, 32, 64, 1024)


def _bits(value: int, count: int) -> bytes:
    """Bit string of the `count` low bits of `value`, least significant first (all of deflate but Huffman codes)."""
    return bytes(value >> i & 1 for i in range(count))


def _code_lengths(weights: Sequence[int], limit: int) -> list[int]:
    """Lengths of an optimal prefix code of words of at most `limit` bits, by package-merge (Larmore, Hirschberg 1990).

    `weights` are the symbols' frequencies; a symbol of weight 0 gets no word (length 0). At least two must be
    positive. Ties are broken by symbol, so that the lengths are the same everywhere.
    """
    coins: list[tuple[int, tuple[int, ...]]] = sorted((w, (symbol,)) for symbol, w in enumerate(weights) if w > 0)
    row = coins
    for _ in range(limit - 1):
        packages = [(a[0] + b[0], a[1] + b[1]) for a, b in zip(row[::2], row[1::2], strict=False)]
        row = list(heapq.merge(coins, packages))
    lengths = [0] * len(weights)
    for symbol in itertools.chain.from_iterable(symbols for _, symbols in row[: 2 * len(coins) - 2]):
        lengths[symbol] += 1
    return lengths


def _code_words(lengths: Sequence[int]) -> list[bytes]:
    """Canonical Huffman code of these lengths (RFC 1951 section 3.2.2), as bit strings, most significant bit first."""
    words = [b""] * len(lengths)
    word = 0
    for length in range(1, max(lengths) + 1):
        for symbol, symbol_length in enumerate(lengths):
            if symbol_length == length:
                words[symbol] = _bits(word, length)[::-1]
                word += 1
        word <<= 1
    return words


def _run_length_coded(lengths: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """Code lengths as (symbol, extra bits) of the code length alphabet (RFC 1951 section 3.2.7, without its 17)."""
    for length, group in itertools.groupby(lengths):
        count = len(list(group))
        symbol, least, most, extra = (16, 3, 6, 2) if length else (18, 11, 138, 7)
        if length:
            yield length, b""
            count -= 1
        while count >= least:
            repeats = min(count, most)
            yield symbol, _bits(repeats - least, extra)
            count -= repeats
        yield from [(length, b"")] * count


def _block_header(lengths: Sequence[int]) -> bytes:
    """Bit string that opens a block with these literal/length code lengths, but for the bit that marks the last."""
    coded = list(_run_length_coded([*lengths, *_DISTANCE_LENGTHS]))
    used = [symbol for symbol, _ in coded]
    length_lengths = _code_lengths([used.count(symbol) for symbol in range(19)], _MAX_LENGTH_CODE_LENGTH)
    length_words = _code_words(length_lengths)
    sent = max(i for i, symbol in enumerate(_LENGTHS_ORDER, 1) if length_lengths[symbol])
    fields = [(2, 2), (len(lengths) - 257, 5), (len(_DISTANCE_LENGTHS) - 1, 5), (sent - 4, 4)]
    fields += [(length_lengths[symbol], 3) for symbol in _LENGTHS_ORDER[:sent]]
    return b"".join([_bits(*field) for field in fields] + [length_words[symbol] + extra for symbol, extra in coded])


def _length_symbols() -> list[tuple[int, bytes]]:
    """(symbol, extra bits) of match lengths 3 to 257, at index length - 3 (RFC 1951 section 3.2.5)."""
    symbols = []
    for symbol in range(257, _LONGEST):
        extra = max(0, (symbol - 261) // 4)
        symbols += [(symbol, _bits(value, extra)) for value in range(1 << extra)]
    return symbols[: _LONGEST_MATCH - 3]


class _Code:
    """Huffman code of one kind of deflate block, optimal for these weights of the 286 literal/length symbols.

    Attributes:
        lengths: int64 (256,), bits of each literal.
        table: uint8 (257, 15), the code of each literal, one bit per item, padded with `_ABSENT`; the last row is
            `_SEPARATOR`.
        literals: bit strings of the 256 literals.
        start: bit string that opens the block, after the bit that marks the last one.
        end: bit string that ends the block.
    """

    def __init__(self, weights: Sequence[int]) -> None:
        lengths = _code_lengths(weights, _MAX_CODE_LENGTH)
        words = _code_words(lengths)
        self.lengths = np.array(lengths[:256], np.int64)
        rows = [*words[:256], bytes([_SEPARATOR])]
        padded = b"".join(row.ljust(_MAX_CODE_LENGTH, bytes([_ABSENT])) for row in rows)
        self.table = np.frombuffer(padded, np.uint8).reshape(-1, _MAX_CODE_LENGTH)
        self.literals = words[:256]
        self.start = _block_header(lengths)
        self.end = words[_END_OF_BLOCK]
        self._longest = words[_LONGEST] + _DISTANCE_ONE
        self._matches = [words[symbol] + extra + _DISTANCE_ONE for symbol, extra in _length_symbols()]

    def zeros(self, count: int) -> bytes:
        """Bit string of `count` >= 0 zero bytes."""
        if count == 0:
            return b""
        # A match repeats bytes that are there already, so the first zero is a literal.
        longest, rest = divmod(count - 1, _LONGEST_MATCH)
        last = self._matches[rest - 3] if rest >= 3 else self.literals[0] * rest
        return self.literals[0] + self._longest * longest + last


@functools.cache
def _row_codes() -> tuple[tuple[_Code, ...], npt.NDArray[np.int64]]:
    """The codes to choose from for a content's rows, and their literals' bits, int64 (codes, 256)."""
    codes = []
    for spread in _SPREADS:
        literals = [10**12 // (min(value, 256 - value) + spread) ** 3 for value in range(256)]
        total = sum(literals)
        # Rows hold some hundred residuals and two runs of zeros, each of which ends in any one of the length symbols.
        # More weight for runs would help wide canvases and harm narrow ones.
        codes.append(_Code([*literals, 1, *[total // 1600] * 28, total // 48]))
    return tuple(codes), np.stack([code.lengths for code in codes])


@functools.cache
def _black_code() -> _Code:
    """The code of blocks that hold zeros only: one bit for the longest match, one for its distance."""
    weights = [0] * 286
    weights[0] = weights[_END_OF_BLOCK] = 1 << 10
    weights[257:_LONGEST] = [1 << 5] * 28
    weights[_LONGEST] = 1 << 20
    return _Code(weights)


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
    np.copyto(predicted, left, where=(from_left <= from_up) & (from_left <= from_corner))
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


def _rows(bits: list[bytes], residuals: npt.NDArray[np.uint8]) -> _Rows:
    h, n = residuals.shape
    row_sums = residuals.sum(axis=1, dtype=np.int64)
    column_sums = residuals.sum(axis=0, dtype=np.int64)
    by_row, by_column = row_sums @ np.arange(h), column_sums @ np.arange(n)
    return _Rows(bits, int(row_sums.sum()), int(by_row), int(by_column))


def _chunk(kind: bytes, data: bytes) -> bytes:
    """PNG chunk (PNG section 5.3)."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


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
        self._shape = h, w, c = content.shape
        residuals = _paeth_residuals(content)
        codes, lengths = _row_codes()
        counts = np.bincount(residuals.ravel(), minlength=256)
        self._code = codes[int((lengths @ counts).argmin())]

        symbols = np.full((h, (w + 1) * c + 2), _SEPARATOR_SYMBOL)
        symbols[:, : w * c] = residuals[:, : w * c]
        symbols[:, w * c + 1 : -1] = residuals[:, w * c :]
        padded = self._code.table.take(symbols.ravel(), axis=0).tobytes()
        pieces = padded.translate(None, bytes([_ABSENT])).split(bytes([_SEPARATOR]))[:-1]
        inner, right = pieces[::2], pieces[1::2]
        # At the canvas's right edge there is no column to the content's right, and its residuals do not occur.
        self._at_edge = _rows(inner, residuals[:, : w * c])
        self._inside = _rows(list(map(operator.add, inner, right)), residuals)

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

        code, black = self._code, _black_code()
        row_start = code.literals[_PAETH] + code.zeros(x * c)
        bits = b"".join(
            [
                _MORE + black.start + black.zeros(y * stride) + black.end,
                _MORE + code.start + row_start + (code.zeros(right) + row_start).join(rows.bits) + code.end,
                _LAST + black.start + black.zeros(right + below) + black.end,
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
        data = _ZLIB_HEADER + deflated + struct.pack(">HH", high, low)
        return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")
