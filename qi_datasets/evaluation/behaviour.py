"""What a network does with a few images, looked at before the work: whether its answers are its own and repeatable."""

import torch
from torch import Tensor, nn

from qi_datasets.errors import ModelError
from qi_datasets.evaluation.arguments import CHANNELS
from qi_datasets.networks.random_weights import seeded
from qi_datasets.protocols.corners import said
from qi_datasets.specs import QUADRANT

APART = 1e-4
"""Relative difference of two answers to one image, above which they are other answers, whatever rounding does."""

IMAGES = 3


def check_behaviour(network: nn.Module, side: int, name: str) -> bool:
    """Returns whether a network insists on contiguous images: whether it fails on those that are channels_last.

    Args:
        network: In evaluation mode; answers with vectors.
        side: Rows and columns of its images.
        name: Of the network, for messages.

    Raises:
        ModelError: Where the answer to an image is another one when it is asked again, or in a batch of others.
    """
    images = noise(side).to(next(iter(network.parameters()), torch.empty(0)).device)
    contiguous = not takes(network, images.clone(memory_format=torch.channels_last))
    where = f"on an image of {side} x {side}"
    with torch.inference_mode():
        # Each gets images of its own, since a network may write into them.
        alone: Tensor = said(lambda: network(images[:1].clone()), where)
        again: Tensor = said(lambda: network(images[:1].clone()), where)
        batch: Tensor = said(lambda: network(images.clone()), f"on {IMAGES} images of {side} x {side}")
    if len(batch) != IMAGES:
        raise ModelError(
            f"{name} must answer one vector for each image; to {IMAGES} images it gives {len(batch)}",
            code="bad-answers",
        )
    if differ(alone, again):
        raise ModelError(
            f"{name} answers the same image in two ways: it depends on chance, even in evaluation mode; take the noise "
            "or dropout out of it",
            code="bad-answers",
        )
    if differ(alone[0], batch[0]):
        raise ModelError(
            f"{name} answers an image otherwise when others are in its batch: give its batch norms statistics "
            "(track_running_stats), or take out what mixes the batch",
            code="bad-answers",
        )
    return contiguous


def is_opaque(network: nn.Module) -> bool:
    """Returns whether a network can't be followed layer by layer, since a part of it is compiled for good."""
    return any(isinstance(layer, torch.jit.ScriptModule) for layer in network.modules())


def noise(side: int) -> Tensor:
    """Returns images on black, noise in the upper-left corner, the same ones each time: (IMAGES, 3, side, side)."""
    images = torch.zeros(IMAGES, CHANNELS, side, side)
    with seeded(0):
        size = min(QUADRANT.patch, side)
        images[:, :, :size, :size] = torch.randn(IMAGES, CHANNELS, size, size)
        # The others are darker, so that a sum over the batch has another sign than the first image's.
        images[:, :, :size, :size] += torch.tensor([0.2, -2.0, -2.0])[:, None, None, None]
    return images


def takes(network: nn.Module, images: Tensor) -> bool:
    """Returns whether a network runs on images, and with weights of their layout."""
    laid_out = network.to(memory_format=torch.channels_last)
    try:
        with torch.inference_mode():
            said(lambda: laid_out(images), "")
    except (ModelError, MemoryError):
        return False
    finally:
        network.to(memory_format=torch.contiguous_format)
    return True


def differ(one: Tensor, other: Tensor) -> bool:
    """Returns whether two answers are others, beyond what rounding does."""
    apart, scale = (one - other).abs().max(), torch.maximum(one.abs().max(), other.abs().max())
    return bool(apart > APART * scale)
