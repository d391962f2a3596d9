"""A tensor type for maps on an endless canvas: a network runs on it unchanged, with another padding than its own.

A `Plane` knows which pixels each of its positions sees, and so its place on an endless map, and the map's values
where the canvas is black. Every layer computes the positions that the padding requires:

- `full`, `exact`: all positions that see a part of the image, with zeros or the background around them;
- `valid`: the positions that see only the image;
- `circular`, `reflect`, `replicate`: as many as with the network's own padding, which is filled from within the map;
- `own`: the network's own computation, traced to find the pixels that a position sees.

Positions are numbered as in the network's own padding, so that a trained network samples the image in the phase that it
was trained with, and maps are aligned where branches meet. The values of a `Plane` may be a `Patched` tensor.
"""

from qi_datasets.networks.endless_maps import alone, reduction, shapes, sliding  # noqa: F401
from qi_datasets.networks.endless_maps.tensor import (
    End,
    PaddingVariant,
    Plane,
    Run,
    TooSmallError,
    planes_in,
    values_of,
)

__all__ = ["End", "PaddingVariant", "Plane", "Run", "TooSmallError", "planes_in", "values_of"]
