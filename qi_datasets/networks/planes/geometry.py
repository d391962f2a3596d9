"""Which positions of a map see which pixels of the image: arithmetic along the rows and along the columns."""

from dataclasses import dataclass
from typing import Any, Literal

from qi_datasets.errors import OptionError

Extent = Literal["exact", "full", "valid"]
"""Which positions of a map are computed: `exact` and `full` all that see the image, `valid` all that see nothing else.

Around the map lies its ground (`exact`), or zeros (`full`).
"""

Sides = tuple[int, int]
"""A size along rows, and along columns."""


def sides_of(size: Any) -> Sides:
    """A size as torch takes it: one for rows and columns, or one for each."""
    first, *rest = (size,) if isinstance(size, int) else size
    return first, (rest or [first])[0]


@dataclass(frozen=True)
class Window:
    """The windows of one layer; all sizes are along rows, and along columns.

    kernel: cells of a window
    stride: positions from one window to the next
    padding: how many positions its own padding puts above the map, and to the left
    dilation: positions from one cell to the next
    """

    kernel: Sides
    stride: Sides = (1, 1)
    padding: Sides = (0, 0)
    dilation: Sides = (1, 1)

    @classmethod
    def of(cls, kernel: Any, stride: Any, padding: Any, dilation: Any = 1) -> "Window":
        """Of a convolution or pooling.

        kernel, stride, dilation: as torch takes them
        padding: as torch takes it, "same" and "valid" included
        """
        bare = cls(sides_of(kernel), sides_of(stride), (0, 0), sides_of(dilation))
        if isinstance(padding, str):
            padding = [reach // 2 if padding == "same" else 0 for reach in bare.reach]
        return cls(bare.kernel, bare.stride, sides_of(padding), bare.dilation)

    @property
    def reach(self) -> Sides:
        """Positions from the first cell of a window to its last."""
        return self.dilation[0] * (self.kernel[0] - 1), self.dilation[1] * (self.kernel[1] - 1)


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
        """After a layer whose output j covers the inputs `j * stride - padding` to `j * stride - padding + reach`."""
        before = self.before + self.stride * padding
        after = self.after + self.stride * (reach - padding)
        return Reach(before, after, self.stride * stride)

    def moved(self, positions: int) -> "Reach":
        """After so many positions were put before the map's first, or, negative, taken away there."""
        by = self.stride * positions
        return Reach(self.before + by, self.after - by, self.stride)

    def joined(self, other: "Reach") -> "Reach":
        """What a position sees through two branches. Raises `OptionError` if their strides differ."""
        if self.stride != other.stride:
            raise OptionError(f"branches of strides {self.stride} and {other.stride} meet")
        return Reach(max(self.before, other.before), max(self.after, other.after), self.stride)

    def first(self, extent: Extent) -> int:
        """The first position that is computed."""
        return -(-self.before // self.stride) if extent == "valid" else -(self.after // self.stride)

    def edge(self, extent: Extent) -> int:
        """What the last position depends on: on an image of n pixels it is `(n - 1 + edge) // stride`."""
        return -self.after if extent == "valid" else self.before
