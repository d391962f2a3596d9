"""Memory of large images, and of batches, that is used again once nobody has them.

Making an array of a bordered image costs mostly its black: the system clears megabytes for each image. An image that is
gone left all of them black but its rectangle, which is cleared by itself. Nothing tells whether somebody wrote to an
image elsewhere (PyTorch does, through arrays that are read only), so memory is looked through before it is used again:
reading it takes less than half of the time of clearing it.

Batches fit no cache, so that reading takes as long as clearing: they are cleared, which is still quicker than giving
memory back to the system and asking for it again.
"""

import math
import weakref
from collections import deque

import numpy as np

from qi_datasets.pixels.geometry import Pixels, Placed, black

SMALLEST, LARGEST = 1 << 19, 1 << 24
"""Sizes in bytes of images whose memory is kept: clearing less takes no time, and more should not be kept."""

_spare: deque[tuple[memoryview, Pixels]] = deque(maxlen=2)
"""Memory of deleted images, with the rectangle of each that was not black. Its methods are atomic."""

_batches: set[object] = set()
"""A token for each batch that is in use."""

_spare_batch: deque[memoryview] = deque(maxlen=1)
"""Memory of a deleted batch while another one is in use: loops have one while the next is made."""


def paint(placed: Placed, channels_first: bool = False) -> Pixels:
    """Returns the whole image, uint8 (height, width, c) or (c, height, width), in memory that the caller owns.

    Args:
        placed: The image.
        channels_first: Whether channels are the first dimension.
    """
    height, width, channels = placed.shape
    shape = (channels, height, width) if channels_first else placed.shape
    size = math.prod(shape)
    is_kept = SMALLEST <= size <= LARGEST
    memory = (_spare_memory(size) if is_kept else None) or black(size).data
    owner = _owner(memory)
    image = owner.reshape(shape)
    placed.into(image.transpose(1, 2, 0) if channels_first else image)
    if is_kept:
        h, w, _ = placed.content.shape
        rows, columns = slice(placed.y, placed.y + h), slice(placed.x, placed.x + w)
        where = (slice(None), rows, columns) if channels_first else (rows, columns)
        part = _owner(memory).reshape(shape)[where]
        weakref.finalize(owner, _spare.append, (memory, part)).atexit = False
    return image


def _owner(memory: memoryview) -> Pixels:
    """Returns an array over memory, (bytes,), that lives as long as any view of it.

    NumPy's views hold the array at the end of their chain of views: this one, since a memoryview lies beneath it.
    """
    return np.frombuffer(memory, np.uint8)


def _spare_memory(size: int) -> memoryview | None:
    """Returns black memory of this many bytes; None if there is none to spare."""
    try:
        memory, part = _spare.pop()
    except IndexError:
        return None
    if memory.nbytes != size:
        return None
    part[...] = 0
    return None if _owner(memory).max() else memory


def black_batch(size: int) -> Pixels:
    """Returns zeros, uint8 (size,), that the caller owns: in the memory of a deleted batch, if there is any.

    Memory is kept only as long as somebody has another batch, so that nothing is left once a loop is over.
    """
    memory = _spare_batch_memory(size)
    if memory is None:
        memory = black(size).data
    owner, token = _owner(memory), object()
    _batches.add(token)
    weakref.finalize(owner, _give_batch_back, token, memory).atexit = False
    return owner


def _spare_batch_memory(size: int) -> memoryview | None:
    """Returns black memory of this many bytes; None if there is none to spare."""
    try:
        memory = _spare_batch.pop()
    except IndexError:
        return None
    if memory.nbytes != size:
        return None
    _owner(memory).fill(0)
    return memory


def _give_batch_back(token: object, memory: memoryview) -> None:
    """Keeps the memory of a deleted batch, unless it was the last one."""
    _batches.discard(token)
    if _batches:
        _spare_batch.append(memory)
    else:
        _spare_batch.clear()
