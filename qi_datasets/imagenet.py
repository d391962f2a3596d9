"""ImageNet's names: the ids of its images, the 1000 synsets ("wnids") of ImageNet-1k, and the class of each image.

`imagenet_val_classes.bin` holds the class, 0 to 999 in the order of the sorted synsets, of every validation image from
1 to 50,000: ten bits each, the most significant bit first, one after another.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_UNKNOWN = -1
"""The label of an image whose synset is not known, or not among the 1000."""

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and deviation of its pixels, by channel, in [0, 1]: the usual normalisation of networks trained on it."""

WNID = re.compile(r"n\d{8}", re.ASCII)
_VAL_PREFIX = "ILSVRC2012_val_"
_VAL_ID = re.compile(rf"{_VAL_PREFIX}\d{{8}}", re.ASCII)

_USUAL = f"{_VAL_PREFIX}00000000.JPEG\0"
_DIGITS = slice(len(_VAL_PREFIX), len(_VAL_PREFIX) + 8)
"""A file name in ImageNet's form, followed by a null byte, and the position of its digits."""

_CLASS_BITS = 10
"""Bits of each class in the packed table."""


@cache
def wnids() -> tuple[str, ...]:
    """Returns the 1000 synsets in sorted order."""
    return tuple(Path(__file__).with_name("imagenet_wnids.txt").read_text(encoding="ascii").split())


@cache
def _labels_by_wnid() -> Mapping[str, int]:
    """Returns synset -> its index among the sorted 1000."""
    return {wnid: label for label, wnid in enumerate(wnids())}


def label_of(wnid: str) -> int:
    """Returns the label, 0 to 999, of a synset such as "n01440764"; -1 for any other string, "" among them."""
    return _labels_by_wnid().get(wnid, _UNKNOWN)


@dataclass(frozen=True)
class ImageCollection:
    """Images that were published together, under names that identify them.

    Attributes:
        title: The collection's name.
        images: Number of its images.
        file: Pattern of its files' names; the group `id` is the image's id, `wnid` the synset if the name has
            it.
        wnid: Returns the synset of an image by its name in a source, "" if the collection has no such image.
    """

    title: str
    images: int
    file: re.Pattern[str]
    wnid: Callable[[str], str]

    def __str__(self) -> str:
        return self.title

    def named(self, file: str) -> tuple[str, str] | None:
        """Returns the id and the synset ("" if the name has none) in a file's name; None for other names."""
        match = self.file.fullmatch(file)
        return None if match is None else (match["id"], match["wnid"] or "")


class _Validation(ImageCollection):
    """ImageNet's validation images, whose files are found in upper or lower case."""

    def named(self, file: str) -> tuple[str, str] | None:
        """Does the same as `ImageCollection.named`; an id gets ImageNet's case."""
        # Names nearly always have ImageNet's form, and there may be 50,000 of them.
        if file[23:] == ".JPEG" and file[:15] == _VAL_PREFIX and file[15:23].isdigit() and file.isascii():
            return file[:23], ""
        match = self.file.fullmatch(file)
        return None if match is None else (_VAL_PREFIX + match["id"][15:], (match["wnid"] or "").lower())


@cache
def _val_labels() -> "npt.NDArray[np.int64]":
    """Returns the class, 0 to 999, of the validation images 1 to 50,000, in their order."""
    import numpy as np

    packed = np.frombuffer(Path(__file__).with_name("imagenet_val_classes.bin").read_bytes(), np.uint8)
    weights = 1 << np.arange(_CLASS_BITS)[::-1]
    return np.unpackbits(packed).reshape(-1, _CLASS_BITS) @ weights


def val_name(number: int) -> str:
    """Returns the id of ImageNet's validation image `number`, 1 to 50,000: "ILSVRC2012_val_00000293"."""
    return f"ILSVRC2012_val_{number:08d}"


def val_digits(name: str) -> str:
    """Returns the eight digits of a validation image's id: "00000293"."""
    return name[-8:]


def val_number(name: object) -> int:
    """Returns the number, 1 to 50,000, of the validation image with that id; 0 for anything else."""
    number = int(val_digits(name)) if isinstance(name, str) and _VAL_ID.fullmatch(name) else 0
    return number if number <= IMAGENET_VAL.images else 0


def val_wnid(name: str) -> str:
    """Returns the synset of the validation image with that id; "" for any other string, and beyond 1 to 50,000."""
    number = val_number(name)
    return wnids()[_val_labels()[number - 1]] if number else ""


def numbers_in(files: str) -> "npt.NDArray[np.int64] | None":
    """Returns the numbers, 1 to 50,000, of validation images whose files have ImageNet's names.

    There may be 50,000 names, so all are read at once: one by one would take five times as long as listing them.

    Args:
        files: Names, each followed by a null byte.

    Returns:
        A number for each name; None if one of them is another name, or there are none.
    """
    import numpy as np

    width = len(_USUAL)
    if len(files) % width or len(files) < width or not files.isascii():
        return None
    found, usual = (np.frombuffer(text.encode("ascii"), np.uint8).reshape(-1, width) for text in (files, _USUAL))
    above = found - usual  # Characters below "0" wrap around to values above nine.
    largest = np.zeros(width, np.uint8)
    largest[_DIGITS] = 9
    if (above > largest).any():
        return None
    numbers = above[:, _DIGITS] @ 10 ** np.arange(8)[::-1]
    return numbers if numbers.min() > 0 and numbers.max() <= IMAGENET_VAL.images else None


def are_labelled(numbers: "npt.NDArray[np.int64]", labels: "npt.NDArray[np.int64]") -> bool:
    """Returns whether the validation images of these numbers, 1 to 50,000, have these labels."""
    return bool((_val_labels()[numbers - 1] == labels).all())


def _train_wnid(name: str) -> str:
    """Returns the synset of a training image, whose path ends like n01440764/n01440764_10026.JPEG."""
    return name.rpartition("/")[2].partition("_")[0]


IMAGENET_VAL = _Validation(
    "ImageNet val",
    50_000,
    # The Hub's copy appends the synset.
    re.compile(rf"(?P<id>{_VAL_ID.pattern})(?:_(?P<wnid>{WNID.pattern}))?\.(?:jpe?g|png)", re.ASCII | re.IGNORECASE),
    val_wnid,
)

IMAGENET_TRAIN = ImageCollection(
    "ImageNet train",
    1_281_167,
    re.compile(rf"(?P<id>(?P<wnid>{WNID.pattern})_\d+)\.[Jj][Pp][Ee]?[Gg]", re.ASCII),
    _train_wnid,
)
