"""`subset`: nested lists of ImageNet's training images, so that networks can be trained on the same little data.

After Kayhan & van Gemert, CVPR 2020 (arXiv 2003.07064), section 4: trained on fewer images a class, full convolution
gains the more. The lists hold names, and no pixels. The images of a class are put in one order, by the digest of their
names; the first 50, 100, 250 or 500 are a list, so that each holds those before it (cards/specification.md, "subset").
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from qi_datasets.imagenet import label_of
from qi_datasets.pixels.digests import draw


class ListedImage(NamedTuple):
    """One training image: its name (`n01440764_10026`), synset, label, and place among those of its class, from 0."""

    name: str
    wnid: str
    label: int
    rank: int


def sort_by_digest(names: Iterable[str]) -> Iterator[ListedImage]:
    """Yields training images class after class, in each by the digest of the name."""
    classes: dict[str, list[str]] = {}
    for name in names:
        classes.setdefault(name.partition("_")[0], []).append(name)
    for wnid in sorted(classes):
        members = sorted(classes[wnid], key=lambda name: draw(f"subset/{name}"))
        label = label_of(wnid)
        yield from (ListedImage(name, wnid, label, rank) for rank, name in enumerate(members))
