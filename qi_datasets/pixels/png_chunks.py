"""Checks that PNG files hold nothing but pixels: no orientation, transparency, animation, text, or bytes at the end.

Decoders treat such additions differently (PNG sections 11.2 and 11.3), so the same file would be several
pictures.
"""

import struct
import zlib

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {"L": 0, "RGB": 2}
_CHUNKS = (b"IHDR", b"IDAT", b"IEND")
_FRAME = 12  # length, type and CRC of a chunk


def addition(data: bytes, mode: str) -> str:
    """Returns a description of what a PNG file has beside 8-bit pixels of this mode ("L" or "RGB"); "" if nothing."""
    if not data.startswith(_SIGNATURE):
        return "another signature"
    place = len(_SIGNATURE)
    kinds: list[bytes] = []
    while place + _FRAME <= len(data) and kinds[-1:] != [b"IEND"]:
        length, kind = struct.unpack_from(">I4s", data, place)
        end = place + _FRAME + length
        if end > len(data) or zlib.crc32(data[place + 4 : end - 4]) != int.from_bytes(data[end - 4 : end]):
            return "a chunk that is cut off or damaged"
        if kind not in _CHUNKS:
            return f"a chunk {kind.decode('ascii', 'replace')}"
        kinds.append(kind)
        place = end
    if kinds != [b"IHDR", *[b"IDAT"] * (len(kinds) - 2), b"IEND"] or len(kinds) < len(_CHUNKS):
        return "chunks in another order"
    if place != len(data):
        return f"{len(data) - place} bytes after its end"
    plain = bytes([8, _COLOUR_TYPES[mode], 0, 0, 0])  # depth, colour type, compression, filter, interlace
    return "" if data[24:29] == plain else f"pixels that are stored otherwise than as {mode} of 8 bits, row by row"
