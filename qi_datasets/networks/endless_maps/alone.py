"""Rules for elementwise functions of maps, of values computed from maps, and of constants."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from qi_datasets.errors import UnsupportedOperationError
from qi_datasets.networks.endless_maps.tensor import (
    POINTWISE,
    Plane,
    Reach,
    name_of,
    tensors_in,
    values_of,
)


@Plane.rules.register(*POINTWISE)
def pointwise(func: Any, *args: Any, **kwargs: Any) -> Any:
    """Computes an elementwise function of maps, values computed from maps, and constants; aligns the maps first."""
    tensors = tensors_in((args, kwargs))
    planes = [one for one in tensors if isinstance(one, Plane)]
    maps = [plane for plane in planes if plane.axes is not None]
    x = max(maps, key=lambda plane: plane.values.ndim, default=None)
    if x is None or any(plane.axes != x.axes for plane in maps):
        return NotImplemented
    run, axes = x.run, x.axes or (-2, -1)
    adds_places = any(
        one.ndim >= -axis and one.shape[axis] != 1 for one in tensors if not isinstance(one, Plane) for axis in axes
    )
    if adds_places and run.is_endless:
        raise UnsupportedOperationError(
            f"{run.where}{name_of(func)} takes a constant that differs from position to position, which has no place "
            f"in {run.padding} padding"
        )
    reaches = x.reaches
    for plane in maps:
        reaches = tuple(map(Reach.joined, reaches, plane.reaches))
    spans = run.positions(reaches) if run.is_endless else []

    def called(of: Callable[[Any], Any]) -> Any:
        return func(*values_of(args, of), **values_of(kwargs, of))

    value = called(lambda plane: plane.at(spans) if spans else plane.values)
    sides = tuple(map(len, spans)) or x.sides
    if (
        not isinstance(value, Tensor)
        or value.ndim != x.values.ndim
        or (value.shape[axes[0]], value.shape[axes[1]]) != sides
    ):
        return NotImplemented
    black = None if x.background is None else called(lambda plane: plane.background)
    bounded = len(maps) == len(planes) and not adds_places and all(plane.is_bounded for plane in maps)
    return x.become(value, black, reaches=reaches, is_bounded=bounded)


@Plane.rules.register("cat")
def cat(func: Any, tensors: Sequence[Any], dim: int = 0) -> Any:
    """Concatenates maps along another dimension than images, rows and columns."""
    x = next((one for one in tensors if isinstance(one, Plane) and one.axes is not None), None)
    if x is None or not -x.values.ndim <= dim < x.values.ndim or x.is_spatial(dim) or dim % x.values.ndim == 0:
        return NotImplemented
    return pointwise(func, tuple(tensors), dim)


@Plane.rules.register("dropout", "dropout2d", "alpha_dropout", "feature_dropout", "feature_alpha_dropout")
def dropout(func: Any, input: Plane, *args: Any, **kwargs: Any) -> Any:
    """Drops values of the map; the background is not dropped, since it must stay one value."""
    return input.become(func(input.values, *args, **kwargs), input.background)
