"""Makes torch's random numbers depend on a seed alone."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def random_seed(seed: int) -> Iterator[None]:
    """Within, torch's random state on the CPU starts from `seed`; afterwards the global state is as it was before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
