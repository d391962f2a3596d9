"""Lines about reading borders into a network: stored borders with stock tools, against views."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import datasets
import numpy as np

from qi_datasets import load_dataset
from qi_datasets.specs import QI
from tests.benchmarks.line import Line, timed
from tests.benchmarks.sources import Sources

WIDEST = max(QI.borders)
NARROW = 64
SPLIT = "test[:200]"
BATCH = 32
LOADER = "DataLoader, two workers"
AT_LEAST = {
    "np.asarray": 20,
    "pil_to_tensor": 8,
    "ToImage": 8,
    "with_format numpy": 10,
    "with_format torch": 10,
    LOADER: 8,
}
"""Ways into a network, and the least speed-up by ours at the widest border."""

AT_LEAST_NARROW = 1.2
"""The least speed-up of each at a narrow border."""


def lines(sources: Sources) -> Iterator[Line]:
    """Yields lines: stock decoding against ours, by every way into a network."""
    for border in (WIDEST, NARROW):
        for way, least in AT_LEAST.items():
            yield Line(
                f"reading border {border}, {way}: stock / ours",
                partial(seconds, sources, border, way, True),
                partial(seconds, sources, border, way, False),
                least if border == WIDEST else AT_LEAST_NARROW,
                at_most=False,
            )
    yield Line(
        f"batches of border {WIDEST}, two workers, stock / padded batches",
        partial(seconds, sources, WIDEST, LOADER, True),
        partial(seconds, sources, WIDEST, "padded_batches", False),
        AT_LEAST[LOADER],
        at_most=False,
    )


def seconds(sources: Sources, border: int, way: str, stock: bool) -> float:
    """Returns the seconds to read the rows in a way: stored, without this package, or as a view."""
    cache = str(sources.work / "cache")
    if stock:
        folder = str(sources.built / QI.name)
        rows = datasets.load_dataset(folder, QI.config_of(border), split=SPLIT, cache_dir=cache)
    else:
        rows = load_dataset(QI.name, border=border, split=SPLIT, output=sources.built, cache_dir=cache)
    values = values_of(way, rows, sources)
    return timed(lambda: deque(values, maxlen=0))


def values_of(way: str, rows: datasets.Dataset, sources: Sources) -> Iterable[Any]:
    """Returns all rows, in a way that leads into a network."""
    from torch.utils.data import DataLoader
    from torchvision.transforms.v2 import ToImage
    from torchvision.transforms.v2.functional import pil_to_tensor

    from qi_datasets.torch import QuadrantImageNet, padded_batches

    options = {"batch_size": BATCH, "num_workers": 2}
    if way == "padded_batches":
        return padded_batches(rows, **options)
    if way.startswith("with_format"):
        return rows.with_format(way.split()[1])
    to_image = ToImage()
    if way == LOADER:
        if not isinstance(image := rows.features["image"], datasets.Image):
            return DataLoader(QuadrantImageNet(sources.built, SPLIT, image.border, to_image), **options)
        return DataLoader(rows.with_transform(partial(transformed, to_image)), **options)
    convert = {"np.asarray": np.asarray, "pil_to_tensor": pil_to_tensor, "ToImage": to_image}[way]
    return (convert(row["image"]) for row in rows)


def transformed(transform: Callable[[Any], Any], rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Returns rows of a stock data set with transformed images, and their labels."""
    return {"image": [transform(image) for image in rows["image"]], "label": rows["label"]}
