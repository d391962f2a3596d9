"""Small networks of every kind for the network tests, with batch norm as training leaves it."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import DenseNet, GoogLeNet, MobileNetV2, ResNet
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.models.efficientnet import EfficientNet, MBConvConfig
from torchvision.models.googlenet import BasicConv2d, Inception
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.models.shufflenetv2 import ShuffleNetV2
from torchvision.models.vgg import VGG, make_layers
from torchvision.ops import StochasticDepth

from qi_datasets.networks.bagnet import BagNet


def perturbed(network, seed=0):
    """In eval mode, float64, no weight, bias or statistic of a normalisation at its initial value."""
    torch.manual_seed(seed)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d | nn.LayerNorm) and layer.weight is not None:
            layer.weight.data.uniform_(0.5, 1.5)
            layer.bias.data.uniform_(-0.5, 0.5)
        if isinstance(layer, nn.BatchNorm2d) and layer.running_mean is not None:
            layer.running_mean.uniform_(-0.5, 0.5)
            layer.running_var.uniform_(0.1, 0.4)
    for name, weight in network.named_parameters():
        if name.endswith("layer_scale"):
            weight.data.uniform_(0.5, 1.5)
    return network.double().eval()


class NarrowResNet(ResNet):
    def _make_layer(self, block, planes, *rest, **options):
        if planes == 64:
            self.inplanes = 4
        return super()._make_layer(block, planes // 16, *rest, **options)


def resnet(block, depths):
    network = NarrowResNet(block, depths, width_per_group=64)
    network.conv1, network.bn1 = nn.Conv2d(3, 4, 7, 2, 3, bias=False), nn.BatchNorm2d(4)
    network.fc = nn.Linear(32 * block.expansion, 3)
    return network


def vgg(widths, depths):
    layers = [part for width, depth in zip(widths, depths, strict=True) for part in [width] * depth + ["M"]]
    network = VGG(make_layers(layers, batch_norm=True), num_classes=3, init_weights=False)
    network.classifier = nn.Linear(49 * widths[-1], 3)
    return network


def convnext(*depths):
    widths = [*(8, 8, 12, 12)[: len(depths)], None]
    blocks = [CNBlockConfig(a, b, depth) for a, b, depth in zip(widths, widths[1:], depths, strict=False)]
    return ConvNeXt(blocks, num_classes=3)


def inception():
    return nn.Sequential(
        BasicConv2d(3, 8, kernel_size=7, stride=2, padding=3),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        Inception(8, 4, 4, 6, 2, 4, 4),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        Inception(18, 4, 4, 6, 2, 4, 4),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


def efficientnet():
    blocks = [MBConvConfig(2, 3, 2, 8, 8, 1, 1.0, 1.0), MBConvConfig(2, 3, 1, 8, 8, 1, 1.0, 1.0)]
    return EfficientNet(blocks, dropout=0.0, num_classes=3)


class BlurPool2d(nn.Module):
    """A blur pool with the attributes, and the padding of the reflected map, that timm's has."""

    def __init__(self, channels, stride=2):
        super().__init__()
        line = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("filt", (line[:, None] * line).expand(channels, 1, 3, 3).clone(), persistent=False)
        self.stride, self.padding, self.pad_mode, self.channels = stride, [1] * 4, "reflect", channels

    def forward(self, x):
        return F.conv2d(F.pad(x, self.padding, self.pad_mode), self.filt, stride=self.stride, groups=self.channels)


class Written(nn.Module):
    """A network whose forward pass is a function of itself and the images."""

    def __init__(self, forward, **layers):
        super().__init__()
        self.steps = forward
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, images):
        return self.steps(self, images)


def functional(self, x):
    x = F.relu(F.conv2d(F.pad(x, (0, 2, 1, 0)), self.conv.weight, self.conv.bias, 2, padding=1))
    x = F.batch_norm(x, self.norm.running_mean, self.norm.running_var, self.norm.weight, self.norm.bias)
    x = F.max_pool2d(x, 3, stride=1, padding=(1, 0), ceil_mode=True)
    return F.avg_pool2d(F.leaky_relu(x, 0.1), 2, count_include_pad=False)


