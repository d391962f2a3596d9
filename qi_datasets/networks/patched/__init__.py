"""A tensor type for black images with a patch, and rules for torch functions: networks cost as much as the patch.

Every map of such an image is the map of a black canvas except in a window around the patch, which grows by each layer's
reach. A `Patched` has both: the black canvas's map, in which equal rows and columns are stored once, and for
each place of the patch the windows of its images. Networks run on it unchanged.
"""

from qi_datasets.networks.patched import (  # noqa: F401
    alone,
    attention,
    normalization,
    reduction,
    resampling,
    shapes,
    sliding,
)
from qi_datasets.networks.patched.tensor import Batch, Kept, Patched, Place

__all__ = ["Batch", "Kept", "Patched", "Place"]
