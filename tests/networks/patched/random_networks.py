"""Hypothesis draws small networks of every layer, padding, stride and bias."""

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import nn

from tests.networks.patched.networks import Apply, Branches, Crop, perturbed, pooled

CHANNELS = 3
UP_TO_2, UP_TO_3, UP_TO_4 = (st.integers(1, most) for most in (2, 3, 4))


@st.composite
def convolutions(draw):
    """Of every padding mode."""
    stride = draw(UP_TO_3)
    padding = draw(st.one_of(st.integers(0, 3), st.just("same" if stride == 1 else 0), st.just("valid")))
    mode = draw(st.sampled_from(["zeros"] * 6 + ["circular", "reflect", "replicate"]))
    size, groups = draw(st.tuples(UP_TO_4, UP_TO_4)), draw(st.sampled_from([1, CHANNELS]))
    return nn.Conv2d(CHANNELS, CHANNELS, size, stride, padding, draw(UP_TO_2), groups, draw(st.booleans()), mode)


@st.composite
def pools(draw):
    """By maximum or average."""
    size, stride, ceil = draw(UP_TO_3), draw(UP_TO_3), draw(st.booleans())
    padding = draw(st.integers(0, size // 2))
    if draw(st.booleans()):
        return nn.MaxPool2d(size, stride, padding, draw(UP_TO_2), ceil_mode=ceil)
    return nn.AvgPool2d(size, stride, padding, ceil, draw(st.booleans()), draw(st.sampled_from([None, 3])))


@st.composite
def borders(draw):
    """Explicit padding; by constants it may crop."""
    if draw(st.booleans()):
        amount = draw(st.tuples(*[st.integers(-2, 2)] * 4))
        return nn.ConstantPad2d(amount, draw(st.sampled_from([0.0, 0.5])))
    amount = draw(st.tuples(*[st.integers(0, 2)] * 4))
    return draw(st.sampled_from([nn.ReflectionPad2d, nn.ReplicationPad2d, nn.CircularPad2d]))(amount)


@st.composite
def branches(draw):
    """Two maps with different windows, added or multiplied."""
    first = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=draw(st.booleans()))
    others = [nn.Identity(), nn.MaxPool2d(3, 1, 1), nn.AvgPool2d(3, 1, 1), nn.Conv2d(CHANNELS, CHANNELS, 1)]
    return Branches(first, draw(st.sampled_from(others)), draw(st.sampled_from(["add", "mul"])))


@st.composite
def crops(draw):
    """Cropping, subsampling or both."""
    return Crop(draw(st.integers(0, 2)), draw(st.integers(0, 2)), draw(UP_TO_3))


@st.composite
def gates(draw):
    """What is computed of the whole image and goes back to every position: gates, and norms of images."""
    return draw(
        st.sampled_from(
            [
                Apply(lambda x: x * x.mean((2, 3), keepdim=True).sigmoid()),
                Apply(lambda x: x / (1 + x.norm(p=2, dim=(2, 3), keepdim=True))),
                Apply(lambda x: x * F.hardsigmoid(F.adaptive_max_pool2d(x, 1))),
                nn.GroupNorm(1, CHANNELS),
            ]
        )
    )


def scales():
    """Other numbers of rows and columns."""
    return st.sampled_from([nn.Upsample(scale_factor=1.3), nn.Upsample(scale_factor=1.2, mode="bilinear")])


LAYERS = st.one_of(
    *[convolutions()] * 4,
    pools(),
    pools(),
    borders(),
    branches(),
    crops(),
    gates(),
    scales(),
    st.builds(lambda: nn.BatchNorm2d(CHANNELS)),
)
ACTIVATIONS = st.sampled_from([nn.ReLU(), nn.ReLU(inplace=True), nn.Sigmoid(), nn.Identity()])


@st.composite
def random_networks(draw):
    """A few layers and activations, perturbed or as initialised, pooled by maximum or mean; 3 channels, float64."""
    torch.manual_seed(draw(st.integers(0, 2**31)))
    layers = [draw(kind) for _ in range(draw(st.integers(1, 5))) for kind in (LAYERS, ACTIVATIONS)]
    network = pooled(*layers, maximum=draw(st.booleans()))
    return (perturbed(network) if draw(st.booleans()) else network).double().eval()
