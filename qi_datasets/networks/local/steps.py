"""What layers do to a map that is known as a blank canvas's map and the window in which an image's map differs from it.

A step stands for one node of a traced network. Its inputs and outputs are maps; `call` runs the node itself on tensors
that stand in for them, whatever else the node takes being as it is in the network.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from qi_datasets.networks.local.canvas import Canvas
from qi_datasets.networks.local.ground import Ground, is_ground, swept
from qi_datasets.networks.local.windows import Area, NotLocalError, Span, Sweep


class Call(Protocol):
    """Runs a node on tensors in place of its maps, the distinct ones in the order of the node's arguments."""

    def __call__(self, *maps: Tensor) -> Tensor:
        """What the node makes of them."""

    def arguments(self, *maps: Tensor) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The node's positional and named arguments with these maps in them."""


class Step:
    """A layer that treats every position alike: windows become windows of the same positions."""

    def area(self, *areas: Area) -> Area:
        """The window of the output, given those of the inputs. Raises `NotLocalError` where that can't be said."""
        return areas[0]

    def whole(self, call: Call, *maps: Tensor) -> Tensor:
        """The output of whole maps."""
        return call(*maps)

    def context(self, blanks: Sequence[Tensor], areas: Sequence[Area], out: Area, *, keep: bool) -> list[Canvas]:
        """What the output's window needs of the inputs' blank maps; `keep`: for many batches, and without gradients."""
        return []

    def window(self, call: Call, windows: Sequence[Tensor], canvases: Sequence[Canvas], area: Area) -> Tensor:
        """The output's window, given the windows of the inputs; `area` is that of the first input."""
        return call(*windows)

    def ground(self, call: Call, grounds: Sequence[Ground]) -> Ground:
        """Which positions of the blank output are what endless black would give."""
        return grounds[0].become(_sample(call, grounds))

    def obstacle(self, areas: Sequence[Area], grounds: Sequence[Ground], out: Area) -> str | None:
        """Why the output's window is not what endless black around the patch would give, or None if it is."""
        return None

    def displaced(self, by: tuple[int, int]) -> tuple[int, int] | None:
        """By how much the output moves when the inputs move by so much; None if it doesn't just move."""
        return by


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

    def context(self, blanks: Sequence[Tensor], areas: Sequence[Area], out: Area, *, keep: bool) -> list[Canvas]:
        """A canvas of the output's window for each input."""
        read = out.rows.positions, out.columns.positions
        return [Canvas(blank, area, *read, keep=keep) for blank, area in zip(blanks, areas, strict=True)]

    def window(self, call: Call, windows: Sequence[Tensor], canvases: Sequence[Canvas], area: Area) -> Tensor:
        """The operation on windows grown to one size."""
        return call(*(canvas.paste(window) for canvas, window in zip(canvases, windows, strict=True)))

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


class Slide(Step):
    """A kernel that slides over the map: convolution, pooling, subsampling, cropping.

    `valid` runs it without padding. `fill` is the value of its own padding; with `ignores_padding` the padding takes no
    part in an output, as in maximum pooling.
    """

    def __init__(
        self,
        sweeps: tuple[Sweep, Sweep],
        valid: Callable[[Call, Tensor], Tensor],
        *,
        fill: float = 0.0,
        ignores_padding: bool = False,
    ) -> None:
        self.sweeps, self.valid, self.fill, self.ignores_padding = sweeps, valid, fill, ignores_padding

    def area(self, *areas: Area) -> Area:
        """All outputs whose window meets the input's window."""
        (area,) = areas
        if not area.is_image:
            raise NotLocalError("its input's axes are not (N, C, H, W)")
        return area.at(*(sweep.over(span) for sweep, span in zip(self.sweeps, area.spans, strict=True)))

    def context(self, blanks: Sequence[Tensor], areas: Sequence[Area], out: Area, *, keep: bool) -> list[Canvas]:
        """What the output's window reads, its own padding included."""
        if areas[0].whole:
            return []
        return [Canvas(blanks[0], areas[0], *self._reads(out), fill=self.fill, keep=keep)]

    def window(self, call: Call, windows: Sequence[Tensor], canvases: Sequence[Canvas], area: Area) -> Tensor:
        """The outputs of the canvas; where the window is the whole map, those of the map."""
        return self.valid(call, canvases[0].paste(windows[0])) if canvases else call(*windows)

    def ground(self, call: Call, grounds: Sequence[Ground]) -> Ground:
        """Outputs that read ground alone; padding counts as ground where it continues a ground of 0, or is ignored."""
        (ground,) = grounds
        padding = self.ignores_padding or (self.fill == 0 and ground.zero is not None)
        rows, columns = (
            swept(sweep, flags, padding)
            for sweep, flags in zip(self.sweeps, (ground.rows, ground.columns), strict=True)
        )
        zero = None
        if ground.zero is not None:
            reach = [sweep.reach for sweep in self.sweeps]
            zero = self.valid(call, ground.zero.expand(-1, -1, *reach).contiguous())
        return Ground(rows, columns, zero).checked()

    def obstacle(self, areas: Sequence[Area], grounds: Sequence[Ground], out: Area) -> str | None:
        """No output that meets the patch's window is missing; no context but ground is read."""
        (area,), (ground,) = areas, grounds
        for sweep, span, made in zip(self.sweeps, area.spans, out.spans, strict=True):
            meeting = sweep.meeting(span)
            if meeting and (meeting.start < 0 or meeting.stop > made.length):
                return "an output that meets the patch's window is missing at an edge"
        reads = self._reads(out)
        outside = any(part.start < 0 or part.stop > span.length for part, span in zip(reads, area.spans, strict=True))
        if outside and not self._padding_is_ground(ground, area, reads):
            return "it reads padding that is not what black has become"
        return None if is_ground(ground, *reads) else "it reads values that the edge changed"

    def displaced(self, by: tuple[int, int]) -> tuple[int, int] | None:
        """By so many strides."""
        if any(step % sweep.stride for step, sweep in zip(by, self.sweeps, strict=True)):
            return None
        return by[0] // self.sweeps[0].stride, by[1] // self.sweeps[1].stride

    def _reads(self, out: Area) -> tuple[range, range]:
        return self.sweeps[0].reads(out.rows), self.sweeps[1].reads(out.columns)

    def _padding_is_ground(self, ground: Ground, area: Area, reads: tuple[range, range]) -> bool:
        return not self.ignores_padding and self.fill == 0 and ground.zero is not None


