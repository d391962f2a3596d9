"""Makes torch's random numbers depend on a seed alone."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def random_seed(seed: int) -> Iterator[None]:
    """Seeds torch's random state on the CPU in the block; afterwards the global state is as before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
