"""What a convolution makes of windows, from how they differ from the blank canvas's map.

A convolution is linear: its output is that of the blank map plus, without bias, that of the difference. The difference
is 0 outside the window, which is padding that a convolution passes over rather than computes.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from qi_datasets.networks.local.blank import Blank
from qi_datasets.networks.local.windows import Area, overlap

_Response = Callable[[Tensor, tuple[int, int], Tensor | None], Tensor]
"""The convolution of a map (N, C, h, w) padded with so many rows and columns of zeros, with a bias (C,) or without."""


class Difference:
    """One convolution's blank maps before and after it, where the window is.

    keep: for many batches, and without gradients
    """

    def __init__(self, before: Blank, after: Blank, area: Area, out: Area, reads: tuple[range, range], *, keep: bool):
        held = [overlap(span.positions, read) for span, read in zip(area.spans, reads, strict=True)]
        self._source = area.within(held[0], held[1])
        self._empty = not all(held)
        first, last = zip(
            *((part.start - read.start, read.stop - part.stop) for part, read in zip(held, reads, strict=True)),
            strict=True,
        )
        # The output has to begin where the window's outputs do; behind them it may be too long.
        self._padding = first
        self._more = (0, max(0, last[1] - first[1]), 0, max(0, last[0] - first[0]))
        self._size = out.rows.size, out.columns.size
        hidden, seen = before.part(held[0], held[1]), after.window(out)
        bias = after.value(out)
        self._bias = bias.clone() if keep and bias is not None else bias
        self._hidden, self._seen = (hidden.clone(), seen.clone()) if keep else (hidden, seen)

    def outputs(self, windows: Tensor, response: _Response) -> Tensor:
        """The convolution's outputs that see the windows (N, C, h, w)."""
        if self._empty:
            return self._seen.expand(len(windows), -1, -1, -1).clone()
        difference = windows[self._source] - self._hidden
        if any(self._more):
            difference = F.pad(difference, self._more)
        rows, columns = self._size
        outputs = response(difference, self._padding, self._bias)
        if outputs.shape[2:] != self._size:
            outputs = outputs[:, :, :rows, :columns].contiguous(memory_format=_layout(outputs))
        return outputs if self._bias is not None else outputs.add_(self._seen)


def _layout(maps: Tensor) -> torch.memory_format:
    return torch.channels_last if maps.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
