"""Operations whose outputs each read a window of positions, or one other position."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from qi_datasets.networks.operators import Pair, Window
from qi_datasets.networks.patched.axes import PADDING, Axis, fold_slide, fold_take, pick
from qi_datasets.networks.patched.tensor import OUTSIDE, Axes, Function, Layout, Once, Patched, Place, Span, size_of

Marks = tuple[tuple[Any, ...] | None, tuple[Any, ...] | None]


@dataclass(frozen=True)
class Step:
    """The computation of one place: outputs, rows and columns, the inputs that they read, and what else decides.

    rest: equal if the same is computed from the same inputs
    """

    outputs: Span
    inputs: Span
    rest: Hashable = None


def slide(
    x: Patched,
    compute: Function,
    window: Window,
    whole: Function,
    *,
    fill: float = 0.0,
    order_matters: bool = True,
    marks: Marks = (None, None),
    finish: Callable[[Tensor, Any, Any], Tensor] | None = None,
    layout: Layout | None = None,
) -> Any:
    """Returns the maps that a window operation computes; NotImplemented if it has no output.

    compute: the operation without padding, of maps (n, *channels, h, w)
    whole: the operation with its padding
    fill: the padding's value
    order_matters, marks: as in `fold_slide`, marks for rows and for columns
    finish: a last function of the outputs and the marks of their rows and columns
    layout: the result's layout, if another one
    """
    counts = window.count(0, x.sides[0]), window.count(1, x.sides[1])
    if min(counts) < 1:
        return NotImplemented
    padding = _padding_stored(x, window, counts, fill)
    folds = [
        fold_slide(
            x.axes[axis],
            (window.kernel[axis], window.stride[axis], window.dilation[axis]),
            window.padding[axis][0],
            counts[axis],
            padding[axis],
            order_matters=order_matters,
            marks=marks[axis],
        )
        for axis in (0, 1)
    ]

    def step(place: Place) -> Step:
        rows, columns = (_outputs(window, axis, span, counts[axis]) for axis, span in enumerate(_spans(place)))
        return Step(
            (rows, columns), (_inputs(window, 0, rows), _inputs(window, 1, columns)), _parts(marks, rows, columns)
        )

    steps = [step(place) for place in x.places]
    sizes = [
        ((x.key(place, *one.inputs, padding), one.rest), size_of(one.outputs))
        for place, one in zip(x.places, steps, strict=True)
    ]
    stored = len(folds[0].source) * len(folds[1].source) // (window.stride[0] * window.stride[1])
    if x.is_cheaper_whole(sizes, stored, counts[0] * counts[1]):
        once, all_of = Once(), x.as_whole()
        parts = [once(id(one.values), whole, one.values) for one in all_of.places]
        return Patched.of_whole(parts, layout or x.dims, x.batch)

    def made(place: Place, one: Step) -> Tensor:
        found = compute(x.block(place, *one.inputs, fill, padding))
        return found if finish is None else finish(found, *_parts(marks, *one.outputs))

    def around(background: Tensor) -> Tensor:
        found = compute(pick(background, folds[0].source, folds[1].source, fill))
        found = pick(found, folds[0].kept, folds[1].kept)
        if finish is None:
            return found
        return finish(found, *(_stored_marks(one, fold.axis) for one, fold in zip(marks, folds, strict=True)))

    return _made(x, steps, made, around, (folds[0].axis, folds[1].axis), padding, layout)


def take(
    x: Patched,
    rows: tuple[int, ...] | None,
    columns: tuple[int, ...] | None,
    fill: float = 0.0,
    *,
    endless: bool = False,
) -> Any:
    """Returns the maps that have these rows and columns of `x`, in this order (None: all).

    PADDING in place of a position is `fill`, or the value of maps of an `endless` black canvas.
    """
    index = tuple((*range(side),) if one is None else one for one, side in zip((rows, columns), x.sides, strict=True))
    if not all(index):
        return NotImplemented
    padding = OUTSIDE
    if endless:
        padding = x.axes[0].endless or 0, x.axes[1].endless or 0
    elif any(PADDING in one for one in index):
        padding = _endless(x, fill)
    folds = [fold_take(*one) for one in zip(x.axes, index, padding, strict=True)]

    def inner(outputs: Span, inputs: Span) -> tuple[tuple[int, ...], ...]:
        return tuple(
            tuple(one if one == PADDING else one - first for one in taken[start:stop])
            for taken, (start, stop), (first, _) in zip(index, outputs, inputs, strict=True)
        )

    def step(place: Place) -> Step:
        outputs: Span = (0, len(index[0])), (0, len(index[1]))
        if not x.is_whole:
            outputs = _readers(index[0], place.rows), _readers(index[1], place.columns)
        # A step may leave out parts of a window; positions in another order may need all of it.
        inputs = _hull(index[0][slice(*outputs[0])]), _hull(index[1][slice(*outputs[1])])
        rest, outside = inner(outputs, inputs), None
        if any(PADDING in one for one in rest):
            outside = id(place.background), *(f.axis.stored[slice(*s)] for f, s in zip(folds, outputs, strict=True))
        return Step(outputs, inputs, (rest, outside))

    def made(place: Place, one: Step) -> Tensor:
        rows, columns = inner(one.outputs, one.inputs)
        return pick(x.block(place, *one.inputs), rows, columns, fill)

    def around(background: Tensor) -> Tensor:
        return pick(background, folds[0].source, folds[1].source, fill)

    return _made(x, [step(place) for place in x.places], made, around, (folds[0].axis, folds[1].axis))


def combine_positions(x: Patched, matrices: tuple[Tensor, Tensor]) -> Patched:
    """Returns the maps whose rows and columns are weighted sums of those of `x`.

    matrices: (outputs, inputs) for rows and for columns, float64
    """
    on = [one.to(x.places[0].values.device) for one in matrices]
    reads = [[_support(row) for row in one] for one in on]
    folds = [_fold_matrix(axis, one) for axis, one in zip(x.axes, on, strict=True)]

    def weights(one: Step) -> list[Tensor]:
        spans = zip(on, one.outputs, one.inputs, strict=True)
        return [matrix[slice(*outputs), slice(*inputs)] for matrix, outputs, inputs in spans]

    def step(place: Place) -> Step:
        outputs: Span = (0, len(reads[0])), (0, len(reads[1]))
        if not x.is_whole:
            outputs = _meeting(reads[0], place.rows), _meeting(reads[1], place.columns)
        found = [read[slice(*span)] for read, span in zip(reads, outputs, strict=True)]
        rows, columns = ((min(one)[0], max(stop for _, stop in one)) for one in found)
        one = Step(outputs, (rows, columns))
        return Step(outputs, one.inputs, tuple(tuple(part.flatten().tolist()) for part in weights(one)))

    def made(place: Place, one: Step) -> Tensor:
        return _weighted(x.block(place, *one.inputs), *weights(one))

    def around(background: Tensor) -> Tensor:
        return _weighted(background, folds[0][1], folds[1][1])

    return _made(x, [step(place) for place in x.places], made, around, (folds[0][0], folds[1][0]))


def _made(
    x: Patched,
    steps: list[Step],
    made: Callable[[Place, Step], Tensor],
    around: Function,
    axes: Axes,
    padding: Pair = OUTSIDE,
    layout: Layout | None = None,
) -> Patched:
    """Returns the maps with windows `made`, and with backgrounds that `around` computes from those of `x`."""
    once, places = Once(), []
    for place, one in zip(x.places, steps, strict=True):
        background, key = place.background, (x.key(place, *one.inputs, padding), one.rest)
        if background is not None:
            background = once(id(background), x.batch.background, around, background)
        places.append(Place(*one.outputs, once(key, made, place, one), background))
    return x.with_places(places, axes, layout)


def _weighted(maps: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    found = torch.einsum("ph,...hw,qw->...pq", rows.to(maps.dtype), maps, columns.to(maps.dtype))
    if maps.ndim == 4 and maps.is_contiguous(memory_format=torch.channels_last):
        return found.contiguous(memory_format=torch.channels_last)
    return found


def _fold_matrix(axis: Axis, matrix: Tensor) -> tuple[Axis, Tensor]:
    """Returns how to store weighted sums (equal weights of equal positions once), and these weights."""
    columns = max([*axis.stored, axis.endless or 0]) + 1
    onto = torch.zeros(len(axis), columns, dtype=matrix.dtype, device=matrix.device)
    onto[torch.arange(len(axis)), torch.tensor(axis.stored)] = 1
    stored = matrix @ onto
    # Sums of weights that are equal in exact arithmetic differ by rounding.
    seen = [tuple(round(one, 12) for one in row) for row in stored.tolist()]
    if axis.endless is not None:
        seen.append(tuple(float(k == axis.endless) for k in range(columns)))
        stored = torch.cat([stored, stored.new_tensor([seen[-1]])])
    numbers = {one: number for number, one in enumerate(dict.fromkeys(seen))}
    firsts = [seen.index(one) for one in numbers]
    endless = None if axis.endless is None else numbers[seen.pop()]
    return Axis(tuple(numbers[one] for one in seen), endless), stored[torch.tensor(firsts)]


def _padding_stored(x: Patched, window: Window, counts: Pair, fill: float) -> Pair:
    """Returns the stored position of padding, if the operation reads any."""
    sizes = zip(window.padding, counts, window.stride, window.reach, x.sides, strict=True)
    if any(
        before > 0 or (count - 1) * stride + reach - before > side for (before, _), count, stride, reach, side in sizes
    ):
        return _endless(x, fill)
    return OUTSIDE


def _endless(x: Patched, fill: float) -> Pair:
    """Returns the stored row and column of endless black, if they are `fill` everywhere.

    A background that wants a gradient is not padding, which has none, whatever its values.
    """
    rows, columns = x.axes[0].endless, x.axes[1].endless
    if x.is_whole or rows is None or columns is None:
        return OUTSIDE
    with torch.no_grad():
        for one in {id(place.background): place.background for place in x.places}.values():
            if one is None or one.requires_grad:
                return OUTSIDE
            if not bool((one[..., rows, :] == fill).all() and (one[..., columns] == fill).all()):
                return OUTSIDE
    return rows, columns


def _spans(place: Place) -> Span:
    return place.rows, place.columns


def _outputs(window: Window, axis: int, span: Pair, count: int) -> Pair:
    """Returns the outputs that read a position of the span; one beside it, if there are none."""
    stride, before = window.stride[axis], window.padding[axis][0]
    first = -(-(span[0] + before - window.reach[axis] + 1) // stride)
    last = (span[1] - 1 + before) // stride + 1
    first = min(max(first, 0), count - 1)
    return first, max(min(last, count), first + 1)


def _inputs(window: Window, axis: int, span: Pair) -> Pair:
    stride, before = window.stride[axis], window.padding[axis][0]
    return span[0] * stride - before, (span[1] - 1) * stride - before + window.reach[axis]


def _parts(marks: Marks, *spans: Pair) -> tuple[Any, Any]:
    rows, columns = (None if one is None else one[slice(*span)] for one, span in zip(marks, spans, strict=True))
    return rows, columns


def _stored_marks(marks: tuple[Any, ...] | None, axis: Axis) -> tuple[Any, ...] | None:
    """Returns the marks of the stored positions of an axis; None for those of endless black."""
    if marks is None:
        return None
    found = dict(zip(axis.stored, marks, strict=True))
    return tuple(found.get(number) for number in range(max([*found, axis.endless or 0]) + 1))


def _readers(index: tuple[int, ...], span: Pair) -> Pair:
    """Returns the first and last output that reads a position of the span; one beside it, if there are none."""
    found = [k for k, one in enumerate(index) if span[0] <= one < span[1]]
    if found:
        return found[0], found[-1] + 1
    nearest = min(range(len(index)), key=lambda k: abs(index[k] - span[0]))
    return nearest, nearest + 1


def _hull(index: tuple[int, ...]) -> Pair:
    inside = [one for one in index if one != PADDING]
    return (min(inside), max(inside) + 1) if inside else (0, 1)


def _support(weights: Tensor) -> Pair:
    found = weights.nonzero()[:, 0]
    return (int(found[0]), int(found[-1]) + 1) if len(found) else (0, 1)


def _meeting(reads: list[Pair], span: Pair) -> Pair:
    found = [k for k, (start, stop) in enumerate(reads) if start < span[1] and stop > span[0]]
    return (found[0], found[-1] + 1) if found else (0, 1)