class AveragePool(Slide):
    """Average pooling; `counts_padding` and `divisor` as in `torch.nn.AvgPool2d`."""

    def __init__(
        self,
        sweeps: tuple[Sweep, Sweep],
        *,
        counts_padding: bool,
        divisor: int | None,
    ) -> None:
        super().__init__(sweeps, self._sums, ignores_padding=not counts_padding and divisor is None)
        self.divisor = divisor

    def window(self, call: Call, windows: Sequence[Tensor], canvases: Sequence[Canvas], area: Area) -> Tensor:
        """Sums over the canvas, each divided by the number of positions that count."""
        if not canvases:
            return call(*windows)
        sums = self._sums(call, canvases[0].paste(windows[0]))
        rows, columns = (
            torch.tensor(self._counted(sweep, span), dtype=sums.dtype, device=sums.device)
            for sweep, span in zip(self.sweeps, area.spans, strict=True)
        )
        return sums / (self.divisor or rows[:, None] * columns)

    def _sums(self, call: Call, canvas: Tensor) -> Tensor:
        rows, columns = self.sweeps
        return F.avg_pool2d(canvas, (rows.kernel, columns.kernel), (rows.stride, columns.stride), divisor_override=1)

    def _counted(self, sweep: Sweep, span: Span) -> list[int]:
        """For each output of the window, the positions along one axis that its average is taken over."""
        low, high = (0, span.length) if self.ignores_padding else (-sweep.before, span.length + sweep.after)
        starts = [j * sweep.stride - sweep.before for j in sweep.over(span).positions]
        return [min(start + sweep.kernel, high) - max(start, low) for start in starts]

    def _padding_is_ground(self, ground: Ground, area: Area, reads: tuple[range, range]) -> bool:
        # Beyond the padding the divisor shrinks, which endless black would not make it do.
        beyond = any(
            part.stop > span.length + sweep.after
            for part, span, sweep in zip(reads, area.spans, self.sweeps, strict=True)
        )
        return super()._padding_is_ground(ground, area, reads) and (self.divisor is not None or not beyond)


class Border(Step):
    """Explicit padding of rows and columns, each (before, after); `mode` and `value` as in `torch.nn.functional.pad`."""

    def __init__(self, padding: tuple[tuple[int, int], tuple[int, int]], mode: str, value: float) -> None:
        self.padding, self.mode, self.value = padding, mode, value

    def area(self, *areas: Area) -> Area:
        """The window, moved. Padding that repeats what is inside the map must repeat nothing of the window."""
        (area,) = areas
        if not area.is_image:
            raise NotLocalError("its input's axes are not (N, C, H, W)")
        spans = []
        for span, (before, after) in zip(area.spans, self.padding, strict=True):
            if self.mode != "constant" and (before or after):
                repeated = [position for side in self._repeated(span.length, before, after) for position in side]
                if any(position in span.positions for position in repeated):
                    raise NotLocalError(f"its {self.mode} padding repeats a part of the map that differs by image")
            spans.append(Span(span.length + before + after, span.start + before, span.stop + before))
        return area.at(*spans)

    def window(self, call: Call, windows: Sequence[Tensor], canvases: Sequence[Canvas], area: Area) -> Tensor:
        """The window itself, copied as the layer copies it."""
        return windows[0].clone()

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
