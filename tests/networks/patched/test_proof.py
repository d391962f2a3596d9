import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision import models

from qi_datasets.errors import OptionError
from qi_datasets.networks.convert import to_full_conv
from qi_datasets.networks.local import corners_proved_equal
from qi_datasets.networks.padding import PADDINGS
from qi_datasets.networks.receptive_field import location_horizon
from qi_datasets.networks.reference import QuadrantNet
from qi_datasets.networks.tolerance import is_equal
from tests.networks.patched.networks import KINDS, Apply, Crop, patches_of, perturbed, pooled, small, whole_images
from tests.refusals import refused

PATCH, DISPLACEMENT = 8, 16


def side(border):
    return PATCH + DISPLACEMENT + 2 * border


def is_proved(*layers, border, displacement=DISPLACEMENT, shift=False):
    network = pooled(*layers)
    torch.manual_seed(0)
    if shift:
        perturbed(network)
    return corners_proved_equal(network, PATCH + displacement + 2 * border, PATCH, displacement)


@pytest.mark.crossed
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("strides", [(1, 1, 1, 1), (2, 2, 2, 2)], ids=str)
def test_networks_are_proved_blind_from_their_horizon_on(strides, padding, bias):
    network = QuadrantNet(padding, bias=bias, strides=strides, channels=(3, 4, 4, 4, 4)).double()
    horizon = location_horizon(network.field, padding, biased=bias)
    narrowest = max(0, (network.field.size - side(0) + 1) // 2)
    proved = {
        border: corners_proved_equal(network, side(border), PATCH, DISPLACEMENT)
        for border in range(narrowest, horizon + 3)
    }
    assert all(is_proved for border, is_proved in proved.items() if border >= horizon)
    patches = patches_of(4)
    for border, is_proved in proved.items():
        places = border, border + DISPLACEMENT
        first, second = (network(whole_images(patches, place, place, side(border))) for place in places)
        assert is_equal(first, second) or not is_proved
    # The padding of a biased network's first layer continues its black, which that horizon leaves out of account.
    if strides == (1, 1, 1, 1) and (padding == "valid" or not bias):
        assert list(proved.values()) == [False] * horizon + [True] * 3


def test_same_padding_without_biases_continues_black_and_crops():
    """Black stays 0, so that padding continues it: only the missing outputs speak against it."""
    layers = [nn.Conv2d(3, 4, 5, padding=2, bias=False), nn.ReLU()]
    assert not is_proved(*layers, border=1)
    assert is_proved(*layers, border=2)
    layers[0] = nn.Conv2d(3, 4, 5, padding=4, bias=False)
    assert is_proved(*layers, border=0)


def test_full_padding_with_a_bias_reads_padding_that_is_not_black():
    layers = [nn.Conv2d(3, 4, 3, padding=2), *(nn.Conv2d(4, 4, 3, padding=2) for _ in range(2))]
    assert [is_proved(*layers, border=border) for border in range(6)] == [False] * 4 + [True] * 2


@pytest.mark.parametrize("displacement", [16, 15, 14, 12])
def test_the_displacement_is_a_multiple_of_the_stride(displacement):
    layers = [nn.Conv2d(3, 4, 3, 2, 2, bias=False), nn.MaxPool2d(2), nn.Conv2d(4, 4, 1)]
    assert is_proved(*layers, border=20, displacement=displacement) == (displacement % 4 == 0)


@pytest.mark.parametrize(
    ("layer", "keeps"),
    [
        (nn.ReLU(), True),
        (nn.GELU(), True),
        (nn.Hardswish(), True),
        (nn.Sigmoid(), False),
        (nn.Softplus(), False),
        (nn.BatchNorm2d(4), True),
        (Apply(lambda x: x + 1e-30), False),
        (Apply(lambda x: x * 3 - 0), True),
        (nn.ConstantPad2d(0, 1.0), True),
        (nn.Conv2d(4, 4, 1), False),
        (nn.Conv2d(4, 4, 3, padding=2, bias=False), True),
        (nn.MaxPool2d(1), True),
    ],
    ids=str,
)
def test_whether_black_stays_0(layer, keeps):
    full = nn.Conv2d(4, 4, 3, padding=2, bias=False)
    assert is_proved(nn.Conv2d(3, 4, 3, padding=2, bias=False), layer, full, border=0) == keeps


def test_batch_norm_with_a_shift_is_not_black():
    layers = [nn.Conv2d(3, 4, 3, padding=2, bias=False), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, padding=2, bias=False)]
    assert is_proved(*layers, border=0)
    assert not is_proved(*layers, border=0, shift=True)
    layers[1] = nn.BatchNorm2d(4, track_running_stats=False)
    assert not is_proved(*layers, border=30)


def test_the_padding_of_maximum_pooling_is_less_than_black():
    """Black pixels beside the patch would win over negative ones; minus infinity does not."""
    layers = [nn.MaxPool2d(3, 2, 1), nn.Conv2d(3, 4, 1, bias=False)]
    assert not is_proved(*layers, border=0)
    assert is_proved(*layers, border=2)
    # Its padding leaves black what it is.
    assert is_proved(nn.MaxPool2d(3, 1, 1), nn.Conv2d(3, 4, 5, padding=4, bias=False), border=2)


