"""The sets as torchvision knows data sets, the transform that keeps black at zero, padded batches (extra `torch`).

    from qi_datasets.torch import QuadrantImageNet, ZeroBackgroundNormalize
    QuadrantImageNet(root, split="test", border=64, transform=ZeroBackgroundNormalize())

Every item is (PIL image, int). `root` is the folder that `qi-build` wrote, None for the one that it takes by default.
"""

from qi_datasets.errors import MissingExtraError

try:
    from qi_datasets.torch.background import IMAGENET_MEAN, IMAGENET_STD, ZeroBackgroundNormalize
    from qi_datasets.torch.batches import padded_batches
    from qi_datasets.torch.sets import Corner, QuadrantImageNet, RedGreen, Rook, ShiftedImageNet
except ImportError as error:
    raise MissingExtraError(
        f"qi_datasets.torch needs PyTorch and torchvision ({error}); run: python -m pip install 'qi-datasets[torch]'"
    ) from error

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Corner",
    "QuadrantImageNet",
    "RedGreen",
    "Rook",
    "ShiftedImageNet",
    "ZeroBackgroundNormalize",
    "padded_batches",
]
