"""Base of this package's tensor types: rules for torch functions, the windows of layers, functions in place.

A network runs unchanged on a tensor type that stores feature maps in its own way. Each torch function that the network
calls is looked up by name in the type's table of rules, and its rule computes the result. Each type decides what
happens to a function without a rule (`without_rule`).
"""

import inspect
import math
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from qi_datasets.errors import OptionError, UnsupportedOperationError

Rule = Callable[..., Any]
"""rule(func, *args, **kwargs) gets a torch function with its arguments; returns its result or NotImplemented."""
Pair = tuple[int, int]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_REVERSED = {"__radd__": "add", "__rsub__": "sub", "__rmul__": "mul", "__rdiv__": "div", "__rtruediv__": "div"}
_REVERSED |= {"__rpow__": "pow", "__rmod__": "remainder", "__rmatmul__": "matmul"}
_ARITHMETIC = ("add", "sub", "mul", "div", "truediv", "pow", "neg", "abs", "matmul", "eq", "ne", "lt", "le", "gt", "ge")
_SAME = {"concat": "cat", "concatenate": "cat", "true_divide": "div", "multiply": "mul", "subtract": "sub"}
_SAME |= {"divide": "div", "truediv": "div", "rtruediv": "div", "negative": "neg", "absolute": "abs", "clip": "clamp"}
_SAME |= {"split_with_sizes": "split", "swapaxes": "transpose", "swapdims": "transpose", "moveaxis": "movedim"}
_DESCRIPTIONS = _names(
    "size dim ndimension numel nelement is_floating_point is_complex __len__ __hash__ get_device element_size "
    "is_same_size shape ndim dtype device layout is_cuda is_cpu is_mps is_meta is_sparse is_quantized is_nested "
    "requires_grad grad_fn is_leaf is_inference is_mkldnn is_xla is_xpu is_ipu is_vulkan is_maia is_mtia"
)
# Functions that may return a view: it shares memory with the input, so that writing into one changes the other.
_VIEWS = _names(
    "__getitem__ chunk split tensor_split unbind narrow select permute transpose t T mT movedim view reshape view_as "
    "reshape_as flatten unflatten squeeze unsqueeze expand expand_as contiguous detach data to type float double half "
    "bfloat16 diagonal unfold as_strided cpu cuda pixel_shuffle dropout dropout1d dropout2d dropout3d "
    "alpha_dropout"
)
# Torch tags these as pointwise, but another overload of the name is not, or the result is not a map.
_NOT_POINTWISE = {"max", "min", "equal", "frexp", "rrelu", "clone"}


@dataclass(frozen=True)
class Operator:
    """A torch function, by the name that rules are registered for.

    Attributes:
        name: The plain name: `add` for `torch.add`, `Tensor.add_`, `+`, `+=` and a reversed `+`.
        func: The function of that name that does not work in place.
        in_place: Whether the network called a version that writes into its first argument.
        is_reversed: Whether the network called a version with swapped operands, such as `__radd__`.
    """

    name: str
    func: Callable[..., Any]
    in_place: bool = False
    is_reversed: bool = False

    @property
    def is_query(self) -> bool:
        """True if it only reports the tensor's shape, dtype, device or the like, and computes nothing."""
        return self.name in _DESCRIPTIONS


@cache
def operator_of(func: Callable[..., Any]) -> Operator:
    """Returns the operator that a torch function belongs to; a property (`x.shape`) has its own name."""
    name = getattr(func, "__name__", str(func)).removesuffix(".default")
    if name == "__get__":
        return Operator(getattr(func.__self__, "__name__", name), func)  # type: ignore[attr-defined]
    if name in _REVERSED:
        return Operator(_REVERSED[name], getattr(torch, _REVERSED[name]), is_reversed=True)
    plain, dunder = name.strip("_") if name[:2] == "__" else name.rstrip("_"), name[:2] == "__"
    in_place = name.endswith("_") and not dunder
    if dunder and plain[0] == "i" and plain[1:] in _ARITHMETIC:
        plain, in_place = plain[1:], True
    if dunder and plain not in _ARITHMETIC:
        return Operator(name, func, name in ("__setitem__", "__set__"))
    plain = _SAME.get(plain, plain)
    if plain == name:
        return Operator(name, func)
    places = (torch, F, Tensor)
    return Operator(plain, next((getattr(p, plain) for p in places if hasattr(p, plain)), func), in_place)


class Rules(dict[str, Rule]):
    """The rules of one tensor type, by operator name."""

    def register(self, *names: str) -> Callable[[Rule], Rule]:
        """Returns a decorator that makes a function the rule for the torch functions of these names."""

        def add(rule: Rule) -> Rule:
            self.update(dict.fromkeys(names, rule))
            return rule

        return add


