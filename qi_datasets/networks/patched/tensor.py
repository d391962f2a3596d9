"""Black images with a patch as a tensor: the map of a black canvas, and the windows in which images differ from it."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from qi_datasets.errors import UnsupportedOperationError
from qi_datasets.networks.operators import Pair, RuledTensor, Rules, note_unsupported, operator_of, pointwise_functions
from qi_datasets.networks.patched.axes import PADDING, Axis, pick

_ALLOCATES = {"conv2d", "batch_norm", "add"}
OUTSIDE = PADDING, PADDING
Function = Callable[[Tensor], Tensor]
Axes = tuple[Axis, Axis]
Span = tuple[Pair, Pair]


class Kept:
    """Caches the backgrounds that a frozen network has computed, for its further batches.

    Rules are pure functions: from the network's weights and cached backgrounds they compute the same ones again.
    """

    def __init__(self, weights: Iterable[Tensor], black: Tensor) -> None:
        self.black = black
        self._weights = {id(one): one for one in weights}
        self._found: dict[Any, list[Tensor]] = {}
        self._own = {id(black)}
        self._open: list[tuple[Any, int]] = []

    @contextmanager
    def during(self, func: Any, args: Any, kwargs: Any) -> Iterator[None]:
        """Marks that a torch function is called in the block."""
        try:
            key: Any = func, self._describe((args, kwargs))
        except LookupError:
            key = None
        self._open.append((key, 0))
        try:
            yield
        finally:
            self._open.pop()

    def background(self, compute: Callable[..., Tensor], *args: Any) -> Tensor:
        """Returns the next background of the current function."""
        key, count = self._open[-1] if self._open else (None, 0)
        if key is None:
            return compute(*args)
        self._open[-1] = key, count + 1
        found = self._found.setdefault(key, [])
        if count == len(found):
            found.append(compute(*args))
            self._own.add(id(found[-1]))
        return found[count]

    def _describe(self, value: Any) -> Any:
        """Returns a key of a function's backgrounds. Raises `LookupError` if they may change from batch to batch."""
        if isinstance(value, Patched):
            backgrounds = {id(one.background) for one in value.places}
            if not backgrounds <= self._own:
                raise LookupError
            return tuple(backgrounds), value.axes, value.dims
        if isinstance(value, Tensor):
            if id(value) not in self._weights:
                raise LookupError
            return id(value), None if value.is_inference() else value._version
        if isinstance(value, dict):
            return tuple((name, self._describe(one)) for name, one in value.items())
        if isinstance(value, tuple | list):
            return tuple(map(self._describe, value))
        if isinstance(value, slice):
            return "slice", value.start, value.stop, value.step
        if value is None or value is ... or isinstance(value, int | float | str | torch.dtype | torch.memory_format):
            return value
        raise LookupError


class Batch:
    """The images of a batch by the place of their patch. by_area: compute whole maps where that is cheaper."""

    def __init__(self, images: Sequence[Tensor], *, by_area: bool = True, kept: Kept | None = None) -> None:
        self.counts, self.by_area, self.kept = [len(one) for one in images], by_area, kept
        index = torch.cat([*images]) if images else torch.empty(0, dtype=torch.long)
        self.count = len(index)
        starts = [sum(self.counts[:k]) for k in range(len(self.counts))]
        in_order = bool((index == torch.arange(self.count)).all())
        self.images: list[Any] = [
            slice(start, start + count) if in_order else one
            for start, count, one in zip(starts, self.counts, images, strict=True)
        ]
        self._order = None if in_order else index.argsort()

    def background(self, compute: Callable[..., Tensor], *args: Any) -> Tensor:
        """Returns a background, computed once for all batches that share `kept`."""
        return compute(*args) if self.kept is None else self.kept.background(compute, *args)

    def together(self, parts: Sequence[Tensor]) -> Tensor:
        """Returns the images of all places, (N, ...), in the order of the batch."""
        whole = torch.cat([*parts]) if len(parts) > 1 else parts[0]
        return whole if self._order is None else whole[self._order.to(whole.device)]

    def apart(self, values: Tensor) -> tuple[Tensor, ...]:
        """Returns the images of each place."""
        return tuple(values[images] for images in self.images)


