"""The sets as torchvision's data sets, transforms that keep black at zero, padded batches (extra `torch`).

    from qi_datasets.torch import QuadrantImageNet, ZeroBackgroundNormalize
    QuadrantImageNet(root, split="test", border=64, transform=ZeroBackgroundNormalize())

A set of another package has its class here too, named after its title.
"""

from typing import TYPE_CHECKING

from qi_datasets.errors import missing_extra
from qi_datasets.imagenet import IMAGENET_MEAN, IMAGENET_STD

try:
    from qi_datasets.torch import sets
    from qi_datasets.torch.background import ZeroBackgroundNormalize
    from qi_datasets.torch.batches import PaddedBatches, padded_batches
    from qi_datasets.torch.patch import OnPatch
    from qi_datasets.torch.sets import Corner, QuadrantImageNet, RedGreen, Rook, ShiftedImageNet
    from qi_datasets.torch.subset import ImageNetSubset
except ImportError as error:
    raise missing_extra(f"qi_datasets.torch needs PyTorch and torchvision ({error})", "torch") from error

if TYPE_CHECKING:
    from qi_datasets.torch.sets import StoredSet

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Corner",
    "ImageNetSubset",
    "OnPatch",
    "PaddedBatches",
    "QuadrantImageNet",
    "RedGreen",
    "Rook",
    "ShiftedImageNet",
    "ZeroBackgroundNormalize",
    "padded_batches",
]


def __getattr__(name: str) -> "type[StoredSet]":
    """Returns the class of a set of another package."""
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return sets.__getattr__(name)
