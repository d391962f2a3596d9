"""Which step a layer is: `step_of_layer`, for the modules of `torch.nn`."""

from collections.abc import Sequence
from functools import singledispatch
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qi_datasets.networks.local.batch_statistics import BatchStatistics
from qi_datasets.networks.local.pooling import Ending, GlobalMax, GlobalMean, Whole
from qi_datasets.networks.local.sliding import AveragePool, Convolution, Run, Slide
from qi_datasets.networks.local.steps import Border, Call, Step
from qi_datasets.networks.local.windows import Area, NotLocalError, Sweep

Size = int | Sequence[int]
_Pair = tuple[int, int]

POINTWISE = (
    nn.Identity,
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.SELU,
    nn.CELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Hardswish,
    nn.Hardsigmoid,
    nn.Hardtanh,
    nn.Hardshrink,
    nn.Softshrink,
    nn.Tanhshrink,
    nn.Softplus,
    nn.Softsign,
    nn.Sigmoid,
    nn.LogSigmoid,
    nn.Tanh,
    nn.Threshold,
)
"""Layers whose output positions are each a function of the same position of the input, whatever the axes."""

_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


@singledispatch
def step_of_layer(layer: nn.Module, area: Area) -> Step | Ending:
    """The step of a layer whose input's window is `area`. Raises `NotLocalError` where it can't be one."""
    if isinstance(layer, POINTWISE):
        return Step()
    if isinstance(layer, _DROPOUTS):
        return dropout(layer.p, layer.training)
    raise NotLocalError(f"a {type(layer).__name__} layer may mix all positions")


@step_of_layer.register
def _(layer: nn.Conv2d, area: Area) -> Step:
    def run(call: Call, maps: Tensor, replaced: dict[str, Any]) -> Tensor:
        own = {name: getattr(layer, name) for name in ("weight", "bias", "stride", "dilation", "groups")}
        return F.conv2d(maps, **(own | replaced))

    if layer.padding_mode != "zeros":
        raise NotLocalError(f"its {layer.padding_mode} padding is not written out")
    return convolution(run, layer.kernel_size, layer.stride, layer.padding, layer.dilation)


@step_of_layer.register
def _(layer: nn.MaxPool2d, area: Area) -> Step:
    if layer.return_indices:
        raise NotLocalError("it answers where in the map its maxima are")
    return max_pool(layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.ceil_mode)


@step_of_layer.register
def _(layer: nn.AvgPool2d, area: Area) -> Step:
    counts, divisor = layer.count_include_pad, layer.divisor_override
    return average_pool(layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode, counts, divisor)


@step_of_layer.register(nn.AdaptiveAvgPool2d)
@step_of_layer.register(nn.AdaptiveMaxPool2d)
def _(layer: nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d, area: Area) -> Ending:
    maximum = isinstance(layer, nn.AdaptiveMaxPool2d)
    if isinstance(layer, nn.AdaptiveMaxPool2d) and layer.return_indices:
        return Whole()
    return adaptive_pool(layer.output_size, area, maximum=maximum)


@step_of_layer.register(nn.ConstantPad2d)
@step_of_layer.register(nn.ReflectionPad2d)
@step_of_layer.register(nn.ReplicationPad2d)
@step_of_layer.register(nn.CircularPad2d)
def _(layer: Any, area: Area) -> Step:
    modes = {nn.ReflectionPad2d: "reflect", nn.ReplicationPad2d: "replicate", nn.CircularPad2d: "circular"}
    mode = next((name for kind, name in modes.items() if isinstance(layer, kind)), "constant")
    images_only(area)
    return border(layer.padding, mode, getattr(layer, "value", 0.0), area)


@step_of_layer.register
def _(layer: nn.BatchNorm2d, area: Area) -> Step:
    images_only(area)
    if not layer.training and layer.running_mean is not None:
        return Step()
    return BatchStatistics.of_layer(layer)


@step_of_layer.register
def _(layer: nn.PReLU, area: Area) -> Step:
    if layer.num_parameters > 1 and 1 in area.axes:
        raise NotLocalError("its slopes differ by row or column")
    return Step()


@step_of_layer.register
def _(layer: nn.LayerNorm, area: Area) -> Step:
    return over_last_axes(len(layer.normalized_shape), area)


@step_of_layer.register
def _(layer: nn.Linear, area: Area) -> Step:
    return over_last_axes(1, area)


@step_of_layer.register
def _(layer: nn.Flatten, area: Area) -> Ending:
    return Whole()


def images_only(area: Area) -> None:
    """Raises `NotLocalError` unless the map's axes are (N, C, H, W)."""
    if not area.is_image:
        raise NotLocalError("its input's axes are not (N, C, H, W)")


