"""Tries a network on a few images before the evaluation: answers must be repeatable and not depend on the batch."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from qi_datasets.errors import ModelError
from qi_datasets.evaluation.arguments import CHANNELS
from qi_datasets.evaluation.sizes import evaluation_mode
from qi_datasets.networks.operators import operator_of
from qi_datasets.networks.random_weights import random_seed
from qi_datasets.protocols.corners import run_network
from qi_datasets.specs import QUADRANT

APART = 1e-4
"""Relative difference of two answers to one image above which they differ by more than rounding."""

IMAGES = 3


def check_behaviour(network: nn.Module, side: int, name: str) -> bool:
    """Returns whether a network needs contiguous images, that is, fails on channels_last ones.

    Args:
        network: The network, in evaluation mode; it returns vectors.
        side: Rows and columns of its images.
        name: The network's name, for messages.

    Raises:
        ModelError: If the answer to an image changes when it is asked again, or with the other images of the batch.
    """
    images = noise_images(side).to(next(iter(network.parameters()), torch.empty(0)).device)
    contiguous = not takes_images(network, images.clone(memory_format=torch.channels_last))
    where = f"on an image of {side} x {side}"
    with torch.inference_mode():
        # Each call gets its own images, since a network may write into them.
        alone: Tensor = run_network(lambda: network(images[:1].clone()), where)
        again: Tensor = run_network(lambda: network(images[:1].clone()), where)
        batch: Tensor = run_network(lambda: network(images.clone()), f"on {IMAGES} images of {side} x {side}")
    if len(batch) != IMAGES:
        raise ModelError(
            f"{name} must answer one vector for each image; to {IMAGES} images it gives {len(batch)}",
            code="bad-answers",
        )
    if differ(alone, again):
        raise ModelError(
            f"{name} gives two answers to the same image: it is random, even in evaluation mode; take the noise "
            "or dropout out of it",
            code="bad-answers",
        )
    if differ(alone[0], batch[0]):
        raise ModelError(
            f"{name} answers an image differently with others in its batch: give its batch norms statistics "
            "(track_running_stats), or remove the layer that mixes the batch",
            code="bad-answers",
        )
    return contiguous


class _BatchNorms(TorchFunctionMode):
    """Records the running statistics of all batch norms that are computed in the block, in the order of their calls."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.owners = {
            id(norm.running_mean): name for name, norm in network.named_modules() if isinstance(norm, _BatchNorm)
        }
        self.found: list[str | None] = []

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        """Computes a call as usual. For a batch norm whose statistics belong to no layer it records None."""
        arguments = dict(kwargs or {})
        if operator_of(func).name == "batch_norm":
            mean = arguments.get("running_mean", args[1] if len(args) > 1 else None)
            self.found += [] if mean is None else [self.owners.get(id(mean))]
        return func(*args, **arguments)


def check_batch_norms(made: nn.Module, evaluated: nn.Module, side: int, name: str) -> None:
    """Checks that a network is evaluated with the batch norms that it was made with, so that all are calibrated.

    Args:
        made: The network as it was made.
        evaluated: The network that is evaluated; its head may be missing.
        side: Rows and columns of its images.
        name: The network's name, for messages.

    Raises:
        ModelError: If a batch norm is missing, or has statistics that belong to no layer.
    """
    before, after = (_batch_norms_used(network, side) for network in (made, evaluated))
    if None in after:
        raise ModelError(
            f"{name} has {after.count(None)} of {len(after)} batch norms whose statistics no layer keeps, as after "
            "tracing, so that they can't be calibrated; give the network as it was before"
        )
    # Layers of a network inside another one have the outer one's name before their own.
    kept = [any(one == other or str(other).endswith(f".{one}") for other in after) for one in before]
    last = max((place for place, is_kept in enumerate(kept) if is_kept), default=len(kept) - 1)
    lost = [one for one, is_kept in zip(before[:last], kept[:last], strict=True) if not is_kept]
    if lost:
        raise ModelError(f"{name} would be evaluated without {len(lost)} of its batch norms, the first {lost[0]!r}")


def _batch_norms_used(network: nn.Module, side: int) -> list[str | None]:
    like = next(iter(network.parameters()), torch.empty(0))
    image = torch.zeros(1, CHANNELS, side, side, dtype=like.dtype, device=like.device)
    used = _BatchNorms(network)
    with evaluation_mode(network), torch.inference_mode(), used:
        run_network(lambda: network(image), f"on an image of {side} x {side}")
    return used.found


def is_opaque(network: nn.Module) -> bool:
    """Returns whether a network can't be traced layer by layer, because a part of it is compiled."""
    return any(isinstance(layer, torch.jit.ScriptModule) for layer in network.modules())


def noise_images(side: int) -> Tensor:
    """Returns images on black with noise in the upper-left corner, always the same ones: (IMAGES, 3, side, side)."""
    images = torch.zeros(IMAGES, CHANNELS, side, side)
    with random_seed(0):
        size = min(QUADRANT.patch, side)
        images[:, :, :size, :size] = torch.randn(IMAGES, CHANNELS, size, size)
        # The other images are darker, so that a sum over the batch has another sign than that of the first image.
        images[:, :, :size, :size] += torch.tensor([0.2, -2.0, -2.0])[:, None, None, None]
    return images


def takes_images(network: nn.Module, images: Tensor) -> bool:
    """Returns whether a network runs on images, also with weights in their memory format."""
    laid_out = network.to(memory_format=torch.channels_last)
    try:
        with torch.inference_mode():
            run_network(lambda: laid_out(images), "")
    except (ModelError, MemoryError):
        return False
    finally:
        network.to(memory_format=torch.contiguous_format)
    return True


def differ(one: Tensor, other: Tensor) -> bool:
    """Returns whether two answers differ by more than rounding."""
    apart, scale = (one - other).abs().max(), torch.maximum(one.abs().max(), other.abs().max())
    return bool(apart > APART * scale)