@dataclass(frozen=True, slots=True)
class Place:
    """The images with their patch in one place.

    rows, columns: (start, stop) of the window
    values: (n, *channels, h, w), the images' maps in it. Places whose images are proved to be the same there share it
    background: (1 or n, *channels, stored rows, stored columns), their maps elsewhere; None if the window is everything
    """

    rows: Pair
    columns: Pair
    values: Tensor
    background: Tensor | None


class Once:
    """Computes values with the same key once."""

    def __init__(self) -> None:
        self._found: dict[Any, Any] = {}

    def __call__(self, key: Any, compute: Callable[..., Any], *args: Any) -> Any:
        """Returns the value of the key, or computes it from the arguments."""
        if key not in self._found:
            self._found[key] = compute(*args)
        return self._found[key]


Layout = tuple[tuple[str | int, ...], ...]
"""For each dimension, what it runs over: N images, H rows, W columns, C channels. A dimension may run over several, as
("H", "W") does where positions are flattened; channels among them are given by their number."""
NCHW: Layout = (("N",), ("C",), ("H",), ("W",))
_NO_AXES = Axis((), None), Axis((), None)


@lru_cache(1024)
def _order(layout: Layout) -> tuple[int, ...]:
    """Returns the stored dimensions (N, channels, H, W) in the order in which a layout runs over them."""
    factors = [factor for dim in layout for factor in dim]
    last = len(factors)
    places, channels = {"N": 0, "H": last - 2, "W": last - 1}, iter(range(1, last))
    return tuple(places[one] if isinstance(one, str) and one in places else next(channels) for one in factors)


def lay_out(stored: Tensor, layout: Layout) -> Tensor:
    """Returns stored values (n, *channels, h, w) with the dimensions of a layout."""
    if layout is NCHW:
        return stored
    order = _order(layout)
    if order != (*range(len(order)),):
        stored = stored.permute(order)
    if len(layout) == len(order):
        return stored
    sizes = iter(stored.shape)
    return stored.reshape([math.prod(next(sizes) for _ in dim) for dim in layout])


def store(values: Tensor, layout: Layout, sides: Sequence[int]) -> Tensor:
    """Returns values of a layout in their stored form. sides: rows and columns, where dimensions are joined."""
    if layout is NCHW:
        return values
    order = _order(layout)
    if len(layout) != len(order):
        sizes: list[int] = []
        known: dict[str | int, int] = dict(zip("HW", sides, strict=False))
        for dim, size in zip(layout, values.shape, strict=True):
            own = (
                [size]
                if len(dim) == 1
                else [number if isinstance(number := known.get(one, one), int) else -1 for one in dim]
            )
            sizes += [1] * len(dim) if size == 1 else own
        values = values.reshape(sizes)
    if order == (*range(len(order)),):
        return values
    return values.permute([order.index(dim) for dim in range(len(order))])


