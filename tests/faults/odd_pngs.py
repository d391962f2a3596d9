"""PNG files of the same pixels, or seemingly so, which some loader shows differently."""

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin


def chunk(kind: bytes, data: bytes) -> bytes:
    """Returns a PNG chunk with its right checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def in_png(kind: bytes, data: bytes, before: bytes = b"IDAT") -> Callable[[bytes], bytes]:
    """Puts a chunk into a PNG file, before the first one of another kind."""

    def spoil(png: bytes) -> bytes:
        at = png.index(before) - 4
        return png[:at] + chunk(kind, data) + png[at:]

    return spoil


def sideways(png: bytes) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 3
    return in_png(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))(png)


def saved(**options: Any) -> Callable[[bytes], bytes]:
    """Returns the same pixels, saved by Pillow with these options."""

    def spoil(png: bytes) -> bytes:
        file = io.BytesIO()
        Image.open(io.BytesIO(png)).save(file, "PNG", **options)
        return file.getvalue()

    return spoil


def animated(png: bytes) -> bytes:
    first = Image.open(io.BytesIO(png))
    file = io.BytesIO()
    first.save(file, "PNG", save_all=True, append_images=[Image.new(first.mode, first.size, 255)], default_image=True)
    return file.getvalue()


def text(png: bytes) -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "upper_left")
    return saved(pnginfo=info)(png)


def of_16_bits(png: bytes) -> bytes:
    """Returns grey levels whose high bytes are the right ones: Pillow shows these, other decoders scale."""
    levels = np.asarray(Image.open(io.BytesIO(png)))
    height, width, channels = levels.shape
    rows = np.zeros((height, 1 + width * channels * 2), np.uint8)
    rows[:, 1::2] = levels.reshape(height, -1)
    rows[:, 2::2] = 200
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows.tobytes()))
        + chunk(b"IEND", b"")
    )


ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def interlaced(png: bytes) -> bytes:
    """Returns the same pixels in seven passes."""
    levels = np.asarray(Image.open(io.BytesIO(png)))
    height, width, _ = levels.shape
    passes = [levels[y::dy, x::dx] for x, y, dx, dy in ADAM7]
    rows = b"".join(b"\0" + row.tobytes() for part in passes for row in part)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def of_a_palette(png: bytes) -> bytes:
    file = io.BytesIO()
    Image.open(io.BytesIO(png)).quantize(256).save(file, "PNG")
    return file.getvalue()