class RuledTensor(Tensor):
    """Base of the tensor types. Subclasses define `rules` and `overwrite`, and call `_make_wrapper_subclass`."""

    rules: Rules
    is_written_elsewhere = False
    """Whether ordinary tensors share its memory, so that a function in place must write into that memory."""
    _views: "list[tuple[weakref.ref[RuledTensor], int]] | None" = None
    _outdated_by = ""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Computes a torch function by its rule, or by `without_rule`."""
        kwargs = dict(kwargs or {})
        operator = operator_of(func)
        if operator.is_query:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **kwargs)
        if kwargs.get("out") is not None:
            raise UnsupportedOperationError(
                f"{operator.name}(out=...) can't write into a {cls.__name__}; let it return its result"
            )
        for one in (*args, *(args[0] if args and isinstance(args[0], tuple | list) else ()), *kwargs.values()):
            if isinstance(one, RuledTensor):
                one.check_gradient()
            if isinstance(one, RuledTensor) and one._outdated_by:
                raise UnsupportedOperationError(
                    f"{operator.name} can't read a {cls.__name__} after {one._outdated_by} has written into another"
                    " view of it; write into a copy (clone)"
                )
        in_place = operator.in_place or bool(kwargs.get("inplace"))
        target = args[0] if args else kwargs.get("input")
        rule = cls.rules.get(operator.name)
        if in_place and isinstance(target, RuledTensor):
            found = NotImplemented
            if rule is not None and not target.is_written_elsewhere:
                plain = {**kwargs, "inplace": False} if "inplace" in kwargs else kwargs
                found = rule(operator.func, *args, **plain)
            if found is NotImplemented:
                target.write(operator.name, func, args, kwargs)
            else:
                target.overwrite(found)
            target._outdate_views(operator.name)
            return target
        is_memory = operator.name in _VIEWS and getattr(target, "is_written_elsewhere", False)
        if rule is not None and not in_place and not is_memory:
            found = rule(operator.func, *(args[::-1] if operator.is_reversed else args), **kwargs)
            if found is not NotImplemented:
                if operator.name in _VIEWS and isinstance(target, RuledTensor):
                    target._record_views(found if isinstance(found, tuple | list) else [found])
                return found
        return cls.without_rule(operator.name, func, args, kwargs)

    @classmethod
    def without_rule(cls, name: str, func: Any, args: Any, kwargs: Any) -> Any:
        """Computes a function without a rule. Raises `UnsupportedOperationError` if the type can't."""
        raise UnsupportedOperationError(
            f"{name} can't be computed on a {cls.__name__}: no rule says which positions it reads"
        )

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Raises `UnsupportedOperationError`: `__torch_function__` never saw this function, so it has no rule."""
        raise UnsupportedOperationError(
            f"{func} can't be computed on a {cls.__name__}: it is called below torch's functions"
        )

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"{type(self).__name__}{tuple(self.shape)}"

    def check_gradient(self) -> None:
        """Raises `UnsupportedOperationError` if a `torch.autograd.Function` returned this tensor, without gradients."""
        if torch.is_grad_enabled():
            with torch._C.DisableTorchFunctionSubclass():
                function = self.grad_fn
            if function is not None:
                name = type(function).__name__.removesuffix("Backward")
                raise UnsupportedOperationError(
                    f"{name} is an autograd function of the network's own, through which a {type(self).__name__} has no"
                    " gradient; let the network call torch functions"
                )

    def overwrite(self, value: Any) -> None:
        """Replaces this tensor's state by that of `value`, a rule's result, as a function in place does."""
        raise NotImplementedError

    def write(self, name: str, func: Any, args: Any, kwargs: Any) -> None:
        """Computes a function in place for which there is no rule. Raises `UnsupportedOperationError` if it can't."""
        raise UnsupportedOperationError(f"{name} can't write into a {type(self).__name__}: no rule says what changes")

    def _outdate_views(self, name: str) -> None:
        """Marks the other views of this tensor as outdated: they lack what was written, so they can't be read again."""
        views = [(view, call) for ref, call in self._views or () if (view := ref()) is not None]
        own = {call for view, call in views if view is self}
        for view, call in views:
            if call not in own:
                view._outdated_by = name

    def _record_views(self, views: Sequence[Any]) -> None:
        """Records views of this tensor. Views from the same call (the pieces of `split`) don't overlap each other."""
        if self._views is None:
            self._views = [(weakref.ref(self), 0)]
        call = len(self._views)
        for view in views:
            if isinstance(view, RuledTensor) and view is not self:
                self._views.append((weakref.ref(view), call))
                view._views = self._views


