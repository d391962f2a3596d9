"""Feature maps on an endless plane: which positions of them are known, and what each position sees of the image."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from qi_datasets.errors import OptionError

Extent = Literal["exact", "full", "valid"]
"""Which positions of a map are computed: `exact` and `full` all that see the image, `valid` those that see nothing else.

Around the map lies its ground (`exact`), or zeros (`full`).
"""

Sides = tuple[int, int]
"""A size along rows, and along columns."""


@dataclass(frozen=True)
class Window:
    """The windows of one layer. padding: what the layer's own padding adds above and to the left; the rest is usual."""

    kernel: Sides
    stride: Sides = (1, 1)
    padding: Sides = (0, 0)
    dilation: Sides = (1, 1)

    @property
    def reach(self) -> Sides:
        """Positions from the first cell of a window to its last."""
        return (self.dilation[0] * (self.kernel[0] - 1), self.dilation[1] * (self.kernel[1] - 1))


@dataclass(frozen=True)
class Reach:
    """What a map sees along one axis: position j the pixels from `j * stride - before` to `j * stride + after`.

    Windows of windows are windows, so that three numbers hold for a whole network. On an image of n pixels the
    positions that see some of it are those from `-(after // stride)` to `(n - 1 + before) // stride`; those that see
    nothing else go from `ceil(before / stride)` to `(n - 1 - after) // stride`.
    """

    before: int = 0
    after: int = 0
    stride: int = 1

    @property
    def size(self) -> int:
        """Pixels that one position sees."""
        return self.before + self.after + 1

    def through(self, reach: int, stride: int, padding: int) -> "Reach":
        """After a layer whose output j covers the inputs from `j * stride - padding` to `j * stride - padding + reach`."""
        return Reach(
            self.before + self.stride * padding, self.after + self.stride * (reach - padding), self.stride * stride
        )

    def moved(self, positions: int) -> "Reach":
        """After so many positions were put before the map's first, or, negative, taken away there."""
        return Reach(self.before + self.stride * positions, self.after - self.stride * positions, self.stride)

    def joined(self, other: "Reach") -> "Reach":
        """What a position sees through two branches. Raises `OptionError` if their strides differ."""
        if self.stride != other.stride:
            raise OptionError(f"branches of strides {self.stride} and {other.stride} meet")
        return Reach(max(self.before, other.before), max(self.after, other.after), self.stride)

    def first(self, extent: Extent) -> int:
        """The first position that is computed."""
        return -(-self.before // self.stride) if extent == "valid" else -(self.after // self.stride)

    def last_edge(self, extent: Extent) -> int:
        """A number that two maps of one stride share if and only if they end at the same position on every image."""
        return -self.after if extent == "valid" else self.before


@dataclass(frozen=True)
class Plane:
    """A map on the endless plane, while a network's layers are followed one by one.

    values: the known part of the map, in the graph that is written.
    ground: what each channel is on endless black, one position, in that graph; None where it is held at 0.
    rows, columns: what a position sees of the image.
    axes: which dimensions are rows and columns, counted from the last; dims: how many dimensions there are.
    bounded: whether a position sees these pixels only.
    pieces: whether this stands for a tuple of maps.
    """

    values: Any
    ground: Any
    rows: Reach = Reach()
    columns: Reach = Reach()
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
        return self.axes == (-2, -1) and self.dims == 4 and not self.pieces

    def become(self, values: Any, ground: Any, **changes: Any) -> "Plane":
        """The map after a layer that made `values` and `ground` of it."""
        return replace(self, values=values, ground=ground, **changes)

    def is_spatial(self, dim: int) -> bool:
        """Whether a dimension, counted from either end, is the rows or the columns."""
        return (dim - self.dims if dim >= 0 else dim) in self.axes