def over_last_axes(count: int, area: Area) -> Step:
    """An operation that mixes the last `count` axes of a tensor."""
    if any(axis >= area.ndim - count for axis in area.axes):
        raise NotLocalError("it mixes all positions")
    return Step()


def dropout(share: float, training: bool) -> Step:
    """Dropout is the identity, unless it draws."""
    if training and share > 0:
        raise NotLocalError("it draws at random, for each image and position")
    return Step()


def convolution(
    run: Run,
    kernel: Size,
    stride: Size,
    padding: Size | str,
    dilation: Size,
) -> Convolution:
    """A convolution padded with zeros.

    run: as for `Convolution`
    kernel, stride, padding, dilation: as for `torch.nn.Conv2d`
    """
    sweeps = []
    for axis, (size, step, spread) in enumerate(zip(pair(kernel), pair(stride), pair(dilation), strict=True)):
        if isinstance(padding, str):
            extra = spread * (size - 1) if padding == "same" else 0
            before, after = extra // 2, extra - extra // 2
        else:
            before = after = pair(padding)[axis]
        sweeps.append(Sweep(size, step, spread, before, after))
    return Convolution((sweeps[0], sweeps[1]), run)


def max_pool(kernel: Size, stride: Size | None, padding: Size, dilation: Size, ceil: bool) -> Slide:
    """Maximum pooling.

    kernel, stride, padding, dilation: as for `torch.nn.MaxPool2d`
    ceil: its `ceil_mode`
    """
    sizes, steps, spreads = pair(kernel), pair(stride or kernel), pair(dilation)

    def valid(call: Call, canvas: Tensor) -> Tensor:
        return F.max_pool2d(canvas, sizes, steps, 0, spreads)

    return Slide(_pool_sweeps(sizes, steps, padding, spreads, ceil), valid, fill=-torch.inf, ignores_padding=True)


def average_pool(
    kernel: Size, stride: Size | None, padding: Size, ceil: bool, counts_padding: bool, divisor: int | None
) -> AveragePool:
    """Average pooling.

    kernel, stride, padding: as for `torch.nn.AvgPool2d`
    ceil: its `ceil_mode`
    counts_padding: its `count_include_pad`
    divisor: its `divisor_override`
    """
    sweeps = _pool_sweeps(pair(kernel), pair(stride or kernel), padding, (1, 1), ceil)
    return AveragePool(sweeps, counts_padding=counts_padding, divisor=divisor)


def _pool_sweeps(kernel: _Pair, stride: _Pair, padding: Size, dilation: _Pair, ceil: bool) -> tuple[Sweep, Sweep]:
    """The sweeps of a pooling layer along rows and columns.

    kernel, stride, dilation: along rows, and along columns
    padding: on both sides
    ceil: whether the last window may end beyond the padding
    """
    rows, columns = (
        Sweep(size, step, spread, pad, pad, ceil)
        for size, step, spread, pad in zip(kernel, stride, dilation, pair(padding), strict=True)
    )
    return rows, columns


def adaptive_pool(output_size: int | Sequence[int | None] | None, area: Area, *, maximum: bool) -> Ending:
    """Adaptive pooling: global, or to several outputs, each of which has its place in the map."""
    images_only(area)
    sizes = [output_size] if isinstance(output_size, int | None) else output_size
    if any(size != 1 for size in sizes):
        return Whole()
    return GlobalMax(keepdim=True) if maximum else GlobalMean(keepdim=True)


def border(padding: Sequence[int], mode: str, value: float, area: Area) -> Step:
    """Explicit padding, (before, after) for each axis, the last one first; by a constant, negative amounts crop."""
    amounts = [(0, 0)] * area.ndim
    for place, amount in enumerate(zip(padding[::2], padding[1::2], strict=True)):
        amounts[area.ndim - 1 - place] = amount
    rows, columns = (amounts[axis] for axis in area.axes)
    if not any((*rows, *columns)):
        return Step()
    if sum(map(any, amounts)) > sum(map(any, (rows, columns))):
        raise NotLocalError("it pads other axes than rows and columns")
    if mode == "constant" and min(*rows, *columns) < 0:
        return Slide((Sweep(1, 1, 1, *rows), Sweep(1, 1, 1, *columns)), _copied, fill=value)
    return Border((rows, columns), mode, value)


def _copied(call: Call, canvas: Tensor) -> Tensor:
    # What comes next may write into it.
    return canvas.clone()


def pair(size: Size) -> _Pair:
    """(along rows, along columns)."""
    if isinstance(size, int):
        return size, size
    return (size[0], size[0]) if len(size) == 1 else (size[0], size[1])
