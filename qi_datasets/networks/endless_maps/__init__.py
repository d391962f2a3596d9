"""A tensor type for maps on an endless canvas: networks run on it, as they are, in another padding than their own.

A `Plane` knows what each of its positions sees of the image, and with that where it stands on an endless map, and what
the map is where the canvas is black. Every layer computes the positions that the padding asks for:

- `full`, `exact`: all that see some of the image, with zeros around them, or with the background;
- `valid`: those that see nothing but the image;
- `circular`, `reflect`, `replicate`: as many as the network's own padding gives, filled from within the map;
- `own`: the network's own computation, followed to learn what a position sees.

Positions are numbered as in the network's own padding, so that a trained network samples the image in the phase that it
was trained with, and maps that meet are brought to the same positions. `Plane` may hold another tensor type of ours.
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
