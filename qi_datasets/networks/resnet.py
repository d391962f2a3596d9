"""torchvision's residual networks for `receptive_field` and exact full convolution."""

from typing import Any, TypeAlias

from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from qi_datasets.errors import OptionError
from qi_datasets.networks.exact import Grounded, add, exactly
from qi_datasets.networks.receptive_field import ReceptiveField, follow

# BasicBlock | Bottleneck; torchvision carries no types.
Block: TypeAlias = Any


def resnet_layers(network: ResNet) -> nn.Sequential:
    """The layers of a torchvision ResNet up to, and without, its global pooling; weights are shared with `network`."""
    stem = (network.conv1, network.bn1, network.relu, network.maxpool)
    return nn.Sequential(*stem, network.layer1, network.layer2, network.layer3, network.layer4)


@exactly.register(BasicBlock)
@exactly.register(Bottleneck)
def _(block: Block, x: Grounded) -> Grounded:
    identity = exactly(block.downsample, x) if block.downsample is not None else x
    return exactly(block.relu, add(exactly(_branch(block), x), identity))


@follow.register(BasicBlock)
@follow.register(Bottleneck)
def _(block: Block, field: ReceptiveField) -> ReceptiveField:
    branch = follow(_branch(block), field)
    identity = follow(block.downsample, field) if block.downsample is not None else field
    if branch.stride != identity.stride:
        raise OptionError(f"the branches of a residual block differ in stride: {branch.stride}, {identity.stride}")
    return max(branch, identity, key=lambda path: path.size)


def _branch(block: Block) -> nn.Sequential:
    layers: list[nn.Module] = [block.conv1, block.bn1, block.relu, block.conv2, block.bn2]
    if isinstance(block, Bottleneck):
        layers += [block.relu, block.conv3, block.bn3]
    return nn.Sequential(*layers)
