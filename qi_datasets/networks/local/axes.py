"""Rules for functions that pick, reduce or reorder the axes of a map.

Each takes what is known of a node's inputs, and the function's arguments, named as torch names them.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from torch.fx import Node

from qi_datasets.networks.local.pooling import Ending, Whole
from qi_datasets.networks.local.sliding import Pick
from qi_datasets.networks.local.steps import Relocated, Step
from qi_datasets.networks.local.windows import Area, NotLocalError, Sweep


class Known(Protocol):
    """What is known of the inputs of a node before anything is computed."""

    def area(self, node: Any) -> Area | None:
        """Where the window of a map is; None for anything but a map."""

    def value(self, node: Any) -> Any:
        """The value of what does not depend on the images. Raises `NotLocalError` for what does."""


Found: TypeAlias = Step | Ending
Rule = Callable[..., Found]


def window_of(known: Known, node: Any) -> Area:
    """Where the window of a map is. Raises `NotLocalError` for anything but a map."""
    area = known.area(node)
    if area is None:
        raise NotLocalError("its input is not a map")
    return area


def reduce(whole: Callable[[bool], Ending]) -> Rule:
    """A reduction over some axes: over rows and columns the map ends, over channels it goes on."""

    def rule(known: Known, input: Node, dim: Any = None, keepdim: bool = False) -> Found:
        area = window_of(known, input)
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


def flatten(known: Known, input: Node, start_dim: int = 0, end_dim: int = -1) -> Ending:
    """Positions become features."""
    return Whole()


def permute(known: Known, input: Node, *dims: Any) -> Step:
    """All axes in another order."""
    area = window_of(known, input)
    order = [axis % area.ndim for axis in (dims[0] if isinstance(dims[0], Sequence) else dims)]
    if order[0] != 0:
        raise NotLocalError("it moves the axis of the images")
    return Relocated((order.index(area.axes[0]), order.index(area.axes[1])), area.ndim)


def transpose(known: Known, input: Node, dim0: int, dim1: int) -> Step:
    """Two axes that change places."""
    ndim = window_of(known, input).ndim
    order = list(range(ndim))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return permute(known, input, order)


def unsqueeze(known: Known, input: Node, dim: int) -> Step:
    """One more axis."""
    area = window_of(known, input)
    place = dim % (area.ndim + 1)
    if place == 0:
        raise NotLocalError("it moves the axis of the images")
    rows, columns = (axis + (axis >= place) for axis in area.axes)
    return Relocated((rows, columns), area.ndim + 1)


def getitem(known: Known, input: Node, index: Any) -> Step:
    """Some channels of a map, every n-th row and column, or a part of the rows and columns."""
    area = window_of(known, input)
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
    for axis, sweep in zip(area.axes, sweeps, strict=True):
        indices[axis] = slice(None, None, sweep.stride)
    strided = tuple(indices)
    fixed = any((part.start or 0) < 0 or (part.stop is not None and part.stop >= 0) for part in parts)
    return Pick((sweeps[0], sweeps[1]), lambda call, canvas: canvas[strided], fixed=fixed)
