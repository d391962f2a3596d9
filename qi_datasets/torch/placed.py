"""Items and batches that remember which rectangle of them is not black, so that only it travels between processes.

A DataLoader collates in its worker processes, and a batch of wide borders would go through shared memory black by
black. An item of a set's class is an ordinary tuple of an ordinary tensor, of a type that `default_collate` has a rule
for: `collate_items` joins the rectangles. The batch that it makes is a tensor, whole and usable where it is, whose
pickle is the rectangles and their places; what the main process unpickles is an ordinary tensor.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch.utils.data import get_worker_info
from torch.utils.data._utils.collate import collate, default_collate_fn_map
from torchvision import transforms as v1
from torchvision import tv_tensors
from torchvision.transforms import v2

from qi_datasets.torch.background import ZeroBackgroundNormalize
from qi_datasets.torch.patch import OnPatch

CONTAINERS = (v1.Compose, v2.Compose, torch.nn.Sequential)
"""Transforms that apply others in a row."""

POINTWISE = (
    *(v1.PILToTensor, v1.ToTensor, v1.ConvertImageDtype),
    *(v2.Identity, v2.ToImage, v2.PILToTensor, v2.ToDtype, v2.ToPureTensor),
    *(OnPatch, ZeroBackgroundNormalize),
)
"""Transforms that leave black at 0 and pixels where they are: they may see an image without its border."""


MAKES_TENSORS = (v1.PILToTensor, v1.ToTensor, v2.ToImage, v2.PILToTensor, ZeroBackgroundNormalize)
"""Those of them that make a tensor of a PIL image."""


def can_precede_border(transform: object) -> bool:
    """Returns whether a transform gives the same tensor for an image whose border is added before or after it.

    Subclasses are not taken for the class that they inherit from, since they may do anything.
    """
    steps = [type(step) for step in steps_of(transform)]
    return all(step in POINTWISE for step in steps) and any(step in MAKES_TENSORS for step in steps)


def steps_of(transform: Any) -> list[object]:
    """Returns the transforms that one applies in a row."""
    if type(transform) not in CONTAINERS:
        return [transform]
    steps = transform if isinstance(transform, torch.nn.Sequential) else transform.transforms
    return [part for step in steps for part in steps_of(step)]


@dataclass(frozen=True)
class Places:
    """Where the rectangles of a batch are.

    Attributes:
        y, x: Rows and columns of their top-left pixels.
        height, width: Of the images.
    """

    y: tuple[int, ...]
    x: tuple[int, ...]
    height: int
    width: int

    def fill(self, content: torch.Tensor) -> torch.Tensor:
        """Returns the images: (n, c, height, width) of the content's type, on its device.

        Args:
            content: The rectangles, (n, c, h, w).
        """
        n, c, h, w = content.shape
        if (h, w) == (self.height, self.width):
            return content
        images = black(n, c, self.height, self.width, content)
        if len(set(self.y)) == len(set(self.x)) == 1:
            images[:, :, self.y[0] : self.y[0] + h, self.x[0] : self.x[0] + w] = content
            return images
        for image, part, y, x in zip(images, content, self.y, self.x, strict=True):
            image[:, y : y + h, x : x + w] = part
        return images


def black(n: int, c: int, height: int, width: int, like: torch.Tensor) -> torch.Tensor:
    """Returns zeros (n, c, height, width) of the type and on the device of a tensor."""
    if like.device.type != "cpu":
        return like.new_zeros(n, c, height, width)
    # Unlike PyTorch's zeros, those of NumPy take no memory before they are read or written to.
    memory = np.zeros(n * c * height * width * like.element_size(), np.uint8)
    return torch.from_numpy(memory).view(like.dtype).view(n, c, height, width)


class Item(tuple[Any, ...]):
    """An image, a tensor (c, height, width), and its label, in an ordinary tuple but for what it remembers.

    Attributes:
        content: The image's rectangle, (c, h, w).
        y, x: Row and column of its top-left pixel.
        version: Of the image when it was filled: painted on, it has another.
    """

    content: torch.Tensor
    y: int
    x: int
    version: int | None

    @classmethod
    def placed(cls, content: torch.Tensor, y: int, x: int, height: int, width: int, label: Any) -> Self:
        """Returns the item of an image that is black but for its content."""
        plain = content.as_subclass(torch.Tensor)
        image = Places((y,), (x,), height, width).fill(plain[None])[0]
        if isinstance(content, tv_tensors.Image):
            image = tv_tensors.Image(image)
        item = cls((image, label))
        item.content, item.y, item.x, item.version = plain, y, x, version_of(image)
        return item

    @property
    def is_unchanged(self) -> bool:
        """Whether the image is still black but for its content."""
        return self.version is not None and self.version == version_of(self[0])

    def __reduce__(self) -> tuple[Any, ...]:
        return tuple, (tuple(self),)


def version_of(tensor: torch.Tensor) -> int | None:
    """Returns the number of changes in place, None where PyTorch does not count them."""
    return None if tensor.is_inference() else tensor._version


def collate_items(batch: Sequence[Item], *, collate_fn_map: Mapping[Any, Callable[..., Any]] | None = None) -> Any:
    """Joins items of a set's class as `default_collate` does: [images (n, c, height, width), labels].

    It stands in PyTorch's `default_collate_fn_map`, so that every DataLoader without a `collate_fn` of its own uses it.
    """
    if len({(item[0].shape, item.content.shape, item.content.dtype) for item in batch}) > 1 or not all(
        item.is_unchanged for item in batch
    ):
        return collate([tuple(item) for item in batch], collate_fn_map=collate_fn_map)  # type: ignore[arg-type]
    height, width = batch[0][0].shape[-2:]
    places = Places(tuple(item.y for item in batch), tuple(item.x for item in batch), height, width)
    labels = collate([item[1] for item in batch], collate_fn_map=collate_fn_map)  # type: ignore[arg-type]
    return [images_here(torch.stack([item.content for item in batch]), places), labels]


def images_here(content: torch.Tensor, places: Places) -> torch.Tensor:
    """Returns the images of a batch, in a worker process as a tensor that travels as its rectangles."""
    images = places.fill(content)
    return images if get_worker_info() is None else TravellingTensor.of(images, content, places)


class TravellingTensor(torch.Tensor):
    """A batch in a worker process: whatever is computed of it is an ordinary tensor, and so is what arrives."""

    # What is computed of it has its own pixels.
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    rectangles: tuple[torch.Tensor, Places]
    version: int | None

    @classmethod
    def of(cls, images: torch.Tensor, content: torch.Tensor, places: Places) -> "TravellingTensor":
        """Returns the images, with what they are made of."""
        batch = images.as_subclass(cls)
        batch.rectangles, batch.version = (content, places), version_of(images)
        return batch

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        if self.version is None or self.version != version_of(self):
            return torch.Tensor.as_subclass, (self.as_subclass(torch.Tensor), torch.Tensor)
        content, places = self.rectangles
        return places.fill, (content,)


default_collate_fn_map[Item] = collate_items
