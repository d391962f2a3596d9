"""Deflate blocks (RFC 1951) of a picture's residuals and of black: Huffman codes, and bit strings made with them.

Bit strings are held as `bytes` of zeros and ones, one byte per bit in the order of the stream: concatenation needs
no shifts, and `numpy.packbits` makes the stream of them in one pass. Only the many codes of a content's residuals are
joined as numbers, four at a time, since four of at most 15 bits fit a 64-bit word.
"""

import functools
import heapq
import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

MORE, LAST = b"\x00", b"\x01"  # the bit that opens a block
_END_OF_BLOCK = 256
_LONGEST_MATCH = 258
_LONGEST = 285  # the symbol of the longest match, which has no extra bits
_MAX_CODE_LENGTH = 15
_MAX_LENGTH_CODE_LENGTH = 7
# Only distance 1 (symbol 0) is used. A second symbol completes the code, which costs nothing: no word can be
# shorter than one bit, and some decoders reject a code with unused words.
_DISTANCE_LENGTHS = (1, 1)
_DISTANCE_ONE = b"\x00"
_LENGTHS_ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)  # RFC 1951 section 3.2.7

_WORD = 64  # bits of the words in which codes are joined
_JOINED = 4  # codes that are joined before they are put into such words

# A residual r in [-128, 127] is taken to occur in proportion to 1 / (|r| + spread)**3. Photographs have such peaked,
# heavy-tailed residuals, each with its own spread; the best of these tables comes within 1 % of a table fitted to the
# patch, whose making would take longer than all the rest. The largest spread is that of noise.
_SPREADS = (1, 2, 4, 8, 16, 32, 64, 1024)


def _bits(value: int, count: int) -> bytes:
    """Returns the `count` low bits of `value`, least significant first (as in deflate everything but Huffman codes)."""
    return bytes(value >> i & 1 for i in range(count))


