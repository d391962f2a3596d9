"""Rules for poolings of windows."""

import math
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from qi_datasets.networks.operators import Pair, Window
from qi_datasets.networks.patched.tensor import Patched
from qi_datasets.networks.patched.windows import Marks, slide


@Patched.rules.register("max_pool2d")
def max_pool2d(
    func: Any,
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Computes maxima; their padding is less than every value, and their order does not matter."""
    if input.letters != "NCHW" or return_indices:
        return NotImplemented
    window = Window.of_pooling(kernel_size, stride, padding, dilation, ceil_mode)
    if any(2 * before > size for (before, _), size in zip(window.padding, window.kernel, strict=True)):
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
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """Computes means; where a window leaves the map it may be divided by a smaller number."""
    if input.letters != "NCHW":
        return NotImplemented
    window = Window.of_pooling(kernel_size, stride, padding, 1, ceil_mode)
    if any(2 * before > size for (before, _), size in zip(window.padding, window.kernel, strict=True)):
        return NotImplemented
    rows, columns = (
        None if divisor_override else _sizes(window, axis, input.sides[axis], padded=count_include_pad)
        for axis in (0, 1)
    )
    marks: Marks = (rows, columns)
    return slide(
        input,
        lambda maps: F.avg_pool2d(maps, window.kernel, window.stride, divisor_override=divisor_override),
        window,
        lambda maps: F.avg_pool2d(maps, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override),
        marks=marks,
        finish=lambda means, *sizes: _divided(means, window.kernel, *sizes),
    )


def _sizes(window: Window, axis: int, length: int, *, padded: bool) -> tuple[int | None, ...] | None:
    """By how many positions of an axis each output is divided, None being the kernel's; None if all are."""
    kernel, stride, (before, after) = window.kernel[axis], window.stride[axis], window.padding[axis]
    found: list[int | None] = []
    for output in range(max(0, window.count(axis, length))):
        start = output * stride - before
        stop = min(start + kernel, length + after)
        size = stop - start if padded else min(stop, length) - max(start, 0)
        found.append(None if size == kernel else size)
    return tuple(found) if any(one is not None for one in found) else None


def _divided(means: Tensor, kernel: Pair, rows: Any, columns: Any) -> Tensor:
    """Means of whole kernels become those of as many rows and columns."""
    if rows is not None and any(rows):
        means = means * means.new_tensor([kernel[0] / (one or kernel[0]) for one in rows])[:, None]
    if columns is not None and any(columns):
        means = means * means.new_tensor([kernel[1] / (one or kernel[1]) for one in columns])
    return means
