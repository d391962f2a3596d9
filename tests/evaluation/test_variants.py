"""Whether the corners are in one sampling phase is found by running the network, not from its name."""

import pytest
import torch
from torch import nn
from torchvision.models import SwinTransformer

from qi_datasets.evaluation.variants import has_phase
from qi_datasets.networks.features import extract_features
from qi_datasets.specs import QUADRANT
from tests.networks.zoo import DEEP, Written

SIDE = 2 * 7 * 64
"""A multiple of every period below."""


def swin(window):
    network = SwinTransformer(
        [4, 4], embed_dim=8, depths=[2], num_heads=[1], window_size=[window, window], stochastic_depth_prob=0
    )
    network.avgpool, network.head = nn.AdaptiveMaxPool2d(1), nn.Identity()
    return network


def in_blocks(side, x):
    """Returns each block of a map minus its own mean."""
    count, channels, height, width = x.shape
    blocks = x.view(count, channels, height // side, side, width // side, side)
    return (blocks - blocks.mean((3, 5), keepdim=True)).view(count, channels, height, width)


def patches(side, stride=None):
    return nn.Conv2d(3, 8, side, stride or side)


NETWORKS = {
    "patches of 16": (lambda: nn.Sequential(patches(16), nn.AdaptiveMaxPool2d(1), nn.Flatten()), False),
    "patches of 14": (lambda: nn.Sequential(patches(14), nn.AdaptiveMaxPool2d(1), nn.Flatten()), True),
    "blocks of 32": (
        lambda: Written(lambda self, x: in_blocks(8, self.first(x)).amax((2, 3)), first=patches(4)),
        False,
    ),
    "blocks of 28": (lambda: Written(lambda self, x: in_blocks(7, self.first(x)).amax((2, 3)), first=patches(4)), True),
    "attention in windows of 32": (lambda: swin(8), False),
    "attention in windows of 28": (lambda: swin(7), True),
}


@pytest.mark.parametrize(("make", "expected"), NETWORKS.values(), ids=NETWORKS)
def test_the_phase_of_the_corners_is_measured(make, expected):
    """And so are the features: a patch far from every edge gives the same ones after the displacement, or others."""
    torch.manual_seed(0)
    network = make().double().eval()
    assert has_phase(network, SIDE) is expected
    images = torch.zeros(2, 3, SIDE, SIDE, dtype=torch.float64)
    patch = torch.rand(3, 100, 100, dtype=torch.float64)
    for image, first in zip(images, (256, 256 + QUADRANT.displacement), strict=True):
        image[:, first : first + 100, first : first + 100] = patch
    features = torch.from_numpy(extract_features(network, images, dtype=torch.float64))
    assert torch.allclose(features[0], features[1], rtol=0, atol=1e-9) is not expected


def test_a_network_that_does_not_run_has_none():
    assert not has_phase(nn.Linear(3, 3), 224)
    assert not has_phase(DEEP["resnet18"](), 224)
