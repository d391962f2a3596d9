"""Decodes an image file that is held in memory."""

import io
import logging

from PIL import Image, features

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
"""The formats that Pillow may read: for others it calls programs, or decoders that are little tested."""

MOST_PIXELS = 100_000_000
"""An image of more is not decoded: it would take gigabytes."""


# Pillow logs some damage before it raises; without a handler that becomes a line of its own on standard error.
logging.getLogger("PIL").addHandler(logging.NullHandler())


USUAL_DECODER = "libjpeg-turbo"
"""The library behind every wheel of Pillow since 9; all of its versions give the same pixels."""


def jpeg_decoder() -> tuple[str, str]:
    """Returns the name and the version of the library with which Pillow decodes JPEG files."""
    turbo = bool(features.check("libjpeg_turbo"))
    return USUAL_DECODER if turbo else "libjpeg", features.version("libjpeg_turbo" if turbo else "jpg") or "unknown"


def decoder_warning() -> str:
    """Returns a line on a decoder that gives other pixels than the usual one, "" for the usual one."""
    name, version = jpeg_decoder()
    if name == USUAL_DECODER:
        return ""
    return (
        f"Pillow decodes JPEG with {name} {version} here, not {USUAL_DECODER}: pixels will differ from the official "
        "ones, by up to 9 levels in a patch; install Pillow's own wheel (pip install --force-reinstall pillow)"
    )


class TooManyPixelsError(ValueError):
    """An image of more than `MOST_PIXELS` pixels."""

    def __init__(self, size: tuple[int, int] | None = None) -> None:
        found = f"{size[0]} x {size[1]} pixels are" if size else "its pixels are"
        super().__init__(f"{found} more than the {MOST_PIXELS // 1_000_000} million that an image may have")


def decode_file(data: bytes) -> Image.Image:
    """Returns the image in the bytes of a file, fully decoded, in the file's own mode.

    Raises:
        TooManyPixelsError: For a huge one; further errors are Pillow's.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise TooManyPixelsError from error
    if image.width * image.height > MOST_PIXELS:
        raise TooManyPixelsError(image.size)
    image.load()
    return image
