"""What functions and methods do to maps: windows, positions alone, channels, pooling.

Each rule takes what follows the network, what writes the function anew, and the function's arguments, named as torch
names them; it gives the map that comes of it, or raises `Unfollowed`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch.nn.functional as F

from qi_datasets.networks.planes.dimensions import DIMENSIONS
from qi_datasets.networks.planes.follower import Call
from qi_datasets.networks.planes.geometry import Sides, Window, sides_of
from qi_datasets.networks.planes.maps import MapFollower
from qi_datasets.networks.planes.plane import Constant, Plane, Size, Unfollowed

_NAMES_OF_ELEMENTWISE = """
    abs add bfloat16 celu channel_shuffle clamp clip clone contiguous detach div double elu exp float gelu half
    hardshrink hardsigmoid hardswish hardtanh leaky_relu local_response_norm log logsigmoid maximum minimum mish
    mul neg ones_like pow prelu reciprocal relu relu6 rsqrt selu sigmoid silu softplus softshrink softsign sqrt
    square sub tanh tanhshrink threshold to true_divide truediv type_as zeros_like
"""
ELEMENTWISE = frozenset(_NAMES_OF_ELEMENTWISE.split())
"""What acts on each position and each channel alone."""

OVER_ALL = "normalises over all positions"
"""What group and instance norm do."""

DROPOUTS = frozenset(
    ("dropout", "dropout2d", "alpha_dropout", "feature_dropout", "feature_alpha_dropout", "stochastic_depth")
)
IN_PLACE_BY_POSITION = frozenset(("relu", "relu6", "selu", "silu", "mish", "hardswish", "hardsigmoid"))
"""Functions whose second argument is whether they work in place."""


def conv2d(
    follow: MapFollower,
    call: Call,
    x: Plane,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: Any = 1,
) -> Plane:
    """A convolution by weights of the network."""
    if not isinstance(weight, Constant):
        raise Unfollowed("convolves with weights that depend on the images")

    def convolved(values: Any, padding: Sides) -> Any:
        return call(values, weight, bias, stride, padding, dilation, groups)

    window = Window.of(tuple(weight.now.shape[-2:]), stride, padding, dilation)
    return follow.window(x, window, convolved, adds_zeros=True)


def max_pool2d(
    follow: MapFollower,
    call: Call,
    x: Plane,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Maxima over windows. On the plane no window ends early, whatever `ceil_mode`."""
    _refuse_indices(return_indices)
    if _is_whole(kernel_size):
        return adaptive_pool(False)(follow, follow.function(F.adaptive_max_pool2d), x, 1)
    stride = stride or kernel_size
    window = Window.of(kernel_size, stride, padding, dilation)
    return follow.window(x, window, lambda values, _: call(values, kernel_size, stride, 0, dilation))


