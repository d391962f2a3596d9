"""Finds the patch of a QI image in images of any kind, and applies transforms to the patch alone."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision import tv_tensors

from qi_datasets.errors import OptionError
from qi_datasets.specs import QUADRANT

Transform: TypeAlias = Callable[..., object]
"""Changes an image or a label."""

Picture: TypeAlias = Image.Image | torch.Tensor
"""A PIL image, or a tensor (C, H, W)."""

Coordinate: TypeAlias = int | Sequence[int] | torch.Tensor | NDArray[np.integer] | None
"""Row or column of a patch's first pixel: one for all images, or one for each; None if the images have it."""

INFO = "patch"
"""Key of a PIL image's `info` with its patch: (x, y, width, height) in pixels."""

INFO_SIZE = "patch_in"
"""Key of `info` with the size (w, h) of the image that the patch is in, since Pillow keeps `info` on resizing."""


class Patch(NamedTuple):
    """A patch in an image of a size (w, h): its top-left pixel, width and height."""

    x: int
    y: int
    width: int
    height: int
    within: tuple[int, int] | None = None

    @property
    def inside(self) -> tuple[slice, slice, slice]:
        """Its pixels in a tensor (C, H, W)."""
        return slice(None), slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)


_CURRENT: ContextVar[Patch | None] = ContextVar("patch", default=None)


@contextmanager
def transforming(patch: Patch) -> Iterator[None]:
    """Sets the patch of images without one of their own in the block: tensors have no `info`."""
    token = _CURRENT.set(patch)
    try:
        yield
    finally:
        _CURRENT.reset(token)


class PatchTransform(torch.nn.Module):
    """Base of transforms of QI images that use the position of the patch."""

    def forward(self, image: Any, x: Coordinate = None, y: Coordinate = None) -> Any:
        """Returns the transformed image, images, batch, or row.

        Args:
            image: PIL; or a tensor (C, H, W), or (B, C, H, W) with `x` and `y`; or a list of these; or a mapping,
                such as a row, or a batch of `padded_batches` or `set_transform`, whose `image`, `x` and `y` are used.
            x: The patch's top-left pixel, an integer or one for each image, as in the columns of those names. They
                may be left out for images of QuadrantImageNet, and in its `transform`.
            y: The patch's top-left pixel, an integer or one for each image, as in the columns of those names. They
                may be left out for images of QuadrantImageNet, and in its `transform`.

        Raises:
            OptionError: If the patch's position is not known, or not inside the image.
        """
        if isinstance(image, Mapping):
            if x is not None or y is not None:
                raise OptionError(
                    "a row has its own x and y; give either the row, or an image with x and y", code="contradiction"
                )
            return {**image, "image": self(image["image"], image.get("x"), image.get("y"))}
        if (x is None) != (y is None):
            raise OptionError(
                f"x and y go together, but x={x!r}, y={y!r}; give both columns of the row", code="contradiction"
            )
        if isinstance(image, list | tuple):
            return [self.one(each, patch) for each, patch in zip(image, patches(image, x, y), strict=True)]
        if isinstance(image, torch.Tensor) and image.ndim == 4:
            return self.many(image, patches(image, x, y))
        return self.one(image, *patches([image], x, y))

    def one(self, image: Picture, patch: Patch) -> Picture:
        """Returns the transformed image: PIL or a tensor (C, H, W)."""
        raise NotImplementedError

    def many(self, images: torch.Tensor, patches: Sequence[Patch]) -> torch.Tensor:
        """Returns the transformed images: (B, C, H, W)."""
        if not len(images):
            return images
        made = [cast("torch.Tensor", self.one(image, patch)) for image, patch in zip(images, patches, strict=True)]
        return torch.stack(made)