class Patched(RuledTensor):
    """A tensor of black images with a patch.

    places: the images by the place of their patch
    layout: what the dimensions run over; without rows and columns it holds values of each image, not of positions
    batch: which images are in which place
    axes: how rows and columns of the backgrounds are stored
    """

    rules = Rules()
    _newest: weakref.ref[Patched] | None = None
    """The result of the last torch function, if it has memory of its own: nothing else can refer to it yet."""

    @staticmethod
    def __new__(cls, places: Sequence[Place], layout: Layout, batch: Batch, axes: Axes = _NO_AXES) -> Patched:
        """Makes the tensor without memory of its own."""
        one = places[0].values
        sizes, channels = {"N": batch.count, "H": len(axes[0]), "W": len(axes[1])}, iter(one.shape[1:])
        shape = [
            math.prod(sizes[one] if isinstance(one, str) and one in sizes else next(channels) for one in dim)
            for dim in layout
        ]
        wants = torch.is_grad_enabled() and any(place.values.requires_grad for place in places)
        made: Patched = torch.Tensor._make_wrapper_subclass(
            cls, shape, dtype=one.dtype, device=one.device, requires_grad=wants
        )
        return made

    def __init__(self, places: Sequence[Place], layout: Layout, batch: Batch, axes: Axes = _NO_AXES) -> None:
        self.places, self.axes, self.dims, self.batch = tuple(places), axes, NCHW if layout == NCHW else layout, batch

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Computes a torch function by its rule, or on whole maps."""
        operator, kwargs = operator_of(func), kwargs or {}
        if operator.is_query:
            return super().__torch_function__(func, types, args, kwargs)
        first: Any = args[0] if args else None
        newest, Patched._newest = Patched._newest, None
        in_place = operator.in_place or bool(kwargs.get("inplace"))
        is_new = newest is not None and newest() is first
        first = first[0] if isinstance(first, tuple | list) and first else first
        kept = first.batch.kept if isinstance(first, Patched) else None
        with nullcontext() if kept is None else kept.during(func, args, kwargs):
            if is_new and in_place and operator.name in pointwise_functions() and not torch.is_grad_enabled():
                others: Any = *args[1:], *kwargs.values()
                if not any(isinstance(one, Tensor) for one in others):
                    first._write_new(func, operator.func, args[1:], kwargs)
                    Patched._newest = newest
                    return first
            found = super().__torch_function__(func, types, args, kwargs)
        if operator.name in _ALLOCATES and not in_place and isinstance(found, Patched):
            Patched._newest = weakref.ref(found)
        return found

    def _write_new(self, in_place: Any, func: Any, args: Any, kwargs: Any) -> None:
        """Computes a function of each value in the memory of windows that nothing else refers to yet."""
        once, plain = Once(), {**kwargs, "inplace": False} if "inplace" in kwargs else kwargs

        def around(one: Tensor | None) -> Any:
            return None if one is None else once(id(one), self.batch.background, lambda o: func(o, *args, **plain), one)

        def inside(one: Tensor) -> Tensor:
            in_place(one, *args, **kwargs)
            return one

        self.places = tuple(
            Place(one.rows, one.columns, once(id(one.values), inside, one.values), around(one.background))
            for one in self.places
        )

    @classmethod
    def of_images(
        cls, patches: Sequence[Tensor], at: Sequence[Pair], side: int, batch: Batch, background: Tensor | None = None
    ) -> Patched:
        """Returns black images (N, C, side, side) with patches (n, C, h, w) at these rows and columns, one per place.

        background: (1, C, 1, 1), in place of black.
        """
        if background is None:
            background = batch.kept.black if batch.kept else patches[0].new_zeros(1, patches[0].shape[1], 1, 1)
        places = [
            Place((y, y + one.shape[2]), (x, x + one.shape[3]), one, background)
            for one, (y, x) in zip(patches, at, strict=True)
        ]
        return cls(places, NCHW, batch, (Axis.black(side), Axis.black(side)))

    @classmethod
    def of_whole(cls, parts: Sequence[Tensor], layout: Layout, batch: Batch) -> Patched:
        """Returns stored values, one for each place, without known backgrounds."""
        if not any("H" in dim for dim in layout):
            return cls([Place((0, 0), (0, 0), one, None) for one in parts], layout, batch)
        rows, columns = parts[0].shape[-2:]
        places = [Place((0, rows), (0, columns), one, None) for one in parts]
        return cls(places, layout, batch, (Axis.unfolded(rows), Axis.unfolded(columns)))

    @property
    def ndim(self) -> int:  # type: ignore[override]
        """The number of dimensions, found without a torch function."""
        return len(self.dims)

    @property
    def sides(self) -> Pair:
        """Rows and columns."""
        return len(self.axes[0]), len(self.axes[1])

    @property
    def is_map(self) -> bool:
        """Whether it has rows and columns; if not, it holds values of each image."""
        return self.axes is not _NO_AXES

    @property
    def is_whole(self) -> bool:
        """Whether windows are whole maps, so that there is no background."""
        return self.places[0].background is None

    def has_channels(self, *dims: int) -> bool:
        """Returns whether these dimensions run over channels alone."""
        return all(self.dims[dim] == ("C",) for dim in dims)

    def overwrite(self, value: Any) -> None:
        """Replaces its maps by those of another."""
        if not isinstance(value, Patched) or value.shape != self.shape or value.dtype != self.dtype:
            raise UnsupportedOperationError("a function that works in place answers maps of another shape or type")
        self.places, self.axes, self.dims, self.batch = value.places, value.axes, value.dims, value.batch

    def with_places(self, places: Iterable[Place], axes: Axes | None = None, layout: Layout | None = None) -> Patched:
        """Returns other maps of the same images. Backgrounds without positions are dropped."""
        axes, found = axes or self.axes, [*places]
        full = (0, len(axes[0])), (0, len(axes[1]))
        if found[0].background is not None and all((one.rows, one.columns) == full for one in found):
            found = [Place(one.rows, one.columns, one.values, None) for one in found]
        return Patched(found, layout or self.dims, self.batch, axes)

    def each(self, compute: Function, layout: Layout | None = None) -> Patched:
        """Returns the result of a function of each position alone.

        compute: the function, called with some images and positions of this tensor, with its dimensions
        layout: the result's layout, if another one
        """
        own, other = self.dims, layout or self.dims
        if own is NCHW and other is NCHW:
            return self.each_stored(compute)
        return self.each_stored(lambda one: store(compute(lay_out(one, own)), other, one.shape[-2:]), other)

    def each_stored(self, compute: Function, layout: Layout | None = None) -> Patched:
        """Returns the result of a function of values (n, *channels, h, w) at each position alone."""
        once = Once()

        def around(one: Tensor | None) -> Any:
            return None if one is None else once(id(one), self.batch.background, compute, one)

        places = [
            Place(one.rows, one.columns, once(id(one.values), compute, one.values), around(one.background))
            for one in self.places
        ]
        return Patched(places, layout or self.dims, self.batch, self.axes)

    def is_same_everywhere(self, places: int) -> bool:
        """Returns whether each image has values that are proved to be the same wherever its patch is."""
        same = all(one.values is self.places[0].values for one in self.places)
        return same and not self.is_map and len(self.places) == places

    def surroundings(self, place: Place, rows: Pair, columns: Pair, padding: Pair = OUTSIDE) -> Any:
        """Returns what decides the values at these positions besides the window; None if nothing does."""
        if _within(rows, place.rows) and _within(columns, place.columns):
            return None
        background = None if place.background is None else id(place.background)
        return background, self.axes[0].read(*rows, padding[0]), self.axes[1].read(*columns, padding[1])

    def key(self, place: Place, rows: Pair, columns: Pair, padding: Pair = OUTSIDE) -> Any:
        """Returns a key that is equal for two places if their values at these positions are proved to be equal."""
        (top, _), (left, _) = place.rows, place.columns
        span = rows[0] - top, rows[1] - top, columns[0] - left, columns[1] - left
        return id(place.values), span, self.surroundings(place, rows, columns, padding)

    def block(
        self,
        place: Place,
        rows: Pair,
        columns: Pair,
        fill: float = 0.0,
        padding: Pair = OUTSIDE,
        into: Tensor | None = None,
    ) -> Tensor:
        """Returns the maps (n, *channels, h, w) at these positions, which may leave the map; there they are padded.

        fill: the padding's value
        padding: the stored row and column for positions outside
        into: memory for the result, if no gradient is wanted
        """
        values = place.values
        top, left = place.rows[0], place.columns[0]
        if _within(rows, place.rows) and _within(columns, place.columns):
            if rows != place.rows or columns != place.columns:
                values = values[..., rows[0] - top : rows[1] - top, columns[0] - left : columns[1] - left]
            return values if into is None else into.copy_(values)
        inner_rows, inner_columns = _overlap(rows, place.rows), _overlap(columns, place.columns)
        part = values[..., inner_rows[0] - top : inner_rows[1] - top, inner_columns[0] - left : inner_columns[1] - left]
        if place.background is None:
            amounts = inner_columns[0] - columns[0], columns[1] - inner_columns[1]
            amounts += inner_rows[0] - rows[0], rows[1] - inner_rows[1]  # type: ignore[assignment]
            found = torch.nn.functional.pad(part, amounts, value=fill)
            return found if into is None else into.copy_(found)
        target = (
            ...,
            slice(inner_rows[0] - rows[0], inner_rows[1] - rows[0]),
            slice(inner_columns[0] - columns[0], inner_columns[1] - columns[0]),
        )
        read = self.axes[0].read(*rows, padding[0]), self.axes[1].read(*columns, padding[1])
        if torch.is_grad_enabled() and (values.requires_grad or place.background.requires_grad):
            pasted: Tensor = _Paste.apply(part, pick(place.background, *read, fill), target)
            return pasted
        if into is None:
            into = empty_like(values, (*values.shape[:-2], len(read[0]), len(read[1])))
        return surround(into, part, place.background, target, read, fill)

    def each_whole(self, compute: Function, layout: Layout) -> Patched:
        """Returns values of each image that a function computes from its whole map, which has this tensor's layout."""
        once, full = Once(), ((0, self.sides[0]), (0, self.sides[1]))

        def of(place: Place) -> Tensor:
            return compute(lay_out(self.block(place, *full), self.dims))

        return Patched.of_whole([once(self.key(one, *full), of, one) for one in self.places], layout, self.batch)

    def as_whole(self) -> Patched:
        """Returns the same maps with windows that are whole maps."""
        return self if self.is_whole else self.each_whole(lambda maps: store(maps, self.dims, self.sides), self.dims)

    def whole(self) -> Tensor:
        """Returns the ordinary tensor."""
        return lay_out(self.batch.together([one.values for one in self.as_whole().places]), self.dims)

    def become_whole(self, values: Tensor) -> None:
        """Stores its maps in this memory, which has its shape."""
        batch = Batch([torch.arange(self.batch.count)], by_area=self.batch.by_area)
        other = Patched.of_whole([store(values, self.dims, self.sides)], self.dims, batch)
        self.places, self.axes, self.batch = other.places, other.axes, other.batch
        self.is_written_elsewhere = True

    def is_cheaper_whole(self, windows: Sequence[tuple[Any, int]], stored: int, size: int) -> bool:
        """Returns whether whole maps of `size` positions are fewer than windows (key, positions) and background.

        stored: positions of the background
        """
        if not self.batch.by_area or self.is_whole:
            return self.is_whole
        counts = self.batch.counts
        largest = {key: count * area for (key, area), count in zip(windows, counts, strict=True)}
        backgrounds = {id(one.background): 1 if one.background is None else len(one.background) for one in self.places}
        images = sum(backgrounds.values())
        # One background for all images is kept for many batches.
        around = 0 if images == 1 and self.batch.kept is not None else stored * images
        return sum(largest.values()) + around > size * sum(counts)

    @classmethod
    def without_rule(cls, name: str, func: Any, args: Any, kwargs: Any) -> Any:
        """Computes a function on whole maps, and notes its name if these are more than the windows."""
        memory: list[tuple[Patched, Tensor]] = []
        found = func(*_whole(args, memory), **_whole(kwargs, memory))
        if not all(owner.is_whole for owner, _ in memory):
            note_unsupported(name)
        for one in _tensors(found):
            for owner, values in memory:
                # A view: writing into either must be visible in both.
                shared = one.untyped_storage().data_ptr() == values.untyped_storage().data_ptr()
                if shared and not owner.is_written_elsewhere:
                    owner.become_whole(values)
        return found

    def write(self, name: str, func: Any, args: Any, kwargs: Any) -> None:
        """Writes into whole maps, and notes the function's name if these are more than the windows."""
        if not self.is_whole:
            note_unsupported(name)
        # Its own memory, unless ordinary tensors share it.
        values, written = self.whole(), self.is_written_elsewhere
        values = values if written else values.clone()
        memory = [(self, values)]
        func(*_whole(args, memory), **_whole(kwargs, memory))
        self.become_whole(values)
        self.is_written_elsewhere = written


