"""The line about training rook's networks, all seeds together or one after the other."""

from collections.abc import Callable, Iterator

import numpy as np
from qi_datasets.builders.rook import Rook

from tests.benchmarks.line import Line, timed

SEEDS = range(20)


def lines() -> Iterator[Line]:
    """Yields the line: same padding, with the same accuracies in both ways."""
    import torch

    from qi_datasets.protocols.rook import RookRuns, train_rook
    from tests.protocols.one_by_one import train_rook_one_by_one

    pixels = np.stack([row.image.pixels() for row in Rook().rows("train")])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    together, one_by_one = train_rook(images, "same", SEEDS), train_rook_one_by_one(images, "same", SEEDS)
    if not np.array_equal(together.accuracies, one_by_one.accuracies):
        raise ValueError("seeds trained together and one by one have other accuracies")

    def seconds(train: Callable[..., RookRuns]) -> Callable[[], float]:
        return lambda: timed(lambda: train(images, "same", SEEDS))

    yield Line(
        f"rook, {len(SEEDS)} seeds, one by one / together",
        seconds(train_rook_one_by_one),
        seconds(train_rook),
        8,
        at_most=False,
    )
