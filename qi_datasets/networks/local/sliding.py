"""Steps of layers whose kernel slides over the map."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from qi_datasets.networks.local.blank import Blank
from qi_datasets.networks.local.canvas import Canvas
from qi_datasets.networks.local.differences import Difference
from qi_datasets.networks.local.ground import Ground, is_ground, swept
from qi_datasets.networks.local.steps import Call, Step
from qi_datasets.networks.local.windows import Area, NotLocalError, Runs, Span, Sweep, overlap

Run = Callable[[Call, Tensor, dict[str, Any]], Tensor]


class Slide(Step):
    """A kernel that slides over the map: convolution, pooling, subsampling, cropping.

    `valid` runs it without padding. `fill` is the value of its own padding; with `ignores_padding` the padding takes no
    part in an output, as in maximum pooling. `fixed` ones begin or end at positions that do not follow the map's edges.
    """

    any_axes: ClassVar[bool] = False
    """Whether rows and columns may be on any axes of the tensor, not only the last ones of (N, C, H, W)."""

    def __init__(
        self,
        sweeps: tuple[Sweep, Sweep],
        valid: Callable[[Call, Tensor], Tensor],
        *,
        fill: float = 0.0,
        ignores_padding: bool = False,
        fixed: bool = False,
    ) -> None:
        self.sweeps, self.valid, self.fill = sweeps, valid, fill
        self.ignores_padding, self.fixed = ignores_padding, fixed

    def area(self, *areas: Area) -> Area:
        """All outputs whose window meets the input's window."""
        (area,) = areas
        if not self.any_axes and not area.is_image:
            raise NotLocalError("its input's axes are not (N, C, H, W)")
        return area.at(*(sweep.over(span) for sweep, span in zip(self.sweeps, area.spans, strict=True)))

    def context(
        self, blanks: Sequence[Blank], result: Blank, areas: Sequence[Area], out: Area, *, keep: bool
    ) -> list[Any]:
        """What the output's window reads, its own padding included."""
        if areas[0].whole and out.whole:
            return []
        return [Canvas(blanks[0], areas[0], *self._reads(out), fill=self.fill, keep=keep)]

    def window(self, call: Call, windows: Sequence[Tensor], context: Sequence[Any], area: Area) -> Tensor:
        """The outputs of the canvas; where the window is the whole map, those of the map."""
        return self.valid(call, context[0].paste(windows[0])) if context else call(*windows)

    def untouched(self, areas: Sequence[Area], runs: Sequence[Runs]) -> Runs:
        """The outputs that read nothing but what is untouched."""
        (area,), (run,) = areas, runs
        if self.fixed:
            return range(0), range(0)
        rows, columns = (
            sweep.inside(part, span.length) for sweep, part, span in zip(self.sweeps, run, area.spans, strict=True)
        )
        return rows, columns

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

    @property
    def strides(self) -> tuple[int, int]:
        """The kernel's."""
        return self.sweeps[0].stride, self.sweeps[1].stride

    def _reads(self, out: Area) -> tuple[range, range]:
        return self.sweeps[0].reads(out.rows), self.sweeps[1].reads(out.columns)

    def _padding_is_ground(self, ground: Ground, area: Area, reads: tuple[range, range]) -> bool:
        return not self.ignores_padding and self.fill == 0 and ground.zero is not None


class Convolution(Slide):
    """A convolution padded with zeros.

    `run` runs it with some of the arguments of `torch.nn.functional.conv2d` replaced.
    """

    def __init__(self, sweeps: tuple[Sweep, Sweep], run: Run) -> None:
        super().__init__(sweeps, lambda call, canvas: run(call, canvas, {"padding": 0}))
        self.run = run

    def context(
        self, blanks: Sequence[Blank], result: Blank, areas: Sequence[Area], out: Area, *, keep: bool
    ) -> list[Any]:
        """The blank maps before and after it; only the place of what it reads, if that is all inside the window."""
        (area,), reads = areas, self._reads(out)
        if (area.whole and out.whole) or all(
            overlap(read, span.positions) == read for read, span in zip(reads, area.spans, strict=True)
        ):
            return super().context(blanks, result, areas, out, keep=keep)
        return [Difference(blanks[0], result, area, out, reads, keep=keep)]

    def window(self, call: Call, windows: Sequence[Tensor], context: Sequence[Any], area: Area) -> Tensor:
        """The blank map's outputs, changed by what the windows differ from it."""
        if not context or not isinstance(context[0], Difference):
            return super().window(call, windows, context, area)

        def response(difference: Tensor, padding: tuple[int, int], bias: Tensor | None) -> Tensor:
            return self.run(call, difference, {"padding": padding, "bias": bias})

        return context[0].outputs(windows[0], response)


class Pick(Slide):
    """Every n-th row and column, or a part of them: a view of the map, into which what follows may write."""

    any_axes = True

    def context(
        self, blanks: Sequence[Blank], result: Blank, areas: Sequence[Area], out: Area, *, keep: bool
    ) -> list[Any]:
        """As for other kernels, but with a canvas of its own for every batch."""
        return super().context(blanks, result, areas, out, keep=False)


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

    def window(self, call: Call, windows: Sequence[Tensor], context: Sequence[Any], area: Area) -> Tensor:
        """Sums over the canvas, each divided by the number of positions that count."""
        if not context:
            return call(*windows)
        sums = self._sums(call, context[0].paste(windows[0]))
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