def surround(
    canvas: Tensor,
    part: Tensor,
    background: Tensor,
    target: tuple[Any, slice, slice],
    read: tuple[tuple[int, ...], tuple[int, ...]],
    fill: float,
) -> Tensor:
    """Fills a canvas (n, ...) with parts (n, ...), and with stored rows and columns of a background around them."""
    rows, columns = read
    _, inside, beside = target
    canvas[target] = part
    edges = (
        (slice(0, inside.start), slice(0, len(columns))),
        (slice(inside.stop, len(rows)), slice(0, len(columns))),
        (inside, slice(0, beside.start)),
        (inside, slice(beside.stop, len(columns))),
    )
    for down, along in edges:
        if down.start < down.stop and along.start < along.stop:
            canvas[..., down, along] = pick(background, rows[down], columns[along], fill)
    return canvas


def empty_like(like: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Returns memory of this shape, in the memory format of `like`."""
    channels_last = like.ndim == 4 and like.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=layout)


class _Paste(torch.autograd.Function):
    """Pastes parts into copies of their surroundings, whose gradient is summed over the images that share them."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, around: Tensor, target: tuple[Any, ...]) -> Tensor:
        ctx.target, ctx.summed = target, len(around) != len(part)
        canvas = empty_like(part, (len(part), *around.shape[1:])).copy_(around)
        canvas[target] = part
        return canvas

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        around = None
        if ctx.needs_input_grad[1]:
            around = gradient.sum(0, keepdim=True) if ctx.summed else gradient.clone()
            around[ctx.target] = 0
        return gradient[ctx.target] if ctx.needs_input_grad[0] else None, around, None


def _whole(value: Any, memory: list[tuple[Patched, Tensor]]) -> Any:
    """Returns the ordinary tensors in place of ours, in nested arguments."""
    if isinstance(value, Patched):
        for owner, tensor in memory:
            if owner is value:
                return tensor
        memory.append((value, value.whole()))
        return memory[-1][1]
    if isinstance(value, dict):
        return {key: _whole(one, memory) for key, one in value.items()}
    if isinstance(value, tuple | list):
        found = [_whole(one, memory) for one in value]
        return type(value)(found) if type(value) in (tuple, list) else tuple(found)
    return value


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for one in value:
            yield from _tensors(one)


def _overlap(span: Pair, window: Pair) -> Pair:
    """Returns which positions of a span lie in a window; none, of its end that is nearer, if none do."""
    start = min(max(span[0], window[0]), span[1])
    return start, min(max(window[1], start), span[1])


def _within(part: Pair, whole: Pair) -> bool:
    return whole[0] <= part[0] and part[1] <= whole[1]


def size_of(pairs: tuple[Pair, Pair]) -> int:
    """Returns the number of positions of (start, stop) of rows and columns."""
    return math.prod(stop - start for start, stop in pairs)
