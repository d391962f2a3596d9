"""Decodes an image file that is in memory."""

import io
import logging

from PIL import Image, features

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
"""The formats that Pillow may read; for others it starts programs, or uses decoders that are little tested."""

MOST_PIXELS = 100_000_000
"""The largest number of pixels of an image: a larger one would take gigabytes."""


# Pillow logs some damage before it raises; without a handler the log would go to standard error.
logging.getLogger("PIL").addHandler(logging.NullHandler())


USUAL_DECODER = "libjpeg-turbo"
"""The library behind every wheel of Pillow since 9; all of its versions give the same pixels."""


def jpeg_decoder() -> tuple[str, str]:
    """Returns the name and the version of the library that decodes JPEG files for Pillow."""
    turbo = bool(features.check("libjpeg_turbo"))
    return USUAL_DECODER if turbo else "libjpeg", features.version("libjpeg_turbo" if turbo else "jpg") or "unknown"


def decoder_warning() -> str:
    """Returns a warning about a decoder that gives other pixels than the usual one; "" for the usual one."""
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
        TooManyPixelsError: If it is huge; further errors are Pillow's.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise TooManyPixelsError from error
    if image.width * image.height > MOST_PIXELS:
        raise TooManyPixelsError(image.size)
    image.load()
    return image
