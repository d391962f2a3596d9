"""Black images with a patch as a tensor: the map of a black canvas, and the windows in which images differ from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from qi_datasets.errors import UnsupportedOperationError
from qi_datasets.networks.operators import Pair, RuledTensor, Rules, note_unsupported
from qi_datasets.networks.patched.axes import PADDING, Axis, pick

OUTSIDE = PADDING, PADDING
Function = Callable[[Tensor], Tensor]


class Kept:
    """Backgrounds that a frozen network has computed, for its further batches.

    Rules are pure functions: of the network's own weights and of backgrounds that are kept they compute the same ones.
    """

    def __init__(self, weights: Iterable[Tensor], black: Tensor) -> None:
        self.black = black
        self._weights = {id(one): one for one in weights}
        self._found: dict[Any, list[Tensor]] = {}
        self._own = {id(black)}
        self._open: list[tuple[Any, int]] = []

    @contextmanager
    def during(self, func: Any, args: Any, kwargs: Any) -> Iterator[None]:
        """Notes that a torch function is called within."""
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
        """Returns the next background of the function that is called."""
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
        """What decides a function's backgrounds. Raises `LookupError` if that may change from batch to batch."""
        if isinstance(value, Patched):
            backgrounds = {id(one.background) for one in value.places}
            if not backgrounds <= self._own:
                raise LookupError
            return tuple(backgrounds), value.axes, value.letters
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
    """Which images of a batch have their patch in which place. by_area: compute whole maps where that is cheaper."""

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
    """Images that have their patch in one place.

    rows, columns: (start, stop) of the window
    values: (n, *channels, h, w), the images' maps in it. Places whose images are proved to be the same there share it
    background: (1 or n, *channels, stored rows, stored columns), their maps elsewhere; None if the window is everything
    """

    rows: Pair
    columns: Pair
    values: Tensor
    background: Tensor | None


class Once:
    """Computes what has the same key once."""

    def __init__(self) -> None:
        self._found: dict[Any, Any] = {}

    def __call__(self, key: Any, compute: Callable[..., Any], *args: Any) -> Any:
        """Returns what was computed for the key, or computes it of the arguments."""
        if key not in self._found:
            self._found[key] = compute(*args)
        return self._found[key]


def _made(cls: Any, shape: Any, like: Tensor, parts: Sequence[Tensor]) -> Any:
    wants = torch.is_grad_enabled() and any(part.requires_grad for part in parts)
    return torch.Tensor._make_wrapper_subclass(cls, shape, dtype=like.dtype, device=like.device, requires_grad=wants)


class PerImage(RuledTensor):
    """One vector (or more) for each image, (N, ...): `parts` (n, ...), one for each place, shared as in `Place`."""

    rules = Rules()

    @staticmethod
    def __new__(cls, parts: Sequence[Tensor], batch: Batch) -> PerImage:
        """Makes the tensor without memory of its own."""
        one = parts[0]
        shape = (batch.count, *one.shape[1:])
        made: PerImage = _made(cls, shape, one, parts)
        return made

    def __init__(self, parts: Sequence[Tensor], batch: Batch) -> None:
        self.parts, self.batch = tuple(parts), batch

    def overwrite(self, value: Any) -> None:
        """Takes the values of another."""
        if not isinstance(value, PerImage) or value.shape != self.shape:
            raise UnsupportedOperationError("a function that works in place answers another shape")
        self.parts = value.parts

    def each(self, compute: Function) -> PerImage:
        """Returns what a function of each image's values makes of them."""
        once = Once()
        return PerImage([once(id(one), compute, one) for one in self.parts], self.batch)

    def whole(self) -> Tensor:
        """Returns the ordinary tensor (N, ...)."""
        return self.batch.together(self.parts)

    def is_same_everywhere(self) -> bool:
        """Returns whether the images of all places are proved to have the same values."""
        return all(one is self.parts[0] for one in self.parts)

    def become_whole(self, values: Tensor) -> None:
        """Stores its values in this memory."""
        self.batch = Batch([torch.arange(len(values))], by_area=self.batch.by_area)
        self.parts, self.is_written_elsewhere = (values,), True

    @classmethod
    def without_rule(cls, name: str, func: Any, args: Any, kwargs: Any) -> Any:
        """Computes a function on ordinary tensors."""
        return on_whole(name, func, args, kwargs)

    def write(self, name: str, func: Any, args: Any, kwargs: Any) -> None:
        """Writes into the ordinary tensor."""
        write_whole(self, func, args, kwargs)


