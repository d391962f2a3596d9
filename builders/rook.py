"""`rook`: the same chess rook, upper left in one image and bottom right in the other.

After Kayhan & van Gemert, CVPR 2020 (arXiv 2003.07064), section 3: a network with one filter distinguishes the images
as soon as its padding lets it see the boundary. The glyph is this project's own drawing.
"""

from collections.abc import Iterator

import numpy as np

from qi_datasets.builder import GeneratedSet, Row
from qi_datasets.pixels.geometry import Placed
from qi_datasets.specs import ROOK

# Bright outline, dim inside: then a filter responds most to the silhouette, which padding crops in one corner.
GLYPH = """
9999..9999..9999
9449..9449..9449
9449999449999449
9444444444444449
9333333333333339
9933333333333399
.93333333333339.
.93333333333339.
.93333333333339.
.93333333333339.
.93333333333339.
9933333333333399
9444444444444449
9444444444444449
9999999999999999
9999999999999999
"""
GREY_PER_DIGIT = 28

UPPER_LEFT, BOTTOM_RIGHT = range(2)


class Rook(GeneratedSet):
    """Two rows: the glyph at the upper left corner, and at the bottom right one."""

    spec = ROOK

    def rows(self, split: str) -> Iterator[Row]:
        """Yields row 0 with the glyph at (0, 0), and row 1 with it in the opposite corner."""
        rook = glyph()
        far = self.size - len(rook)
        for label, corner in ((UPPER_LEFT, 0), (BOTTOM_RIGHT, far)):
            yield Row(Placed(rook, corner, corner, self.size, self.size), label)


def glyph() -> np.ndarray:
    """Returns the rook, (16, 16, 1) uint8: digits of the drawing times 28, dots black; it touches all four sides."""
    digits = [[0 if mark == "." else int(mark) for mark in line] for line in GLYPH.split()]
    return (np.array(digits) * GREY_PER_DIGIT).astype(np.uint8)[:, :, None]
