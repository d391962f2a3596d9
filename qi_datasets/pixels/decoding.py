"""Decodes an image file that is held in memory."""

import io

from PIL import Image


def decoded(data: bytes) -> Image.Image:
    """The image in the bytes of a file, fully decoded, in the file's own mode; raises what Pillow raises."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image
