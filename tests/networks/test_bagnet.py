import pytest
import torch
from torch import nn

from qi_datasets.networks.bagnet import BagNet, bagnet33
from qi_datasets.networks.features import extract_features
from qi_datasets.networks.receptive_field import ReceptiveField, receptive_field
from qi_datasets.networks.variants import with_global_max_pool, without_head
from tests.networks.pictures import corners
from tests.networks.zoo import perturbed


@pytest.fixture(scope="module")
def network():
    return bagnet33()


def test_its_outputs_see_33_pixels_8_apart(network):
    assert receptive_field(network) == ReceptiveField(33, 8)
    maps = nn.Sequential(*[*network.children()][:-2]).eval()
    image = torch.rand(1, 3, 41, 33, requires_grad=True)
    answer = maps(image)
    assert answer.shape == (1, 2048, 2, 1)
    (seen,) = torch.autograd.grad(answer[:, :, 1].square().sum(), image)
    rows = seen.abs().amax((0, 1, 3)).nonzero()
    assert (rows.min(), rows.max()) == (8, 40)


def test_its_layers_are_as_published(network):
    stages = [network.layer1, network.layer2, network.layer3, network.layer4]
    assert [len(stage) for stage in stages] == [3, 4, 6, 3]
    kernels = [[block.conv2.kernel_size[0] for block in stage] for stage in stages]
    assert kernels == [[3, *[1] * (len(stage) - 1)] for stage in stages]
    assert [stage[0].conv2.stride[0] for stage in stages] == [2, 2, 2, 1]
    assert all(layer.padding == (0, 0) for layer in network.modules() if isinstance(layer, nn.Conv2d))
    assert (network.conv1.kernel_size, network.conv2.kernel_size, network.conv2.out_channels) == ((1, 1), (3, 3), 64)
    assert sum(weight.numel() for weight in network.parameters()) == 18_310_184


def test_it_answers_with_one_logit_per_class():
    small = BagNet(7, widths=(4, 4, 4, 4), depths=(1, 1, 1, 1)).eval()
    assert small(torch.rand(2, 3, 40, 33)).shape == (2, 7)
    assert bagnet33(5).fc.out_features == 5


def test_it_reads_the_corner_up_to_the_border_of_its_receptive_field():
    network = with_global_max_pool(without_head(perturbed(BagNet(widths=(8, 8, 8, 8)))))
    same = {}
    for border in (0, 16, 31, 32, 40):
        first, second = (extract_features(network, images, dtype=torch.float64) for images in corners(border, count=2))
        same[border] = abs(first - second).max() < 1e-12
    assert same == {0: False, 16: False, 31: same[31], 32: True, 40: True}
