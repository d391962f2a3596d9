"""Decodes an image file that is held in memory."""

import io
import logging

from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
"""What Pillow may take a file for: for others it calls programs, or decoders that hardly anybody tests."""

MOST_PIXELS = 100_000_000
"""An image of more is not decoded: it would take gigabytes."""


# Pillow logs some damage before it raises; without a handler that becomes a line of its own on standard error.
logging.getLogger("PIL").addHandler(logging.NullHandler())


class TooManyPixelsError(ValueError):
    """An image of more than `MOST_PIXELS` pixels."""

    def __init__(self, size: tuple[int, int] | None = None) -> None:
        found = f"{size[0]} x {size[1]} pixels are" if size else "its pixels are"
        super().__init__(f"{found} more than the {MOST_PIXELS // 1_000_000} million that an image may have")


def decoded(data: bytes) -> Image.Image:
    """The image in the bytes of a file, fully decoded, in the file's own mode.

    Raises TooManyPixelsError for a huge one, and whatever Pillow raises.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise TooManyPixelsError from error
    if image.width * image.height > MOST_PIXELS:
        raise TooManyPixelsError(image.size)
    image.load()
    return image
