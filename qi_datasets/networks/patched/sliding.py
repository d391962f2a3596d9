"""Rules for convolutions and poolings of windows."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from qi_datasets.networks.operators import Pair, Window, pair
from qi_datasets.networks.patched.axes import PADDING
from qi_datasets.networks.patched.tensor import NCHW, Patched
from qi_datasets.networks.patched.windows import Marks, slide, take


@Patched.rules.register("conv1d", "conv2d")
def convolve(
    func: Any,
    input: Any,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """Computes a convolution in windows as far as the kernel reaches, and of the background where it differs."""
    if not isinstance(input, Patched) or isinstance(weight, Patched):
        return NotImplemented
    if input.ndim == weight.ndim and input.has_channels(1):
        alone = set(weight.shape[2:]) == {1} == {*_numbers(stride)} and not any(_numbers(padding))
        if alone or input.has_channels(*range(1, input.ndim)):
            return input.each(lambda values: func(values, weight, bias, stride, padding, dilation, groups))
    if input.dims != NCHW or weight.ndim != 4:
        return NotImplemented
    steps, spread = pair(stride), pair(dilation)
    return slide(
        input,
        lambda maps: torch.conv2d(maps, weight, bias, steps, 0, spread, groups),
        Window.of_convolution(weight, stride, padding, dilation),
        lambda maps: func(maps, weight, bias, stride, padding, dilation, groups),
    )


@Patched.rules.register("conv_transpose2d")
def convolve_transposed(
    func: Any,
    input: Any,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """Computes a convolution of the map with zeros between its positions and around them."""
    if not isinstance(input, Patched) or isinstance(weight, Patched) or input.dims != NCHW:
        return NotImplemented
    lines = []
    sizes = zip(input.sides, weight.shape[2:], *map(pair, (stride, padding, output_padding, dilation)), strict=True)
    for side, kernel, step, cut, more, spread in sizes:
        around = spread * (kernel - 1) - cut
        length = (side - 1) * step + 1 + 2 * around + more
        places = (divmod(k - around, step) for k in range(length))
        lines.append(tuple(at if not rest and 0 <= at < side else PADDING for at, rest in places))
    turned = weight.reshape(groups, -1, *weight.shape[1:]).transpose(1, 2).flatten(0, 1).flip(2, 3)
    spaced = take(input, lines[0], lines[1])
    return spaced if spaced is NotImplemented else F.conv2d(spaced, turned, bias, 1, 0, dilation, groups)


@Patched.rules.register("unfold")
def unfold(func: Any, input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """Computes a convolution that copies each position of its window."""
    if input.dims != NCHW or func is not F.unfold:
        return NotImplemented
    copies, channels = _copies(input, kernel_size), input.shape[1]
    found = F.conv2d(input, copies.repeat(channels, 1, 1, 1), None, stride, padding, dilation, channels)
    return found.flatten(2)


@Patched.rules.register("fold")
def fold(
    func: Any, input: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Any:
    """Computes a transposed convolution that adds up copies of each position."""
    if input.dims != (("N",), ("C",), ("H", "W")):
        return NotImplemented
    (rows, columns), size = input.sides, pair(kernel_size)
    channels = input.shape[1] // math.prod(size)
    sizes = zip(input.sides, pair(output_size), size, *map(pair, (stride, padding, dilation)), strict=True)
    more = [to - (side - 1) * step + 2 * cut - spread * (k - 1) - 1 for side, to, k, step, cut, spread in sizes]
    maps, copies = input.unflatten(2, (rows, columns)), _copies(input, kernel_size)
    return F.conv_transpose2d(maps, copies.repeat(channels, 1, 1, 1), None, stride, padding, more, channels, dilation)


def _copies(x: Patched, kernel_size: Any) -> Tensor:
    """Returns kernels (positions, 1, rows, columns) that each are 1 at one of their positions."""
    rows, columns = pair(kernel_size)
    return torch.eye(rows * columns, dtype=x.dtype, device=x.device).reshape(-1, 1, rows, columns)


def _numbers(value: Any) -> tuple[Any, ...]:
    """Returns the numbers of an argument; padding by name is 0 if the kernel is 1."""
    return () if isinstance(value, str) else tuple(value) if isinstance(value, tuple | list) else (value,)


@Patched.rules.register("max_pool2d")
def max_pool2d(
    func: Any,
    input: Patched,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Computes max pooling; its padding is less than every value, and the order of values does not matter."""
    if input.has_channels(-2, -1):
        return input.each(lambda one: func(one, kernel_size, stride, padding, dilation, ceil_mode, return_indices))
    window = Window.of_pooling(kernel_size, stride, padding, dilation, ceil_mode)
    if not _takes(input, window) or return_indices:
        return NotImplemented
    return slide(
        input,
        lambda maps: F.max_pool2d(maps, window.kernel, window.stride, 0, window.dilation),
        window,
        lambda maps: F.max_pool2d(maps, kernel_size, stride, padding, dilation, ceil_mode),
        fill=-math.inf,
        order_matters=False,
    )


@Patched.rules.register("avg_pool2d")
def avg_pool2d(
    func: Any,
    input: Patched,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """Computes average pooling; windows that leave the map may be divided by a smaller number."""
    rest = ceil_mode, count_include_pad, divisor_override
    if input.has_channels(-2, -1):
        return input.each(lambda one: func(one, kernel_size, stride, padding, *rest))
    window = Window.of_pooling(kernel_size, stride, padding, 1, ceil_mode)
    if not _takes(input, window):
        return NotImplemented
    marks: Marks = (None, None)
    if not divisor_override:
        marks = tuple(_sizes(window, axis, input.sides[axis], padded=count_include_pad) for axis in (0, 1))  # type: ignore[assignment]
    return slide(
        input,
        lambda maps: F.avg_pool2d(maps, window.kernel, window.stride, divisor_override=divisor_override),
        window,
        lambda maps: F.avg_pool2d(maps, kernel_size, stride, padding, *rest),
        marks=marks,
        finish=lambda means, *sizes: _divided(means, window.kernel, *sizes),
    )


def _takes(x: Patched, window: Window) -> bool:
    """Returns whether torch pools such a map by such windows; else torch's own error is wanted."""
    sides = zip(window.padding, window.kernel, strict=True)
    return x.dims == NCHW and not any(2 * before > size for (before, _), size in sides)


def _sizes(window: Window, axis: int, length: int, *, padded: bool) -> tuple[int | None, ...] | None:
    """Returns the number of positions that each output is divided by along an axis; None if all by the kernel's."""
    kernel, stride, (before, after) = window.kernel[axis], window.stride[axis], window.padding[axis]
    found: list[int | None] = []
    for output in range(max(0, window.count(axis, length))):
        start = output * stride - before
        stop = min(start + kernel, length + after)
        size = stop - start if padded else min(stop, length) - max(start, 0)
        found.append(None if size == kernel else size)
    return tuple(found) if any(one is not None for one in found) else None


def _divided(means: Tensor, kernel: Pair, rows: Any, columns: Any) -> Tensor:
    """Turns means over whole kernels into those over as many rows and columns."""
    if rows is not None and any(rows):
        means = means * means.new_tensor([kernel[0] / (one or kernel[0]) for one in rows])[:, None]
    if columns is not None and any(columns):
        means = means * means.new_tensor([kernel[1] / (one or kernel[1]) for one in columns])
    return means
