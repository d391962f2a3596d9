"""Items and batches that remember which rectangle of them is not black, so that only it travels between processes.

A DataLoader asks a set's class for the items of a batch at once, and collates them in its worker processes. The items
are of a type that `default_collate` has a rule for, `collate_items`: it joins the rectangles. The batch is a tensor
that is painted when a worker looks at it; its pickle is the rectangles and their places, and what the main
process unpickles is an ordinary tensor.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TypeAlias

import torch
from torch.utils._pytree import tree_leaves
from torch.utils.data import get_worker_info
from torch.utils.data._utils.collate import collate, default_collate_fn_map
from torchvision import transforms as v1
from torchvision import tv_tensors
from torchvision.transforms import v2

from qi_datasets.pixels.canvases import black_batch
from qi_datasets.pixels.geometry import Pixels
from qi_datasets.pixels.geometry import black as black_bytes
from qi_datasets.torch.background import ZeroBackgroundNormalize
from qi_datasets.torch.patch import OnPatch

CollateMap: TypeAlias = Mapping[type | tuple[type, ...], Callable[..., object]]

CONTAINERS = (v1.Compose, v2.Compose, torch.nn.Sequential)
"""Transforms that apply other transforms one after another."""

POINTWISE = (
    *(v1.PILToTensor, v1.ToTensor, v1.ConvertImageDtype),
    *(v2.Identity, v2.ToImage, v2.PILToTensor, v2.ToDtype, v2.ToPureTensor),
    *(OnPatch, ZeroBackgroundNormalize),
)
"""Transforms that keep black at 0 and pixels where they are: they may get an image without its border."""


MAKES_TENSORS = (v1.PILToTensor, v1.ToTensor, v2.ToImage, v2.PILToTensor, ZeroBackgroundNormalize)
"""Pointwise transforms that make a tensor from a PIL image."""


def can_precede_border(transform: object) -> bool:
    """Returns whether a transform gives the same tensor if the border is added before or after it.

    Subclasses are not taken for the class that they inherit from, since they may do anything.
    """
    steps = [type(step) for step in steps_of(transform)]
    return all(step in POINTWISE for step in steps) and any(step in MAKES_TENSORS for step in steps)


def steps_of(transform: object) -> list[object]:
    """Returns the transforms that one applies in a row."""
    if type(transform) not in CONTAINERS:
        return [transform]
    steps = transform if isinstance(transform, torch.nn.Sequential) else getattr(transform, "transforms", ())
    return [part for step in steps for part in steps_of(step)]


@dataclass(frozen=True)
class Places:
    """The positions of the rectangles of a batch.

    Attributes:
        y, x: Rows and columns of their top-left pixels.
        height, width: Size of the images.
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
        return self.paint(black(n, c, self.height, self.width, content, black_batch), content)

    def paint(self, images: torch.Tensor, content: torch.Tensor) -> torch.Tensor:
        """Copies the rectangles to their positions in images (n, c, height, width), and returns these."""
        h, w = content.shape[-2:]
        if len(set(self.y)) == len(set(self.x)) == 1:
            images[:, :, self.y[0] : self.y[0] + h, self.x[0] : self.x[0] + w] = content
            return images
        for image, part, y, x in zip(images, content, self.y, self.x, strict=True):
            image[:, y : y + h, x : x + w] = part
        return images


def black(
    n: int, c: int, height: int, width: int, like: torch.Tensor, memory: Callable[[int], Pixels] = black_bytes
) -> torch.Tensor:
    """Returns zeros (n, c, height, width) of the type and on the device of a tensor.

    Args:
        n: Number of images.
        c: Number of channels.
        height: Rows of an image.
        width: Columns of an image.
        like: The tensor.
        memory: Returns that many bytes of zeros, for the CPU.
    """
    if like.device.type != "cpu":
        return like.new_zeros(n, c, height, width)
    # Unlike PyTorch's zeros, NumPy's take no memory before they are read or written.
    zeros = memory(n * c * height * width * like.element_size())
    return torch.from_numpy(zeros).view(like.dtype).view(n, c, height, width)


