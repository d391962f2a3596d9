"""Which step a function or a tensor's method is, as `layers` says it of modules."""

import operator
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.fx import Node

from qi_datasets.networks.local.batch_statistics import BatchStatistics, update
from qi_datasets.networks.local.layers import (
    Size,
    adaptive_pool,
    average_pool,
    border,
    convolution,
    dropout,
    images_only,
    max_pool,
    over_last_axes,
)
from qi_datasets.networks.local.pooling import Ending, GlobalMean, SpreadMax, Whole
from qi_datasets.networks.local.steps import Call, Join, Relocated, Slide, Step
from qi_datasets.networks.local.windows import Area, NotLocalError, Sweep


class Known(Protocol):
    """What is known of the inputs of a node before anything is computed."""

    def area(self, node: Any) -> Area | None:
        """Where the window of a map is; None for anything but a map."""

    def value(self, node: Any) -> Any:
        """The value of what does not depend on the images. Raises `NotLocalError` for what does."""


Found: TypeAlias = Step | Ending
Rule = Callable[..., Found]


def step_of_function(target: Any, known: Known, args: Sequence[Any], kwargs: dict[str, Any]) -> Found:
    """The step of a function that is called with maps. Raises `NotLocalError` if it is none."""
    if getattr(target, "__name__", "") == "stochastic_depth" and target.__module__.startswith("torchvision."):
        return _stochastic_depth(known, *args, **kwargs)
    return _applied(_FUNCTIONS.get(target), getattr(target, "__name__", str(target)), known, args, kwargs)


def step_of_method(name: str, known: Known, args: Sequence[Any], kwargs: dict[str, Any]) -> Found:
    """The step of a method of a map. Raises `NotLocalError` if it is none."""
    return _applied(_METHODS.get(name), name, known, args, kwargs)


def _applied(rule: Rule | None, name: str, known: Known, args: Sequence[Any], kwargs: dict[str, Any]) -> Found:
    if rule is None:
        raise NotLocalError(f"{name} may mix all positions")
    try:
        return rule(known, *args, **kwargs)
    except (TypeError, AttributeError, IndexError) as error:
        raise NotLocalError(f"{name} is called in a way that is not known: {error}") from error


def _window_of(known: Known, node: Any) -> Area:
    area = known.area(node)
    if area is None:
        raise NotLocalError("its input is not a map")
    return area


def _pointwise(known: Known, input: Node, *args: Any, **kwargs: Any) -> Step:
    _window_of(known, input)
    for other in (*args, *kwargs.values()):
        if isinstance(other, Node):
            raise NotLocalError("it takes another tensor beside the map")
    return Step()


def _combine(known: Known, first: Any, second: Any, **options: Any) -> Step:
    areas = [area for area in map(known.area, (first, second)) if area is not None]
    if len(areas) == 2:
        return Step() if first is second else Join()
    for operand in (first, second):
        if known.area(operand) is None:
            _check_constant(known.value(operand), areas[0])
    return Step()


def _check_constant(value: Any, area: Area) -> None:
    """A tensor that is combined with a map has to be the same at all positions, and for all images."""
    if not isinstance(value, Tensor):
        return
    ahead = area.ndim - value.ndim
    sizes = [value.shape[axis - ahead] for axis in (0, *area.axes) if axis >= ahead]
    if ahead < 0 or any(size != 1 for size in sizes):
        raise NotLocalError("it takes a tensor that differs by position")


def _cat(known: Known, tensors: Sequence[Node], dim: int = 0, axis: int | None = None) -> Step:
    areas = [_window_of(known, node) for node in tensors]
    along = (dim if axis is None else axis) % areas[0].ndim
    if along in (0, *areas[0].axes):
        raise NotLocalError("it lays maps side by side")
    return Join()


