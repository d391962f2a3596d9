"""Lines about networks on black images with a patch: whole images against local evaluation.

One thread. Both corners of the same patches, seconds per image; the blank canvas is spread over 200 images.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from qi_datasets.specs import QI, QUADRANT
from tests.benchmarks.line import Line, timed
from tests.benchmarks.sources import Sources

if TYPE_CHECKING:
    from torch import Tensor, nn

SPREAD = 200
PATCHES = 32
# Pixels per pass with which a CPU answers fastest to whole images: their maps stay in its cache.
PIXELS = 2**17


def lines(sources: Sources) -> Iterator[Line]:
    """Yields lines: the widest border for three networks, all borders for one, and a step of training."""
    for name, bar in (("resnet18", 30), ("resnet50", 25), ("densenet121", 3)):
        yield Line(
            f"{name}, border 512, whole images / windows",
            measured(name, [512], whole_images),
            measured(name, [512], windows_of_each_corner),
            bar,
            at_most=False,
            repeats=3,
        )
    yield Line(
        "resnet18, all borders of qi, whole images / windows",
        measured("resnet18", QI.borders, whole_images),
        measured("resnet18", QI.borders, windows_of_both_corners),
        12,
        at_most=False,
    )
    yield Line(
        "resnet18, border 512, a step of training of 8 images, whole images / windows",
        lambda: training_step(windows=False),
        lambda: training_step(windows=True),
        5,
        at_most=False,
        repeats=3,
    )


def measured(name: str, borders: Any, way: Callable[["nn.Module", "Tensor", int], float]) -> Callable[[], float]:
    """Returns the seconds per image of a way to evaluate a network, summed over borders."""

    def measure() -> float:
        import torch

        with one_thread():
            network = perturbed(name)
            patches = torch.rand(PATCHES, 3, QUADRANT.patch, QUADRANT.patch)
            with torch.inference_mode():
                return sum(way(network, patches, border) for border in borders)

    return measure


def whole_images(network: "nn.Module", patches: "Tensor", border: int) -> float:
    """Evaluates whole images, as many at a time as suit a CPU."""
    import torch

    side = QUADRANT.canvas + 2 * border
    images = torch.zeros(max(1, PIXELS // side**2), 3, side, side).contiguous(memory_format=torch.channels_last)
    images[:, :, border : border + QUADRANT.patch, border : border + QUADRANT.patch] = patches[: len(images)]
    return timed(lambda: network(images)) / len(images)


def windows_of_each_corner(network: "nn.Module", patches: "Tensor", border: int) -> float:
    """Evaluates each corner by itself."""
    return _windows(network, patches, border, lambda evaluation, places: [evaluation(patches, *at) for at in places])


def windows_of_both_corners(network: "nn.Module", patches: "Tensor", border: int) -> float:
    """Evaluates both corners; values that are proved to be equal in both are computed once."""
    return _windows(network, patches, border, lambda evaluation, places: evaluation.at_all_places(patches))


def _windows(
    network: "nn.Module", patches: "Tensor", border: int, answer: Callable[[Any, list[tuple[int, int]]], object]
) -> float:
    from qi_datasets.networks.local import LocalEvaluation

    evaluations = []
    places = [(border + shift, border + shift) for shift in (0, QUADRANT.displacement)]
    side, patch = QUADRANT.canvas + 2 * border, (QUADRANT.patch, QUADRANT.patch)
    blank = timed(lambda: evaluations.append(LocalEvaluation(network, side, patch=patch, places=places)))
    evaluations[0].at_all_places(patches[:1])
    seconds = timed(lambda: answer(evaluations[0], places))
    return blank / SPREAD + seconds / (len(places) * len(patches))


def training_step(*, windows: bool) -> float:
    """Returns the seconds of the second training step, with gradients, of a ResNet-18 with max pooling."""
    import torch
    from torch import nn

    from qi_datasets.networks.local import LocalNetwork

    border, side = 512, QUADRANT.canvas + 1024
    with one_thread():
        network = perturbed("resnet18").train()
        head = nn.Sequential(network, nn.Linear(512, 2))
        patches = torch.rand(4, 3, QUADRANT.patch, QUADRANT.patch).repeat(2, 1, 1, 1)
        at = torch.tensor([border, border + QUADRANT.displacement]).repeat_interleave(4)
        local = LocalNetwork(head, side)

        def step() -> None:
            if windows:
                logits = local(patches, at, at)
            else:
                images = torch.zeros(8, 3, side, side).contiguous(memory_format=torch.channels_last)
                for image, patch, place in zip(images, patches, at.tolist(), strict=True):
                    image[:, place : place + QUADRANT.patch, place : place + QUADRANT.patch] = patch
                logits = head(images)
            nn.functional.cross_entropy(logits, (at > border).long()).backward()

        step()
        return timed(step)


def perturbed(name: str) -> "nn.Module":
    """Returns a torchvision network without its head, with max pooling and batch norms as after training."""
    import torch
    import torchvision
    from torch import nn

    torch.manual_seed(0)
    network = getattr(torchvision.models, name)(weights=None)
    if name.startswith("densenet"):
        network = nn.Sequential(network.features, nn.ReLU(inplace=True), nn.AdaptiveMaxPool2d(1), nn.Flatten())
    else:
        network.avgpool, network.fc = nn.AdaptiveMaxPool2d(1), nn.Identity()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.weight.data.uniform_(0.5, 1.5)
            layer.bias.data.normal_(0, 0.1)
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
    return network.eval().to(memory_format=torch.channels_last)


@contextmanager
def one_thread() -> Iterator[None]:
    """Limits PyTorch to one thread in the block."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
