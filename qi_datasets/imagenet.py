"""The 1000 classes of ImageNet-1k: their synsets ("wnids"), sorted, as every model zoo numbers them."""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import overload

UNKNOWN = -1
"""The label of an image whose synset is not known, or not among the 1000."""


@cache
def wnids() -> tuple[str, ...]:
    """The 1000 synsets in sorted order; the list is read when it is first asked for."""
    return tuple(files("qi_datasets").joinpath("imagenet_wnids.txt").read_text(encoding="ascii").split())


@cache
def labels_by_wnid() -> Mapping[str, int]:
    """Synset -> its place among the sorted 1000."""
    return {wnid: label for label, wnid in enumerate(wnids())}


def label_of(wnid: str) -> int:
    """The label, 0 to 999, of a synset such as "n01440764"; -1 for any other string, "" among them."""
    return labels_by_wnid().get(wnid, UNKNOWN)


class Wnids(Sequence[str]):
    """`wnids()` as a sequence for the spec table, which reads no file when it is imported."""

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...

    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        return wnids()[index]

    def __len__(self) -> int:
        return len(wnids())

    def __repr__(self) -> str:
        return "Wnids()"