def _code_lengths(weights: Sequence[int], limit: int) -> list[int]:
    """Returns the word lengths of an optimal prefix code, at most `limit`, by package-merge (Larmore, Hirschberg 1990).

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
    """Returns the canonical Huffman code of these lengths (RFC 1951 section 3.2.2): bit strings, highest bit first."""
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
    """Yields code lengths as (symbol, extra bits) of the code length alphabet (RFC 1951 section 3.2.7, without 17)."""
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
    """Returns the bits that open a block with these literal/length code lengths, without the one for the last block."""
    coded = list(_run_length_coded([*lengths, *_DISTANCE_LENGTHS]))
    used = [symbol for symbol, _ in coded]
    length_lengths = _code_lengths([used.count(symbol) for symbol in range(19)], _MAX_LENGTH_CODE_LENGTH)
    length_words = _code_words(length_lengths)
    sent = max(i for i, symbol in enumerate(_LENGTHS_ORDER, 1) if length_lengths[symbol])
    fields = [(2, 2), (len(lengths) - 257, 5), (len(_DISTANCE_LENGTHS) - 1, 5), (sent - 4, 4)]
    fields += [(length_lengths[symbol], 3) for symbol in _LENGTHS_ORDER[:sent]]
    return b"".join([_bits(*field) for field in fields] + [length_words[symbol] + extra for symbol, extra in coded])


def _length_symbols() -> list[tuple[int, bytes]]:
    """Returns (symbol, extra bits) of match lengths 3 to 257, at index length - 3 (RFC 1951 section 3.2.5)."""
    symbols = []
    for symbol in range(257, _LONGEST):
        extra = max(0, (symbol - 261) // 4)
        symbols += [(symbol, _bits(value, extra)) for value in range(1 << extra)]
    return symbols[: _LONGEST_MATCH - 3]


class Code:
    """Huffman code of one kind of deflate block, optimal for these weights of the 286 literal/length symbols.

    Attributes:
        lengths: int64 (256,), bits of each literal.
        literals: bit strings of the 256 literals.
        start: bit string that opens the block, after the bit that marks the last one.
        end: bit string that ends the block.
    """

    def __init__(self, weights: Sequence[int]) -> None:
        lengths = _code_lengths(weights, _MAX_CODE_LENGTH)
        words = _code_words(lengths)
        self.lengths = np.array(lengths[:256], np.int64)
        self.literals = words[:256]
        self.start = _block_header(lengths)
        self.end = words[_END_OF_BLOCK]
        self._longest = words[_LONGEST] + _DISTANCE_ONE
        self._matches = [words[symbol] + extra + _DISTANCE_ONE for symbol, extra in _length_symbols()]

    @functools.cached_property
    def _pairs(self) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint8]]:
        """Codes of two successive literals a and b, first bit lowest, and their bits: both (65536,), at 256 * b + a."""
        codes = np.array([sum(bit << place for place, bit in enumerate(word)) for word in self.literals], np.uint32)
        lengths = self.lengths.astype(np.uint8)
        joined = codes | codes[:, None] << lengths.astype(np.uint32)
        return joined.ravel(), (lengths + lengths[:, None]).ravel()

    def coded(self, rows: npt.NDArray[np.uint8]) -> list[bytes]:
        """Returns the bit strings of rows of literals, (h, n)."""
        h, n = rows.shape
        unused = -n % _JOINED
        padded = np.zeros((h, n + unused), np.uint8)
        padded[:, :n] = rows
        pairs = padded.view("<u2")
        codes, lengths = (table.take(pairs) for table in self._pairs)
        joined = codes[:, 1::2].astype(np.uint64)
        joined <<= lengths[:, ::2]
        joined |= codes[:, ::2]
        joined_lengths = lengths[:, ::2] + lengths[:, 1::2]
        ends = joined_lengths.cumsum(dtype=np.int64)
        starts = ends - joined_lengths.ravel()
        bits = _laid_end_to_end(joined.ravel(), starts)
        per_row = padded.shape[1] // _JOINED
        row_ends = ends[per_row - 1 :: per_row] - unused * len(self.literals[0])
        return [bits[start:end] for start, end in zip(starts[::per_row].tolist(), row_ends.tolist(), strict=True)]

    def zeros(self, count: int) -> bytes:
        """Returns the bit string of `count` >= 0 zero bytes."""
        if count == 0:
            return b""
        # A match repeats bytes that are there already, so the first zero is a literal.
        longest, rest = divmod(count - 1, _LONGEST_MATCH)
        last = self._matches[rest - 3] if rest >= 3 else self.literals[0] * rest
        return self.literals[0] + self._longest * longest + last


@functools.cache
def row_codes() -> tuple[tuple[Code, ...], npt.NDArray[np.int64]]:
    """Returns the codes to choose from for a content's rows, and the bits of their literals, int64 (codes, 256)."""
    codes = []
    for spread in _SPREADS:
        literals = [10**12 // (min(value, 256 - value) + spread) ** 3 for value in range(256)]
        total = sum(literals)
        # Rows hold some hundred residuals and two runs of zeros, each of which ends in any one of the length symbols.
        # More weight for runs would help wide canvases and harm narrow ones.
        codes.append(Code([*literals, 1, *[total // 1600] * 28, total // 48]))
    return tuple(codes), np.stack([code.lengths for code in codes])


@functools.cache
def black_code() -> Code:
    """Returns the code of blocks that hold zeros only: one bit for the longest match, one for its distance."""
    weights = [0] * 286
    weights[0] = weights[_END_OF_BLOCK] = 1 << 10
    weights[257:_LONGEST] = [1 << 5] * 28
    weights[_LONGEST] = 1 << 20
    return Code(weights)


def _laid_end_to_end(codes: npt.NDArray[np.uint64], starts: npt.NDArray[np.int64]) -> bytes:
    """Returns the bit string of codes of 1 to 63 bits that begin at these bits: each ends where the next begins."""
    word, shift = starts >> 6, (starts & _WORD - 1).astype(np.uint64)
    last = np.append(np.flatnonzero(word[1:] != word[:-1]), len(word) - 1)  # of the codes that begin in each word
    first = np.append(0, last[:-1] + 1)
    words = np.zeros(len(last) + 1, np.uint64)
    np.bitwise_or.reduceat(codes << shift, first, out=words[:-1])
    # The part of a word's last code that is beyond the word, by two shifts, since one by 64 has no defined result.
    words[1:] |= codes[last] >> np.uint64(1) >> np.uint64(_WORD - 1) - shift[last]
    return np.unpackbits(words.astype("<u8", copy=False).view(np.uint8), bitorder="little").tobytes()
