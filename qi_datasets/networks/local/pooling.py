"""Steps with which a map ends: global pooling of the window and the blank map outside it, or the whole map composed."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from qi_datasets.networks.local.blank import Blank
from qi_datasets.networks.local.canvas import Canvas
from qi_datasets.networks.local.windows import Area


class Ending:
    """A node whose output is one value per image, no longer a map."""

    reads_places: ClassVar[bool] = False
    """Whether its output depends on where in the map values are."""

    def context(self, blank: Blank, area: Area, *, keep: bool) -> Any:
        """What it needs of the blank map, made once if many batches follow (`keep`)."""
        raise NotImplementedError

    def end(self, windows: Tensor, context: Any, area: Area) -> Tensor:
        """Its input or, for `Pool`, its output, of whole images."""
        raise NotImplementedError


class Whole(Ending):
    """Maps composed, for a node that is then run as it is."""

    reads_places = True

    def context(self, blank: Blank, area: Area, *, keep: bool) -> Canvas:
        """The blank map with room for windows."""
        # The node may write into its input, or hand it on: every batch gets a map of its own, and no canvas is kept.
        blank = Blank(blank.values.clone(), blank.axes, blank.folds) if keep else blank
        return Canvas(blank, area, range(area.rows.length), range(area.columns.length))

    def end(self, windows: Tensor, context: Canvas, area: Area) -> Tensor:
        """Maps (N, ...) as the network computes them."""
        return context.paste(windows)


class Described(Ending):
    """Maps of which a node reads only shape, type or device."""

    def context(self, blank: Blank, area: Area, *, keep: bool) -> tuple[int, ...]:
        """The shape of one image's map."""
        shape = list(blank.values.shape)
        shape[area.axes[0]], shape[area.axes[1]] = area.rows.length, area.columns.length
        return tuple(shape[1:])

    def end(self, windows: Tensor, context: tuple[int, ...], area: Area) -> Tensor:
        """A tensor of the map's shape without its values."""
        return windows.new_zeros(()).expand(len(windows), *context)


class Pool(Ending):
    """Pooling over all positions of a map (N, C, H, W), to (N, C) or, with `keepdim`, (N, C, 1, 1)."""

    def __init__(self, *, keepdim: bool) -> None:
        self.keepdim = keepdim

    def shaped(self, pooled: Tensor) -> Tensor:
        """From (N, C, 1, 1) to the shape of the output."""
        return pooled if self.keepdim else pooled[:, :, 0, 0]


class GlobalSum(Pool):
    """The sum over all positions, inside the window and outside."""

    def context(self, blank: Blank, area: Area, *, keep: bool) -> Tensor | None:
        """The sum outside the window."""
        return None if area.whole else _without_window(blank, area, 0.0).sum((2, 3), keepdim=True)

    def end(self, windows: Tensor, context: Tensor | None, area: Area) -> Tensor:
        """Sums (N, C)."""
        sums = windows.sum((2, 3), keepdim=True)
        return self.shaped(sums if context is None else sums + context)


class GlobalMean(GlobalSum):
    """The mean over all positions."""

    def end(self, windows: Tensor, context: Tensor | None, area: Area) -> Tensor:
        """Means (N, C)."""
        return super().end(windows, context, area) / (area.rows.length * area.columns.length)


@dataclass(frozen=True)
class _Highest:
    """Per channel the highest value (1, C, 1, 1), and its first place in row order or the number of its places."""

    value: Tensor
    place: Tensor


class GlobalMax(Pool):
    """The maximum over all positions; its gradient goes to the first of them in row order, as in maximum pooling."""

    def context(self, blank: Blank, area: Area, *, keep: bool) -> _Highest | None:
        """The maximum outside the window."""
        return (
            None if area.whole else self._highest(_without_window(blank, area, -torch.inf), 0, 0, area.columns.length)
        )

    def end(self, windows: Tensor, context: _Highest | None, area: Area) -> Tensor:
        """Maxima (N, C)."""
        inside = self._highest(windows, area.rows.start, area.columns.start, area.columns.length)
        if context is None:
            return self.shaped(inside.value)
        return self.shaped(self._higher(inside, context))

    def _highest(self, values: Tensor, top: int, left: int, length: int) -> _Highest:
        value, index = F.adaptive_max_pool2d(values, 1, return_indices=True)
        columns = values.shape[3]
        return _Highest(value, (index // columns + top) * length + index % columns + left)

    def _higher(self, inside: _Highest, outside: _Highest) -> Tensor:
        first = (inside.value == outside.value) & (inside.place < outside.place)
        return torch.where((inside.value > outside.value) | first | inside.value.isnan(), inside.value, outside.value)


class SpreadMax(GlobalMax):
    """The maximum over all positions; its gradient is spread evenly over those that have it, as in `torch.amax`."""

    def _highest(self, values: Tensor, top: int, left: int, length: int) -> _Highest:
        value = values.amax((2, 3), keepdim=True)
        return _Highest(value, (values == value).sum((2, 3), keepdim=True))

    def _higher(self, inside: _Highest, outside: _Highest) -> Tensor:
        places = inside.place.to(inside.value.dtype)
        shared = torch.lerp(outside.value, inside.value, places / (places + outside.place))
        higher = torch.where(outside.value > inside.value, outside.value, shared)
        return torch.where((inside.value > outside.value) | inside.value.isnan(), inside.value, higher)


def _without_window(blank: Blank, area: Area, value: float) -> Tensor:
    """The blank map with one value all over the window."""
    inside = torch.zeros(area.rows.length, area.columns.length, dtype=torch.bool, device=blank.values.device)
    inside[area.window[2:]] = True
    return blank.all(area).masked_fill(inside, value)
