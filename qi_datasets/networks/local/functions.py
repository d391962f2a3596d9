"""Which step a function or a tensor's method is, as `layers` says it of modules."""

import operator
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.fx import Node

from qi_datasets.networks.local.axes import (
    Found,
    Known,
    Rule,
    flatten,
    getitem,
    permute,
    reduce,
    transpose,
    unsqueeze,
    window_of,
)
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
from qi_datasets.networks.local.pooling import Ending, GlobalMean, GlobalSum, SpreadMax, Whole
from qi_datasets.networks.local.steps import Call, Join, Step
from qi_datasets.networks.local.windows import Area, NotLocalError


def step_of_function(target: Any, known: Known, args: Sequence[Any], kwargs: dict[str, Any]) -> Found:
    """The step of a function that is called with maps. Raises `NotLocalError` where it can't be one.

    target: the function
    known: what is known of its inputs
    args, kwargs: what it is called with
    """
    if getattr(target, "__name__", "") == "stochastic_depth" and target.__module__.startswith("torchvision."):
        return _stochastic_depth(known, *args, **kwargs)
    return _applied(_FUNCTIONS.get(target), getattr(target, "__name__", str(target)), known, args, kwargs)


def step_of_method(name: str, known: Known, args: Sequence[Any], kwargs: dict[str, Any]) -> Found:
    """The step of a method of a map. Raises `NotLocalError` where it can't be one.

    name: of the method
    known: what is known of its inputs
    args, kwargs: what it is called with, the map first
    """
    return _applied(_METHODS.get(name), name, known, args, kwargs)


def _applied(rule: Rule | None, name: str, known: Known, args: Sequence[Any], kwargs: dict[str, Any]) -> Found:
    if rule is None:
        raise NotLocalError(f"{name} may mix all positions")
    try:
        return rule(known, *args, **kwargs)
    except (TypeError, AttributeError, IndexError) as error:
        raise NotLocalError(f"{name} is called in a way that is not known: {error}") from error


def _pointwise(known: Known, input: Node, *args: Any, **kwargs: Any) -> Step:
    window_of(known, input)
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
    areas = [window_of(known, node) for node in tensors]
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
    def run(call: Call, maps: Tensor, replaced: dict[str, Any]) -> Tensor:
        args, kwargs = call.arguments(maps)
        names = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
        return F.conv2d(**(dict(zip(names, args, strict=False)) | kwargs | replaced))

    return convolution(run, known.value(weight).shape[2:], stride, padding, dilation)


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
        return adaptive_pool(output_size, window_of(known, input), maximum=maximum)

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
    images_only(window_of(known, input))
    if not training:
        return Step()

    def remember(mean: Tensor, variance: Tensor) -> None:
        update(known.value(running_mean), mean, momentum)
        update(known.value(running_var), variance, momentum)

    return BatchStatistics(lambda: (known.value(weight), known.value(bias)), eps, remember)


def _layer_norm(known: Known, input: Node, normalized_shape: Sequence[int], *args: Any, **kwargs: Any) -> Step:
    return over_last_axes(len(normalized_shape), window_of(known, input))


def _linear(known: Known, input: Node, weight: Node, bias: Any = None) -> Step:
    return over_last_axes(1, window_of(known, input))


def _pad(known: Known, input: Node, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Step:
    return border([*map(known.value, pad)], mode, value or 0.0, window_of(known, input))


def _dropout(known: Known, input: Node, p: float = 0.5, training: bool = True, inplace: bool = False) -> Step:
    return dropout(p, training)


def _stochastic_depth(known: Known, input: Node, p: float, mode: str, training: bool = True) -> Step:
    return dropout(p, training)


# fmt: off
POINTWISE = (
    "abs", "celu", "celu_", "clamp", "clamp_", "clip", "clone", "contiguous", "detach", "double", "elu", "elu_",
    "exp", "float", "gelu", "half", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "hardtanh_", "leaky_relu",
    "leaky_relu_", "log", "logsigmoid", "mish", "neg", "relu", "relu6", "relu_", "selu", "selu_", "sigmoid",
    "sigmoid_", "silu", "softplus", "softshrink", "softsign", "sqrt", "square", "tanh", "tanh_", "tanhshrink",
    "threshold", "to",
)
# fmt: on
"""Functions and methods of one map: each output position is a function of the same position of the input."""

COMBINING = ("add", "div", "maximum", "minimum", "mul", "sub", "true_divide", "truediv")
"""Those of two maps, or of a map and a constant."""

_DROPOUTS = ("alpha_dropout", "dropout", "dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout")

_SHARED: dict[str, Rule] = {
    **dict.fromkeys(POINTWISE, _pointwise),
    **dict.fromkeys(COMBINING, _combine),
    **dict.fromkeys(_DROPOUTS, _dropout),
    "cat": _cat,
    "concat": _cat,
    "concatenate": _cat,
    "mean": reduce(lambda keepdim: GlobalMean(keepdim=keepdim)),
    "sum": reduce(lambda keepdim: GlobalSum(keepdim=keepdim)),
    "amax": reduce(lambda keepdim: SpreadMax(keepdim=keepdim)),
    "flatten": flatten,
    "permute": permute,
    "transpose": transpose,
    "swapaxes": transpose,
    "unsqueeze": unsqueeze,
    "layer_norm": _layer_norm,
    "linear": _linear,
    "pad": _pad,
    "getitem": getitem,
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
_FUNCTIONS[F.batch_norm] = _batch_norm
