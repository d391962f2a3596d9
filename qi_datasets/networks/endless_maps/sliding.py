"""Rules for layers with windows, for padding and for interpolation."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from qi_datasets.errors import UnsupportedOperationError
from qi_datasets.networks.endless_maps.reduction import pool
from qi_datasets.networks.endless_maps.tensor import Plane, Reach, Side, name_of, planes_in
from qi_datasets.networks.operators import Window

_PARAMETERS = {
    "conv2d": ("weight", "bias", "stride", "padding", "dilation", "groups"),
    "max_pool2d": ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"),
    "avg_pool2d": ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"),
}


@Plane.rules.register(*_PARAMETERS)
def windows(func: Any, input: Any, *args: Any, **kwargs: Any) -> Any:
    """Computes a convolution whose weights don't depend on the images, or a pooling; indices of maxima have no rule.

    On an endless map there is no last window to leave out or to round up to, and every position of a mean counts.
    """
    name = name_of(func)
    given = dict(zip(_PARAMETERS[name], args, strict=False)) | kwargs
    if not isinstance(input, Plane) or not input.is_standard or planes_in(given) or given.pop("return_indices", False):
        return NotImplemented
    kernel = given.get("kernel_size")
    if is_whole(kernel) and not given.get("divisor_override"):
        return pool(name, input, keepdim=True)
    placed = {key: given[key] for key in ("weight", "kernel_size", "stride", "padding", "dilation") if key in given}
    window = Window.of_pooling(**placed) if "kernel_size" in given else Window.of_convolution(**placed)
    if input.run.is_endless and "ceil_mode" in given:
        given["ceil_mode"] = False
    if input.run.padding != "own" and name == "avg_pool2d":
        given["count_include_pad"] = True
    function: Any = {"max_pool2d": F.max_pool2d, "avg_pool2d": F.avg_pool2d}.get(name, torch.conv2d)

    def compute(values: Tensor, padding: Any) -> Tensor:
        return function(values, **given if padding is None else given | {"padding": padding})  # type: ignore[no-any-return]

    return input.slide(window, compute, adds_zeros=name == "conv2d")


def is_whole(kernel_size: Any) -> bool:
    """Returns whether a kernel is the map's own size, as in `F.avg_pool2d(x, x.shape[-2:])`."""
    return all(isinstance(one, Side) for one in (kernel_size if isinstance(kernel_size, Sequence) else [kernel_size]))


@Plane.rules.register("pad")
def pad(func: Any, input: Plane, pad: Sequence[int], mode: str = "constant", value: Any = None) -> Any:
    """Pads as the network does. An endless map continues there, so only the numbers of its positions change."""
    run, others, amounts = input.run, list(pad), []
    for axis in input.axes or ():
        sides = slice(-2 * axis - 2, -2 * axis)
        amounts.append((others[sides] or [0, 0])[:2])
        others[sides] = [0] * len(others[sides])
    reaches = tuple(one.through(1, 1, before) for one, (before, _) in zip(input.reaches, amounts, strict=True))
    fills = any(amount > 0 for sides in amounts for amount in sides)
    bounded = input.is_bounded and not (mode == "circular" and any(map(any, amounts)))
    run.has_padded |= fills
    if run.is_endless:
        x = input.become(input.values, input.background, reaches=reaches, is_bounded=bounded)
        return x.each(lambda values: func(values, others, mode, value)) if any(others) else x
    if run.padding != "own" and fills and any(others):
        raise UnsupportedOperationError(
            f"{run.where}pad pads channels beside positions, which {run.padding} padding can't"
        )
    mode = run.padding if run.padding != "own" and fills else mode
    return input.become(func(input.values, pad, mode, value), reaches=reaches, is_bounded=bounded)


@Plane.rules.register("interpolate", "upsample")
def interpolate(func: Any, input: Plane, *args: Any, **kwargs: Any) -> Any:
    """Enlarges a map by whole factors."""
    value = func(input.values, *args, **kwargs)
    factors = [new / side for new, side in zip(value.shape[-2:], input.sides, strict=True)]
    divides = all(
        factor.is_integer() and not one.stride % factor for factor, one in zip(factors, input.reaches, strict=True)
    )
    if not input.is_standard or input.run.padding != "own" or not divides:
        return NotImplemented
    # Nearest neighbours read one position, bicubic interpolation two on each side, all others at most the next one.
    more = 2 if "bicubic" in (*args, *kwargs.values()) else 1
    wider = (Reach(one.before + more * one.stride, one.after + more * one.stride, one.stride) for one in input.reaches)
    steps = (int(one.stride // factor) for one, factor in zip(input.reaches, factors, strict=True))
    return input.become(value, reaches=tuple(replace(one, stride=step) for one, step in zip(wider, steps, strict=True)))