def subsampled(self, x):
    x = self.first(x)
    beside = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))
    return F.relu(self.second(x) + beside)


def shuffled(self, x):
    x = self.first(x)
    left, right = x.chunk(2, dim=1)
    x = torch.cat((left, self.second(right)), dim=1)
    count, channels, height, width = x.size()
    x = x.view(count, 2, channels // 2, height, width)
    return torch.transpose(x, 1, 2).contiguous().view(count, -1, height, width)


def channels_last(self, x):
    x = self.first(x).permute(0, 2, 3, 1)
    x = F.gelu(self.linear(self.norm(x))).permute(0, 3, 1, 2)
    return x * self.scale[:, None, None] / x.abs().mean(1, keepdim=True).add(1)


def in_place(self, x):
    x = self.first(x)
    positive = F.relu_(x)
    x += self.second(positive)
    return x.mul_(2).clamp_(max=1.5)


def picked(self, x):
    red, others = x[:, 0].unsqueeze(1) * 0.5 + 0.25, x[:, 1:, 1:, :-1]
    return self.first(torch.cat((red[..., 2:, :-1], others[:, :, 1:]), dim=1)).softmax(1)


def stack(*layers):
    return lambda: nn.Sequential(*(layer() if isinstance(layer, type) else layer for layer in layers))


def conv(inputs, outputs, *sizes, **options):
    return nn.Conv2d(inputs, outputs, *sizes, **options)


SMALL: dict[str, Callable[[], nn.Module]] = {
    "valid": lambda: nn.Sequential(conv(3, 6, 3, 2), nn.ReLU(), conv(6, 6, 3, 2), nn.ReLU()),
    "same by name": lambda: nn.Sequential(conv(3, 6, 4, padding="same"), nn.ReLU(True), conv(6, 6, 3, padding="valid")),
    "padded too much": lambda: nn.Sequential(conv(3, 6, 3, 2, padding=5), nn.SiLU(), conv(6, 6, 2, 3, padding=1)),
    "dilated": lambda: nn.Sequential(conv(3, 6, 3, dilation=2, padding=2), nn.ReLU(), conv(6, 6, 2, 3)),
    "uneven": lambda: nn.Sequential(conv(3, 6, (1, 4), (2, 1), (0, 2)), nn.Tanh(), conv(6, 6, (3, 2), (1, 2), (1, 0))),
    "grouped": lambda: nn.Sequential(conv(3, 8, 3, padding=1), nn.Identity(), conv(8, 4, 3, 2, groups=4), nn.PReLU(4)),
    "batch norm": lambda: nn.Sequential(conv(3, 6, 5, 2, bias=False), nn.BatchNorm2d(6), nn.ReLU(), conv(6, 6, 3)),
    "max pool": lambda: nn.Sequential(conv(3, 6, 3), nn.MaxPool2d(3, 2, 1), conv(6, 6, 3), nn.MaxPool2d(2)),
    "dilated pool": lambda: nn.Sequential(conv(3, 6, 3), nn.MaxPool2d(3, 1, dilation=2), nn.LocalResponseNorm(3)),
    "mean pool": lambda: nn.Sequential(conv(3, 6, 3), nn.AvgPool2d(3, 2, 1, True), nn.ELU(), nn.AvgPool2d(2, 1)),
    "own divisor": lambda: nn.Sequential(conv(3, 6, 3), nn.AvgPool2d(3, 2, divisor_override=5)),
    "strides wider than kernels": lambda: nn.Sequential(conv(3, 6, 1, 3), nn.ReLU(), conv(6, 6, 2, 2)),
    "explicit padding": lambda: nn.Sequential(nn.ZeroPad2d((1, 0, 2, -1)), conv(3, 6, 3, 2), nn.ReflectionPad2d(1)),
    "reflected": lambda: nn.Sequential(conv(3, 6, 3, padding=1, padding_mode="reflect"), nn.ReLU(), conv(6, 6, 3)),
    "blurred": lambda: nn.Sequential(conv(3, 6, 3, padding=1), nn.ReLU(), BlurPool2d(6), conv(6, 6, 3, padding=1)),
    "pooled first": lambda: nn.Sequential(nn.AvgPool2d(2), nn.Hardswish(True), conv(3, 6, 3, padding=1)),
    "dropout": lambda: nn.Sequential(conv(3, 6, 3), nn.Dropout(), StochasticDepth(0.5, "row"), nn.Dropout2d()),
    "basic blocks": lambda: nn.Sequential(BasicBlock(3, 3), BasicBlock(3, 4, 2, nn.Conv2d(3, 4, 1, 2))),
    "functions": lambda: Written(functional, conv=conv(3, 6, 3), norm=nn.BatchNorm2d(6)),
    "subsampled": lambda: Written(subsampled, first=conv(3, 4, 3, padding=1), second=conv(4, 8, 3, 2, 1)),
    "shuffled": lambda: Written(shuffled, first=conv(3, 4, 3), second=conv(2, 6, 3, padding=1)),
    "channels last": lambda: Written(
        channels_last,
        first=conv(3, 4, 4, 4),
        norm=nn.LayerNorm(4),
        linear=nn.Linear(4, 6),
        scale=nn.Parameter(torch.rand(6)),
    ),
    "in place": lambda: Written(in_place, first=conv(3, 4, 3, 2, 1), second=conv(4, 4, 3, padding=1)),
    "picked": lambda: Written(picked, first=conv(3, 4, 3, 2, 1)),
    "densenet": lambda: DenseNet(4, (2, 2), 8, bn_size=2, num_classes=3),
    "vgg": lambda: vgg((6, 6, 8), (1, 2, 1)),
    "inception": inception,
    "mobilenet": lambda: MobileNetV2(3, inverted_residual_setting=[[1, 8, 1, 1], [2, 8, 2, 2], [2, 12, 1, 2]]),
    "convnext": lambda: convnext(1, 1),
    "bagnet": lambda: BagNet(3, widths=(4, 4, 6, 6)),
}
"""What can be converted: every layer and function, in networks of small receptive field."""

DEEP: dict[str, Callable[[], nn.Module]] = {
    "resnet18": lambda: resnet(BasicBlock, [2, 2, 2, 2]),
    "resnet50": lambda: resnet(Bottleneck, [3, 4, 6, 3]),
    "densenet121": lambda: DenseNet(2, (6, 12, 24, 16), 4, bn_size=2, num_classes=3),
    "vgg16_bn": lambda: vgg((8, 8, 8, 8, 8), (2, 2, 3, 3, 3)),
    "googlenet": lambda: GoogLeNet(3, aux_logits=False, init_weights=False),
    "mobilenet_v2": lambda: MobileNetV2(3, width_mult=0.1),
    "convnext_tiny": lambda: convnext(3, 3, 9, 3),
    "shufflenet": lambda: ShuffleNetV2([4, 8, 4], [8, 16, 32, 48, 64], num_classes=3),
    "bagnet33": lambda: BagNet(3, widths=(8, 8, 8, 8)),
}
"""The architectures that are evaluated, as deep as they are, and narrow where that can be had."""

SHALLOW: dict[str, Callable[[], nn.Module]] = {
    "resnet": lambda: resnet(BasicBlock, [1, 1, 1, 1]),
    "densenet": lambda: DenseNet(2, (2, 2, 2, 2), 4, bn_size=2, num_classes=3),
    "mobilenet": SMALL["mobilenet"],
    "convnext": SMALL["convnext"],
    "shufflenet": lambda: ShuffleNetV2([2, 2, 2], [8, 16, 32, 48, 64], num_classes=3),
    "bagnet": SMALL["bagnet"],
}
"""The same from their stem to their head, with few blocks between: what depends on no depth is quick to check."""