class OnPatch(PatchTransform):
    """Applies a transform to the patch of a QI image, and keeps the black around it.

    Use it for transforms of colour: brightness or contrast of a whole image lift its black, which then shows every
    network where the image ends. A transform that moves pixels stays inside the patch, so that the label holds.

    transform: takes the patch, 56x56, as an image of the same kind as the whole, and returns one of the same size.
    """

    def __init__(self, transform: Transform) -> None:
        super().__init__()
        self.transform = transform

    def one(self, image: Picture, patch: Patch) -> Picture:
        """Returns the image, with its patch transformed."""
        if isinstance(image, Image.Image):
            cut = image.crop((patch.x, patch.y, patch.x + patch.width, patch.y + patch.height))
            part = self.transform(cut)
            if not isinstance(part, Image.Image) or (part.size, part.mode) != (cut.size, cut.mode):
                raise OptionError(
                    f"OnPatch needs a transform that keeps an image's size and mode, not {self.transform}"
                )
            result = image.copy()
            result.paste(part, (patch.x, patch.y))
            return result
        before = image[patch.inside]
        if isinstance(image, tv_tensors.Image):
            before = tv_tensors.wrap(before, like=image)
        part = self.transform(before)
        if not isinstance(part, torch.Tensor) or (part.shape, part.dtype) != (before.shape, before.dtype):
            raise OptionError(
                f"OnPatch needs a transform that keeps an image's shape and dtype, not {self.transform}",
                code="bad-shape",
            )
        tensor = image.as_subclass(torch.Tensor).clone()
        tensor[patch.inside] = part.as_subclass(torch.Tensor)
        return tv_tensors.wrap(tensor, like=image) if isinstance(image, tv_tensors.Image) else tensor

    def extra_repr(self) -> str:
        """Returns the transform, for `repr`, unless it is a module, which torch shows itself."""
        return "" if isinstance(self.transform, torch.nn.Module) else f"{self.transform}"


def patches(images: Sequence[Picture] | torch.Tensor, x: Coordinate, y: Coordinate) -> list[Patch]:
    """Returns the patch of each image, after checking that it is inside."""
    if x is None:
        found = [find_patch(image) for image in images]
    else:
        side = QUADRANT.patch
        found = [Patch(left, top, side, side) for left, top in zip(*integers(len(images), x, y), strict=True)]
    for image, patch in zip(images, found, strict=True):
        width, height = _size_of(image)
        if patch.within not in (None, (width, height)):
            raise OptionError(
                f"the patch is known for an image of {patch.within}, not of {(width, height)}; "
                "put transforms of the patch before those that resize or crop",
                code="does-not-fit",
            )
        if min(patch.x, patch.y) < 0 or patch.x + patch.width > width or patch.y + patch.height > height:
            raise OptionError(
                f"no patch of {patch.width}x{patch.height} at x={patch.x}, y={patch.y} "
                f"fits an image of {width}x{height}",
                code="does-not-fit",
            )
    return found


def find_patch(image: Picture) -> Patch:
    """Returns the patch that the image has, or the set that transforms it. Raises OptionError without either."""
    info = getattr(image, "info", {})
    if INFO in info:
        x, y, width, height = info[INFO]
        return Patch(x, y, width, height, info.get(INFO_SIZE))
    if (current := _CURRENT.get()) is None:
        raise OptionError(
            f"nothing says where the patch of this {type(image).__name__} is: give x and y, or take images of "
            f"QuadrantImageNet, which have info['{INFO}'], or hand the transform to QuadrantImageNet(transform=...)",
            code="missing-argument",
        )
    return current


def crop_with_patch(image: Image.Image, y: int, x: int, height: int, width: int) -> Image.Image:
    """Returns a rectangle of an image, with the position of the patch in it if the image has one.

    Args:
        image: PIL, with or without a patch in its `info`.
        y: Row of the rectangle's top-left pixel.
        x: Column of the rectangle's top-left pixel.
        height: Rows of the rectangle.
        width: Columns of the rectangle.
    """
    part = image.crop((x, y, x + width, y + height))
    if INFO in image.info:
        patch = find_patch(image)
        part.info |= {INFO: (patch.x - x, patch.y - y, patch.width, patch.height), INFO_SIZE: part.size}
    return part


def _size_of(image: Picture) -> tuple[int, int]:
    """Returns the width and the height of a PIL image or a tensor (C, H, W). Raises OptionError for anything else."""
    if isinstance(image, Image.Image):
        return image.size
    if not isinstance(image, torch.Tensor) or image.ndim != 3:
        shape = f"shape {tuple(image.shape)}" if isinstance(image, torch.Tensor) else type(image).__name__
        raise OptionError(f"images must be PIL, or tensors (C, H, W) or (B, C, H, W), not {shape}", code="bad-shape")
    return image.shape[2], image.shape[1]


def integers(count: int, *axes: Coordinate) -> list[list[int]]:
    """Returns for each axis the integers of `count` images, from one for all or one for each."""
    spread = []
    for axis in map(torch.as_tensor, axes):
        if (axis.is_floating_point() and axis.numel()) or axis.ndim > 1 or axis.numel() not in (1, count):
            raise OptionError(
                f"x and y must be an integer, or one for each of {count} images, not {axis!r}", code="bad-shape"
            )
        spread.append(axis.expand(count).tolist())
    return spread
