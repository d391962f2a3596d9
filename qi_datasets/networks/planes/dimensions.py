"""Functions and methods that take maps apart, or give their dimensions another order, number or size.

Each rule takes what those of `functions` take.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from qi_datasets.networks.planes.follower import Call
from qi_datasets.networks.planes.geometry import Window
from qi_datasets.networks.planes.maps import MapFollower
from qi_datasets.networks.planes.plane import Plane, Size, Unfollowed


def _listed(dims: Any) -> tuple[Any, ...]:
    """Dimensions given one by one, or as one tuple."""
    return tuple(dims[0]) if len(dims) == 1 and isinstance(dims[0], Sequence) else tuple(dims)


def _rearranged(of: Callable[[Any], Any], x: Plane, axes: Any, dims: int) -> Plane:
    return x.become(of(x.values), None if x.ground is None else of(x.ground), axes=axes, dims=dims)


def permute(follow: MapFollower, call: Call, x: Plane, *dims: Any) -> Plane:
    """Another order of the dimensions."""
    order = [dim % x.dims for dim in _listed(dims)]
    if order[0] != 0:
        raise Unfollowed("moves the images to another dimension")
    axes = tuple(order.index(x.dims + axis) - x.dims for axis in x.axes)
    return _rearranged(lambda values: values.permute(order), x, axes, x.dims)


def transpose(follow: MapFollower, call: Call, x: Plane, dim0: int, dim1: int) -> Plane:
    """Two dimensions change places."""
    order = list(range(x.dims))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return permute(follow, call, x, order)


def unsqueeze(follow: MapFollower, call: Call, x: Plane, dim: int) -> Plane:
    """A dimension of size 1 more."""
    place = dim % (x.dims + 1)
    if place == 0:
        raise Unfollowed("moves the images to another dimension")
    axes = tuple(axis - (x.dims + axis < place) for axis in x.axes)
    return _rearranged(lambda values: values.unsqueeze(place), x, axes, x.dims + 1)


def reshape(follow: MapFollower, call: Call, x: Plane, *shape: Any) -> Any:
    """The channels in other dimensions; or the end of the map, as a vector."""
    sizes = _listed(shape)
    if len(sizes) == 2:
        return follow.vector(x, "flattens a map, which tells where things are")
    dims = [size.dim if isinstance(size, Size) else None for size in sizes]
    if x.axes != (-2, -1) or len(dims) < 3 or (dims[0], dims[-2], dims[-1]) != (0, -2, -1):
        raise Unfollowed("gives rows and columns another shape")
    ground = None if x.ground is None else x.ground.reshape(1, *sizes[1:-2], 1, 1)
    return x.become(call(x.values, *shape), ground, dims=len(sizes))


def flatten(follow: MapFollower, call: Call, x: Plane, start_dim: int = 0, end_dim: int = -1) -> Any:
    """The end of a map, as a vector."""
    if start_dim in (1, 1 - x.dims) and end_dim in (-1, x.dims - 1):
        return follow.vector(x, "flattens a map, which tells where things are")
    raise Unfollowed("gives rows and columns another shape")


def chunk(follow: MapFollower, call: Call, x: Plane, size: Any, dim: int = 0) -> Plane:
    """A tuple of maps with some of the channels each."""
    if dim in (0, -x.dims) or x.is_spatial(dim):
        raise Unfollowed("takes maps apart along another dimension than the channels")
    return replace(follow.elementwise(lambda values: call(values, size, dim), (x,)), pieces=True)


def size(follow: MapFollower, call: Any, x: Plane, dim: int | None = None) -> Any:
    """The sizes of the map as far as it is computed, which `reshape` knows again."""
    known = {0: 0} | {x.dims + axis: place for axis, place in zip(x.axes, (-2, -1), strict=True)}
    sizes = [x.values.shape[index] for index in range(x.dims)]
    shape = tuple(Size(known[index], one) if index in known else one for index, one in enumerate(sizes))
    return shape if dim is None else shape[dim]


def getitem(follow: MapFollower, call: Call, x: Plane, index: Any) -> Plane:
    """One of a tuple of maps, some channels, every n-th position, or a map without its first or last positions."""
    if x.pieces:
        return replace(x.become(x.values[index], None if x.ground is None else x.ground[index]), pieces=False)
    parts = list(index) if isinstance(index, tuple) else [index]
    if Ellipsis in parts:
        place = parts.index(Ellipsis)
        parts[place : place + 1] = [slice(None)] * (x.dims - len(parts) + 1)
    parts += [slice(None)] * (x.dims - len(parts))
    if parts[0] != slice(None) or not all(isinstance(part, int | slice) for part in parts):
        raise Unfollowed("takes out some of the images or positions")
    (first_row, row_step), (first_column, column_step) = (_cut(parts[x.dims + axis]) for axis in x.axes)
    for axis in x.axes:
        parts[x.dims + axis] = slice(None)
    x = replace(x, rows=x.rows.moved(-first_row), columns=x.columns.moved(-first_column))
    if (row_step, column_step) != (1, 1):
        every = (..., slice(None, None, row_step), slice(None, None, column_step))
        x = follow.window(x, Window((1, 1), (row_step, column_step)), lambda values, _: values[every])
    if all(part == slice(None) for part in parts):
        return x
    gone = [place for place, part in enumerate(parts) if isinstance(part, int)]
    rows, columns = (axis + sum(place > x.dims + axis for place in gone) for axis in x.axes)
    taken = follow.elementwise(lambda values: values[tuple(parts)], (x,))
    return replace(taken, axes=(rows, columns), dims=x.dims - len(gone))


def _cut(part: Any) -> tuple[int, int]:
    """How many rows or columns a slice leaves out at the start, and its step."""
    if not isinstance(part, slice):
        raise Unfollowed("takes out a row or a column")
    first, stop, step = part.start or 0, part.stop, part.step or 1
    if not (isinstance(first, int) and first >= 0 and (stop is None or (isinstance(stop, int) and stop < 0))):
        raise Unfollowed("cuts a map where that depends on its size")
    return first, step


DIMENSIONS: dict[str, Callable[..., Any]] = {
    "permute": permute,
    **dict.fromkeys(("transpose", "swapaxes", "swapdims"), transpose),
    "unsqueeze": unsqueeze,
    **dict.fromkeys(("reshape", "view"), reshape),
    "flatten": flatten,
    **dict.fromkeys(("chunk", "split"), chunk),
    "size": size,
    "dim": lambda follow, call, x: x.dims,
    "getitem": getitem,
}
