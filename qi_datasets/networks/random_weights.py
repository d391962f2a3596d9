"""Networks with random weights that a seed decides, whatever else draws random numbers."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

AnyNetwork = TypeVar("AnyNetwork", bound=nn.Module)


def seeded(seed: int, make: Callable[[], AnyNetwork]) -> AnyNetwork:
    """What `make` returns when torch's random state starts from `seed`; the global state is left as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()