@pytest.mark.parametrize(
    ("pool", "proved"),
    [
        (nn.AvgPool2d(2, 2, 1), True),
        (nn.AvgPool2d(2, 2, 1, count_include_pad=False), False),
        (nn.AvgPool2d(3, 2, 1, ceil_mode=True), False),
        (nn.AvgPool2d(3, 2, 1, ceil_mode=True, divisor_override=9), True),
    ],
    ids=str,
)
def test_the_padding_of_average_pooling(pool, proved):
    """It is 0 where it counts, and where the window ends beyond it the divisor shrinks."""
    assert corners_proved_equal(pooled(pool), 24, 8, 16) == proved


def test_what_reads_places_is_not_proved():
    for ending in (nn.Flatten(), nn.AdaptiveAvgPool2d(2), nn.Identity()):
        assert not corners_proved_equal(nn.Sequential(nn.Conv2d(3, 4, 1), ending), 24, 8, 16)


def test_gates_of_the_whole_image_are_the_same_in_both_corners():
    gate = Apply(lambda x: x * x.mean((2, 3), keepdim=True).sigmoid())
    assert is_proved(gate, nn.Conv2d(3, 4, 3), gate, border=30)
    assert not is_proved(nn.Conv2d(3, 4, 3, padding=1), gate, border=0)


def test_heads_and_combinations_of_pools_are_proved():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), Apply(lambda x: x.mean((2, 3)) + x.amax((2, 3))), nn.Linear(4, 2), nn.BatchNorm1d(2)
    )
    assert corners_proved_equal(network, 40, 8, 16)
    assert not corners_proved_equal(network, 24, 8, 16)


def test_samples_between_which_the_patch_lies():
    network = pooled(Crop(0, 0, 8))
    assert corners_proved_equal(network, 34, 1, 16, border=9)


def test_the_border_may_differ_on_the_two_sides():
    network = pooled(nn.Conv2d(3, 4, 5, padding=2, bias=False))
    assert not corners_proved_equal(network, 30, 8, 16, border=1)
    assert corners_proved_equal(network, 30, 8, 16, border=2)
    assert corners_proved_equal(network, 30, 8, 16, border=4)
    assert not corners_proved_equal(network, 30, 8, 16, border=5)
    with refused(OptionError, "does-not-fit", match="leaves"):
        corners_proved_equal(network, 30, 8, 16, border=7)


@pytest.mark.parametrize("kind", ["residual", "dense", "inception", "mobile", "channels last", "going down"])
def test_deep_networks_are_proved_at_wide_borders_only(kind):
    network = small(kind)
    assert not corners_proved_equal(network, side(0), PATCH, DISPLACEMENT)
    assert corners_proved_equal(network, side(128), PATCH, DISPLACEMENT)


@pytest.mark.parametrize("kind", KINDS)
def test_exact_full_convolution_is_proved_at_every_border(kind):
    network = to_full_conv(small(kind))
    assert all(corners_proved_equal(network, side(border), PATCH, DISPLACEMENT) for border in (0, 1, 5))
    assert not corners_proved_equal(network, side(5) + 1, PATCH, DISPLACEMENT + 1, border=5)


def test_exact_full_convolution_of_a_resnet_is_proved():
    torch.manual_seed(0)
    layers = [*models.resnet18().children()][:-2]
    network = to_full_conv(perturbed(pooled(*layers, maximum=True)).eval())
    assert corners_proved_equal(network, 120 + 2 * 16, 56, 64, border=16)


class PadsWith(nn.Module):
    """Two layers, between them padding with what `ground` makes of a black pixel and the first layer."""

    def __init__(self, ground, padding=0):
        super().__init__()
        self.first, self.other = (nn.Conv2d(3, 3, 3, padding=padding) for _ in range(2))
        self.last = nn.Conv2d(3, 3, 3)
        self.first.bias.data = torch.tensor([-0.1, 0.2, 0.3])
        self.ground, self.further = ground, [2 - padding] * 4

    def forward(self, images):
        black = self.ground(self, self.first.weight.new_zeros(1, 3, 1, 1))
        x = F.relu(self.first(F.pad(images, self.further)))
        return self.last(F.pad(x - black, (2, 2, 2, 2)) + black)


GROUNDS = {
    "its own": (lambda net, black: F.relu(net.first(black.expand(-1, -1, 3, 3))), 0, True),
    "another layer's": (lambda net, black: F.relu(net.other(black.expand(-1, -1, 3, 3))), 0, False),
    "a step too few": (lambda net, black: net.first(black.expand(-1, -1, 3, 3)), 0, False),
    "a step too many": (lambda net, black: F.relu(net.first(black.expand(-1, -1, 3, 3))) * 2, 0, False),
    "none": (lambda net, black: black, 0, False),
    "of windows with padding that continues black": (lambda net, black: F.relu(net.first(black)), 1, True),
    "of a weight": (lambda net, black: net.other.bias[None, :, None, None], 0, False),
}


@pytest.mark.parametrize(("ground", "padding", "proved"), GROUNDS.values(), ids=GROUNDS)
def test_padding_is_black_if_it_is_made_as_the_black_of_the_map(ground, padding, proved):
    network = pooled(PadsWith(ground, padding)).double()
    assert corners_proved_equal(network, side(1), PATCH, DISPLACEMENT) is proved


def test_a_proof_leaves_the_network_as_it_is():
    network = small("residual").train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert corners_proved_equal(network, 2**12 + 24, 8, 16)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
