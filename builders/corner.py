"""`corner`: one white pixel in the first or in the last corner of a black image.

After Kayhan & van Gemert, CVPR 2020 (arXiv 2003.07064), section 3: a 3x3 filter whose only weight is its bottom-right
one never reaches the first pixel without padding k-1; full padding lets every weight see every pixel.
"""

from collections.abc import Iterator

import numpy as np

from qi_datasets.builder import GeneratedSet, Row
from qi_datasets.pixels.geometry import Placed
from qi_datasets.specs import CORNER

WHITE = np.full((1, 1, 1), 255, np.uint8)


class Corner(GeneratedSet):
    """Two rows: the white pixel at (0, 0), and at (size-1, size-1)."""

    spec = CORNER

    def rows(self, split: str) -> Iterator[Row]:
        """Yields the upper left corner with label 0, then the bottom right one with label 1."""
        for label, corner in enumerate((0, self.size - 1)):
            yield Row(Placed(WHITE, corner, corner, self.size, self.size), label)
