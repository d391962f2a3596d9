import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from qi_datasets.errors import OptionError
from qi_datasets.networks.padding import PADDINGS, FullConv2d, make_conv2d, padding_per_side


@pytest.mark.parametrize(
    ("padding", "kernel_size", "dilation", "expected"),
    [
        ("valid", 5, 3, 0),
        ("same", 3, 1, 1),
        ("same", 5, 2, 4),
        ("circular", 3, 1, 1),
        ("full", 3, 1, 2),
        ("full", 4, 2, 6),
    ],
)
def test_padding_per_side(padding, kernel_size, dilation, expected):
    assert padding_per_side(padding, kernel_size, dilation) == expected


@pytest.mark.parametrize(("padding", "kernel_size"), [("half", 3), ("same", 4), ("circular", 2)])
def test_impossible_paddings_are_refused(padding, kernel_size):
    with pytest.raises(OptionError, match=padding):
        padding_per_side(padding, kernel_size)


@given(
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.integers(1, 3),
    dilation=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    groups=st.sampled_from([1, 2, 4]),
    bias=st.booleans(),
    side=st.integers(1, 9),
)
def test_full_convolution_pads_so_that_every_window_that_touches_the_image_counts(
    kernel, stride, dilation, groups, bias, side
):
    layer = FullConv2d(4, 8, kernel, stride, dilation=dilation, groups=groups, bias=bias, dtype=torch.float64)
    image = torch.rand(1, 4, side, side, dtype=torch.float64)
    y, x = (d * (k - 1) for k, d in zip(kernel, dilation, strict=True))
    expected = F.conv2d(F.pad(image, (x, x, y, y)), layer.weight, layer.bias, stride, 0, dilation, groups)
    assert torch.allclose(layer(image), expected, atol=1e-12)
    assert expected.shape[-2] == (side + y - 1) // stride + 1


@given(y=st.integers(0, 5), x=st.integers(0, 5), kernel_size=st.integers(1, 5), dilation=st.integers(1, 2))
def test_every_weight_meets_each_pixel(y, x, kernel_size, dilation):
    layer = FullConv2d(1, 1, kernel_size, dilation=dilation, bias=False, dtype=torch.float64)
    image = torch.zeros(1, 1, 6, 6, dtype=torch.float64)
    image[0, 0, y, x] = 1
    response = layer(image)
    assert sorted(response[response != 0].tolist()) == sorted(layer.weight.flatten().tolist())


def test_full_convolution_stands_in_for_conv2d():
    plain = nn.Conv2d(2, 6, 3, 2, 1, 1, 2, False)
    full = FullConv2d(2, 6, 3, 2, 1, 1, 2, False)
    full.load_state_dict(plain.state_dict())
    assert isinstance(full, nn.Conv2d)
    image = torch.rand(3, 2, 8, 8)
    # Windows of stride 2 that start at -1 (same) are those that start at -2 (full) on an image that is moved by one.
    moved = F.pad(image, (1, 0, 1, 0))
    assert torch.allclose(full(moved)[:, :, 1:5, 1:5], plain(image), atol=1e-6)


def test_full_convolution_pads_with_zeros_only():
    with pytest.raises(OptionError, match="reflect"):
        FullConv2d(1, 1, 3, padding_mode="reflect")


@pytest.mark.parametrize(("padding", "side"), [("valid", 6), ("same", 8), ("circular", 8), ("full", 10)])
def test_factory_gives_the_named_padding(padding, side):
    layer = make_conv2d(1, 2, 3, padding)
    assert layer(torch.rand(1, 1, 8, 8)).shape == (1, 2, side, side)


def test_circular_padding_wraps():
    image = torch.rand(1, 3, 7, 5)
    layer = make_conv2d(3, 2, 3, "circular", stride=1)
    assert torch.allclose(layer(image.roll((2, 3), (2, 3))), layer(image).roll((2, 3), (2, 3)), atol=1e-6)


def test_paddings_share_their_weights_under_one_seed():
    weights = []
    for padding in PADDINGS:
        torch.manual_seed(3)
        weights.append(make_conv2d(3, 4, 3, padding).weight)
    assert all(torch.equal(weight, weights[0]) for weight in weights)
