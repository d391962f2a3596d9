"""The sets as torchvision knows data sets, and the transform that keeps their black black (extra `torch`).

    from qi_datasets.torch import QuadrantImageNet, ZeroBackgroundNormalize
    QuadrantImageNet(root, split="test", border=64, transform=ZeroBackgroundNormalize())

Every item is (PIL image, int). `root` is the folder that `qi-build` wrote, None for the one that it takes by default.
"""

from collections.abc import Callable, Sequence
from operator import index
from pathlib import Path
from typing import Any, ClassVar

from qi_datasets.errors import GeometryError, MissingExtraError, OptionError, UnknownSetError
from qi_datasets.loading import load_dataset
from qi_datasets.registry import nearest
from qi_datasets.specs import CORNER, CROP, PAIRS, QI, QUADRANT, RED_GREEN_SET, ROOK, SHIFT, SHIFTED, SetSpec

try:
    import torch
    from PIL import Image
    from torchvision.datasets import VisionDataset
    from torchvision.transforms.v2 import functional
except ImportError as error:
    raise MissingExtraError(
        f"qi_datasets.torch needs PyTorch and torchvision ({error}); run: python -m pip install 'qi-datasets[torch]'"
    ) from error

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

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


class ZeroBackgroundNormalize(torch.nn.Module):
    """Normalises the patch of a QI image, and leaves everything outside it exactly 0.

    Plain normalisation turns black into -2.1 and paints a visible frame where zero padding begins: see
    cards/specification.md, "Zero background". Put it first among transforms that move pixels: it raises GeometryError
    when something outside the patch is not black, rather than normalise the wrong place.

    mean, std: per channel, of images in [0, 1].
    """

    def __init__(self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD) -> None:
        super().__init__()
        self.mean, self.std = list(mean), list(std)

    def forward(self, image: Any, x: Any = None, y: Any = None) -> torch.Tensor:
        """The normalised image, or batch of images, as float32.

        image: PIL; or a tensor (C, H, W) or (B, C, H, W), uint8 or floating point in [0, 1]. x, y: the patch's
        top-left pixel, an integer or (B,) integers, as in the columns of those names; they may be left out for a PIL
        image with `image.info["patch"]`, such as those of QuadrantImageNet. Returns (C, H, W) or (B, C, H, W). Raises
        OptionError when the place is not told, GeometryError when the image can't have its patch there.
        """
        width = height = QUADRANT.patch
        if x is None and y is None:
            x, y, width, height = place_of(image)
        elif x is None or y is None:
            raise OptionError(f"x and y go together, but x={x!r}, y={y!r}; give both columns of the row")
        tensor = functional.to_image(image) if isinstance(image, Image.Image) else image
        tensor = functional.to_dtype(tensor, torch.float32, scale=True).as_subclass(torch.Tensor)
        images = tensor if tensor.ndim == 4 else tensor[None]
        if images.ndim != 4 or images.shape[1] != len(self.mean):
            raise GeometryError(f"images must be (C, H, W) or (B, C, H, W) with C={len(self.mean)}, not {tensor.shape}")
        result = torch.zeros_like(images)
        for one, normal, left, top in zip(images, result, *places(len(images), x, y), strict=True):
            inside = (slice(None), slice(top, top + height), slice(left, left + width))
            patch = one[inside]
            if min(left, top) < 0 or patch.shape[1:] != (height, width):
                raise GeometryError(
                    f"no patch of {width}x{height} at x={left}, y={top} fits an image of {one.shape[2]}x{one.shape[1]}"
                )
            if torch.count_nonzero(one) != torch.count_nonzero(patch):
                raise GeometryError(
                    f"the image is not black outside its patch at x={left}, y={top}; "
                    "put ZeroBackgroundNormalize before transforms that move pixels or change black"
                )
            normal[inside] = functional.normalize(patch, self.mean, self.std)
        return result if tensor.ndim == 4 else result[0]

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return f"mean={self.mean}, std={self.std}"


def place_of(image: Any) -> tuple[int, int, int, int]:
    """x, y, width and height of the patch, as the image itself tells them; OptionError or GeometryError otherwise."""
    info = getattr(image, "info", {})
    found = info.get("patch")
    if found is None:
        raise OptionError(
            f"{type(image).__name__} without info['patch']: take images of QuadrantImageNet, or give x and y"
        )
    if image.size != info.get("patch_in", image.size):
        raise GeometryError(
            f"info['patch'] is of an image of {info['patch_in']}, not {image.size}; "
            "put ZeroBackgroundNormalize before transforms that resize or crop"
        )
    x, y, width, height = found
    return x, y, width, height


def places(count: int, *axes: Any) -> list[list[int]]:
    """For each axis the integers of `count` images, from one for all or one for each."""
    spread = []
    for axis in map(torch.as_tensor, axes):
        if axis.is_floating_point() or axis.ndim > 1 or axis.numel() not in (1, count):
            raise OptionError(f"x and y must be an integer, or one for each of {count} images, not {axis!r}")
        spread.append(axis.expand(count).tolist())
    return spread
