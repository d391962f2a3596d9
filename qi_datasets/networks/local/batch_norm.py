"""Batch norm by the statistics of a batch of images that are known as a blank map and windows.

Every position of the blank map outside the windows occurs once in each image. So the batch's sums are those of the
windows plus those of the blank map, each of its positions taken as often as it occurs.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_OVER_IMAGES = (0, 2, 3)


def batch_norm(
    blank: Tensor,
    occurrences: Tensor,
    windows: Sequence[Tensor],
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> tuple[Tensor, list[Tensor], Tensor, Tensor]:
    """The normalised blank map and windows, and the batch's mean and unbiased variance, without gradients.

    blank: (1, C, H, W)
    occurrences: (H, W), how often each position of the blank map occurs in the batch
    windows: (N, C, h, w) of the images, in any number of tensors
    weight, bias: (C,), None for 1 and 0
    eps: added to the variance
    """
    weight = blank.new_ones(blank.shape[1]) if weight is None else weight
    bias = blank.new_zeros(blank.shape[1]) if bias is None else bias
    normalised = _BatchNorm.apply(blank, occurrences, weight, bias, eps, *windows)
    mean, variance, first, *others = normalised
    return first, list(others), mean, variance


class _BatchNorm(torch.autograd.Function):
    """The normalised maps, and their gradients in few passes over each."""

    @staticmethod
    def forward(
        ctx: Any, blank: Tensor, occurrences: Tensor, weight: Tensor, bias: Tensor, eps: float, *windows: Tensor
    ) -> tuple[Tensor, ...]:
        total = round(occurrences.sum().item()) + sum(window.numel() // window.shape[1] for window in windows)
        mean = _sum(blank, occurrences) / total
        parts = [torch.var_mean(window, _OVER_IMAGES, correction=0) for window in windows]
        counts = [window.numel() // window.shape[1] for window in windows]
        for (_, part_mean), count in zip(parts, counts, strict=True):
            mean = mean + part_mean * (count / total)
        squares = _sum((blank - mean[:, None, None]).square(), occurrences)
        for (part_variance, part_mean), count in zip(parts, counts, strict=True):
            squares = squares + count * (part_variance + (part_mean - mean).square())
        variance = squares / total
        unbiased = squares / max(total - 1, 1)
        ctx.save_for_backward(occurrences, weight, mean, variance, blank, *windows)
        ctx.eps, ctx.total = eps, total
        ctx.mark_non_differentiable(mean, unbiased)
        maps = [F.batch_norm(part, mean, variance, weight, bias, False, 0.0, eps) for part in (blank, *windows)]
        return mean, unbiased, *maps

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, _mean: Tensor, _variance: Tensor, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        occurrences, weight, mean, variance, *maps = ctx.saved_tensors
        scale = torch.rsqrt(variance + ctx.eps)
        found = [
            torch.ops.aten.native_batch_norm_backward(
                gradient, part, weight, mean, variance, None, None, False, ctx.eps, [True, True, True]
            )
            for gradient, part in zip(gradients, maps, strict=True)
        ]
        to_weight, to_bias = sum(one[1] for one in found), sum(one[2] for one in found)
        # What each occurrence of a value v adds through mean and variance: slope * v + constant.
        slope = -weight * scale.square() * to_weight / ctx.total
        constant = -weight * scale * to_bias / ctx.total - slope * mean
        slope, constant = slope[:, None, None], constant[:, None, None]
        blank, *windows = (one[0] for one in found)
        blank.add_((maps[0] * slope + constant) * occurrences)
        for window, values in zip(windows, maps[1:], strict=True):
            window.addcmul_(values, slope).add_(constant)
        return blank, None, to_weight, to_bias, None, *windows


def _sum(values: Tensor, occurrences: Tensor) -> Tensor:
    """Sums (C,) of a map (1, C, H, W) whose positions occur so often."""
    return torch.einsum("chw,hw->c", values[0], occurrences)