class Patched(RuledTensor):
    """Maps of black images with a patch.

    places: images by the place of their patch
    axes: how rows and columns of the backgrounds are stored
    layout: what the dimensions are, as in "NCHW" or "NHWC"; there may be no or several C
    batch: which images are in which place
    """

    rules = Rules()

    @staticmethod
    def __new__(cls, places: Sequence[Place], axes: tuple[Axis, Axis], layout: str, batch: Batch) -> Patched:
        """Makes the tensor without memory of its own."""
        one = places[0].values
        channels = iter(one.shape[1:-2])
        sizes = {"N": batch.count, "H": len(axes[0]), "W": len(axes[1])}
        shape = tuple(next(channels) if letter == "C" else sizes[letter] for letter in layout)
        made: Patched = _made(cls, shape, one, [place.values for place in places])
        return made

    def __init__(self, places: Sequence[Place], axes: tuple[Axis, Axis], layout: str, batch: Batch) -> None:
        self.places, self.axes, self.letters, self.batch = tuple(places), axes, layout, batch

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Computes a torch function by its rule, or on whole maps."""
        first = args[0] if args else None
        first = first[0] if isinstance(first, tuple | list) and first else first
        kept = first.batch.kept if isinstance(first, Patched) else None
        if kept is None:
            return super().__torch_function__(func, types, args, kwargs)
        with kept.during(func, args, kwargs or {}):
            return super().__torch_function__(func, types, args, kwargs)

    @classmethod
    def of_images(
        cls, patches: Sequence[Tensor], at: Sequence[Pair], side: int, batch: Batch, background: Tensor | None = None
    ) -> Patched:
        """Returns black images (N, C, side, side) with patches (n, C, h, w) at these rows and columns, a pair a place.

        background: (1, C, 1, 1), in place of black.
        """
        if background is None:
            background = batch.kept.black if batch.kept else patches[0].new_zeros(1, patches[0].shape[1], 1, 1)
        places = [
            Place((y, y + one.shape[2]), (x, x + one.shape[3]), one, background)
            for one, (y, x) in zip(patches, at, strict=True)
        ]
        return cls(places, (Axis.black(side), Axis.black(side)), "NCHW", batch)

    @classmethod
    def of_maps(cls, maps: Tensor, layout: str, batch: Batch) -> Patched:
        """Returns maps (n, *channels, h, w), with nothing known of their background. The memory is theirs."""
        axes = Axis.unfolded(maps.shape[-2]), Axis.unfolded(maps.shape[-1])
        place = Place((0, maps.shape[-2]), (0, maps.shape[-1]), maps, None)
        return cls([place], axes, layout, Batch([torch.arange(len(maps))], by_area=batch.by_area))

    @property
    def sides(self) -> Pair:
        """Rows and columns."""
        return len(self.axes[0]), len(self.axes[1])

    @property
    def is_whole(self) -> bool:
        """Whether windows are whole maps, so that there is no background."""
        return self.places[0].background is None

    @cached_property
    def channels(self) -> tuple[int, ...]:
        """The dimensions that are channels, as the layout has them."""
        return tuple(k for k, letter in enumerate(self.letters) if letter == "C")

    @property
    def positions(self) -> Pair:
        """The dimensions that are rows and columns."""
        return self.letters.index("H"), self.letters.index("W")

    def overwrite(self, value: Any) -> None:
        """Takes the maps of another."""
        if not isinstance(value, Patched) or value.shape != self.shape or value.dtype != self.dtype:
            raise UnsupportedOperationError("a function that works in place answers maps of another shape or type")
        self.places, self.axes, self.letters, self.batch = value.places, value.axes, value.letters, value.batch

    def with_places(self, places: Iterable[Place], axes: tuple[Axis, Axis] | None = None, layout: str = "") -> Patched:
        """Returns other maps of the same images. Backgrounds that no position is of are dropped."""
        axes, found = axes or self.axes, [*places]
        full = (0, len(axes[0])), (0, len(axes[1]))
        if found[0].background is not None and all((one.rows, one.columns) == full for one in found):
            found = [Place(one.rows, one.columns, one.values, None) for one in found]
        return Patched(found, axes, layout or self.letters, self.batch)

    def each(self, compute: Function, layout: str = "") -> Patched:
        """Returns what a function of (n, *channels, h, w) that takes each position alone makes of the maps."""
        once = Once()

        def around(one: Tensor | None) -> Any:
            return None if one is None else once(id(one), self.batch.background, compute, one)

        places = [
            Place(one.rows, one.columns, once(id(one.values), compute, one.values), around(one.background))
            for one in self.places
        ]
        return Patched(places, self.axes, layout or self.letters, self.batch)

    def surroundings(self, place: Place, rows: Pair, columns: Pair, padding: Pair = OUTSIDE) -> Any:
        """Returns what decides the values at these positions beside the window's: None if nothing does."""
        if _within(rows, place.rows) and _within(columns, place.columns):
            return None
        background = None if place.background is None else id(place.background)
        return background, self.axes[0].read(*rows, padding[0]), self.axes[1].read(*columns, padding[1])

    def key(self, place: Place, rows: Pair, columns: Pair, padding: Pair = OUTSIDE) -> Any:
        """Returns what is equal for two places if the values at these positions are proved to be."""
        (top, _), (left, _) = place.rows, place.columns
        span = rows[0] - top, rows[1] - top, columns[0] - left, columns[1] - left
        return id(place.values), span, self.surroundings(place, rows, columns, padding)

    def block(self, place: Place, rows: Pair, columns: Pair, fill: float = 0.0, padding: Pair = OUTSIDE) -> Tensor:
        """Returns the maps (n, *channels, h, w) at these positions, which may leave the map; there they are padded.

        fill: what they are padded with
        padding: what stored row and column stand for positions outside
        """
        values = place.values
        (top, bottom), (left, right) = place.rows, place.columns
        if _within(rows, place.rows) and _within(columns, place.columns):
            if rows == place.rows and columns == place.columns:
                return values
            return values[..., rows[0] - top : rows[1] - top, columns[0] - left : columns[1] - left]
        inner_rows = max(rows[0], top), max(min(rows[1], bottom), rows[0], top)
        inner_columns = max(columns[0], left), max(min(columns[1], right), columns[0], left)
        part = values[..., inner_rows[0] - top : inner_rows[1] - top, inner_columns[0] - left : inner_columns[1] - left]
        target = (
            ...,
            slice(inner_rows[0] - rows[0], inner_rows[1] - rows[0]),
            slice(inner_columns[0] - columns[0], inner_columns[1] - columns[0]),
        )
        if place.background is None:
            amounts = inner_columns[0] - columns[0], columns[1] - inner_columns[1]
            amounts += inner_rows[0] - rows[0], rows[1] - inner_rows[1]  # type: ignore[assignment]
            return torch.nn.functional.pad(part, amounts, value=fill)
        read = self.axes[0].read(*rows, padding[0]), self.axes[1].read(*columns, padding[1])
        around = pick(place.background, *read, fill)
        if torch.is_grad_enabled() and (values.requires_grad or around.requires_grad):
            pasted: Tensor = _Paste.apply(part, around, target)
            return pasted
        return paste(part, around, target)

    def whole_block(self, place: Place) -> Tensor:
        """Returns the maps (n, *channels, H, W) of a place's images."""
        return self.block(place, (0, self.sides[0]), (0, self.sides[1]))

    def as_whole(self) -> Patched:
        """Returns the same maps with windows that are everything."""
        if self.is_whole:
            return self
        full = (0, self.sides[0]), (0, self.sides[1])
        once = Once()
        places = [Place(*full, once(self.key(one, *full), self.block, one, *full), None) for one in self.places]
        return Patched(places, self.axes, self.letters, self.batch)

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

    def stored(self, maps: Tensor) -> Tensor:
        """Returns ordinary maps of this layout with the dimensions in the stored order (n, *channels, h, w)."""
        order = [self.letters.index("N"), *self.channels, *self.positions]
        return maps if order == [*range(len(order))] else maps.permute(order)

    def laid_out(self, maps: Tensor) -> Tensor:
        """Returns maps (n, *channels, h, w) with the dimensions as the layout has them."""
        order = [self.letters.index("N"), *self.channels, *self.positions]
        return maps if order == [*range(len(order))] else maps.permute([order.index(k) for k in range(len(order))])

    def whole(self) -> Tensor:
        """Returns the ordinary tensor."""
        full = (0, self.sides[0]), (0, self.sides[1])
        once = Once()
        blocks = [once(self.key(one, *full), self.block, one, *full) for one in self.places]
        return self.laid_out(self.batch.together(blocks))

    def become_whole(self, maps: Tensor) -> None:
        """Stores its maps in this memory, which is laid out as the layout says."""
        other = Patched.of_maps(self.stored(maps), self.letters, self.batch)
        self.places, self.axes, self.batch = other.places, other.axes, other.batch
        self.is_written_elsewhere = True

    @classmethod
    def without_rule(cls, name: str, func: Any, args: Any, kwargs: Any) -> Any:
        """Computes a function on whole maps, and notes its name."""
        note_unsupported(name)
        return on_whole(name, func, args, kwargs)

    def write(self, name: str, func: Any, args: Any, kwargs: Any) -> None:
        """Writes into whole maps, and notes the function's name."""
        note_unsupported(name)
        write_whole(self, func, args, kwargs)


