"""What can't be followed is refused by name."""

import operator

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from qi_datasets.errors import OptionError
from qi_datasets.networks.convert import to_full_conv
from qi_datasets.networks.planes.tracing import trace
from tests.networks.zoo import DEEP, SMALL, BlurPool2d, Written, efficientnet, perturbed


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


MIXING = {
    "squeeze-and-excitation": (efficientnet, "features_1_0_block_2_avgpool"),
    "spatial mean": (lambda: written(lambda self, x: x - x.mean((2, 3), keepdim=True)), "node mean"),
    "spatial maximum": (lambda: written(lambda self, x: x / x.amax((2, 3), True)), "node amax"),
    "attention": (lambda: written(attention, attention=nn.MultiheadAttention(4, 1)), "node flatten"),
    "attention beside": (lambda: written(lambda self, x: x + torch.bmm(x, x)), "node bmm"),
    "weights of the image": (lambda: written(lambda self, x: F.conv2d(x, x)), "node conv2d"),
    "group norm": (lambda: after_conv(nn.GroupNorm(2, 4)), "layer 1"),
    "group norm function": (lambda: written(lambda self, x: F.group_norm(x, 2)), "node group_norm"),
    "instance norm": (lambda: after_conv(nn.InstanceNorm2d(4)), "layer 1"),
    "layer norm over space": (lambda: after_conv(nn.LayerNorm([4, 8, 8])), "layer 1"),
    "batch norm without statistics": (lambda: after_conv(nn.BatchNorm2d(4, track_running_stats=False)), "layer 1"),
    "batch norm of the batch": (
        lambda: written(lambda self, x: F.batch_norm(x, None, None, training=True)),
        "batch_norm",
    ),
    "softmax over space": (lambda: written(lambda self, x: x.softmax(-1)), "node softmax"),
    "linear over columns": (lambda: after_conv(nn.Linear(8, 8)), "layer 1"),
    "flattened map": (lambda: after_conv(nn.Flatten(), nn.Linear(256, 2)), "layer 1"),
    "viewed map": (lambda: written(lambda self, x: x.view(x.size(0), -1)), "node view"),
    "rows as channels": (lambda: written(lambda self, x: x.reshape(x.size(0), -1, 1, x.size(3))), "node reshape"),
    "several positions": (lambda: after_conv(nn.AdaptiveAvgPool2d(7)), "layer 1"),
    "one row": (lambda: written(lambda self, x: x[:, :, 0]), "node getitem"),
    "first rows": (lambda: written(lambda self, x: x[:, :, :4]), "node getitem"),
    "one image": (lambda: written(lambda self, x: x[:1]), "node getitem"),
    "mean of columns": (lambda: written(lambda self, x: x.mean(3)), "node mean"),
    "rows joined": (lambda: written(lambda self, x: torch.cat((x, x), 2)), "node cat"),
    "rows in pieces": (lambda: written(lambda self, x: x.chunk(2, 2)[0]), "node chunk"),
    "pieces as one": (lambda: written(lambda self, x: F.relu(x.chunk(2, 1))), "node relu"),
    "images moved": (lambda: written(lambda self, x: x.transpose(0, 1)), "node transpose"),
    "axes that differ": (lambda: written(lambda self, x: x + x.transpose(2, 3)), "node add"),
    "a weight per position": (
        lambda: written(lambda self, x: x * self.w, w=nn.Parameter(torch.rand(4, 8, 8))),
        "node mul",
    ),
    "padding by the size": (lambda: written(lambda self, x: F.pad(x, (x.shape[-1] % 2, 0))), "node pad"),
    "places of maxima": (lambda: after_conv(nn.MaxPool2d(2, return_indices=True)), "layer 1"),
    "upsampling": (lambda: after_conv(nn.Upsample(scale_factor=2)), "Upsample layer"),
    "transposed": (lambda: after_conv(nn.ConvTranspose2d(4, 4, 2)), "ConvTranspose2d layer"),
    "roll": (lambda: written(lambda self, x: x.roll(1, 3)), "calls roll"),
    "other arguments": (lambda: written(lambda self, x: F.avg_pool2d(x, 2, ceiling=True)), "avg_pool2d"),
    "transposed axes": (lambda: written(lambda self, x: self.conv(x.transpose(1, 2))), "conv"),
    "strides that differ": (lambda: written(lambda self, x: x + x[..., ::2, ::2]), "strides 1 and 2"),
    "an attribute": (lambda: written(lambda self, x: x.T), "reads T"),
    "two inputs": (lambda: nn.Bilinear(3, 3, 3), "images alone"),
    "control flow": (lambda: written(lambda self, x: x if x.sum() > 0 else -x), "can't be traced"),
    "no network": (lambda: operator.add, "torch.nn.Module"),
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
    with pytest.raises(OptionError, match=r"node roll \(in 1.0\)"):
        to_full_conv(nn.Sequential(conv(), nn.Sequential(inner)))


def test_layers_are_recognised_by_what_they_compute():
    class Plain(nn.Conv2d):
        pass

    class Standardised(nn.Conv2d):
        def _conv_forward(self, x, weight, bias):
            return super()._conv_forward(x, weight - weight.mean((1, 2, 3), keepdim=True), bias)

    network = nn.Sequential(Plain(3, 4, 3), Standardised(4, 4, 3), BlurPool2d(4))
    nodes = [node.op for node in trace(network).graph.nodes]
    assert nodes.count("call_module") == 2
    image = torch.rand(1, 3, 8, 8)
    margin = 12
    own = network(F.pad(image, (margin,) * 4))
    found = to_full_conv(network)(image)
    first = margin // 2 - 2
    assert torch.allclose(found, own[:, :, first : first + found.shape[2], first : first + found.shape[3]], atol=1e-6)


def test_the_mode_of_each_layer_is_kept():
    network = SMALL["dropout"]()
    network[1].eval()
    trace(network)
    assert [layer.training for layer in network] == [True, False, True, True]
    converted = to_full_conv(perturbed(DEEP["resnet18"]()))
    assert not any(layer.training for layer in converted.modules() if isinstance(layer, nn.BatchNorm2d))
