"""Batch norm by the statistics of a batch of images that are known as a blank map and windows.

Every position of the blank map outside the windows occurs once in each image. So the batch's sums are those of the blank
map times the number of images, less what the windows hide of it, plus those of the windows.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from qi_datasets.networks.local.windows import Area

_CHANNEL = (0, 2, 3)


def batch_norm(
    blank: Tensor,
    windows: Sequence[Tensor],
    areas: Sequence[Area],
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> tuple[Tensor, list[Tensor], Tensor, Tensor]:
    """The normalised blank map and windows, and the batch's mean and unbiased variance, without gradients.

    blank: (1, C, H, W)
    windows: for each place of the patch the windows (N, C, h, w) of the images that have it there
    areas: where in the map these windows are, one for each place
    weight, bias: (C,), None for 1 and 0
    """
    weight = blank.new_ones(blank.shape[1]) if weight is None else weight
    bias = blank.new_zeros(blank.shape[1]) if bias is None else bias
    normalised = _BatchNorm.apply(blank, weight, bias, eps, areas, *windows)  # type: ignore[no-untyped-call]
    mean, variance, first, *others = normalised
    return first, list(others), mean, variance


class _BatchNorm(torch.autograd.Function):
    """The normalised maps and their gradients, each in two passes over a map."""

    @staticmethod
    def forward(
        ctx: Any, blank: Tensor, weight: Tensor, bias: Tensor, eps: float, areas: Sequence[Area], *windows: Tensor
    ) -> tuple[Tensor, ...]:
        images = [len(window) for window in windows]
        # Where every image's window is the whole map, nothing of the blank one is left.
        shown = sum(count for count, area in zip(images, areas, strict=True) if not area.whole)
        parts = [_Part.of(blank, shown)] if shown else []
        for window, count, area in zip(windows, images, areas, strict=True):
            parts.append(_Part.of(window, 1))
            if not area.whole:
                parts.append(_Part.of(blank[area.window], -count))
        total = sum(part.count for part in parts)
        mean = sum(part.mean * (part.count / total) for part in parts)
        squares = sum(part.count * (part.variance + (part.mean - mean).square()) for part in parts)
        variance = squares / total
        ctx.save_for_backward(weight, mean, variance, blank, *windows)
        ctx.eps, ctx.areas, ctx.shown, ctx.images, ctx.total = eps, areas, shown, images, total
        unbiased = squares / max(total - 1, 1)
        ctx.mark_non_differentiable(mean, unbiased)
        maps = [F.batch_norm(part, mean, variance, weight, bias, False, 0.0, eps) for part in (blank, *windows)]
        return mean, unbiased, *maps

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, _mean: Tensor, _variance: Tensor, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        weight, mean, variance, *maps = ctx.saved_tensors
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
        blank_map, *window_maps = maps
        blank.addcmul_(blank_map, slope * ctx.shown).add_(constant * ctx.shown)
        for window, window_map, area, count in zip(windows, window_maps, ctx.areas, ctx.images, strict=True):
            window.addcmul_(window_map, slope).add_(constant)
            if not area.whole:
                hidden = blank[area.window]
                hidden.addcmul_(blank_map[area.window], slope * -count).add_(constant * -count)
        return blank, to_weight, to_bias, None, None, *windows


class _Part:
    """Mean and variance of a map per channel, and how often its values count, in all."""

    def __init__(self, mean: Tensor, variance: Tensor, count: int) -> None:
        self.mean, self.variance, self.count = mean, variance, count

    @classmethod
    def of(cls, values: Tensor, times: int) -> "_Part":
        """A map (N, C, h, w) whose values count `times` times each."""
        variance, mean = torch.var_mean(values, _CHANNEL, correction=0)
        return cls(mean, variance, values.numel() // values.shape[1] * times)
