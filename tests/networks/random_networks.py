"""A hypothesis strategy for small networks of every padding, stride, bias, pooling and branching."""

import torch
from hypothesis import assume
from hypothesis import strategies as st
from torch import nn

from qi_datasets.networks.receptive_field import receptive_field
from tests.networks.zoo import Written, perturbed


def conv(draw, inputs, outputs):
    kernel, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 2))
    stride = draw(st.integers(1, 3))
    padding = draw(
        st.integers(0, 4) if stride > 1 else st.one_of(st.integers(0, 4), st.sampled_from(["same", "valid"]))
    )
    bias = draw(st.booleans())
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=bias)


def max_pool(draw, inputs, outputs):
    kernel = draw(st.integers(1, 4))
    sizes = (kernel, draw(st.integers(1, 3)), draw(st.integers(0, kernel // 2)), draw(st.integers(1, 2)))
    return nn.Sequential(nn.MaxPool2d(*sizes, ceil_mode=draw(st.booleans())), nn.Conv2d(inputs, outputs, 1))


def mean_pool(draw, inputs, outputs):
    kernel = draw(st.integers(1, 4))
    sizes = (kernel, draw(st.integers(1, 3)), draw(st.integers(0, kernel // 2)))
    options = {"ceil_mode": draw(st.booleans()), "count_include_pad": draw(st.booleans())}
    return nn.Sequential(nn.AvgPool2d(*sizes, **options), nn.Conv2d(inputs, outputs, 1))


def branches(draw, inputs, outputs):
    """Two branches that meet, of one stride and different reach."""
    stride, kernels = draw(st.integers(1, 3)), draw(st.lists(st.sampled_from([1, 3, 5]), min_size=2, max_size=2))
    adds = draw(st.booleans())
    first, second = (
        nn.Conv2d(inputs, outputs if adds else 2, kernel, stride, kernel // 2, bias=draw(st.booleans()))
        for kernel in kernels
    )
    deeper = nn.Conv2d(first.out_channels, first.out_channels, 3, padding=1)
    join = torch.add if adds else lambda a, b: torch.cat((a, b), 1)
    outer = nn.Identity() if adds else nn.Conv2d(4, outputs, 1)
    return Written(
        lambda self, x: self.outer(join(self.deeper(self.first(x).relu()), self.second(x))),
        first=first,
        second=second,
        deeper=deeper,
        outer=outer,
    )


def normalisation(draw, inputs, outputs):
    return nn.Sequential(nn.BatchNorm2d(inputs), nn.Conv2d(inputs, outputs, 1, bias=draw(st.booleans())))


@st.composite
def networks(draw):
    """In eval mode, float64, 3 channels to 4; receptive field up to 25, total stride up to 9."""
    count = draw(st.integers(1, 4))
    layers = []
    for index in range(count):
        kind = draw(st.sampled_from([conv, conv, max_pool, mean_pool, branches, normalisation]))
        activation = draw(st.sampled_from([nn.ReLU(inplace=True), nn.SiLU(), nn.LeakyReLU(0.3), nn.Identity()]))
        torch.manual_seed(draw(st.integers(0, 99)))
        layers += [kind(draw, 4 if index else 3, 4), activation]
    network = perturbed(nn.Sequential(*layers), seed=draw(st.integers(0, 99)))
    field = receptive_field(network)
    assume(field.size <= 25 and field.stride <= 9)
    return network
