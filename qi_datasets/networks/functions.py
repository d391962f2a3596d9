"""What functions and tensor methods do to a map: windows, positions alone, channels, dimensions, pooling."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch.nn.functional as F

from qi_datasets.networks.follow import Call, Constant, Follower, Size, Unfollowed
from qi_datasets.networks.planes import Plane, Sides, Window

# What acts on each position and each channel alone, in eval mode.
_ELEMENTWISE = frozenset(
    "add sub mul div truediv true_divide pow maximum minimum neg abs exp log sqrt rsqrt square reciprocal sigmoid tanh "
    "relu relu6 leaky_relu prelu elu selu celu gelu silu mish threshold hardtanh hardswish hardsigmoid logsigmoid "
    "softplus softsign tanhshrink softshrink hardshrink clamp clip local_response_norm channel_shuffle "
    "contiguous clone detach to float double half bfloat16 type_as".split()
)
_DROPOUT = frozenset("dropout dropout2d alpha_dropout feature_dropout feature_alpha_dropout stochastic_depth".split())
_SECOND_IS_INPLACE = frozenset("relu relu6 selu silu mish hardswish hardsigmoid".split())


def sides_of(size: Any) -> Sides:
    """A size as torch takes it: one for rows and columns, or one for each."""
    first, *rest = (size,) if isinstance(size, int) else size
    return first, (rest or [first])[0]


def window_of(kernel: Any, stride: Any, padding: Any, dilation: Any = 1) -> Window:
    """The windows of a convolution or pooling, from arguments as torch takes them; `padding` may be a string."""
    bare = Window(sides_of(kernel), sides_of(stride), dilation=sides_of(dilation))
    if isinstance(padding, str):
        padding = tuple(reach // 2 if padding == "same" else 0 for reach in bare.reach)
    return replace(bare, padding=sides_of(padding))


def _is_spatial(x: Plane, dims: Sequence[int]) -> bool:
    return any(x.is_spatial(dim) for dim in dims)


def _listed(dims: Any) -> tuple[Any, ...]:
    """Dimensions given one by one, or as one tuple."""
    return tuple(dims[0]) if len(dims) == 1 and isinstance(dims[0], Sequence) else tuple(dims)


class FunctionFollower(Follower):
    """Follows the functions and tensor methods that convolutional networks call."""

    def on_function(self, name: str, call: Call, args: Any, kwargs: Any) -> Any:
        """What a function or method of that name makes of maps. Raises `Unfollowed`."""
        if name in _SECOND_IS_INPLACE:
            args = args[:1]
        if name in _ELEMENTWISE:
            return self.elementwise(call, args, kwargs)
        if name in _DROPOUT:
            # In train mode black is not dropped: it has no other value than the ground.
            return args[0].become(call(*args, **kwargs), args[0].ground)
        follow: Callable[..., Any] | None = getattr(self, f"_{name.strip('_')}", None)
        if name not in _FOLLOWED or follow is None:
            raise Unfollowed(f"calls {name}")
        if any(x.pieces for x in args if isinstance(x, Plane)) and name != "getitem":
            raise Unfollowed(f"calls {name} on a tuple of maps")
        try:
            return follow(call, *args, **kwargs)
        except TypeError as error:
            raise Unfollowed(f"calls {name} in a way that is not known: {error}") from error

    def on_attribute(self, x: Plane, name: str) -> Any:
        """An attribute of a map. Raises `Unfollowed`."""
        if name == "shape":
            return self._size(None, x)
        if name == "ndim":
            return x.dims
        if name in ("dtype", "device", "is_cuda", "requires_grad"):
            return getattr(x.values, name)
        raise Unfollowed(f"reads {name}")

    # Windows.

    def _conv2d(
        self,
        call: Call,
        x: Plane,
        weight: Any,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: Any = 1,
    ) -> Plane:
        if not isinstance(weight, Constant):
            raise Unfollowed("convolves with weights that depend on the images")
        window = window_of(tuple(weight.now.shape[-2:]), stride, padding, dilation)

        def convolved(values: Any, padding: Sides) -> Any:
            return call(values, weight, bias, stride, padding, dilation, groups)

        return self.window(x, window, convolved, pads_zeros=True)

    def _max_pool2d(
        self,
        call: Call,
        x: Plane,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Any:
        if return_indices:
            raise Unfollowed("asks for the places of the maxima")
        if _is_whole(kernel_size):
            return self._adaptive_max_pool2d(self.function(F.adaptive_max_pool2d), x, 1)
        stride = stride or kernel_size
        window = window_of(kernel_size, stride, padding, dilation)
        return self.window(x, window, lambda values, _: call(values, kernel_size, stride, 0, dilation))

    def _avg_pool2d(
        self,
        call: Call,
        x: Plane,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Any:
        if _is_whole(kernel_size) and divisor_override is None:
            return self._adaptive_avg_pool2d(self.function(F.adaptive_avg_pool2d), x, 1)
        stride = stride or kernel_size
        window = window_of(kernel_size, stride, padding)
        return self.window(
            x, window, lambda values, _: call(values, kernel_size, stride, 0, False, True, divisor_override)
        )

    def _pad(self, call: Call, x: Plane, pad: Sequence[Any], mode: str = "constant", value: Any = None) -> Plane:
        """The layer's own padding: the plane goes on there, only the counting of positions changes."""
        if not all(isinstance(amount, int) for amount in pad):
            raise Unfollowed("pads by an amount that depends on the size")
        reaches = dict(zip(x.axes, x.reaches, strict=True))
        others = [0] * len(pad)
        for index in range(0, len(pad), 2):
            dim = -(index // 2) - 1
            if dim in reaches:
                reaches[dim] = reaches[dim].moved(pad[index])
            else:
                others[index : index + 2] = pad[index : index + 2]
        if any(others):
            x = self.elementwise(lambda values: call(values, others, mode, value), (x,), {})
        wraps = mode == "circular" and any(pad)
        rows, columns = (reaches[axis] for axis in x.axes)
        return replace(x, rows=rows, columns=columns, bounded=x.bounded and not wraps)

    # All positions.

    def _adaptive_avg_pool2d(self, call: Call, x: Plane, output_size: Any) -> Any:
        return self._pooled_to(call, x, output_size, mean=True)

    def _adaptive_max_pool2d(self, call: Call, x: Plane, output_size: Any, return_indices: bool = False) -> Any:
        if return_indices:
            raise Unfollowed("asks for the places of the maxima")
        return self._pooled_to(call, x, output_size, mean=False)

    def _pooled_to(self, call: Call, x: Plane, output_size: Any, *, mean: bool) -> Any:
        size = sides_of(output_size)
        if size != (1, 1):
            return self.vector(x, f"pools to {size[0]} x {size[1]} positions, which tells where things are")
        return self.pool(lambda values: call(values, output_size), x, mean=mean, keep=True)

    def _mean(self, call: Call, x: Plane, dim: Any = None, keepdim: bool = False) -> Any:
        return self._reduced(call, x, dim, keepdim, mean=True)

    def _amax(self, call: Call, x: Plane, dim: Any = (), keepdim: bool = False) -> Any:
        return self._reduced(call, x, dim, keepdim, mean=False)

    def _reduced(self, call: Call, x: Plane, dim: Any, keep: bool, *, mean: bool) -> Any:
        dims = (dim,) if isinstance(dim, int) else tuple(dim or ())
        if len(dims) == len(x.axes) and all(x.is_spatial(one) for one in dims):
            return self.pool(lambda values: call(values, dim, keep), x, mean=mean, keep=keep)
        if not dims or _is_spatial(x, dims) or not keep:
            raise Unfollowed("reduces other dimensions than rows and columns together")
        return self.elementwise(lambda values: call(values, dim, keep), (x,), {})

    def _flatten(self, call: Call, x: Plane, start_dim: int = 0, end_dim: int = -1) -> Any:
        if start_dim in (1, 1 - x.dims) and end_dim in (-1, x.dims - 1):
            return self.vector(x, "flattens a map, which tells where things are")
        raise Unfollowed("flattens rows and columns")

    # Channels.

    def _batch_norm(
        self,
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
        if training:
            raise Unfollowed("normalises by the batch")
        rest = (running_mean, running_var, weight, bias, False, momentum, eps)
        return self.elementwise(lambda values: call(values, *rest), (x,), {})

    def _group_norm(self, call: Call, x: Plane, *args: Any, **kwargs: Any) -> Plane:
        return self.mixed(x, "normalises over all positions")

    _instance_norm = _group_norm

    def _layer_norm(self, call: Call, x: Plane, normalized_shape: Any, *args: Any, **kwargs: Any) -> Plane:
        return self.along(lambda values: call(values, normalized_shape, *args, **kwargs), x, len(normalized_shape))

    def _linear(self, call: Call, x: Plane, *args: Any, **kwargs: Any) -> Plane:
        return self.along(lambda values: call(values, *args, **kwargs), x, 1)

    def _softmax(self, call: Call, x: Plane, dim: int, **kwargs: Any) -> Plane:
        if x.is_spatial(dim):
            raise Unfollowed("goes along rows or columns")
        return self.elementwise(lambda values: call(values, dim, **kwargs), (x,), {})

    _log_softmax = _glu = _softmax

    def along(self, call: Call, x: Plane, last: int) -> Plane:
        """A layer over the last so many dimensions, none of which may be the rows or the columns."""
        if _is_spatial(x, range(-last, 0)):
            raise Unfollowed("goes along rows or columns")
        return self.elementwise(call, (x,), {})

    def _cat(self, call: Call, tensors: Sequence[Any], dim: int = 0) -> Plane:
        planes = [x for x in tensors if isinstance(x, Plane)]
        if dim in (0, -planes[0].dims) or planes[0].is_spatial(dim):
            raise Unfollowed("joins maps along another dimension than the channels")
        return self.elementwise(call, (list(tensors), dim), {})

    _concat = _concatenate = _cat

    def _chunk(self, call: Call, x: Plane, size: Any, dim: int = 0) -> Plane:
        if dim in (0, -x.dims) or x.is_spatial(dim):
            raise Unfollowed("takes maps apart along another dimension than the channels")
        return replace(self.elementwise(lambda values: call(values, size, dim), (x,), {}), pieces=True)

    _split = _chunk

    # Dimensions.

    def _getitem(self, call: Call, x: Plane, index: Any) -> Plane:
        if x.pieces:
            return replace(x.become(x.values[index], None if x.ground is None else x.ground[index]), pieces=False)
        index = list(index) if isinstance(index, tuple) else [index]
        if Ellipsis in index:
            place = index.index(Ellipsis)
            index[place : place + 1] = [slice(None)] * (x.dims - len(index) + 1)
        index += [slice(None)] * (x.dims - len(index))
        if index[0] != slice(None) or not all(isinstance(one, int | slice) for one in index):
            raise Unfollowed("takes out some of the images or positions")
        steps = [self._cropped(index.pop(x.dims + axis), axis) for axis in sorted(x.axes, reverse=True)][::-1]
        return self._indexed(x, index, steps)

    def _indexed(self, x: Plane, others: list[Any], steps: list[tuple[int, int]]) -> Plane:
        """`others`: the index of all other dimensions; `steps`: first position and step of the rows and columns."""
        if any(isinstance(one, int) for one in others) and x.axes != (-2, -1):
            raise Unfollowed("takes out some of the positions")
        rows, columns = (reach.moved(-first) for reach, (first, _) in zip(x.reaches, steps, strict=True))
        x = replace(x, rows=rows, columns=columns)
        if any(step != 1 for _, step in steps):
            stride = (steps[0][1], steps[1][1])
            taken = (..., slice(None, None, stride[0]), slice(None, None, stride[1]))
            x = self.window(x, Window((1, 1), stride), lambda values, _: values[taken])
        if all(one == slice(None) for one in others):
            return x
        for axis in x.axes:
            others.insert(x.dims + axis, slice(None))
        x = self.elementwise(lambda values: values[tuple(others)], (x,), {})
        return replace(x, dims=x.dims - sum(isinstance(one, int) for one in others))

    @staticmethod
    def _cropped(one: Any, axis: int) -> tuple[int, int]:
        if not isinstance(one, slice):
            raise Unfollowed("takes out a row or a column")
        first, stop, step = one.start or 0, one.stop, one.step or 1
        if not (isinstance(first, int) and first >= 0 and (stop is None or (isinstance(stop, int) and stop < 0))):
            raise Unfollowed("cuts a map where that depends on its size")
        return first, step

    def _permute(self, call: Call, x: Plane, *dims: Any) -> Plane:
        order = [dim % x.dims for dim in _listed(dims)]
        if order[0] != 0:
            raise Unfollowed("moves the images to another dimension")
        axes = tuple(order.index(x.dims + axis) - x.dims for axis in x.axes)
        return self._rearranged(lambda values: values.permute(order), x, axes, x.dims)

    def _transpose(self, call: Call, x: Plane, dim0: int, dim1: int) -> Plane:
        order = list(range(x.dims))
        order[dim0], order[dim1] = order[dim1], order[dim0]
        return self._permute(call, x, order)

    _swapaxes = _swapdims = _transpose

    def _unsqueeze(self, call: Call, x: Plane, dim: int) -> Plane:
        place = dim % (x.dims + 1)
        if place == 0:
            raise Unfollowed("moves the images to another dimension")
        axes = tuple(axis - (x.dims + axis < place) for axis in x.axes)
        return self._rearranged(lambda values: values.unsqueeze(place), x, axes, x.dims + 1)

    @staticmethod
    def _rearranged(of: Callable[[Any], Any], x: Plane, axes: Any, dims: int) -> Plane:
        return x.become(of(x.values), None if x.ground is None else of(x.ground), axes=axes, dims=dims)

    def _reshape(self, call: Call, x: Plane, *shape: Any) -> Any:
        sizes = _listed(shape)
        if len(sizes) == 2:
            return self.vector(x, "flattens a map, which tells where things are")
        dims = [size.dim if isinstance(size, Size) else None for size in sizes]
        if x.axes != (-2, -1) or len(dims) < 3 or (dims[0], dims[-2], dims[-1]) != (0, -2, -1):
            raise Unfollowed("gives rows and columns another shape")
        ground = None if x.ground is None else x.ground.reshape(1, *sizes[1:-2], 1, 1)
        return x.become(call(x.values, *shape), ground, dims=len(sizes))

    _view = _reshape

    def _size(self, call: Any, x: Plane, dim: int | None = None) -> Any:
        sizes = [x.values.shape[index] for index in range(x.dims)]
        known = {0: 0} | {x.dims + axis: place for axis, place in zip(x.axes, (-2, -1), strict=True)}
        shape = tuple(Size(known[i], size) if i in known else size for i, size in enumerate(sizes))
        return shape if dim is None else shape[dim]

    def _dim(self, call: Call, x: Plane) -> int:
        return x.dims

    def _assert(self, call: Call, *args: Any) -> None:
        return None


def _is_whole(kernel: Any) -> bool:
    """Whether a kernel is as large as the map, as in `F.avg_pool2d(x, x.shape[-2:])`."""
    return all(isinstance(size, Size) for size in (kernel if isinstance(kernel, Sequence) else [kernel]))


_FOLLOWED = frozenset(
    "conv2d max_pool2d avg_pool2d pad adaptive_avg_pool2d adaptive_max_pool2d mean amax flatten batch_norm group_norm "
    "instance_norm layer_norm linear softmax log_softmax glu cat concat concatenate chunk split getitem permute "
    "transpose swapaxes swapdims unsqueeze reshape view size dim _assert".split()
)
