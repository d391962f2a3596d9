import numpy as np
import pytest
import torch
from qi_datasets.networks.exact import ExactFull, Grounded, add, exactly
from qi_datasets.networks.resnet import resnet_layers
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from qi_datasets.errors import OptionError
from qi_datasets.networks.features import extract_features
from qi_datasets.networks.receptive_field import receptive_field
from qi_datasets.networks.reference import QuadrantNet
from qi_datasets.networks.tolerance import is_equal, relative_difference
from tests.networks.pictures import corners


def perturbed(network):
    """Batch norm as training leaves it: no weight, bias or statistic at its initial value."""
    torch.manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.weight.data.uniform_(0.5, 1.5)
            layer.bias.data.uniform_(-0.5, 0.5)
            layer.running_mean.uniform_(-0.5, 0.5)
            layer.running_var.uniform_(1, 2)
    return network.eval()


def difference(network, dtype=torch.float64, **where):
    return relative_difference(*(extract_features(network, images, dtype=dtype) for images in corners(**where)))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("border", [0, 4, 16])
@pytest.mark.parametrize("strides", [(2, 2, 2, 2), (1, 1, 1, 1)], ids=str)
def test_biased_networks_are_blind(strides, border, dtype, tolerance):
    network = QuadrantNet("full", bias=True, strides=strides, channels=(3, 16, 16, 16, 16))
    assert difference(network.exact(), dtype, border=border) < tolerance


@pytest.mark.parametrize("strides", [(2, 2, 2, 2), (1, 1, 1, 1)], ids=str)
def test_zero_padding_lets_them_see(strides):
    network = QuadrantNet("full", bias=True, strides=strides, channels=(3, 16, 16, 16, 16))
    assert difference(network, border=0) > 1e-3
    zeros = ExactFull(network.layers, exact=False)
    assert difference(zeros, border=0) == pytest.approx(difference(network, border=0), rel=1e-9)


STACKS = {
    "biased": lambda: nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 8, 3, 2), nn.ReLU()),
    "dilated": lambda: nn.Sequential(nn.Conv2d(3, 8, 3, dilation=2), nn.ReLU(), nn.Conv2d(8, 8, 2, 3), nn.ReLU()),
    "grouped": lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.Identity(), nn.Conv2d(8, 4, 3, groups=4), nn.ReLU()),
    "batch norm": lambda: nn.Sequential(nn.Conv2d(3, 8, 5, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3)),
    "max pooling": lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.MaxPool2d(3, 2), nn.Conv2d(8, 8, 3), nn.MaxPool2d(2)),
    "dilated pooling": lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.MaxPool2d(3, 1, dilation=2)),
}


@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
@pytest.mark.parametrize("side", [1, 8, 13])
def test_exact_convolution_is_a_valid_convolution_on_a_large_black_canvas(stack, side):
    network = perturbed(stack()).double()
    field = receptive_field(network)
    image = torch.rand(2, 3, side, side, dtype=torch.float64)
    around = 3  # Outputs on each side that see black alone.
    margin = field.size - 1 + around * field.stride
    canvas = nn.functional.pad(image, (margin,) * 4)
    with torch.inference_mode():
        exact = exactly(network, Grounded.on_black(image))
        valid = network(canvas)
    height, width = exact.values.shape[2:]
    inside = valid[:, :, around : around + height, around : around + width]
    assert torch.allclose(exact.values, inside, rtol=0, atol=1e-12)
    outside = valid.clone()
    outside[:, :, around : around + height, around : around + width] = exact.ground
    assert torch.allclose(outside, exact.ground.expand_as(outside), rtol=0, atol=1e-12)
    assert torch.allclose(ExactFull(network)(image), valid.amax((2, 3)), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "blocks", [(BasicBlock, [2, 2, 2, 2]), (Bottleneck, [1, 2, 1, 1])], ids=["basic", "bottleneck"]
)
def test_residual_networks_are_blind_unless_the_displacement_is_out_of_step(blocks):
    layers = resnet_layers(perturbed(ResNet(*blocks)))
    exact, zeros = ExactFull(layers), ExactFull(layers, exact=False)
    assert receptive_field(layers).stride == 32
    assert difference(exact, border=0, count=2) < 1e-12
    assert difference(zeros, border=0, count=2) > 1e-3
    assert difference(exact, border=0, count=2, displacement=28) > 1e-3


@pytest.mark.parametrize("block", [BasicBlock(8, 8), Bottleneck(32, 8)], ids=["basic", "bottleneck"])
def test_a_residual_block_does_what_torchvision_does_far_from_the_boundary(block):
    block = perturbed(block).double()
    image = torch.rand(1, block.conv1.in_channels, 6, 6, dtype=torch.float64)
    exact = exactly(block, Grounded.on_black(image)).values
    beyond = (exact.shape[-1] - 6) // 2
    inside = slice(8 - beyond, 8 + 6 + beyond)
    expected = block(nn.functional.pad(image, (8,) * 4))[:, :, inside, inside]
    assert torch.allclose(exact, expected, rtol=0, atol=1e-12)


def test_black_stays_at_its_ground_to_the_last_bit():
    layers = resnet_layers(perturbed(ResNet(BasicBlock, [1, 1, 1, 1])))
    black = exactly(layers, Grounded.on_black(torch.zeros(1, 3, 40, 40)))
    assert torch.equal(black.values, black.ground.expand_as(black.values))


def test_the_black_beyond_the_map_takes_part_in_the_maximum():
    darkening = nn.Conv2d(1, 1, 1)
    nn.init.constant_(darkening.weight, -1)
    nn.init.constant_(darkening.bias, 1)
    assert ExactFull(darkening)(torch.ones(1, 1, 2, 2)).item() == 1


def test_weights_are_shared():
    network = QuadrantNet("same", bias=True)
    assert {*map(id, network.parameters())} == {*map(id, network.exact().parameters())}


def test_branches_are_padded_with_ground():
    small = Grounded(torch.full((1, 2, 1, 2), 5.0), torch.full((1, 2, 1, 1), 3.0))
    large = Grounded(torch.zeros(1, 2, 4, 3), torch.full((1, 2, 1, 1), 1.0))
    expected = torch.full((4, 3), 3.0)
    expected[2, 1:] = 5
    for total in (add(small, large), add(large, small)):
        assert torch.equal(total.values, expected.expand(1, 2, 4, 3))
        assert total.ground.flatten().tolist() == [4, 4]


@pytest.mark.parametrize("shape", [(1, 3, 4, 4), (1, 2, 3, 9), (1, 2, 9, 3)])
def test_branches_that_do_not_fit_are_refused(shape):
    with pytest.raises(OptionError, match="residual"):
        add(Grounded.on_black(torch.zeros(1, 2, 4, 4)), Grounded.on_black(torch.zeros(shape)))


@pytest.mark.parametrize(
    "layer",
    [nn.BatchNorm2d(3), nn.BatchNorm2d(3, track_running_stats=False).eval(), nn.Tanh()],
    ids=["training", "no statistics", "unknown"],
)
def test_layers_without_an_exact_form_are_refused(layer):
    with pytest.raises(OptionError):
        ExactFull(nn.Sequential(layer))(torch.zeros(1, 3, 4, 4))


def test_float32_on_the_large_canvas():
    network = QuadrantNet("valid", bias=True)
    image = corners(0)[0]
    margin = network.field.size - 1 + network.field.stride
    canvas = np.pad(image, ((0, 0), (0, 0), (margin,) * 2, (margin,) * 2))
    assert is_equal(extract_features(network.exact(), image), extract_features(network, canvas))
