"""Finds residual branches that add nothing, for example those that start at zero for training.

Libraries make some networks so that each block begins as the identity: the last batch norm of a branch has weight 0
(timm's `zero_init_last`), or a branch is scaled by 1e-6 (layer scale of ConvNeXt, CaiT and others). Without training,
such a network computes no more than its stem and its strided layers do.
"""

import copy
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from qi_datasets.networks.operators import operator_of

NEGLIGIBLE = 1e-3
"""A branch is dead if it adds less than this share of the differences between images."""


@dataclass(frozen=True)
class DeadBranches:
    """Residual branches that add the same to every image, or almost nothing.

    Attributes:
        count: Number of dead branches.
        of: Number of all branches.
        layers: The names of the modules that add them, each once.
    """

    count: int
    of: int
    layers: list[str]


def find_dead_branches(network: nn.Module, images: Tensor, *, by_batch: bool = False) -> DeadBranches:
    """Finds the dead residual branches of a network.

    A branch is an operand of an addition of two maps of one shape. It is dead if its values differ between images by
    less than a thousandth of the differences of the other operand: then it is a constant, or too small to matter.

    Args:
        network: A copy of it is run, in evaluation mode.
        images: (N, C, H, W), N > 1, all different, of a size that the network takes.
        by_batch: Whether its batch norms normalise by these images, as calibrated ones nearly do.
    """
    copied = copy.deepcopy(network).eval()
    for layer in copied.modules():
        if by_batch and isinstance(layer, _BatchNorm):
            layer.train()
    running: list[str] = []
    found: list[tuple[str, bool]] = []

    def entering(name: str) -> Callable[..., None]:
        return lambda *_: running.append(name)

    with ExitStack() as stack:
        for name, layer in copied.named_modules():
            stack.callback(layer.register_forward_pre_hook(entering(name)).remove)
            stack.callback(layer.register_forward_hook(lambda *_: running.pop() and None, always_call=True).remove)
        stack.enter_context(torch.inference_mode())
        stack.enter_context(Additions(len(images), lambda dead: found.append((running[-1] if running else "", dead))))
        copied(images)
    dead = [name for name, is_dead in found if is_dead]
    return DeadBranches(len(dead), len(found), [*dict.fromkeys(dead)])


class Additions(TorchFunctionMode):
    """Inspects each addition of two maps of one shape while a network runs.

    count: images of the batch
    seen: is called for each addition, with True if an operand is dead
    """

    def __init__(self, count: int, seen: Callable[[bool], None]) -> None:
        super().__init__()
        self._count, self._seen = count, seen

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compares the operands of an addition, and computes it as usual."""
        if operator_of(func).name == "add" and len(args) > 1 and all(map(self._is_map, args[:2])):
            one, other = args[:2]
            if one.shape == other.shape:
                branch, trunk = sorted((one, other), key=spread)
                if spread(branch) or is_constant(branch[0]):  # Otherwise it is a table of positions, not a branch.
                    self._seen(spread(branch) < NEGLIGIBLE * spread(trunk))
        return func(*args, **(kwargs or {}))

    def _is_map(self, value: Any) -> bool:
        """Returns whether a value has its own numbers for each image; an expanded table has the same ones for all."""
        return (
            isinstance(value, Tensor)
            and value.ndim > 2
            and value.is_floating_point()
            and len(value) == self._count
            and value.stride(0) != 0
        )


def spread(values: Tensor) -> float:
    """Returns the largest difference of images (N, ...) from the first one."""
    return float((values[1:] - values[:1]).abs().max())


def is_constant(values: Tensor) -> bool:
    """Returns whether a map (C, ..., or ..., C) has the same numbers at all positions."""
    first, last = values.flatten(1), values.flatten(0, -2)
    return bool((first == first[:, :1]).all() or (last == last[:1]).all())
