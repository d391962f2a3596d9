"""Rules for padding, rolling, flipping and interpolation."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from qi_datasets.networks.operators import Pair, pair
from qi_datasets.networks.patched.axes import PADDING
from qi_datasets.networks.patched.tensor import NCHW, Patched
from qi_datasets.networks.patched.windows import combine_positions, take

_LINEAR = ("bilinear", "bicubic", "area")


@Patched.rules.register("pad")
def pad(func: Any, input: Any, pad: Any, mode: str = "constant", value: float | None = None) -> Any:
    """Adds rows and columns of one value, or repeats the map's own; negative amounts crop. Also adds channels."""
    amounts = [*pad, *[0] * (2 * input.ndim - len(pad))]
    sides: dict[Any, Pair] = {"H": (0, 0), "W": (0, 0)}
    for dim, part in enumerate(reversed(input.dims)):
        both = amounts[2 * dim], amounts[2 * dim + 1]
        if part in (("H",), ("W",)):
            sides[part[0]], amounts[2 * dim : 2 * dim + 2] = both, [0, 0]
        elif any(both) and (part != ("C",) or mode != "constant"):
            return NotImplemented
    if any(amounts):
        input = input.each(lambda one: F.pad(one, amounts, value=value or 0.0))
    if mode == "constant":
        return padded(input, (sides["H"], sides["W"]), value or 0.0)
    if input.dims != NCHW:
        return NotImplemented
    index = []
    for letter, side in zip("HW", input.sides, strict=True):
        line = torch.arange(side, dtype=torch.float64)[None, None, None].expand(1, 1, 2, side)
        index.append(tuple(F.pad(line, (*sides[letter], 0, 0), mode)[0, 0, 0].long().tolist()))
    return take(input, index[0], index[1])


def padded(x: Patched, amounts: tuple[Pair, Pair], value: float = 0.0, *, endless: bool = False) -> Any:
    """Returns maps with rows and columns of `value`, or of `endless` black, added; negative amounts crop."""
    if amounts == ((0, 0), (0, 0)):
        return x.each_stored(lambda one: one)
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
        letter = str(input.dims[dim][0])
        if input.dims[dim] not in (("H",), ("W",)):
            return NotImplemented
        by = shift % len(index[letter])
        index[letter] = index[letter][len(index[letter]) - by :] + index[letter][: len(index[letter]) - by]
    return take(input, tuple(index["H"]), tuple(index["W"]))


@Patched.rules.register("flip")
def flip(func: Any, input: Any, *dims: Any) -> Any:
    """Reverses rows, columns or channels."""
    given = dims[0] if dims and isinstance(dims[0], tuple | list) else dims
    channels = [dim for dim in given if input.has_channels(dim)]
    placed = [input.dims[dim] for dim in given if dim not in channels]
    if any(dim not in (("H",), ("W",)) for dim in placed):
        return NotImplemented
    found = input.each(lambda one: one.flip(channels))
    if not placed:
        return found
    rows, columns = (
        tuple(range(side))[:: -1 if (letter,) in placed else 1] for letter, side in zip("HW", input.sides, strict=True)
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
    """Computes nearest positions or weighted sums of positions, with the same weights in each row and each column."""
    if input.dims != NCHW or mode not in ("nearest", "nearest-exact", *_LINEAR):
        return NotImplemented
    rest: dict[str, Any] = {"mode": mode, "align_corners": align_corners, "antialias": antialias}
    rest["recompute_scale_factor"] = recompute_scale_factor
    found = []
    for axis, side in enumerate(input.sides):
        # The weights of each axis come from maps that are 1 at one position, or have their positions as values.
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


@Patched.rules.register("pad_with_background")
def pad_with_endless_black(func: Any, x: Any, amounts: tuple[Pair, Pair], background: Tensor) -> Any:
    """Pads with the maps' own endless black, if `background` equals it up to rounding."""
    rows, columns = x.axes[0].endless, x.axes[1].endless
    if isinstance(background, Patched) or x.dims != NCHW:
        return NotImplemented
    if not x.is_whole and rows is not None and columns is not None:
        own = x.places[0].background
        same = len(own) == 1 and all(one.background is own for one in x.places)
        tolerance = 1e4 * torch.finfo(own.dtype).eps
        if same and torch.allclose(own[..., rows, columns], background[..., 0, 0], tolerance, tolerance):
            return padded(x, amounts, endless=True)
    return padded(x - background, amounts) + background
