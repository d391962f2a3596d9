"""Warns of files with ImageNet's names that are resized or encoded again."""

import io
from contextlib import suppress
from dataclasses import replace
from itertools import islice

from PIL import Image

from qi_datasets.errors import SourceError
from qi_datasets.imagenet import IMAGENET_VAL
from qi_datasets.pixels.decoding import FORMATS
from qi_datasets.sources.base import Source

_LOOKED_AT = 16
"""Number of images that are inspected. One in five of ImageNet's has the commonest size."""

_FEWEST = 8


def with_warnings_of_copies(source: Source) -> Source:
    """Returns the source, with a warning if all of its first images have one size, or none is a JPEG."""
    names = list(islice(source.names, _LOOKED_AT))
    if source.collection != IMAGENET_VAL or len(names) < _FEWEST:
        return source
    found = []
    with suppress(SourceError, OSError, ValueError, Image.DecompressionBombError):
        for _, data in source.contents(list(map(source.image, names))):
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                found.append((image.size, image.format))
    if len(found) < len(names):  # A damaged image gets its error when it is used.
        return source
    (width, height), kind = found[0]
    lines = []
    if len({size for size, _ in found}) == 1:
        lines.append(
            f"the images are all of {width} x {height} pixels: resized copies, not the files of {IMAGENET_VAL}"
        )
    if all(kind != "JPEG" for _, kind in found) and not any("encoded again" in line for line in source.warnings):
        lines.append(f"the images are encoded again as {kind}: not the files of {IMAGENET_VAL}")
    return replace(source, warnings=(*source.warnings, *lines)) if lines else source
