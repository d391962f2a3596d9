"""Rules for padding, rolling, flipping and other scales."""

from typing import Any

import torch
import torch.nn.functional as F

from qi_datasets.networks.operators import Pair, pair
from qi_datasets.networks.patched.axes import PADDING
from qi_datasets.networks.patched.tensor import Patched
from qi_datasets.networks.patched.windows import combine_positions, take

_LINEAR = ("bilinear", "bicubic", "area")


@Patched.rules.register("pad")
def pad(func: Any, input: Any, pad: Any, mode: str = "constant", value: float | None = None) -> Any:
    """Adds rows and columns of one value, or repeats the map's own; negative amounts crop."""
    amounts = [*pad, *[0] * (2 * input.ndim - len(pad))]
    sides: dict[str, Pair] = {}
    for dim, letter in enumerate(reversed(input.letters)):
        before, after = amounts[2 * dim : 2 * dim + 2]
        if letter in "HW":
            sides[letter] = before, after
        elif (before, after) != (0, 0):
            if letter == "N" or mode != "constant":
                return NotImplemented
            stored = input.letters[: input.ndim - 1 - dim].count("C")
            behind = 2 * (len(input.channels) - 1 - stored) + 4
            input = input.each(lambda one, b=behind, a=(before, after): F.pad(one, (*[0] * b, *a), value=value or 0.0))
    if mode == "constant":
        return padded(input, (sides["H"], sides["W"]), value or 0.0)
    if any(len(one) != 4 for one in (input.letters,)) or input.letters != "NCHW":
        return NotImplemented
    index = []
    for letter, side in zip("HW", input.sides, strict=True):
        line = torch.arange(side, dtype=torch.float64)[None, None, None].expand(1, 1, 2, side)
        both = (*sides[letter], 0, 0)
        index.append(tuple(F.pad(line, both, mode)[0, 0, 0].long().tolist()))
    return take(input, index[0], index[1])


def padded(x: Patched, amounts: tuple[Pair, Pair], value: float = 0.0, *, endless: bool = False) -> Any:
    """Returns maps with rows and columns added that are `value`, or `endless` black; negative amounts crop."""
    if amounts == ((0, 0), (0, 0)):
        return x.each(lambda one: one)
    index = [
        tuple(one if 0 <= one < side else PADDING for one in range(-before, side + after))
        for (before, after), side in zip(amounts, x.sides, strict=True)
    ]
    return take(x, index[0], index[1], value, endless=endless)


@Patched.rules.register("roll")
def roll(func: Any, input: Any, shifts: Any, dims: Any = None) -> Any:
    """Moves rows and columns around the map's edges."""
    if dims is None:
        return NotImplemented
    shifts, dims = (one if isinstance(one, tuple | list) else (one,) for one in (shifts, dims))
    index = {"H": [*range(input.sides[0])], "W": [*range(input.sides[1])]}
    for shift, dim in zip(shifts, dims, strict=True):
        letter = input.letters[dim]
        if letter not in index:
            return NotImplemented
        by = shift % len(index[letter])
        index[letter] = index[letter][len(index[letter]) - by :] + index[letter][: len(index[letter]) - by]
    return take(input, tuple(index["H"]), tuple(index["W"]))


@Patched.rules.register("flip")
def flip(func: Any, input: Any, *dims: Any) -> Any:
    """Turns rows, columns or channels round."""
    given = dims[0] if dims and isinstance(dims[0], tuple | list) else dims
    letters = [input.letters[dim] for dim in given]
    if "N" in letters:
        return NotImplemented
    stored = [1 + input.channels.index(dim % input.ndim) for dim in given if input.letters[dim] == "C"]
    found = input.each(lambda one: one.flip(stored)) if stored else input.each(lambda one: one)
    if len(stored) == len(letters):
        return found
    rows, columns = (
        tuple(range(side))[:: -1 if letter in letters else 1] for letter, side in zip("HW", input.sides, strict=True)
    )
    return take(found, rows, columns)


@Patched.rules.register("interpolate", "upsample")
def interpolate(
    func: Any,
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Any:
    """Takes the nearest positions, or weighted sums of them; both are the same for each row and each column."""
    if input.letters != "NCHW" or mode not in ("nearest", "nearest-exact", *_LINEAR):
        return NotImplemented
    rest: dict[str, Any] = {"mode": mode, "align_corners": align_corners, "antialias": antialias}
    rest["recompute_scale_factor"] = recompute_scale_factor
    found = []
    for axis, side in enumerate(input.sides):
        # Each axis by itself: of maps that are 1 at one position, or that hold their positions.
        line = (
            torch.eye(side, dtype=torch.float64) if mode in _LINEAR else torch.arange(side, dtype=torch.float64)[None]
        )
        to = None if size is None else (pair(size)[axis], 1)
        by = None if scale_factor is None else (_pair(scale_factor)[axis], 1.0)
        found.append(F.interpolate(line[None, :, :, None], to, by, **rest)[0, :, :, 0].T)
    if mode in _LINEAR:
        return combine_positions(input, (found[0], found[1]))
    rows, columns = (tuple(one[:, 0].long().tolist()) for one in found)
    return take(input, rows, columns)


def _pair(scale: Any) -> tuple[float, float]:
    return tuple(scale) if isinstance(scale, tuple | list) else (scale, scale)


def combine_adaptive(x: Patched, size: Pair) -> Patched:
    """Returns means over the parts of `F.adaptive_avg_pool2d`."""
    rows, columns = (
        F.adaptive_avg_pool1d(torch.eye(side, dtype=torch.float64)[None], count)[0].T
        for side, count in zip(x.sides, size, strict=True)
    )
    return combine_positions(x, (rows, columns))
