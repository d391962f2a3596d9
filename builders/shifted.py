"""`shifted`: photographs with room to move, for measuring what a shift by a few pixels does to a model's answers.

After the protocols of Zhang (ICML 2019, arXiv 1904.11486) and of Kayhan & van Gemert (CVPR 2020, arXiv 2003.07064),
section 4.2. A row stores one square photograph, larger than what a model sees. The views that a model is shown are cut
from it when they are read: windows that move over it, and pairs of windows whose two answers should agree
(cards/specification.md, "shifted").
"""

from collections.abc import Iterator

import numpy as np
from PIL import Image

from qi_datasets.builder import ImageSet, Row
from qi_datasets.imagenet import label_of
from qi_datasets.pixels.contact_sheet import Strip
from qi_datasets.pixels.digests import draw
from qi_datasets.pixels.geometry import SHIFTS, Pixels, central_square, whole
from qi_datasets.specs import SHIFT, SHIFTED, SHIFTED_GEOMETRY

WHOLE_SIDE = 1.0
PICTURED = (SHIFT.low, SHIFT.low // 2, SHIFT.default, SHIFT.high // 2, SHIFT.high)


class Shifted(ImageSet):
    """One row a source."""

    spec = SHIFTED

    def patch(self, image: Image.Image) -> Pixels:
        """Returns the largest centred square, scaled to the base in one antialiased step."""
        return central_square(image, WHOLE_SIDE, SHIFTED_GEOMETRY.base)

    def rows(self, patch: Pixels, source: str, wnid: str) -> Iterator[Row]:
        """Yields the base; its label is the synset's index among ImageNet's 1000, -1 if that is not known."""
        columns = {
            "source": source,
            "wnid": wnid,
            "pairs": [window_pair(source, k) for k in range(SHIFTED_GEOMETRY.pairs)],
        }
        yield Row(whole(patch), label_of(wnid), columns)

    def pictures(self, first: Image.Image) -> dict[str, list[Strip]]:
        """Returns one photograph in the three modes, at five shifts."""
        base = np.asarray(first)
        captions = [f"shift {shift}" for shift in PICTURED]
        strips = []
        for mode, moved in SHIFTS.items():
            views = [Image.fromarray(moved(base, shift, SHIFTED_GEOMETRY.view)) for shift in PICTURED]
            strips.append(Strip(mode, views, captions))
        return {"modes.png": strips}


def window_pair(source: str, k: int) -> list[int]:
    """Returns pair `k` of a source: [y0, x0, y1, x1], the top-left pixels of its two windows."""
    words = np.frombuffer(draw(f"pair/{source}/{k}"), ">u2")[:4]
    return [int(word) % (SHIFTED_GEOMETRY.slack + 1) for word in words]
