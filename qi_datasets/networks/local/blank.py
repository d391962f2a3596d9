"""The blank canvas's maps, with their monotonous middle folded away.

Far from the edges a blank canvas's map repeats one value, and so do its rows and columns. So the maps of a large canvas
are those of a small one, whose middle row and column stand for many.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from qi_datasets.networks.local.windows import Area


@dataclass(frozen=True, slots=True)
class Fold:
    """The positions of `run` are all alike and stand at its first; the `removed` last ones are missing."""

    run: range
    removed: int

    def index(self, positions: range) -> list[int]:
        """Where positions of the unfolded axis are on the folded one."""
        return [
            self.run.start if one in self.run else one - self.removed if one >= self.run.stop else one
            for one in positions
        ]


Folds = tuple[Fold, Fold]


@dataclass(frozen=True, slots=True)
class Blank:
    """A folded map (1, ...), whose rows and columns are the tensor's `axes`; positions are the unfolded one's."""

    values: Tensor
    axes: tuple[int, int]
    folds: Folds

    def part(self, rows: range, columns: range) -> Tensor:
        """These rows and columns of the unfolded map."""
        part = self.values
        for axis, fold, positions in zip(self.axes, self.folds, (rows, columns), strict=True):
            part = _picked(part, axis, fold.index(positions))
        return part

    def window(self, area: Area) -> Tensor:
        """The unfolded map where the window lies."""
        return self.part(area.rows.positions, area.columns.positions)

    def value(self, area: Area) -> Tensor | None:
        """The one value (C,) of a map (1, C, H, W) where the window lies, or None if it may have several."""
        part = self.window(area)
        alike = area.is_image and all(
            len(set(f.index(s.positions))) == 1 for f, s in zip(self.folds, area.spans, strict=True)
        )
        return part[0, :, 0, 0] if alike else None

    def all(self, area: Area) -> Tensor:
        """The unfolded map, of which `area` is the window."""
        return self.part(range(area.rows.length), range(area.columns.length))

    def occurrences(self, rows: range, columns: range) -> Tensor:
        """How often each position of the folded map occurs among these, (H, W), of the map's type."""
        along_rows, along_columns = (
            torch.bincount(torch.tensor(fold.index(positions)), minlength=self.values.shape[axis])
            for axis, fold, positions in zip(self.axes, self.folds, (rows, columns), strict=True)
        )
        return torch.outer(along_rows, along_columns).to(self.values)


def _picked(values: Tensor, axis: int, index: list[int]) -> Tensor:
    if not index or index[-1] - index[0] == len(index) - 1:
        return values.narrow(axis, index[0] if index else 0, len(index))
    if index[0] == index[-1]:
        sizes = list(values.shape)
        sizes[axis] = len(index)
        return values.narrow(axis, index[0], 1).expand(sizes)
    return values.index_select(axis, torch.tensor(index, device=values.device))