class Item(Sequence[object]):
    """An image, a tensor (c, height, width), and its label, as a sequence whose image is made when it is asked for.

    Args:
        content: The image's rectangle, (c, h, w).
        y, x: Row and column of its top-left pixel.
        size: Height and width of the image.
        label: The image's label.
    """

    def __init__(self, content: torch.Tensor, y: int, x: int, size: tuple[int, int], label: object) -> None:
        self.content, self.y, self.x, self.size, self.label = content, y, x, size, label
        self.is_looked_at = False

    @cached_property
    def image(self) -> torch.Tensor:
        """The image; changes in place stay."""
        self.is_looked_at = True
        plain = self.content.as_subclass(torch.Tensor)
        image = Places((self.y,), (self.x,), *self.size).fill(plain[None])[0]
        return tv_tensors.Image(image) if isinstance(self.content, tv_tensors.Image) else image

    def pair(self) -> tuple[torch.Tensor, object]:
        """Returns the image and its label."""
        return self.image, self.label

    def __getitem__(self, index: Any) -> Any:
        return self.label if index in (1, -1) else self.pair()[index]

    def __len__(self) -> int:
        return 2

    def __reduce__(self) -> tuple[type[tuple[object, ...]], tuple[tuple[torch.Tensor, object]]]:
        return tuple, (self.pair(),)


def collate_items(batch: Sequence["Item"], *, collate_fn_map: CollateMap | None = None) -> object:
    """Joins items of a set's class as `default_collate` does: [images (n, c, height, width), labels].

    It is in PyTorch's `default_collate_fn_map`, so that every DataLoader without a `collate_fn` of its own uses it.
    """
    join = partial(collate, collate_fn_map=collate_fn_map)  # type: ignore[arg-type]
    if not all(type(item) is Item and not item.is_looked_at for item in batch):
        return join([tuple(item) for item in batch])
    if len({(item.size, item.content.shape, item.content.dtype) for item in batch}) > 1:
        return join([item.pair() for item in batch])
    places = Places(tuple(item.y for item in batch), tuple(item.x for item in batch), *batch[0].size)
    content = torch.stack([item.content.as_subclass(torch.Tensor) for item in batch])
    images = places.fill(content) if get_worker_info() is None else TravellingTensor.of(content, places)
    return [images, join([item.label for item in batch])]


class TravellingTensor(torch.Tensor):
    """A batch in a worker process, painted when it is used; its copy, and results from it, are ordinary tensors."""

    rectangles: tuple[torch.Tensor, Places] | None

    @classmethod
    def of(cls, content: torch.Tensor, places: Places) -> "TravellingTensor":
        """Returns the batch of these rectangles, (n, c, h, w), at their places."""
        n, c, _, _ = content.shape
        batch = black(n, c, places.height, places.width, content).as_subclass(cls)
        batch.rectangles = content, places
        return batch

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., object],
        types: object,
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        """Paints the batches among the arguments, then calls the function as if they were ordinary tensors."""
        with torch._C.DisableTorchFunctionSubclass():
            for value in tree_leaves((args, kwargs)):
                if type(value) is TravellingTensor and value.rectangles is not None:
                    (content, places), value.rectangles = value.rectangles, None
                    places.paint(value.as_subclass(torch.Tensor), content)
            return func(*args, **(kwargs or {}))

    def __reduce_ex__(self, protocol: object) -> tuple[Callable[..., torch.Tensor], tuple[object, ...]]:
        if self.rectangles is None:
            return torch.Tensor.as_subclass, (self.as_subclass(torch.Tensor), torch.Tensor)
        content, places = self.rectangles
        return places.fill, (content,)


default_collate_fn_map[Item] = collate_items
