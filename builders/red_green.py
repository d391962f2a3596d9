"""`red_green`: is the red box left of the green one? A question about order, whose answer location gives away.

After Kayhan & van Gemert, CVPR 2020 (arXiv 2003.07064), section 4.1. Each label has its own height in the image:
label 0 above, label 1 below. `test_dissimilar` is `test_similar` with the heights exchanged: a network that answers by
height is wrong there, and one that can't read location answers both alike. Unlike the authors' set, no image occurs
twice: all placements of a label are put in one order, and the splits take disjoint stretches of it.
"""

from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import numpy as np

from qi_datasets.builder import GeneratedSet, Row
from qi_datasets.pixels.digests import draw
from qi_datasets.pixels.geometry import whole
from qi_datasets.specs import RED_GREEN, RED_GREEN_SET

RED, GREEN = (255, 0, 0), (0, 255, 0)
DISSIMILAR, SIMILAR = "test_dissimilar", "test_similar"


class Placement(NamedTuple):
    """Top-left pixels of the left and of the right box."""

    lx: int
    ly: int
    rx: int
    ry: int


class RedGreen(GeneratedSet):
    """Rows alternate between the labels: row 2k has label 0, row 2k+1 label 1."""

    spec = RED_GREEN_SET

    def rows(self, split: str) -> Iterator[Row]:
        """Yields each label's part of its order; the dissimilar test moves the similar one's pictures by the shift."""
        for placements in zip(*(placements_of_split(label, split) for label in range(2)), strict=True):
            for label, similar in enumerate(placements):
                move = (RED_GREEN.shift if label == 0 else -RED_GREEN.shift) if split == DISSIMILAR else 0
                placement = similar._replace(ly=similar.ly + move, ry=similar.ry + move)
                image = np.zeros((self.size, self.size, 3), np.uint8)
                left, right = (RED, GREEN) if label == 0 else (GREEN, RED)
                side = RED_GREEN.box
                image[placement.ly : placement.ly + side, placement.lx : placement.lx + side] = left
                image[placement.ry : placement.ry + side, placement.rx : placement.rx + side] = right
                yield Row(whole(image), label, placement._asdict())


def placements_of_split(label: int, split: str) -> list[Placement]:
    """Returns a split's placements from a label's order; both test splits have the same."""
    taken = SIMILAR if split == DISSIMILAR else split
    start = 0
    for name, rows in RED_GREEN_SET.splits.items():
        if name == taken:
            return ordered_placements(label)[start : start + rows // 2]
        start += rows // 2
    raise KeyError(split)


@lru_cache(maxsize=2)
def ordered_placements(label: int) -> list[Placement]:
    """Returns all 11,840 placements of a label, in the order of the digest of their coordinates."""
    heights = [RED_GREEN.centres[label] + offset for offset in RED_GREEN.spread]
    columns = [(lx, rx) for lx in RED_GREEN.left for rx in range(lx + RED_GREEN.gap, RED_GREEN.right_end)]
    placements = [Placement(lx, ly, rx, ry) for (lx, rx), ly, ry in product(columns, heights, heights)]
    return sorted(placements, key=lambda p: draw(f"red_green/{label}/{p.lx},{p.ly},{p.rx},{p.ry}"))
