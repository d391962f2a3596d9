"""What can't be followed is refused by name."""

import operator

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from qi_datasets.errors import OptionError
from qi_datasets.networks.convert import to_full_conv
from tests.networks.zoo import DEEP, SMALL, BlurPool2d, Written, perturbed


def conv(inputs=3, outputs=4, kernel=3):
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)


def after_conv(*layers):
    return nn.Sequential(conv(), *layers)


def written(step, **layers):
    """A network that does `step` to the map of a convolution."""
    return Written(lambda self, x: step(self, self.conv(x)), conv=conv(), **layers)


def attention(self, x):
    flat = x.flatten(2).transpose(1, 2)
    return self.attention(flat, flat, flat)[0].mean(1)


def coordinates(self, x):
    return torch.cat((x, torch.linspace(0, 1, x.shape[-1]).expand(1, 1, *x.shape[-2:])), 1)


def written_into_a_view(self, x):
    x[:, :2].mul_(2)
    return x


MIXING = {
    "attention": (lambda: written(attention, attention=nn.MultiheadAttention(4, 1)), "flatten may mix"),
    "attention beside": (lambda: written(lambda self, x: x + torch.bmm(x[0], x[0])), "__getitem__ may mix"),
    "weights of the image": (lambda: written(lambda self, x: F.conv2d(x, x)), "conv2d may mix"),
    "layer norm over space": (lambda: after_conv(nn.LayerNorm([4, 224, 224])), "layer 1: layer_norm"),
    "softmax over space": (lambda: written(lambda self, x: x.softmax(-1)), "softmax may mix"),
    "linear over columns": (lambda: after_conv(nn.Linear(224, 8)), "layer 1: linear"),
    "flattened map": (lambda: after_conv(nn.Flatten()), "layer 1: flatten"),
    "viewed map": (lambda: written(lambda self, x: x.view(x.size(0), -1)), "view may mix"),
    "rows as channels": (lambda: written(lambda self, x: x.reshape(x.size(0), -1, 1, x.size(3))), "reshape may mix"),
    "several positions": (lambda: after_conv(nn.AdaptiveAvgPool2d(7)), "layer 1: adaptive_avg_pool2d"),
    "one row": (lambda: written(lambda self, x: x[:, :, 0]), "__getitem__ may mix"),
    "first rows": (lambda: written(lambda self, x: x[:, :, :4]), "__getitem__ may mix"),
    "one image": (lambda: written(lambda self, x: x[:1]), "__getitem__ may mix"),
    "mean of columns": (lambda: written(lambda self, x: x.mean(3)), "mean may mix"),
    "rows joined": (lambda: written(lambda self, x: torch.cat((x, x), 2)), "cat may mix"),
    "rows in pieces": (lambda: written(lambda self, x: x.chunk(2, 2)[0]), "chunk may mix"),
    "images moved": (lambda: written(lambda self, x: x.transpose(0, 1)), "transpose may mix"),
    "axes that differ": (lambda: written(lambda self, x: x + x.transpose(2, 3)), "add may mix"),
    "a weight per position": (
        lambda: written(lambda self, x: x * self.w, w=nn.Parameter(torch.rand(4, 224, 224))),
        "mul takes a constant that differs from position to position",
    ),
    "coordinates": (lambda: written(coordinates), "cat takes a constant that differs"),
    "places of maxima": (lambda: after_conv(nn.MaxPool2d(2, return_indices=True)), "layer 1: max_pool2d"),
    "upsampling": (lambda: after_conv(nn.Upsample(scale_factor=2)), "layer 1: interpolate"),
    "transposed": (lambda: after_conv(nn.ConvTranspose2d(4, 4, 2)), "layer 1: conv_transpose2d"),
    "roll": (lambda: written(lambda self, x: x.roll(1, 3)), "roll may mix"),
    "transposed axes": (
        lambda: written(lambda self, x: self.narrow(x.transpose(1, 2)), narrow=conv(224)),
        "conv2d may",
    ),
    "strides that differ": (lambda: written(lambda self, x: x + x[..., ::2, ::2]), "strides 1 and 2"),
    "written into a view": (lambda: written(written_into_a_view), "after mul has written into another view of it"),
    "an attribute": (lambda: written(lambda self, x: x.T), "T may mix"),
    "two inputs": (lambda: nn.Bilinear(3, 3, 3), "more than images: input2"),
    "no network": (lambda: operator.add, "torch.nn.Module"),
    "compiled": (lambda: torch.jit.script(conv()), "give the torch.nn.Module that it was made of"),
}


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize(("make", "name"), MIXING.values(), ids=MIXING)
def test_what_mixes_positions_or_is_not_known_is_refused_by_name(make, name, exact):
    network = make()
    with pytest.raises(OptionError, match=name) as error:
        to_full_conv(network, exact)
    assert "\n" not in str(error.value)


def test_the_place_of_a_function_is_named_by_the_layer_that_it_lies_in():
    inner = Written(lambda self, x: x.roll(1, 3))
    with pytest.raises(OptionError, match=r"layer 1.0: roll may mix"):
        to_full_conv(nn.Sequential(conv(), nn.Sequential(inner)))


def test_what_a_subclass_computes_is_what_counts():
    class Plain(nn.Conv2d):
        pass

    class Standardised(nn.Conv2d):
        def _conv_forward(self, x, weight, bias):
            return super()._conv_forward(x, weight - weight.mean((1, 2, 3), keepdim=True), bias)

    network = nn.Sequential(Plain(3, 4, 3), Standardised(4, 4, 3), BlurPool2d(4))
    image = torch.rand(1, 3, 8, 8)
    margin = 12
    own = network(F.pad(image, (margin,) * 4))
    found = to_full_conv(network)(image)
    first = margin // 2 - 2
    assert torch.allclose(found, own[:, :, first : first + found.shape[2], first : first + found.shape[3]], atol=1e-6)


def test_the_mode_of_each_layer_is_kept():
    network = SMALL["dropout"]()
    network[1].eval()
    to_full_conv(network)
    assert [layer.training for layer in network] == [True, False, True, True]
    converted = to_full_conv(perturbed(DEEP["resnet18"]()))
    assert not any(layer.training for layer in converted.modules() if isinstance(layer, nn.BatchNorm2d))
