"""Rules for poolings over all positions, and for normalisations by their statistics."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from qi_datasets.networks.endless_maps.shapes import alone, by_channel
from qi_datasets.networks.endless_maps.tensor import Plane, came_of, name_of


def pool(name: str, x: Plane, *, keepdim: bool) -> Any:
    """Returns the mean or, for any other name, the maximum over all positions.

    The mean of an endless map in `exact` padding would be the background. Returned is the background plus the sum of
    what the image adds to it, divided by the number of positions that the image's area holds; and the background takes
    part in the maximum. In other paddings both are taken over the computed positions.
    """
    is_mean, dims = name in ("mean", "avg_pool2d", "adaptive_avg_pool2d"), x.axes or (-2, -1)
    if x.background is None or not is_mean:
        found = x.values.mean(dims, keepdim) if is_mean else x.values.amax(dims, keepdim)
        if x.run.padding == "own":
            return came_of([x], name, found, is_pooling=True)
        if x.background is None:
            return found
        return torch.maximum(found, x.background if keepdim else x.background.squeeze(dims))
    (rows, columns), (height, width) = x.reaches, x.run.sides
    excess = x.values.sum(dims, True) - x.background * (x.sides[0] * x.sides[1])
    mean = x.background + excess * (rows.stride * columns.stride / (height * width))
    return mean if keepdim else mean.squeeze(dims)


@Plane.rules.register("adaptive_avg_pool2d", "adaptive_max_pool2d")
def adaptive_pool2d(func: Any, input: Plane, output_size: Any, return_indices: bool = False) -> Any:
    """Pools over all positions. Several positions reveal location, also for sides at which no averages are needed."""
    wanted = (output_size, output_size) if output_size is None or isinstance(output_size, int) else output_size
    size = tuple(now if side is None else side for side, now in zip(wanted, input.sides, strict=True))
    if return_indices or not input.is_standard or (size != (1, 1) and input.run.padding != "own"):
        return NotImplemented
    if size == (1, 1):
        return pool(name_of(func), input, keepdim=True)
    return came_of([input], name_of(func), func(input.values, output_size))


_NORMS = ("norm", "linalg_vector_norm", "linalg_norm")
_REDUCTIONS = ("mean", "amax", "amin", "sum", "std", "var", "std_mean", "var_mean", "logsumexp", *_NORMS)


@Plane.rules.register(*_REDUCTIONS, "softmax", "log_softmax", "glu", "cumsum", "argmax")
def over_dimensions(func: Any, input: Plane, *args: Any, **kwargs: Any) -> Any:
    """Reduces or normalises dimensions: rows and columns together, or neither of them."""
    name = name_of(func)
    options = args[1:] if name in _NORMS else args
    dim = kwargs.get("dim", kwargs.get("axis", options[0] if options else None))
    dims = [dim] if isinstance(dim, int) else [*(dim or ())]
    if not dims or isinstance(dim, bool):
        return NotImplemented
    from_last = {dim % input.values.ndim - input.values.ndim for dim in dims}
    if from_last == {*(input.axes or ())} and name in _REDUCTIONS:
        if name in ("mean", "amax") and not kwargs.get("dtype"):
            keepdim = kwargs.get("keepdim", next((one for one in options if isinstance(one, bool)), False))
            return pool(name, input, keepdim=keepdim)
        # Statistics of a norm are over the computed positions, which are the same in both corners.
        value = func(input.values, *args, **kwargs)
        return came_of([input], name, value, is_pooling=True) if input.run.padding == "own" else value
    mixes = input.is_spatial(*dims) or -input.values.ndim in from_last
    return NotImplemented if mixes else alone(func, input, *args, **kwargs)


@Plane.rules.register("batch_norm")
def batch_norm(func: Any, input: Plane, *args: Any, **kwargs: Any) -> Any:
    """Normalises by running statistics or, in training, by those of the batch, over the computed positions."""
    names = ("running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
    given = dict(zip(names, args, strict=False)) | kwargs
    if not given.get("training"):
        return by_channel(func, input, **given)
    if not input.is_standard:
        return NotImplemented
    values = func(input.values, **given)
    if input.background is None:
        return input.become(values)
    variance, mean = torch.var_mean(input.values, (0, 2, 3), correction=0, keepdim=True)
    black = (input.background - mean) * torch.rsqrt(variance + given.get("eps", 1e-5))
    return input.become(values, scaled(black, given.get("weight"), given.get("bias")))


def scaled(values: Any, weight: Any, bias: Any) -> Any:
    """Returns maps (N, C, H, W) with a factor and a summand for each channel, or without."""
    values = values if weight is None else values * weight[:, None, None]
    return values if bias is None else values + bias[:, None, None]


@Plane.rules.register("group_norm")
def group_norm(
    func: Any, input: Plane, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """Normalises by the statistics of the computed positions, which are the same in both corners."""
    if not input.is_standard:
        return NotImplemented
    if input.run.padding == "own":
        return input.become(func(input.values, num_groups, weight, bias, eps), is_bounded=False)

    def apart(values: Tensor) -> Tensor:
        return values.reshape(len(values), num_groups, -1, *values.shape[2:])

    variance, mean = torch.var_mean(apart(input.values), (2, 3, 4), correction=0, keepdim=True)
    scale = torch.rsqrt(variance + eps)
    return input.each(lambda values: scaled(((apart(values) - mean) * scale).flatten(1, 2), weight, bias))


@Plane.rules.register("instance_norm")
def instance_norm(func: Any, input: Plane, *args: Any, **kwargs: Any) -> Any:
    """Normalises each channel of each image."""
    names = ("running_mean", "running_var", "weight", "bias", "use_input_stats", "momentum", "eps")
    given = dict(zip(names, args, strict=False)) | kwargs
    if not given.pop("use_input_stats", True):
        return batch_norm(F.batch_norm, input, **given, training=False)
    if given.get("running_mean") is not None and input.run.padding != "own":
        return NotImplemented
    options = (given.get("weight"), given.get("bias"), given.get("eps", 1e-5))
    return group_norm(F.group_norm, input, input.values.shape[1], *options)
