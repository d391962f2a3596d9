"""A transform that normalises the patch of a QI image and keeps its black background exactly 0."""

from collections.abc import Sequence

import torch
from PIL import Image
from torchvision.transforms.v2 import functional

from qi_datasets.errors import OptionError
from qi_datasets.imagenet import IMAGENET_MEAN, IMAGENET_STD
from qi_datasets.torch.patch import Patch, PatchTransform, Picture

OVERSHOOT = 0.5
"""Interpolation may leave [0, 1] by this much; a value farther out means that the images have another range."""


class ZeroBackgroundNormalize(PatchTransform):
    """Normalises the patch of a QI image, and keeps everything outside of it exactly 0: float32, (C, H, W).

    Plain normalisation turns black into -2.1 and paints a visible frame where zero padding begins: see
    cards/specification.md, "Zero background".

    Transforms before it must keep the patch where it is and black at 0: `ToImage`, `ToDtype(float32, scale=True)`,
    `PILToTensor`, and transforms of colour inside of `OnPatch`. It raises OptionError if something outside of the patch
    is not black, rather than normalise the wrong place, and so it finds a flip, a rotation or a jitter of the whole
    image before it. It can't see later transforms: a flip there moves the patch into the corner of the other label.

    mean, std: one for each channel, of images in [0, 1].
    """

    def __init__(self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD) -> None:
        super().__init__()
        self.mean, self.std = list(mean), list(std)

    def one(self, image: Picture, patch: Patch) -> torch.Tensor:
        """Returns the normalised image: float32, (C, H, W)."""
        tensor = functional.to_image(image) if isinstance(image, Image.Image) else image
        return self.many(tensor.as_subclass(torch.Tensor)[None], [patch])[0]

    def many(self, images: torch.Tensor, patches: Sequence[Patch]) -> torch.Tensor:
        """Returns the normalised images: float32, (B, C, H, W)."""
        images = functional.to_dtype(images.as_subclass(torch.Tensor), torch.float32, scale=True)
        if images.shape[1] != len(self.mean):
            raise OptionError(f"images must have C={len(self.mean)} channels, not {images.shape[1]}", code="bad-shape")
        result = torch.zeros_like(images)
        if not len(images):
            return result
        content = torch.stack([image[patch.inside] for image, patch in zip(images, patches, strict=True)])
        # One number for the whole batch, since reading a number waits for the device.
        if torch.count_nonzero(images) != torch.count_nonzero(content):
            raise OptionError(
                "an image is not black outside its patch; put ZeroBackgroundNormalize before transforms that move "
                "pixels, and transforms of colour into OnPatch",
                code="bad-shape",
            )
        low, high = torch.stack(torch.aminmax(content)).tolist()
        if low < -OVERSHOOT or high > 1 + OVERSHOOT:
            raise OptionError(
                f"images must be in [0, 1], but these go from {low:.3g} to {high:.3g}; "
                "convert integers by ToDtype(torch.float32, scale=True), and normalise once",
                code="bad-value",
            )
        normal = functional.normalize(content, self.mean, self.std)
        for image, patch, part in zip(result, patches, normal, strict=True):
            image[patch.inside] = part
        return result

    def extra_repr(self) -> str:
        """Returns the arguments, for `repr`."""
        return f"mean={self.mean}, std={self.std}"