@cache
def pointwise_functions() -> frozenset[str]:
    """Returns the names of the elementwise torch functions, as torch tags them."""
    names = {"hardswish", "logsigmoid", "softsign", "tanhshrink", "prelu", "relu", "silu", "gelu"}
    for name in {*dir(torch._C._VariableFunctions), *dir(torch._C._nn), *dir(Tensor)}:
        packet = None if name[0] == "_" or name[-1] == "_" else getattr(torch.ops.aten, name, None)
        if packet is not None and hasattr(packet, "overloads"):
            tags = [getattr(packet, overload).tags for overload in packet.overloads()]
            names |= {name} if any(torch.Tag.pointwise in one for one in tags) else set()
    return frozenset(names - _NOT_POINTWISE)


def pair(value: int | Sequence[int]) -> Pair:
    """Returns (rows, columns) for an argument of a layer that is one number, or one for each of them."""
    if isinstance(value, int):
        return value, value
    return (int(value[0]), int(value[-1]))


@dataclass(frozen=True)
class Window:
    """The window of a convolution or pooling: (rows, columns); padding has (before, after) for each of the two."""

    kernel: Pair
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0))
    ceil_mode: bool = False

    @classmethod
    def of_convolution(cls, weight: Tensor, stride: Any = 1, padding: Any = 0, dilation: Any = 1) -> Self:
        """Returns the window of `torch.conv2d` with these arguments; padding may be "same" or "valid"."""
        kernel, dilation = pair(weight.shape[2:]), pair(dilation)
        if padding == "same":
            total = [step * (size - 1) for size, step in zip(kernel, dilation, strict=True)]
            sides = ((total[0] // 2, total[0] - total[0] // 2), (total[1] // 2, total[1] - total[1] // 2))
        else:
            rows, columns = (0, 0) if padding == "valid" else pair(padding)
            sides = ((rows, rows), (columns, columns))
        return cls(kernel, pair(stride), dilation, sides)

    @classmethod
    def of_pooling(
        cls, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
    ) -> Self:
        """Returns the window of `F.max_pool2d` or `F.avg_pool2d`; without a stride it is the kernel size."""
        stride = kernel_size if stride is None or stride in ([], ()) else stride
        rows, columns = pair(padding)
        return cls(pair(kernel_size), pair(stride), pair(dilation), ((rows, rows), (columns, columns)), ceil_mode)

    @property
    def reach(self) -> Pair:
        """Rows and columns that a window spans, with its dilation."""
        rows, columns = (step * (size - 1) + 1 for size, step in zip(self.kernel, self.dilation, strict=True))
        return rows, columns

    def count(self, axis: int, length: int) -> int:
        """Returns the number of outputs along an axis (0 rows, 1 columns) of `length` positions; 0 or less for none."""
        before, after = self.padding[axis]
        steps = length + before + after - self.reach[axis]
        count = steps // self.stride[axis] + 1
        if self.ceil_mode:
            count = math.ceil(steps / self.stride[axis]) + 1
            # As torch: the last window starts inside of the map or of the padding before it.
            if (count - 1) * self.stride[axis] >= length + before:
                count -= 1
        return count


def pad_with_background(x: Tensor, amounts: tuple[Pair, Pair], background: Tensor) -> Tensor:
    """Pads a map with its background: the values that it has far from the picture, where the image is black.

    Args:
        x: (N, C, H, W). Tensor types of this package may recognise by this call that padding continues the background.
        amounts: (before, after) of rows and of columns; negative amounts crop.
        background: (1, C, 1, 1).

    Returns:
        The padded map, (N, C, H', W').
    """
    if torch.overrides.has_torch_function((x, background)):
        answer: Tensor = torch.overrides.handle_torch_function(
            pad_with_background, (x, background), x, amounts, background
        )
        return answer
    (above, below), (left, right) = amounts
    return F.pad(x - background, (left, right, above, below)) + background


_unsupported: ContextVar[list[str] | None] = ContextVar("unsupported", default=None)


@contextmanager
def record_unsupported() -> Iterator[list[str]]:
    """Collects the names of functions that were computed without a rule, in the order of their first calls."""
    names: list[str] = []
    token = _unsupported.set(names)
    try:
        yield names
    finally:
        _unsupported.reset(token)


def note_unsupported(name: str) -> None:
    """Adds a name to those that `record_unsupported` collects."""
    names = _unsupported.get()
    if names is not None and name not in names:
        names.append(name)


def check_takes_images_alone(forward: Callable[..., Any]) -> None:
    """Raises `OptionError` if a network's `forward` needs more than images."""
    parameters = [*inspect.signature(forward).parameters.values()][1:]
    starred = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in starred]
    if needed:
        raise OptionError(
            f"the network takes more than images: {', '.join(needed)}; wrap it in a module that fills it in",
            code="missing-argument",
        )
