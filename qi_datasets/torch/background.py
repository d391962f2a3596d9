"""The transform that normalises the patch of a QI image and keeps its black background exactly 0."""

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torchvision.transforms.v2 import functional

from qi_datasets.errors import OptionError
from qi_datasets.specs import QUADRANT

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ZeroBackgroundNormalize(torch.nn.Module):
    """Normalises the patch of a QI image, and leaves everything outside it exactly 0.

    Plain normalisation turns black into -2.1 and paints a visible frame where zero padding begins: see
    cards/specification.md, "Zero background". Put it first among transforms that move pixels: it raises OptionError
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
        OptionError when the place is not told, or the image can't have its patch there.
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
            raise OptionError(f"images must be (C, H, W) or (B, C, H, W) with C={len(self.mean)}, not {tensor.shape}")
        result = torch.zeros_like(images)
        for one, normal, left, top in zip(images, result, *places(len(images), x, y), strict=True):
            inside = (slice(None), slice(top, top + height), slice(left, left + width))
            patch = one[inside]
            if min(left, top) < 0 or patch.shape[1:] != (height, width):
                raise OptionError(
                    f"no patch of {width}x{height} at x={left}, y={top} fits an image of {one.shape[2]}x{one.shape[1]}"
                )
            if torch.count_nonzero(one) != torch.count_nonzero(patch):
                raise OptionError(
                    f"the image is not black outside its patch at x={left}, y={top}; "
                    "put ZeroBackgroundNormalize before transforms that move pixels or change black"
                )
            normal[inside] = functional.normalize(patch, self.mean, self.std)
        return result if tensor.ndim == 4 else result[0]

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return f"mean={self.mean}, std={self.std}"


def place_of(image: Any) -> tuple[int, int, int, int]:
    """x, y, width and height of the patch, as the image itself tells them; OptionError otherwise."""
    info = getattr(image, "info", {})
    found = info.get("patch")
    if found is None:
        raise OptionError(
            f"{type(image).__name__} without info['patch']: take images of QuadrantImageNet, or give x and y"
        )
    if image.size != info.get("patch_in", image.size):
        raise OptionError(
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