def _conv2d(
    known: Known,
    input: Node,
    weight: Node,
    bias: Any = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Step:
    def valid(call: Call, canvas: Tensor) -> Tensor:
        args, kwargs = call.arguments(canvas)
        names = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
        return F.conv2d(**(dict(zip(names, args, strict=False)) | kwargs | {"padding": 0}))

    return convolution(valid, known.value(weight).shape[2:], stride, padding, dilation)


def _max_pool2d(
    known: Known,
    input: Node,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Step:
    if return_indices:
        raise NotLocalError("it answers where in the map its maxima are")
    return max_pool(kernel_size, stride, padding, dilation, ceil_mode)


def _avg_pool2d(
    known: Known,
    input: Node,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Step:
    return average_pool(kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def _adaptive(maximum: bool) -> Rule:
    def rule(known: Known, input: Node, output_size: Any, return_indices: bool = False) -> Ending:
        if return_indices:
            return Whole()
        return adaptive_pool(output_size, _window_of(known, input), maximum=maximum)

    return rule


def _batch_norm(
    known: Known,
    input: Node,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Step:
    images_only(_window_of(known, input))
    if not training:
        return Step()

    def remember(mean: Tensor, variance: Tensor) -> None:
        update(known.value(running_mean), mean, momentum)
        update(known.value(running_var), variance, momentum)

    return BatchStatistics(lambda: (known.value(weight), known.value(bias)), eps, remember)


def _layer_norm(known: Known, input: Node, normalized_shape: Sequence[int], *args: Any, **kwargs: Any) -> Step:
    return over_last_axes(len(normalized_shape), _window_of(known, input))


def _linear(known: Known, input: Node, weight: Node, bias: Any = None) -> Step:
    return over_last_axes(1, _window_of(known, input))


def _pad(known: Known, input: Node, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Step:
    return border([*pad, *[0] * (4 - len(pad))], mode, value or 0.0)


def _dropout(known: Known, input: Node, p: float = 0.5, training: bool = True, inplace: bool = False) -> Step:
    return dropout(p, training)


def _stochastic_depth(known: Known, input: Node, p: float, mode: str, training: bool = True) -> Step:
    return dropout(p, training)


def _reduce(whole: Callable[[bool], Ending]) -> Rule:
    """A reduction over some axes: over rows and columns the map ends, over channels it goes on."""

    def rule(known: Known, input: Node, dim: Any = None, keepdim: bool = False) -> Found:
        area = _window_of(known, input)
        if dim is None:
            return Whole()
        axes = {axis % area.ndim for axis in ([dim] if isinstance(dim, int) else dim)}
        if axes == set(area.axes) and area.is_image:
            return whole(keepdim)
        if axes & {0, *area.axes} or not axes:
            return Whole()
        if keepdim:
            return Step()
        rows, columns = (axis - sum(other < axis for other in axes) for axis in area.axes)
        return Relocated((rows, columns), area.ndim - len(axes))

    return rule


def _flatten(known: Known, input: Node, start_dim: int = 0, end_dim: int = -1) -> Ending:
    return Whole()


def _permute(known: Known, input: Node, *dims: Any) -> Step:
    area = _window_of(known, input)
    order = [axis % area.ndim for axis in (dims[0] if isinstance(dims[0], Sequence) else dims)]
    if order[0] != 0:
        raise NotLocalError("it moves the axis of the images")
    return Relocated((order.index(area.axes[0]), order.index(area.axes[1])), area.ndim)


def _transpose(known: Known, input: Node, dim0: int, dim1: int) -> Step:
    ndim = _window_of(known, input).ndim
    order = list(range(ndim))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return _permute(known, input, order)


def _unsqueeze(known: Known, input: Node, dim: int) -> Step:
    area = _window_of(known, input)
    place = dim % (area.ndim + 1)
    if place == 0:
        raise NotLocalError("it moves the axis of the images")
    rows, columns = (axis + (axis >= place) for axis in area.axes)
    return Relocated((rows, columns), area.ndim + 1)


def _getitem(known: Known, input: Node, index: Any) -> Step:
    """Some channels of a map, every n-th row and column, or a part of the rows and columns."""
    area = _window_of(known, input)
    indices = list(index) if isinstance(index, tuple) else [index]
    if Ellipsis in indices:
        place = indices.index(Ellipsis)
        indices[place : place + 1] = [slice(None)] * (area.ndim - len(indices) + 1)
    indices += [slice(None)] * (area.ndim - len(indices))
    kept = [axis for axis, one in enumerate(indices) if isinstance(one, slice)]
    if len(indices) != area.ndim or indices[0] != slice(None) or not all(isinstance(i, int | slice) for i in indices):
        raise NotLocalError("it picks single images or positions")
    if any(axis not in kept for axis in area.axes):
        raise NotLocalError("it picks a row or a column")
    parts = [indices[axis] for axis in area.axes]
    if all(part == slice(None) for part in parts):
        return Relocated((kept.index(area.axes[0]), kept.index(area.axes[1])), len(kept))
    sweeps = []
    for part, span in zip(parts, area.spans, strict=True):
        start, stop, step = part.indices(span.length)
        sweeps.append(Sweep(1, step, before=-start, after=stop - span.length))
    if len(kept) < area.ndim:
        raise NotLocalError("it picks a channel and positions at once")
    strided = (slice(None), indices[1], *(slice(None, None, sweep.stride) for sweep in sweeps))
    # A copy, since what comes next may write into it.
    return Slide((sweeps[0], sweeps[1]), lambda call, canvas: canvas[strided].clone())


_POINTWISE = [
    "abs",
    "celu",
    "celu_",
    "clamp",
    "clamp_",
    "clip",
    "clone",
    "contiguous",
    "detach",
    "double",
    "elu",
    "elu_",
    "exp",
    "float",
    "gelu",
    "half",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "hardtanh_",
    "leaky_relu",
    "leaky_relu_",
    "log",
    "logsigmoid",
    "mish",
    "neg",
    "relu",
    "relu6",
    "relu_",
    "selu",
    "selu_",
    "sigmoid",
    "sigmoid_",
    "silu",
    "softplus",
    "softshrink",
    "softsign",
    "sqrt",
    "square",
    "tanh",
    "tanh_",
    "tanhshrink",
    "threshold",
    "to",
]
_COMBINING = ["add", "div", "maximum", "minimum", "mul", "sub", "true_divide", "truediv"]
_DROPOUTS = ["alpha_dropout", "dropout", "dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout"]

IN_PLACE: dict[Any, Any] = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
}
"""Operators that may write into a window, which is then too small for it, and what gives the same result anew."""

_SHARED: dict[str, Rule] = {
    **dict.fromkeys(_POINTWISE, _pointwise),
    **dict.fromkeys(_COMBINING, _combine),
    **dict.fromkeys(_DROPOUTS, _dropout),
    "cat": _cat,
    "concat": _cat,
    "concatenate": _cat,
    "mean": _reduce(lambda keepdim: GlobalMean(keepdim=keepdim)),
    "amax": _reduce(lambda keepdim: SpreadMax(keepdim=keepdim)),
    "flatten": _flatten,
    "permute": _permute,
    "transpose": _transpose,
    "swapaxes": _transpose,
    "unsqueeze": _unsqueeze,
    "layer_norm": _layer_norm,
    "linear": _linear,
    "pad": _pad,
    "getitem": _getitem,
    "conv2d": _conv2d,
    "max_pool2d": _max_pool2d,
    "avg_pool2d": _avg_pool2d,
    "adaptive_avg_pool2d": _adaptive(False),
    "adaptive_max_pool2d": _adaptive(True),
}
_METHODS: dict[str, Rule] = _SHARED
_FUNCTIONS: dict[Any, Rule] = {
    getattr(place, name): rule
    for name, rule in _SHARED.items()
    for place in (torch, F, operator)
    if hasattr(place, name) and (place, name) != (operator, "concat")
}
_FUNCTIONS |= dict.fromkeys(IN_PLACE, _combine) | {F.batch_norm: _batch_norm}