def avg_pool2d(
    follow: MapFollower,
    call: Call,
    x: Plane,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """Means over windows. On the plane every position counts."""
    if _is_whole(kernel_size) and divisor_override is None:
        return adaptive_pool(True)(follow, follow.function(F.adaptive_avg_pool2d), x, 1)
    stride = stride or kernel_size
    rest = (kernel_size, stride, 0, False, True, divisor_override)
    return follow.window(x, Window.of(kernel_size, stride, padding), lambda values, _: call(values, *rest))


def pad(
    follow: MapFollower, call: Call, x: Plane, pad: Sequence[Any], mode: str = "constant", value: Any = None
) -> Plane:
    """The network's own padding. The plane goes on there, so that only the counting of positions changes."""
    if not all(isinstance(amount, int) for amount in pad[::2]):
        raise Unfollowed("pads by an amount that depends on the size")
    reaches = dict(zip(x.axes, x.reaches, strict=True))
    others = [0] * len(pad)
    for index in range(0, len(pad), 2):
        axis = -(index // 2) - 1
        if axis in reaches:
            reaches[axis] = reaches[axis].moved(pad[index])
        else:
            others[index : index + 2] = pad[index : index + 2]
    if any(others):
        x = follow.elementwise(lambda values: call(values, others, mode, value), (x,))
    wraps = mode == "circular" and any(pad[::2])
    rows, columns = (reaches[axis] for axis in x.axes)
    return replace(x, rows=rows, columns=columns, bounded=x.bounded and not wraps)


def adaptive_pool(mean: bool) -> Callable[..., Any]:
    """The rule of adaptive pooling, which pools over all positions or ends the map."""

    def pooled(follow: MapFollower, call: Call, x: Plane, output_size: Any, return_indices: bool = False) -> Any:
        _refuse_indices(return_indices)
        size = sides_of(output_size)
        if size != (1, 1):
            return follow.vector(x, f"pools to {size[0]} x {size[1]} positions, which tells where things are")
        return follow.pool(lambda values: call(values, output_size), x, mean=mean, keep=True)

    return pooled


def _reduction(mean: bool) -> Callable[..., Any]:
    def reduced(follow: MapFollower, call: Call, x: Plane, dim: Any = None, keepdim: bool = False) -> Any:
        dims = (dim,) if isinstance(dim, int) else tuple(dim or ())
        if len(dims) == 2 and all(x.is_spatial(one) for one in dims):
            return follow.pool(lambda values: call(values, dim, keepdim), x, mean=mean, keep=keepdim)
        if not dims or x.is_spatial(*dims) or not keepdim:
            raise Unfollowed("reduces other dimensions than rows and columns together")
        return follow.elementwise(lambda values: call(values, dim, keepdim), (x,))

    return reduced


def batch_norm(
    follow: MapFollower,
    call: Call,
    x: Plane,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Plane:
    """Batch norm by running statistics."""
    if training:
        raise Unfollowed("normalises by the batch")
    rest = (running_mean, running_var, weight, bias, False, momentum, eps)
    return follow.elementwise(lambda values: call(values, *rest), (x,))


def _spatial_norm(follow: MapFollower, call: Call, x: Plane, *args: Any, **kwargs: Any) -> Plane:
    return follow.mixed(x, OVER_ALL)


def _layer_norm(follow: MapFollower, call: Call, x: Plane, normalized_shape: Any, *args: Any, **kwargs: Any) -> Plane:
    return over_last(follow, lambda values: call(values, normalized_shape, *args, **kwargs), x, len(normalized_shape))


def _linear(follow: MapFollower, call: Call, x: Plane, *args: Any, **kwargs: Any) -> Plane:
    return over_last(follow, lambda values: call(values, *args, **kwargs), x, 1)


def over_last(follow: MapFollower, call: Call, x: Plane, count: int) -> Plane:
    """A layer over the last dimensions, none of which may be the rows or the columns.

    follow: what follows the network
    call: writes the layer anew
    x: the map
    count: how many dimensions it is over
    """
    if x.is_spatial(*range(-count, 0)):
        raise Unfollowed("goes along rows or columns")
    return follow.elementwise(call, (x,))


def _softmax(follow: MapFollower, call: Call, x: Plane, dim: int, **kwargs: Any) -> Plane:
    if x.is_spatial(dim):
        raise Unfollowed("goes along rows or columns")
    return follow.elementwise(lambda values: call(values, dim, **kwargs), (x,))


def _cat(follow: MapFollower, call: Call, tensors: Sequence[Any], dim: int = 0) -> Plane:
    first = next(x for x in tensors if isinstance(x, Plane))
    if dim in (0, -first.dims) or first.is_spatial(dim):
        raise Unfollowed("joins maps along another dimension than the channels")
    return follow.elementwise(call, (list(tensors), dim))


def _refuse_indices(asked: bool) -> None:
    if asked:
        raise Unfollowed("asks for the places of the maxima")


def _is_whole(kernel: Any) -> bool:
    """Whether a kernel is as large as the map, as in `F.avg_pool2d(x, x.shape[-2:])`."""
    return all(isinstance(one, Size) for one in (kernel if isinstance(kernel, Sequence) else [kernel]))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    **DIMENSIONS,
    "conv2d": conv2d,
    "max_pool2d": max_pool2d,
    "avg_pool2d": avg_pool2d,
    "pad": pad,
    "adaptive_avg_pool2d": adaptive_pool(mean=True),
    "adaptive_max_pool2d": adaptive_pool(mean=False),
    "mean": _reduction(mean=True),
    "amax": _reduction(mean=False),
    "batch_norm": batch_norm,
    **dict.fromkeys(("group_norm", "instance_norm"), _spatial_norm),
    "layer_norm": _layer_norm,
    "linear": _linear,
    **dict.fromkeys(("softmax", "log_softmax", "glu"), _softmax),
    **dict.fromkeys(("cat", "concat", "concatenate"), _cat),
    "_assert": lambda *args: None,
}
