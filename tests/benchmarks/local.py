"""Lines about local evaluation: networks on images with a border, computed densely and in windows; one thread."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import TYPE_CHECKING

from qi_datasets.specs import QI, QUADRANT
from tests.benchmarks.line import Line

if TYPE_CHECKING:
    from torch import Tensor, nn

WIDEST = max(QI.borders)
SPREAD = 200
"""Images over which a blank canvas's cost is spread."""

FEW, MANY = 2, 16
"""Images that are timed densely, and in windows, after one pass that is not."""

AT_ONCE = 8
"""Images in a training step."""


def lines() -> Iterator[Line]:
    """Frozen networks at the widest border and at all of them, and a training step."""
    for name, bar in {"resnet18": 30, "resnet50": 25, "densenet121": 3}.items():
        yield frozen(f"{name}, border {WIDEST}", name, (WIDEST,), bar)
    yield frozen(f"resnet18, borders {QI.borders[0]} to {WIDEST} together", "resnet18", QI.borders, 12)
    yield Line(
        f"training step of resnet18, border {WIDEST}, batch {AT_ONCE}, dense / local",
        lambda: step_seconds(dense=True),
        lambda: step_seconds(dense=False),
        5,
        at_most=False,
        repeats=3,
    )


def frozen(what: str, name: str, borders: Sequence[int], bar: float) -> Line:
    """Seconds per image, dense over local, of a network at some borders."""
    return Line(
        f"{what}, dense / local",
        lambda: sum(dense_seconds(network(name), border) for border in borders),
        lambda: sum(local_seconds(network(name), border) for border in borders),
        bar,
        at_most=False,
        repeats=3,
    )


def dense_seconds(frozen_network: "nn.Module", border: int) -> float:
    """Seconds per image."""
    import torch

    images = whole(patches(1), border).contiguous(memory_format=torch.channels_last)
    with one_thread(), torch.inference_mode():
        return per_image(partial(frozen_network, images), FEW)


def local_seconds(frozen_network: "nn.Module", border: int) -> float:
    """Seconds per image, with its share of the blank canvas."""
    from qi_datasets.networks.local import LocalEvaluation

    size, patch = QUADRANT.canvas + 2 * border, (QUADRANT.patch, QUADRANT.patch)
    with one_thread():
        start = time.perf_counter()
        evaluation = LocalEvaluation(frozen_network, size, patch=patch, places=[(border, border)])
        blank = time.perf_counter() - start
        batch = patches(MANY)
        return blank / SPREAD + per_image(lambda: evaluation(batch, border, border), 1) / MANY


def step_seconds(dense: bool) -> float:
    """Seconds of a forward and a backward pass, batch norm in training mode."""
    import torch

    from qi_datasets.networks.local import LocalNetwork

    trained, batch = network("resnet18").train(), patches(AT_ONCE)
    local, images = LocalNetwork(trained, QUADRANT.canvas + 2 * WIDEST), whole(batch, WIDEST)
    with one_thread():
        start = time.perf_counter()
        answers = trained(images) if dense else local(batch, WIDEST, WIDEST)
        torch.autograd.backward(answers.square().mean())
        seconds = time.perf_counter() - start
    trained.eval()
    return seconds


def per_image(work: Callable[[], object], times: int) -> float:
    """Seconds of one call, after one that warms up."""
    work()
    start = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - start) / times


@cache
def network(name: str) -> "nn.Module":
    """A torchvision network with random weights."""
    import torch
    from torchvision.models import get_model

    torch.manual_seed(0)
    return get_model(name, weights=None).eval().to(memory_format=torch.channels_last)


def patches(count: int) -> "Tensor":
    """Normalised patches, (count, 3, h, w)."""
    import torch

    return torch.randn(count, 3, QUADRANT.patch, QUADRANT.patch, generator=torch.Generator().manual_seed(0))


def whole(batch: "Tensor", border: int) -> "Tensor":
    """The black images with these patches upper left."""
    import torch.nn.functional as F

    right = QUADRANT.canvas - QUADRANT.patch + border
    return F.pad(batch, (border, right, border, right))


@contextmanager
def one_thread() -> Iterator[None]:
    """Has torch use one thread meanwhile."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
