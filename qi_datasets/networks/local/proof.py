"""Proof that a patch in two corners of a black image gives the same features, whatever the patch shows."""

import copy

from torch import nn

from qi_datasets.networks.local.comparison import Comparison
from qi_datasets.networks.local.plan import Plan
from qi_datasets.networks.local.tracing import trace


def corners_proved_equal(
    network: nn.Module, side: int, patch: int, displacement: int, *, border: int | None = None, channels: int = 3
) -> bool:
    """Whether both corners give the same features for every patch.

    network, side, patch, displacement, border, channels: as for `obstacle_to_proof`

    False says nothing: features may be equal without this proof.
    """
    return obstacle_to_proof(network, side, patch, displacement, border=border, channels=channels) is None


def obstacle_to_proof(
    network: nn.Module, side: int, patch: int, displacement: int, *, border: int | None = None, channels: int = 3
) -> str | None:
    """The first layer at which the corners of images can't be proved equal, and why; None if they are proved equal.

    Decided on positions alone, as described at the head of `comparison`; no features are computed.

    network: taken in evaluation mode, images (N, channels, side, side), black 0
    side: rows and columns of the images
    patch: rows and columns of the patch
    displacement: rows and columns from one corner to the other
    border: rows and columns before the patch in the upper-left corner; by default the corners lie symmetrically
    channels: of the images

    Raises `OptionError` if a patch does not lie inside the image.
    """
    first = (side - patch - displacement) // 2 if border is None else border
    second = first + displacement
    plan = Plan(trace(copy.deepcopy(network).eval()), side, (patch, patch), [(first, first), (second, second)])
    if plan.reasons:
        return plan.reasons[0]
    for node, obstacle in Comparison(plan, 1, channels).obstacles.items():
        return f"{node.name}: {obstacle}"
    return None
