"""Reads one thing from MATLAB files: the table of synsets in `meta.mat` of the ILSVRC2012 development kit.

After "MAT-File Format", MathWorks, version 5: a header, then elements of a tag (type, size) and data. An array is an
element of elements: flags, dimensions, name, then its content; a struct array lists its field names, and then every
field of its first item, of its second, and so on.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

HEADER = 128
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
MATRIX, COMPRESSED = 14, 15
STRUCT_CLASS = 2

TABLE, ID, WNID_FIELD = "synsets", "ILSVRC2012_ID", "WNID"

LARGEST = 1 << 26
"""More bytes than this a kit's table never has; a damaged or hostile file may claim or unpack to more."""


class Element(NamedTuple):
    """One element: its type's number, and its data."""

    kind: int
    data: bytes


def synsets_by_id(meta: bytes) -> dict[int, str]:
    """The kit's number -> synset, from the bytes of `meta.mat`; ValueError when they hold no such table."""
    order = {b"IM": "<", b"MI": ">"}.get(meta[HEADER - 2 : HEADER])
    if order is None:
        raise ValueError("no MATLAB file of version 5")
    try:
        for element in elements(meta[HEADER:], order):
            array = unpacked(element, order)
            if array.kind == MATRIX and array_name(array, order) == TABLE:
                return dict(rows(array, order))
    except (struct.error, zlib.error, UnicodeDecodeError, IndexError, StopIteration, KeyError, TypeError) as error:
        raise ValueError(f"damaged: {error!r}") from error
    raise ValueError(f"no table {TABLE}")


def elements(data: bytes, order: str) -> Iterator[Element]:
    """The elements that `data` consists of."""
    at = 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from(f"{order}II", data, at)
        if kind >> 16:
            # Up to four bytes share the tag with their type and size.
            kind, size = kind & 0xFFFF, kind >> 16
            start, following = at + 4, at + 8
        else:
            start = at + 8
            # Compressed elements are not padded, all others are, to 8 bytes.
            following = start + (size if kind == COMPRESSED else -(-size // 8) * 8)
        if start + size > len(data):
            raise ValueError("cut off")
        yield Element(kind, data[start : start + size])
        at = following


def unpacked(element: Element, order: str) -> Element:
    """The element itself, or what is compressed in it."""
    if element.kind != COMPRESSED:
        return element
    return next(elements(zlib.decompressobj().decompress(element.data, LARGEST), order))


def array_name(array: Element, order: str) -> str:
    """The name of an array."""
    parts = elements(array.data, order)
    next(parts), next(parts)
    return next(parts).data.decode("ascii")


def rows(table: Element, order: str) -> Iterator[tuple[int, str]]:
    """Number and synset of each item of the struct array."""
    flags, dimensions, _, name_length, names, *values = elements(table.data, order)
    if flags.data[0 if order == "<" else 3] != STRUCT_CLASS:
        raise ValueError(f"{TABLE} is no struct array")
    width = struct.unpack(f"{order}i", name_length.data)[0]
    fields = [names.data[at : at + width].split(b"\0")[0].decode("ascii") for at in range(0, len(names.data), width)]
    count = int(np.prod(np.frombuffer(dimensions.data, f"{order}i4")))
    if len(values) != count * len(fields):
        raise ValueError(f"{TABLE} has {len(values)} values in {count} rows of {len(fields)}")
    number, wnid = fields.index(ID), fields.index(WNID_FIELD)
    for start in range(0, len(values), len(fields)):
        yield int(scalar(values[start + number], order)), text(values[start + wnid], order)


def content(array: Element, order: str) -> Element:
    """What a number's or a text's array holds."""
    *_, last = elements(array.data, order)
    return last


def scalar(array: Element, order: str) -> float:
    """The number in an array of one."""
    found = content(array, order)
    return float(np.frombuffer(found.data, order + NUMBERS[found.kind])[0])


def text(array: Element, order: str) -> str:
    """The text in an array of characters."""
    found = content(array, order)
    endian = {"<": "-le", ">": "-be"}[order] if TEXTS[found.kind].startswith(("utf-16", "utf-32")) else ""
    return found.data.decode(TEXTS[found.kind] + endian)
