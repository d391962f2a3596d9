"""Residual branches that add nothing are found, whatever the layout, and nothing else is taken for one."""

from collections.abc import Callable

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from qi_datasets.networks.branches import DeadBranches, find_dead_branches
from tests.networks.zoo import Written

IMAGES = torch.rand(3, 3, 24, 24, generator=torch.Generator().manual_seed(0))


class Block(nn.Module):
    """A residual block whose branch ends in batch norm."""

    def __init__(self, weight: float, add: Callable[..., torch.Tensor] = torch.add) -> None:
        super().__init__()
        self.layers, self.add = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)), add
        nn.init.constant_(self.layers[1].weight, weight)
        nn.init.constant_(self.layers[1].bias, 0.3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.add(x, self.layers(x))


WAYS: dict[str, Callable[..., torch.Tensor]] = {
    "add": torch.add,
    "plus": lambda x, y: y + x,
    "in place": lambda x, y: y.add_(x),
    "sum": lambda x, y: sum((x, y)),
    "assigned": lambda x, y: y.__iadd__(x),
    "positions before channels": lambda x, y: (x.permute(0, 2, 3, 1) + y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2),
    "tokens": lambda x, y: (x.flatten(2).transpose(1, 2) + y.flatten(2).transpose(1, 2)).transpose(1, 2).view_as(x),
}


@pytest.mark.parametrize("by_batch", [False, True])
@pytest.mark.parametrize("add", WAYS.values(), ids=WAYS)
def test_a_branch_that_is_constant_is_dead(add: Callable[..., torch.Tensor], by_batch: bool) -> None:
    network = nn.Sequential(Block(0.0, add), Block(1.0, add), Block(1e-6, add))

    assert find_dead_branches(network, IMAGES, by_batch=by_batch) == DeadBranches(2, 3, ["0", "2"])
    assert network.training
    assert int(network[0].layers[1].num_batches_tracked) == 0


NO_BRANCHES: dict[str, Callable[..., torch.Tensor]] = {
    "a table of places": lambda self, x: x + torch.arange(24.0).expand(1, 3, 24, 24),
    "a table of places, repeated": lambda self, x: x + torch.arange(576.0).view(24, 24).repeat(3, 3, 1, 1),
    "a table of places, expanded": lambda self, x: x + torch.arange(24.0).expand(3, 3, 24, 24),
    "a number": lambda self, x: x + 1,
    "vectors": lambda self, x: x.mean((2, 3)) + torch.zeros(3, 3),
    "bias": lambda self, x: x + torch.zeros(1, 3, 1, 1),
}


@pytest.mark.parametrize("forward", NO_BRANCHES.values(), ids=NO_BRANCHES)
def test_what_is_no_branch_is_not_looked_at(forward: Callable[..., torch.Tensor]) -> None:
    assert find_dead_branches(Written(forward), IMAGES) == DeadBranches(0, 0, [])


def test_a_difference_of_images_is_a_branch() -> None:
    live = Written(lambda self, x: x + F.avg_pool2d(x, 3, 1, 1))
    assert find_dead_branches(live, IMAGES) == DeadBranches(0, 1, [])


@pytest.mark.parametrize(("zero", "dead"), [(False, 0), (True, 8)])
def test_networks_of_the_libraries(zero: bool, dead: int) -> None:
    torch.manual_seed(0)
    found = find_dead_branches(torchvision.models.resnet18(zero_init_residual=zero), IMAGES, by_batch=True)
    assert (found.count, found.of) == (dead, 8)
    assert found.layers[:2] == (["layer1.0", "layer1.1"] if zero else [])


def test_layer_scale_is_next_to_nothing() -> None:
    torch.manual_seed(0)
    from torchvision.models.convnext import CNBlockConfig, ConvNeXt

    for scale, dead in ((1e-6, 3), (1.0, 0)):
        network = ConvNeXt([CNBlockConfig(8, 12, 2), CNBlockConfig(12, None, 1)], layer_scale=scale)
        assert find_dead_branches(network, IMAGES).count == dead
