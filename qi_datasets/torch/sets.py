"""The sets as torchvision knows data sets: one class per set, (PIL image, int) per item."""

from collections.abc import Callable
from operator import index
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image
from torchvision.datasets import VisionDataset

from qi_datasets.errors import OptionError, UnknownSetError
from qi_datasets.loading.load import load_dataset
from qi_datasets.registry import nearest
from qi_datasets.set_spec import SetSpec
from qi_datasets.specs import CORNER, CROP, PAIRS, QI, QUADRANT, RED_GREEN_SET, ROOK, SHIFT, SHIFTED

Transform = Callable[[Any], Any]
Root = str | Path | None


class StoredSet(VisionDataset):  # type: ignore[misc]
    """One split of a set: what the classes below share.

    `rows` is the `datasets.Dataset` behind it, `classes` the names of the labels. Raises what `load_dataset` raises.
    """

    spec: ClassVar[SetSpec]
    columns: ClassVar[tuple[str, ...]] = ("image", "label")

    def __init__(
        self, root: Root, split: str, transform: Transform | None, target_transform: Transform | None, **options: Any
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        if split not in self.spec.splits:
            hint = nearest(split, dict.fromkeys(self.spec.splits))
            raise UnknownSetError(
                f"{self.spec.name} has no split {split!r}{hint}; there are {', '.join(self.spec.splits)}"
            )
        self.split = split
        self.options = {name: value for name, value in options.items() if value is not None}
        loaded = load_dataset(self.spec.name, split=split, output=root, **self.options)
        self.rows = loaded.select_columns(list(self.columns))
        self.classes = list(self.spec.labels)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index_: int) -> tuple[Any, Any]:
        """Image and label of a row, transformed; a label of -1 is unknown. IndexError beyond the last row."""
        row = self.rows[index(index_)]
        image, label = self.picture(row), row["label"]
        if self.transforms is not None:
            image, label = self.transforms(image, label)
        return image, label

    def picture(self, row: dict[str, Any]) -> Image.Image:
        """The image of a row."""
        image: Image.Image = row["image"]
        return image

    def extra_repr(self) -> str:
        """What torchvision's representation adds for this set."""
        facts = {"split": self.split, **self.options}
        return "\n".join(f"{name.capitalize()}: {value}" for name, value in facts.items())


class QuadrantImageNet(StoredSet):
    """`qi`: each item's `image.info["patch"]` is (x, y, width, height) of its patch, for `ZeroBackgroundNormalize`.

    `image.info["patch_in"]` is the size of that image, since Pillow keeps `info` when it resizes or crops.

    split: "train", "validation" or "test". border: pixels per side, any integer from 0 to 4096. canvas: the side of
    the template that was built, if it is not the official one.
    """

    spec = QI
    columns = ("image", "label", "x", "y")

    def __init__(
        self,
        root: Root = None,
        split: str = "train",
        border: int = 0,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        *,
        canvas: int | None = None,
    ) -> None:
        super().__init__(root, split, transform, target_transform, border=border, canvas=canvas)

    def picture(self, row: dict[str, Any]) -> Image.Image:
        """The image of a row, which knows where its patch is."""
        image = super().picture(row)
        image.info |= {"patch": (row["x"], row["y"], QUADRANT.patch, QUADRANT.patch), "patch_in": image.size}
        return image


class ShiftedImageNet(StoredSet):
    """`shifted`, seen in a mode ("crop", "zero" or "circular") and moved by `shift` pixels, -32 to 32.

    mode=None gives the stored images, which have room to move. Pairs are two images a row: they are for `load_dataset`.
    """

    spec = SHIFTED

    def __init__(
        self,
        root: Root = None,
        mode: str | None = CROP,
        shift: int | None = None,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
    ) -> None:
        if mode == PAIRS:
            raise OptionError(f'pairs have two images a row; use load_dataset("{self.spec.name}", mode="{PAIRS}")')
        if mode is not None and shift is None:
            shift = SHIFT.default
        (split,) = self.spec.splits
        super().__init__(root, split, transform, target_transform, mode=mode, shift=shift)


class Rook(StoredSet):
    """`rook`, made on first use. border: pixels per side."""

    spec = ROOK

    def __init__(
        self,
        root: Root = None,
        border: int = 0,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
    ) -> None:
        super().__init__(root, "train", transform, target_transform, border=border)


class Corner(StoredSet):
    """`corner`, made on first use. size: side in pixels, 3 to 1024."""

    spec = CORNER

    def __init__(
        self,
        root: Root = None,
        size: int | None = None,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
    ) -> None:
        super().__init__(root, "train", transform, target_transform, size=size)


class RedGreen(StoredSet):
    """`red_green`, made on first use. split: "train", "validation", "test_similar" or "test_dissimilar"."""

    spec = RED_GREEN_SET

    def __init__(
        self,
        root: Root = None,
        split: str = "train",
        transform: Transform | None = None,
        target_transform: Transform | None = None,
    ) -> None:
        super().__init__(root, split, transform, target_transform)
