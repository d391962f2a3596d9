"""What layers do to a map that is known as a blank canvas's map and the window in which an image's map differs from it.

A step stands for one node of a traced network. Its inputs and outputs are maps; `call` runs the node itself on tensors
that stand in for them, whatever else the node takes being as it is in the network.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor

from qi_datasets.networks.local.blank import Blank
from qi_datasets.networks.local.canvas import Canvas
from qi_datasets.networks.local.ground import Ground, is_ground
from qi_datasets.networks.local.windows import Area, NotLocalError, Runs, Span


class Call(Protocol):
    """Runs a node on tensors in place of its maps, the distinct ones in the order of the node's arguments."""

    def __call__(self, *maps: Tensor) -> Tensor:
        """What the node makes of them."""

    def arguments(self, *maps: Tensor) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The node's positional and named arguments with these maps in them."""


class Step:
    """A layer that treats every position alike: windows become windows of the same positions."""

    def area(self, *areas: Area) -> Area:
        """The window of the output, given those of the inputs. Raises `NotLocalError` where it is not known."""
        return areas[0]

    def whole(self, call: Call, *maps: Tensor) -> Tensor:
        """The output of whole maps."""
        return call(*maps)

    def context(
        self, blanks: Sequence[Blank], result: Blank, areas: Sequence[Area], out: Area, *, keep: bool
    ) -> list[Any]:
        """What the output's window needs of the inputs' blank maps and of the output's.

        blanks: the inputs' blank maps
        result: the output's
        areas: where the inputs' windows are
        out: where the output's window is
        keep: for many batches, and without gradients
        """
        return []

    def window(self, call: Call, windows: Sequence[Tensor], context: Sequence[Any], area: Area) -> Tensor:
        """The output's window.

        call: runs the node
        windows: of the inputs
        context: what `context` gave
        area: where the first input's window is
        """
        return call(*windows)

    def untouched(self, areas: Sequence[Area], runs: Sequence[Runs]) -> Runs:
        """The run of the output's blank map that no edge has changed, given those of the inputs."""
        return runs[0]

    def ground(self, call: Call, grounds: Sequence[Ground]) -> Ground:
        """Which positions of the blank output are what endless black would give."""
        return grounds[0].become(_sample(call, grounds))

    def obstacle(self, areas: Sequence[Area], grounds: Sequence[Ground], out: Area) -> str | None:
        """Why the output's window is not what endless black around the patch would give, or None if it is."""
        return None

    @property
    def strides(self) -> tuple[int, int]:
        """Rows and columns that the input moves for the output to move by one."""
        return 1, 1


class Relocated(Step):
    """A layer that treats every position alike and puts rows and columns on other axes of the tensor."""

    def __init__(self, axes: tuple[int, int], ndim: int) -> None:
        self.axes, self.ndim = axes, ndim

    def area(self, *areas: Area) -> Area:
        """The same window."""
        return areas[0].on(self.axes, self.ndim)

    def ground(self, call: Call, grounds: Sequence[Ground]) -> Ground:
        """The same positions."""
        return grounds[0].become(_sample(call, grounds))