def paste(part: Tensor, around: Tensor, target: tuple[Any, ...]) -> Tensor:
    """Returns copies of what is `around` (1 or n, ...) with the parts (n, ...) in them."""
    shape = (len(part), *around.shape[1:])
    channels_last = part.ndim == 4 and part.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    canvas = torch.empty(shape, dtype=part.dtype, device=part.device, memory_format=layout)
    canvas.copy_(around)
    canvas[target] = part
    return canvas


class _Paste(torch.autograd.Function):
    """`paste`; the gradient of the surroundings is summed over the images where they share them."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, around: Tensor, target: tuple[Any, ...]) -> Tensor:
        ctx.target, ctx.summed = target, len(around) != len(part)
        return paste(part, around, target)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        around = None
        if ctx.needs_input_grad[1]:
            around = gradient.sum(0, keepdim=True) if ctx.summed else gradient.clone()
            around[ctx.target] = 0
        return gradient[ctx.target] if ctx.needs_input_grad[0] else None, around, None


def on_whole(name: str, func: Any, args: Any, kwargs: Any) -> Any:
    """Computes a torch function on ordinary tensors in place of ours."""
    memory: list[tuple[Any, Tensor]] = []
    found = func(*_whole(args, memory), **_whole(kwargs, memory))
    for one in _tensors(found):
        for owner, values in memory:
            # A view: what is written into either must be seen in both.
            if (
                one.untyped_storage().data_ptr() == values.untyped_storage().data_ptr()
                and not owner.is_written_elsewhere
            ):
                owner.become_whole(values)
    return found


def write_whole(target: Any, func: Any, args: Any, kwargs: Any) -> None:
    """Computes a torch function that writes into `target`, its first argument, on ordinary tensors."""
    # Its own memory, unless ordinary tensors see what is written there.
    values = target.whole() if target.is_written_elsewhere else target.whole().clone()
    memory: list[tuple[Any, Tensor]] = [(target, values)]
    func(*_whole(args, memory), **_whole(kwargs, memory))
    written = target.is_written_elsewhere
    target.become_whole(values)
    target.is_written_elsewhere = written


def _whole(value: Any, memory: list[tuple[Any, Tensor]]) -> Any:
    """The ordinary tensors in place of ours, in nested arguments."""
    if isinstance(value, Patched | PerImage):
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


def _within(part: Pair, whole: Pair) -> bool:
    return whole[0] <= part[0] and part[1] <= whole[1]


def size_of(pairs: tuple[Pair, Pair]) -> int:
    """Returns the number of positions of (start, stop) of rows and columns."""
    return math.prod(stop - start for start, stop in pairs)
