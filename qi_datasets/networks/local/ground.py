"""Which positions of a blank canvas's map are what endless black would give: decided on positions, never on values.

A position is ground if all that it reads is. What is outside the map is black that goes on; a layer's padding continues
it only if it has the value that black has there. That is known without computing a map in one case, in which it is 0
by construction: the image's black is 0, and each layer since makes 0 of 0, which is tried on a single pixel; or what
black has become is taken from the map (`black`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from qi_datasets.networks.local.windows import Sweep

_Flags = NDArray[np.bool_]

_NUMPY_MODES = {"circular": "wrap", "reflect": "reflect", "replicate": "edge"}


@dataclass(frozen=True)
class Ground:
    """A position is ground if its row and its column are.

    `zero` is one pixel of black, (1, C, 1, 1) or on the map's axes, if black is 0 by construction, and None otherwise.
    """

    rows: _Flags
    columns: _Flags
    zero: Tensor | None

    def become(self, zero: Tensor | None) -> "Ground":
        """The same positions of another map."""
        return Ground(self.rows, self.columns, zero)

    def checked(self) -> "Ground":
        """Without `zero`, unless it is 0 in every channel."""
        return self if self.zero is None or not self.zero.count_nonzero() else self.become(None)

    @staticmethod
    def padded(flags: _Flags, amount: tuple[int, int], padding: bool | str) -> _Flags:
        """Flags of a padded axis: the padding is ground, or it is not, or it repeats positions in a mode of torch's."""
        if isinstance(padding, bool):
            return np.pad(flags, amount, constant_values=padding)
        return np.pad(flags, amount, mode=_NUMPY_MODES[padding])  # type: ignore[call-overload, no-any-return]


def swept(sweep: Sweep, flags: _Flags, padding: bool) -> _Flags:
    """Whether each output of a sweep reads ground alone; `padding`: whether padding counts as such."""
    outputs = np.arange(sweep.count(len(flags)))
    result: _Flags = np.ones(len(outputs), bool)
    for tap in range(sweep.kernel):
        read = outputs * sweep.stride - sweep.before + tap * sweep.dilation
        inside = (read >= 0) & (read < len(flags))
        result &= np.where(inside, flags[np.clip(read, 0, len(flags) - 1)], padding)
    return result


def is_ground(ground: Ground, rows: range, columns: range) -> bool:
    """Whether all positions of these rows and columns that are inside the map are ground."""
    pairs = ((ground.rows, rows), (ground.columns, columns))
    return all(bool(flags[max(0, part.start) : max(0, part.stop)].all()) for flags, part in pairs)
