"""`qi`, Quadrant ImageNet: the same photo in the upper left and in the bottom right corner of a black canvas.

After Kayhan & van Gemert, CVPR 2020 (arXiv 2003.07064), section 3.2. Both images show the same patch, so only its
position differs; black borders around the canvas decide from how far a network can still read it. The canvas
makes the displacement a multiple of every usual total stride: location can be read through the boundary only, never
through the phase at which a strided network samples (cards/specification.md, "qi").
"""

from collections.abc import Iterator

from PIL import Image

from qi_datasets.builder import ImageSet, Row
from qi_datasets.pixels.geometry import Pixels, Placed, central_square
from qi_datasets.specs import QI, QUADRANT


class Quadrant(ImageSet):
    """Two rows a source: row 2k has its patch upper left, row 2k+1 bottom right."""

    spec = QI

    def patch(self, image: Image.Image) -> Pixels:
        """Returns ImageNet's usual central crop, scaled to the patch in one antialiased step."""
        return central_square(image, QUADRANT.crop, QUADRANT.patch)

    def rows(self, patch: Pixels, source: str, wnid: str) -> Iterator[Row]:
        """Yields the patch in the two corners of the canvas; `x`, `y` are its top-left pixel."""
        for label, corner in enumerate((0, self.size - QUADRANT.patch)):
            columns = {"source": source, "wnid": wnid, "x": corner, "y": corner, "border": 0}
            yield Row(Placed(patch, corner, corner, self.size, self.size), label, columns)
