"""Memory of large images that is used again once nobody has the image: black that nobody wrote to is still black.

Making an array of a bordered image costs mostly its black: the system clears megabytes for each image. An image that is
gone left all of them black but its rectangle, which is cleared by itself. Nothing tells whether somebody wrote to an
image elsewhere (PyTorch does, through arrays that are read only), so memory is looked through before it is used again:
reading it takes a fifth of the time of clearing it.
"""

import math
import weakref
from collections import deque

import numpy as np

from qi_datasets.pixels.geometry import Pixels, Placed, black

SMALLEST, LARGEST = 1 << 19, 1 << 24
"""Bytes of images whose memory is kept: clearing less takes no time, and more is not ours to keep."""

_spare: deque[tuple[memoryview, Pixels]] = deque(maxlen=2)
"""Memory of images that are gone, and the rectangle of each that was not black. Its methods are atomic."""


def paint(placed: Placed, channels_first: bool = False) -> Pixels:
    """Returns the whole image, uint8 (height, width, c) or (c, height, width), which is the caller's own.

    Args:
        placed: The image.
        channels_first: Whether channels are the first dimension.
    """
    height, width, channels = placed.shape
    shape = (channels, height, width) if channels_first else placed.shape
    size = math.prod(shape)
    is_kept = SMALLEST <= size <= LARGEST
    memory = (_spare_memory(size) if is_kept else None) or black(size).data
    # NumPy's views hold the array at the end of their chain of views: this one, since a memoryview lies beneath it.
    owner = np.frombuffer(memory, np.uint8)
    image = owner.reshape(shape)
    placed.into(image.transpose(1, 2, 0) if channels_first else image)
    if is_kept:
        h, w, _ = placed.content.shape
        rows, columns = slice(placed.y, placed.y + h), slice(placed.x, placed.x + w)
        where = (slice(None), rows, columns) if channels_first else (rows, columns)
        part = np.frombuffer(memory, np.uint8).reshape(shape)[where]
        weakref.finalize(owner, _spare.append, (memory, part)).atexit = False
    return image


def _spare_memory(size: int) -> memoryview | None:
    """Returns black memory of so many bytes; None if there is none to spare."""
    try:
        memory, part = _spare.pop()
    except IndexError:
        return None
    if memory.nbytes != size:
        return None
    part[...] = 0
    return None if np.frombuffer(memory, np.uint8).max() else memory
