"""Windows pasted into the blank canvas's map, which is their context."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from qi_datasets.networks.local.blank import Blank
from qi_datasets.networks.local.windows import Area, moved, overlap


class Canvas:
    """The part of a blank map that is read around a window, with room for the windows of many images.

    `area` is the window in the blank map; `rows` and `columns` are the positions that are read, those outside the map
    being padding of the value `fill`. With `keep` the surroundings are copied once, and written anew only for larger
    batches: what `paste` returns then holds until it is called again, and is not to be written into. Without it
    gradients flow to the windows and to the blank map.
    """

    def __init__(
        self, blank: Blank, area: Area, rows: range, columns: range, *, fill: float = 0.0, keep: bool = False
    ) -> None:
        # Where the window lies in what is read; a stride wider than the kernel can leave out a part of it.
        read = (rows, columns)
        held = [overlap(span.positions, part) for span, part in zip(area.spans, read, strict=True)]
        self._source = area.within(held[0], held[1])
        self._target = area.index(moved(held[0], -rows.start), moved(held[1], -columns.start))
        self._covers = all(part == other for part, other in zip(held, read, strict=True))
        self._keep = keep
        self._buffer: Tensor | None = None
        self._surroundings: Tensor | None = None
        if not self._covers:
            inside = [overlap(range(span.length), part) for span, part in zip(area.spans, read, strict=True)]
            part = blank.part(inside[0], inside[1])
            if list(inside) != list(read):
                part = F.pad(part, _padding(area, inside, read), value=fill)
            self._surroundings = part.clone() if keep else part

    def paste(self, windows: Tensor) -> Tensor:
        """The canvases of these windows, (N, ...)."""
        inner = windows[self._source]
        if self._surroundings is None:
            return inner
        if not self._keep:
            pasted: Tensor = _Paste.apply(inner, self._surroundings, self._target)
            return pasted
        count = len(windows)
        if self._buffer is None or len(self._buffer) < count:
            self._buffer = _room(windows, self._surroundings)
            self._buffer.copy_(self._surroundings)
        canvases = self._buffer[:count]
        canvases[self._target] = inner
        return canvases


class _Paste(torch.autograd.Function):
    """Windows on copies of their surroundings; the gradient of the surroundings is summed over the images."""

    @staticmethod
    def forward(ctx: Any, windows: Tensor, surroundings: Tensor, target: tuple[slice, ...]) -> Tensor:
        ctx.target = target
        canvases = _room(windows, surroundings)
        canvases.copy_(surroundings)
        canvases[target] = windows
        return canvases

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        around = None
        if ctx.needs_input_grad[1]:
            around = gradient.sum(0, keepdim=True)
            around[ctx.target] = 0
        return gradient[ctx.target] if ctx.needs_input_grad[0] else None, around, None


def _room(windows: Tensor, surroundings: Tensor) -> Tensor:
    """Unwritten memory for as many canvases as there are windows, laid out as these are."""
    shape = (len(windows), *surroundings.shape[1:])
    last = windows.ndim == 4 and windows.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if last else torch.contiguous_format
    return torch.empty(shape, dtype=windows.dtype, device=windows.device, memory_format=layout)


def _padding(area: Area, inside: list[range], read: tuple[range, range]) -> list[int]:
    """How much `torch.nn.functional.pad` adds for these positions, the tensor's last axis first."""
    padding = [0, 0] * area.ndim
    for axis, kept, wanted in zip(area.axes, inside, read, strict=True):
        place = 2 * (area.ndim - 1 - axis)
        padding[place : place + 2] = kept.start - wanted.start, wanted.stop - kept.stop
    return padding[: 2 * (area.ndim - min(area.axes))]
