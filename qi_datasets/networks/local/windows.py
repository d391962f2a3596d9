"""Where the window lies in which a map differs from the blank canvas's, and which one a sliding kernel makes of it.

All of it is arithmetic on positions along one axis; an image's window is the product of one along rows and one along
columns.
"""

from dataclasses import dataclass


class NotLocalError(Exception):
    """Why a layer's outputs can't be told apart into a window and the blank canvas's map."""


@dataclass(frozen=True, slots=True)
class Span:
    """The window [start, stop), never empty, on an axis of `length` positions."""

    length: int
    start: int
    stop: int

    @property
    def size(self) -> int:
        """Positions in the window."""
        return self.stop - self.start

    @property
    def whole(self) -> bool:
        """Whether the window is all of the axis."""
        return self.size == self.length

    @property
    def positions(self) -> range:
        """Positions of the window."""
        return range(self.start, self.stop)

    def hull(self, other: "Span") -> "Span":
        """The shortest window that holds both."""
        return Span(self.length, min(self.start, other.start), max(self.stop, other.stop))


@dataclass(frozen=True, slots=True)
class Sweep:
    """A kernel that slides along a padded axis: output j reads positions from `j * stride - before` on.

    kernel: how many positions an output reads
    stride: from one output's first position to the next's
    dilation: from one position that an output reads to the next
    before, after: positions of padding; negative ones crop the axis
    ceil: whether the last window may end beyond the padding, as in pooling
    """

    kernel: int
    stride: int = 1
    dilation: int = 1
    before: int = 0
    after: int = 0
    ceil: bool = False

    @property
    def reach(self) -> int:
        """Positions from the first to the last that one output reads."""
        return self.dilation * (self.kernel - 1) + 1

    def count(self, length: int) -> int:
        """Outputs on an axis of `length` positions; below 1 if the kernel does not fit."""
        steps = length + self.before + self.after - self.reach
        if not self.ceil:
            return steps // self.stride + 1
        count = -(-steps // self.stride) + 1
        # A window that would start in the padding behind the axis is left out.
        return count - 1 if (count - 1) * self.stride >= length + self.before else count

    def meeting(self, span: Span) -> range:
        """Outputs, whether computed or beyond the edges, whose window meets the span's; may be empty."""
        first = -(-(span.start + self.before - self.reach + 1) // self.stride)
        return range(first, (span.stop - 1 + self.before) // self.stride + 1)

    def over(self, span: Span) -> Span:
        """The window of outputs that can differ from the blank canvas's; at least one output."""
        count = self.count(span.length)
        if count < 1:
            raise NotLocalError(f"a kernel that spans {self.reach} positions does not fit into {span.length}")
        meeting = self.meeting(span)
        start = min(max(meeting.start, 0), count - 1)
        return Span(count, start, min(max(meeting.stop, start + 1), count))

    def inside(self, run: range, length: int) -> range:
        """The outputs that read nothing but positions of a run, on an axis of `length` positions."""
        first = max(0, -(-(run.start + self.before) // self.stride))
        stop = min(self.count(length), (run.stop - self.reach + self.before) // self.stride + 1)
        return range(first, max(first, stop))

    def reads(self, outputs: Span) -> range:
        """Positions from the first to the last that a window of outputs reads; those outside the axis are padding."""
        last = (outputs.stop - 1) * self.stride - self.before + self.reach
        return range(outputs.start * self.stride - self.before, last)


Runs = tuple[range, range]
"""Rows and columns of a blank map that no edge has changed: all of one value."""


@dataclass(frozen=True, slots=True)
class Area:
    """The window of a map.

    rows, columns: the window along each
    axes: which of the tensor's axes these two are
    ndim: how many axes it has
    """

    rows: Span
    columns: Span
    axes: tuple[int, int] = (2, 3)
    ndim: int = 4

    @property
    def spans(self) -> tuple[Span, Span]:
        """The window along rows and along columns."""
        return self.rows, self.columns

    @property
    def whole(self) -> bool:
        """Whether the window is the whole map."""
        return self.rows.whole and self.columns.whole

    @property
    def is_image(self) -> bool:
        """Whether the axes are (N, C, H, W)."""
        return self.axes == (2, 3) and self.ndim == 4

    def on(self, axes: tuple[int, int], ndim: int) -> "Area":
        """The same window on other axes of the tensor."""
        return Area(self.rows, self.columns, axes, ndim)

    def at(self, rows: Span, columns: Span) -> "Area":
        """Another window on the same axes of the tensor."""
        return Area(rows, columns, self.axes, self.ndim)

    def index(self, rows: range, columns: range) -> tuple[slice, ...]:
        """What to index the tensor with for these rows and columns."""
        found = [slice(None)] * self.ndim
        found[self.axes[0]] = slice(rows.start, rows.stop)
        found[self.axes[1]] = slice(columns.start, columns.stop)
        return tuple(found)

    @property
    def window(self) -> tuple[slice, ...]:
        """What to index the tensor of a whole map with for the window."""
        return self.index(self.rows.positions, self.columns.positions)

    def within(self, rows: range, columns: range) -> tuple[slice, ...]:
        """What to index the tensor of a window with for these positions of the map."""
        return self.index(moved(rows, -self.rows.start), moved(columns, -self.columns.start))


def overlap(first: range, second: range) -> range:
    """The positions in both, an empty range inside the first if there are none."""
    start = min(max(first.start, second.start), first.stop)
    return range(start, max(start, min(first.stop, second.stop)))


def moved(part: range, by: int) -> range:
    """The positions, moved."""
    return range(part.start + by, part.stop + by)
