"""Lines about reading the widest border: as stored, and as a view."""

from collections.abc import Callable, Iterator
from typing import Any

import datasets

from qi_datasets import load_dataset
from qi_datasets.specs import QI
from tests.benchmarks.line import Line, timed
from tests.benchmarks.sources import Sources

WIDEST = max(QI.borders)
SPLIT = "test"
BATCH = 50


def lines(sources: Sources) -> Iterator[Line]:
    """Stock decoding against ours, image by image and in batches of tensors."""

    def stock() -> datasets.Dataset:
        folder = str(sources.built / QI.name)
        cache = str(sources.work / "cache")
        return datasets.load_dataset(folder, QI.config_of(WIDEST), split=SPLIT, cache_dir=cache)

    def ours() -> datasets.Dataset:
        cache = str(sources.work / "cache")
        return load_dataset(QI.name, border=WIDEST, split=SPLIT, output=sources.built, cache_dir=cache)

    def seconds(opened: Callable[[], Any], read: Callable[[Any], None]) -> Callable[[], float]:
        def measure() -> float:
            rows = opened()
            return timed(lambda: read(rows))

        return measure

    yield Line(
        f"reading border {WIDEST}, stock / load_dataset",
        seconds(stock, each_image),
        seconds(ours, each_image),
        10,
        at_most=False,
        repeats=3,
    )
    yield Line(
        f"batches of border {WIDEST}, two workers, stock / padded batches",
        seconds(stock, stock_batches),
        seconds(ours, our_batches),
        4,
        at_most=False,
        repeats=3,
    )


def each_image(rows: datasets.Dataset) -> None:
    """Every image, decoded."""
    for row in rows:
        row["image"].load()


def stock_batches(rows: datasets.Dataset) -> None:
    """Every image, in batches of tensors, as the stock library gives them."""
    from torch.utils.data import DataLoader

    for batch in DataLoader(rows.with_format("torch"), batch_size=BATCH, num_workers=2):
        batch["image"].element_size()


def our_batches(rows: datasets.Dataset) -> None:
    """Every image, in batches of tensors, padded a batch at a time."""
    from qi_datasets.torch import padded_batches

    for batch in padded_batches(rows, batch_size=BATCH, num_workers=2):
        batch["image"].element_size()
