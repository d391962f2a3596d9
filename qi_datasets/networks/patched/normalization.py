"""Rules for normalization: by fixed statistics, by those of the batch, of each image or of each position."""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from qi_datasets.networks.patched.reduction import means, occurrences
from qi_datasets.networks.patched.tensor import NCHW, Patched, Place


@Patched.rules.register("batch_norm")
def batch_norm(
    func: Any,
    input: Any,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Normalizes by the running statistics, or in training mode by those of all positions of all images."""
    if not input.has_channels(1):
        return NotImplemented
    if not training:
        return input.each(lambda one: F.batch_norm(one, running_mean, running_var, weight, bias, False, 0.0, eps))
    if input.dims != NCHW:
        return NotImplemented
    normalized, mean, variance = _by_batch(input, weight, bias, eps)
    with torch.no_grad():
        for running, value in ((running_mean, mean), (running_var, variance)):
            if running is not None:
                running.lerp_(value.to(running.dtype), momentum)
    return normalized


def _by_batch(x: Patched, weight: Tensor | None, bias: Tensor | None, eps: float) -> tuple[Patched, Tensor, Tensor]:
    """Returns the normalized maps, and the batch's mean and unbiased variance."""
    parts: dict[int, Tensor] = {}
    weights: dict[int, Any] = {}
    for place in x.places:
        outside = occurrences(x, place)
        found: list[tuple[Tensor, Any]] = [(place.values, 1)]
        if place.background is not None and outside is not None:
            count = len(place.values) if len(place.background) == 1 else 1
            found.append((place.background, count * outside))
        for values, times in found:
            parts[id(values)] = values
            weights[id(values)] = weights.get(id(values), 0) + times
    keys = [*parts]
    some = next(iter(parts.values()))
    weight = some.new_ones(some.shape[1]) if weight is None else weight
    bias = some.new_zeros(some.shape[1]) if bias is None else bias
    mean, variance, *maps = _BatchNorm.apply(weight, bias, eps, [weights[key] for key in keys], *parts.values())
    made = dict(zip(keys, maps, strict=True))
    places = [Place(one.rows, one.columns, made[id(one.values)], made.get(id(one.background))) for one in x.places]
    return x.with_places(places), mean, variance


class _BatchNorm(torch.autograd.Function):
    """Normalizes maps whose positions occur several times; computes gradients in few passes over each map."""

    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, bias: Tensor, eps: float, occurs: Sequence[Any], *parts: Tensor
    ) -> tuple[Tensor, ...]:
        positions = [part.numel() // part.shape[1] for part in parts]
        counts = [
            times * size if isinstance(times, int) else times.sum().item() * len(part)
            for times, size, part in zip(occurs, positions, parts, strict=True)
        ]
        total = sum(counts)
        mean = _total([_sum(part, times) for part, times in zip(parts, occurs, strict=True)]) / total
        centred = [(part - mean[:, None, None]).square() for part in parts]
        squares = _total([_sum(part, times) for part, times in zip(centred, occurs, strict=True)])
        variance, unbiased = squares / total, squares / max(total - 1, 1)
        ctx.save_for_backward(weight, mean, variance, *parts)
        ctx.eps, ctx.total, ctx.occurs = eps, total, occurs
        ctx.mark_non_differentiable(mean, unbiased)
        return mean, unbiased, *(F.batch_norm(part, mean, variance, weight, bias, False, 0.0, eps) for part in parts)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, _mean: Tensor, _variance: Tensor, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        weight, mean, variance, *parts = ctx.saved_tensors
        scale = torch.rsqrt(variance + ctx.eps)
        found = [
            torch.ops.aten.native_batch_norm_backward(
                gradient, part, weight, mean, variance, None, None, False, ctx.eps, [True, True, True]
            )
            for gradient, part in zip(gradients, parts, strict=True)
        ]
        to_weight, to_bias = sum(one[1] for one in found), sum(one[2] for one in found)
        # What each occurrence of a value v adds through mean and variance: slope * v + constant.
        slope = -weight * scale.square() * to_weight / ctx.total
        constant = (-weight * scale * to_bias / ctx.total - slope * mean)[:, None, None]
        slope = slope[:, None, None]
        for (to_part, *_), part, times in zip(found, parts, ctx.occurs, strict=True):
            if isinstance(times, int) and times == 1:
                to_part.addcmul_(part, slope).add_(constant)
            else:
                to_part.add_((part * slope + constant) * times)
        return to_weight, to_bias, None, None, *(one[0] for one in found)


def _total(parts: Sequence[Tensor]) -> Tensor:
    return torch.stack([*parts]).sum(0)


def _sum(values: Tensor, times: Any) -> Tensor:
    """Returns sums (C,) over maps whose positions occur several times."""
    if isinstance(times, int):
        return values.sum((0, 2, 3)) * times
    return torch.einsum("nchw,hw->c", values, times.to(values.dtype))


@Patched.rules.register("layer_norm")
def layer_norm(
    func: Any,
    input: Any,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Any:
    """Normalizes each position over its channels, or each image over all of its last dimensions."""
    dims = tuple(range(-len(normalized_shape), 0))
    if input.has_channels(*dims):
        return input.each(lambda one: func(one, normalized_shape, weight, bias, eps))
    if any(("N" in dim) for dim in input.dims[dims[0] :]):
        return NotImplemented
    found = _standardized(input, dims, eps)
    found = found if weight is None else found * weight
    return found if bias is None else found + bias


@Patched.rules.register("group_norm", "instance_norm")
def group_norm(func: Any, input: Any, *args: Any, **kwargs: Any) -> Any:
    """Normalizes groups of channels of each image, or each channel, by all of their positions."""
    names = inspect.signature(func).parameters
    given = dict(zip([*names][1:], args, strict=False)) | kwargs
    if not given.get("use_input_stats", True) or given.get("running_mean") is not None:
        return NotImplemented
    if not input.has_channels(1) or input.dims[0] != ("N",):
        return NotImplemented
    if input.is_whole or input.has_channels(*range(1, input.ndim)):
        found: Any = input.each(lambda one: func(one, **given))
        return found
    count, channels, *sides = input.shape
    groups = given.get("num_groups", channels)
    apart = input.reshape(count, groups, channels // groups, *sides)
    found = _standardized(apart, tuple(range(2, apart.ndim)), given.get("eps", 1e-5)).reshape(input.shape)
    for scale, apply in ((given.get("weight"), torch.mul), (given.get("bias"), torch.add)):
        found = found if scale is None else apply(found, scale.reshape(-1, *[1] * len(sides)))
    return found


def _standardized(x: Any, dims: tuple[int, ...], eps: float) -> Any:
    centred = x - means(x, dims, keepdim=True)
    return centred * (means(centred * centred, dims, keepdim=True) + eps).rsqrt()
