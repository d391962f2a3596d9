"""`qi-build` with every image written by Pillow: `python -m tests.benchmarks.plain_png ARGUMENTS OF qi-build`."""

import io

import numpy as np
from PIL import Image

from qi_datasets.building import encoding
from qi_datasets.commands.build import main
from qi_datasets.pixels.geometry import Pixels, Placed


class PillowEncoder:
    """Does what `PatchEncoder` does, by drawing the whole image and saving it."""

    def __init__(self, content: Pixels) -> None:
        self.content = content

    def png(self, y: int, x: int, height: int, width: int) -> bytes:
        """Returns the PNG file."""
        pixels = Placed(self.content, y, x, height, width).pixels()
        file = io.BytesIO()
        Image.fromarray(np.squeeze(pixels)).save(file, "PNG")
        return file.getvalue()


encoding.PatchEncoder = PillowEncoder  # type: ignore[misc, assignment]
main()
