import pytest
import torch
from torch import nn

from qi_datasets.errors import OptionError
from qi_datasets.networks.features import extract_features
from qi_datasets.networks.padding import PADDINGS
from qi_datasets.networks.reference import (
    QuadrantNet,
    RedGreenNet,
    RookNet,
    conv_stack,
    corner_maxima,
    one_hot_filters,
)
from qi_datasets.networks.tolerance import relative_difference
from tests.networks.pictures import corners


def corner_images(size=5):
    images = torch.zeros(2, 1, size, size)
    images[0, 0, 0, 0] = images[1, 0, -1, -1] = 1
    return images


def convolutions(network):
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]


@pytest.mark.parametrize("size", [3, 5, 40])
@pytest.mark.parametrize(("padding", "expected"), [("valid", [0, 1]), ("same", [0, 1]), ("full", [1, 1])])
def test_corner_table(padding, expected, size):
    assert corner_maxima(corner_images(size), padding)[:, -1].tolist() == expected


def test_full_convolution_keeps_every_response_and_the_others_lose_some():
    assert torch.equal(corner_maxima(corner_images(), "full"), torch.ones(2, 9))
    # A pixel of the corner meets one weight of a valid filter, and four of a same-padded one.
    assert corner_maxima(corner_images(), "valid").sum(1).tolist() == [1, 1]
    assert corner_maxima(corner_images(), "same").sum(1).tolist() == [4, 4]
    assert torch.equal(corner_maxima(corner_images(), "circular"), torch.ones(2, 9))


def test_one_hot_filters_are_in_row_order():
    filters = one_hot_filters()
    assert filters.shape == (9, 1, 3, 3)
    assert filters[5, 0].nonzero().tolist() == [[1, 2]]


def test_corner_maxima_take_other_filters_and_the_dtype_of_the_images():
    maxima = corner_maxima(corner_images().double(), "same", 2 * one_hot_filters(5))
    assert maxima.shape == (2, 25)
    assert maxima.dtype == torch.float64
    assert maxima.max() == 2


@pytest.mark.parametrize("padding", PADDINGS)
def test_networks_are_what_their_protocols_say(padding):
    rook, red_green = RookNet(padding), RedGreenNet(padding)
    assert [tuple(weight.shape) for weight in rook.parameters()] == [(1, 1, 5, 5), (2, 1), (2,)]
    assert [layer.weight.shape[:2] for layer in convolutions(red_green)] == [(32, 3), (32, 32), (64, 32), (64, 64)]
    assert [layer.stride[0] for layer in convolutions(red_green)] == [1, 2, 2, 2]
    assert all(layer.bias is None for layer in convolutions(red_green))
    assert rook(torch.rand(4, 1, 32, 32)).shape == (4, 2)
    assert red_green(torch.rand(4, 3, 32, 32)).shape == (4, 2)
    assert QuadrantNet(padding)(torch.rand(4, 3, 40, 40)).shape == (4, 64)


@pytest.mark.parametrize("bias", [False, True])
def test_versions_of_a_quadrant_net_share_their_weights(bias):
    def weights(padding, seed):
        return torch.cat([weight.flatten() for weight in QuadrantNet(padding, bias=bias, seed=seed).parameters()])

    assert all(torch.equal(weights(padding, 1), weights("full", 1)) for padding in PADDINGS)
    assert not torch.equal(weights("full", 1), weights("full", 2))
    assert all((layer.bias is not None) == bias for layer in convolutions(QuadrantNet("full", bias=bias)))


def test_a_quadrant_net_leaves_global_random_state_and_wants_no_gradient():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    network = QuadrantNet("same")
    assert torch.equal(torch.rand(3), expected)
    assert not any(weight.requires_grad for weight in network.parameters())


def test_of_the_unbiased_versions_full_convolution_alone_is_blind_at_every_border():
    differences = {
        padding: [
            relative_difference(*(extract_features(QuadrantNet(padding), images) for images in corners(border)))
            for border in (0, 1, 7)
        ]
        for padding in PADDINGS
    }
    assert differences.pop("full") == [0, 0, 0]
    assert all(max(found) > 1e-3 for found in differences.values())


def test_channels_and_strides_have_to_fit():
    with pytest.raises(OptionError, match="3 strides"):
        conv_stack((3, 8, 8), (1, 2, 2), "same", bias=False)
