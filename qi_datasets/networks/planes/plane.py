"""A map on the endless plane, and what else a network computes with."""

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, fx

from qi_datasets.networks.planes.geometry import Reach, Sides

_ONE_PIXEL = Reach()


class Unfollowed(Exception):  # noqa: N818
    """What a node does to a map can't be followed. The message goes on after "the node"."""


@dataclass(frozen=True)
class Plane:
    """A map while a network is followed.

    values: the positions that are computed, in the graph that is written
    ground: what each channel is on endless black, one position, in that graph; None where it is held at 0
    rows, columns: what a position sees of the image
    axes: which dimensions are rows and columns, counted from the last
    dims: how many dimensions there are
    bounded: whether a position sees nothing but these rows and columns
    pieces: whether this stands for a tuple of maps
    """

    values: Any
    ground: Any
    rows: Reach = _ONE_PIXEL
    columns: Reach = _ONE_PIXEL
    axes: Sides = (-2, -1)
    dims: int = 4
    bounded: bool = True
    pieces: bool = False

    @property
    def reaches(self) -> tuple[Reach, Reach]:
        """Of the rows, and of the columns."""
        return self.rows, self.columns

    @property
    def is_plain(self) -> bool:
        """Whether the dimensions are images, channels, rows, columns, as layers with windows take them."""
        return self.axes == (-2, -1) and self.dims == 4

    def become(self, values: Any, ground: Any, **changes: Any) -> "Plane":
        """The map after a layer that made `values` and `ground` of it."""
        return replace(self, values=values, ground=ground, **changes)

    def is_spatial(self, *dims: int) -> bool:
        """Whether any of these dimensions, counted from either end, is the rows or the columns."""
        return any((dim - self.dims if dim >= 0 else dim) in self.axes for dim in dims)


@dataclass(frozen=True)
class Constant:
    """A value that does not depend on the images: in the graph that is written, and as it is now."""

    proxy: Any
    now: Tensor


@dataclass(frozen=True)
class Size:
    """How many images there are, or rows or columns of a map (`dim` 0, -2, -1)."""

    dim: int
    proxy: Any


@dataclass(frozen=True)
class End:
    """Where a map stops being one.

    node: where
    plane: the map
    known: it is pooled, flattened or the answer, not mixed in some other way
    keeps: whether a pooling over all positions leaves dimensions of size 1; None for any other node
    """

    node: fx.Node
    plane: Plane
    known: bool = True
    keeps: bool | None = None