class Join(Step):
    """An operation on several maps of one size, position by position: sum, product, concatenation of channels."""

    def area(self, *areas: Area) -> Area:
        """The smallest window that holds all."""
        first = areas[0]
        for other in areas[1:]:
            lengths = [(one.length, two.length) for one, two in zip(first.spans, other.spans, strict=True)]
            if (first.axes, first.ndim) != (other.axes, other.ndim) or any(one != two for one, two in lengths):
                raise NotLocalError("it combines maps of different sizes")
            first = first.at(first.rows.hull(other.rows), first.columns.hull(other.columns))
        return first

    def context(
        self, blanks: Sequence[Blank], result: Blank, areas: Sequence[Area], out: Area, *, keep: bool
    ) -> list[Any]:
        """A canvas of the output's window for each input."""
        read = out.rows.positions, out.columns.positions
        return [Canvas(blank, area, *read, keep=keep) for blank, area in zip(blanks, areas, strict=True)]

    def window(self, call: Call, windows: Sequence[Tensor], context: Sequence[Any], area: Area) -> Tensor:
        """The operation on windows grown to one size."""
        return call(*(canvas.paste(window) for canvas, window in zip(context, windows, strict=True)))

    def untouched(self, areas: Sequence[Area], runs: Sequence[Runs]) -> Runs:
        """What is untouched in all."""
        rows, columns = (
            range(max(r.start for r in axis), min(r.stop for r in axis)) for axis in zip(*runs, strict=True)
        )
        return rows, columns

    def ground(self, call: Call, grounds: Sequence[Ground]) -> Ground:
        """Positions that are ground in all."""
        rows, columns = grounds[0].rows, grounds[0].columns
        for other in grounds[1:]:
            rows, columns = rows & other.rows, columns & other.columns
        return Ground(rows, columns, _sample(call, grounds))

    def obstacle(self, areas: Sequence[Area], grounds: Sequence[Ground], out: Area) -> str | None:
        """Windows grow by positions that have to be ground."""
        read = out.rows.positions, out.columns.positions
        return None if all(is_ground(ground, *read) for ground in grounds) else "it reads values that the edge changed"


class Border(Step):
    """Explicit padding of rows and of columns, each (before, after), `mode` and `value` as of `functional.pad`."""

    def __init__(self, padding: tuple[tuple[int, int], tuple[int, int]], mode: str, value: float) -> None:
        self.padding, self.mode, self.value = padding, mode, value

    def area(self, *areas: Area) -> Area:
        """The window, moved. Padding that repeats what is inside the map must repeat nothing of the window."""
        (area,) = areas
        spans = []
        for span, (before, after) in zip(area.spans, self.padding, strict=True):
            if self.mode != "constant" and (before or after):
                repeated = [position for side in self._repeated(span.length, before, after) for position in side]
                if any(position in span.positions for position in repeated):
                    raise NotLocalError(f"its {self.mode} padding repeats a part of the map that differs by image")
            spans.append(Span(span.length + before + after, span.start + before, span.stop + before))
        return area.at(*spans)

    def window(self, call: Call, windows: Sequence[Tensor], context: Sequence[Any], area: Area) -> Tensor:
        """The window itself, copied as the layer copies it."""
        return windows[0].clone()

    def untouched(self, areas: Sequence[Area], runs: Sequence[Runs]) -> Runs:
        """The run, moved; what padding repeats must keep its distance from it."""
        rows, columns = (
            range(run.start + before + near, run.stop + before - near)
            for run, (before, after) in zip(runs[0], self.padding, strict=True)
            for near in [0 if self.mode == "constant" else before + after]
        )
        return rows, columns

    def ground(self, call: Call, grounds: Sequence[Ground]) -> Ground:
        """Constant padding counts as ground where it continues a ground of 0; repeated positions are what they are."""
        (ground,) = grounds
        constant = self.mode == "constant"
        padding = self.value == 0 and ground.zero is not None
        rows, columns = (
            ground.padded(flags, amount, padding if constant else self.mode)
            for flags, amount in zip((ground.rows, ground.columns), self.padding, strict=True)
        )
        return Ground(rows, columns, ground.zero)

    def _repeated(self, length: int, before: int, after: int) -> tuple[range, range]:
        """Positions of the map that its padding repeats."""
        if self.mode == "circular":
            return range(length - before, length), range(after)
        if self.mode == "reflect":
            return range(1, before + 1), range(length - 1 - after, length - 1)
        return range(min(before, 1)), range(length - min(after, 1), length)


def _sample(call: Call, grounds: Sequence[Ground]) -> Tensor | None:
    """What the node makes of zeros, None unless that is 0 too."""
    zeros = [ground.zero for ground in grounds if ground.zero is not None]
    if len(zeros) < len(grounds):
        return None
    return Ground(grounds[0].rows, grounds[0].columns, call(*(zero.clone() for zero in zeros))).checked().zero
