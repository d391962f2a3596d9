"""Networks on black images with a patch, at the cost of the patch: a tensor type, and rules for torch functions.

Every map of such an image is the map of a black canvas but for a window around the patch, which grows by each layer's
reach. A `Patched` holds both: the black canvas's map, in which rows and columns that are alike are stored once, and for
each place of the patch the windows of its images. A network runs on it as it is.
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
