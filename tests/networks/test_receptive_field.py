import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torchvision.models import VisionTransformer, resnet18, resnet50
from torchvision.models.resnet import BasicBlock

from qi_datasets.errors import OptionError
from qi_datasets.networks.features import extract_features
from qi_datasets.networks.padding import PADDINGS
from qi_datasets.networks.receptive_field import ReceptiveField, follow, location_horizon, receptive_field
from qi_datasets.networks.reference import QuadrantNet, RedGreenNet, RookNet
from qi_datasets.networks.tolerance import is_equal
from qi_datasets.networks.variants import with_global_max_pool, without_head
from tests.networks.pictures import corners
from tests.networks.zoo import DEEP, SHALLOW, Written, efficientnet


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (RookNet("same").layers, ReceptiveField(5, 1)),
        (RedGreenNet("full").layers, ReceptiveField(17, 8)),
        (QuadrantNet("full").layers, ReceptiveField(31, 16)),
        (QuadrantNet("valid", strides=(1, 1, 1, 1)).layers, ReceptiveField(9, 1)),
        (nn.Sequential(nn.Conv2d(1, 1, 3, dilation=4), nn.MaxPool2d(2), nn.AvgPool2d(3)), ReceptiveField(14, 6)),
        (resnet18(), ReceptiveField(435, 32)),
        (resnet50(), ReceptiveField(427, 32)),
    ],
    ids=["rook", "red_green", "quadrant", "unstrided", "pools", "resnet18", "resnet50"],
)
def test_receptive_field_and_total_stride_of_known_networks(layers, expected):
    assert receptive_field(layers) == expected


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("vgg16_bn", 212),
        ("mobilenet_v2", 491),
        pytest.param("densenet121", 2071, marks=pytest.mark.slow),
        pytest.param("convnext_tiny", 1688, marks=pytest.mark.slow),
    ],
)
def test_receptive_fields_of_deep_networks(name, size):
    # VGG's head reads places, and so everything, until its pooling is changed.
    assert receptive_field(DEEP[name]()) == ReceptiveField(size, 32, bounded=name != "vgg16_bn")
    assert receptive_field(with_global_max_pool(without_head(DEEP[name]()))) == ReceptiveField(size, 32)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        # Strides 2, 2 before 3 x 3 at strides 4, 8, 16 and 32 twice each, and means of 2 x 2 between them.
        (SHALLOW["densenet"], ReceptiveField(11 + 2 * 2 * (4 + 8 + 16 + 32) + 4 + 8 + 16, 32)),
        # A stem of 4 x 4, 7 x 7 at stride 4, 2 x 2 at stride 2 of that, 7 x 7 at stride 8.
        (SHALLOW["convnext"], ReceptiveField(4 + 6 * 4 + 4 + 6 * 8, 8)),
    ],
    ids=["densenet", "convnext"],
)
def test_receptive_fields_by_hand(make, expected):
    assert receptive_field(with_global_max_pool(without_head(make()))) == expected


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 2)), min_size=1, max_size=3))
def test_receptive_field_is_what_one_output_sees(layers):
    network = nn.Sequential(*(nn.Conv2d(1, 1, kernel, stride, dilation=d, bias=False) for kernel, stride, d in layers))
    for weight in network.parameters():
        nn.init.ones_(weight)
    field = receptive_field(network)
    image = torch.zeros(1, 1, field.size, field.size + field.stride, requires_grad=True)
    first, second = network(image)[0, 0, 0]
    seen = [torch.autograd.grad(output, image, retain_graph=True)[0][0, 0, 0].nonzero() for output in (first, second)]
    assert (seen[0].min(), seen[0].max()) == (0, field.size - 1)
    assert seen[1].min() == field.stride


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (efficientnet(), ReceptiveField(15, 4, bounded=False)),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(1, 4)), ReceptiveField(3, 1, bounded=False)),
        (QuadrantNet("circular"), ReceptiveField(31, 16, bounded=False)),
        (nn.Sequential(nn.CircularPad2d(1), nn.Conv2d(3, 4, 3)), ReceptiveField(3, 1, bounded=False)),
        (Written(lambda self, x: x - x.mean((2, 3), True)), ReceptiveField(1, 1, bounded=False)),
        (Written(lambda self, x: x + torch.fft.fft2(x).real), ReceptiveField(1, 1, bounded=False)),
    ],
    ids=["squeeze-and-excitation", "group norm", "circular", "circular layer", "mean", "unknown beside"],
)
def test_what_mixes_all_positions_is_not_bounded(network, expected):
    assert receptive_field(network) == expected


def test_branches_count_together():
    network = Written(lambda self, x: torch.cat((self.left(x)[:, :, :-4, :-4], self.right(x)), 1))
    network.left, network.right = nn.Conv2d(1, 1, 3, padding=2), nn.Conv2d(1, 1, 5, padding=1)
    assert receptive_field(network) == ReceptiveField(7 - 1, 1)


@pytest.mark.parametrize("end", [nn.AdaptiveAvgPool2d(1), nn.AdaptiveMaxPool2d(1)])
def test_what_comes_after_the_pooling_does_not_count(end):
    network = nn.Sequential(nn.Conv2d(3, 4, 5, 2), end, nn.Flatten(), nn.Linear(4, 2), nn.Softmax(1))
    assert receptive_field(network) == ReceptiveField(5, 2)


def coordinates(self, x):
    rows = torch.linspace(-1, 1, x.shape[-2])[:, None].expand(*x.shape[-2:])
    return self.conv(torch.cat((x, rows.expand(len(x), 1, *rows.shape)), 1)).relu().mean((2, 3))


PLACES = {
    "several positions": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 5, 2), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64, 2)
    ),
    "a flattened map": lambda: nn.Sequential(nn.Conv2d(3, 4, 5, 2), nn.Flatten()),
    "positions pooled to as many as there are": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 5, 2), nn.AdaptiveAvgPool2d(110), nn.Flatten()
    ),
    "coordinates": lambda: Written(coordinates, conv=nn.Conv2d(4, 4, 5, 2)),
    "a learned table": lambda: Written(
        lambda self, x: (self.conv(x) + self.table).relu().mean((2, 3)),
        conv=nn.Conv2d(3, 4, 5, 2),
        table=nn.Parameter(torch.rand(4, 110, 110)),
    ),
    "one row": lambda: Written(lambda self, x: self.conv(x)[:, :, 0].mean(2), conv=nn.Conv2d(3, 4, 5, 2)),
}


@pytest.mark.parametrize("make", PLACES.values(), ids=PLACES)
def test_places_that_are_kept_or_added_are_not_bounded(make):
    """Shown by a pixel far from any window that could tell: features differ with where the same pixel stands."""
    network = make()
    assert receptive_field(network) == ReceptiveField(5, 2, bounded=False)
    images = torch.zeros(2, 3, 224, 224)
    images[0, :, 2, 100], images[1, :, 132, 132] = 1, 1
    assert not is_equal(*network(images).detach())


def test_attention_over_patches_is_refused_by_name():
    with pytest.raises(OptionError, match="reshape"):
        receptive_field(VisionTransformer(32, 16, 1, 2, 8, 16), 32)


def test_a_network_that_does_not_run_is_refused_in_one_line():
    with pytest.raises(OptionError, match="does not run: RuntimeError") as error:
        receptive_field(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)))
    assert "\n" not in str(error.value)
    with pytest.raises(OptionError, match=r"torch.nn.Module, got a builtin"):
        receptive_field(len)


def test_following_leaves_the_network_as_it_is():
    network = DEEP["mobilenet_v2"]().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    receptive_field(network)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(layer.training for layer in network.modules())
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in network.modules())


def test_enlarging_and_blocks_are_followed():
    network = nn.Sequential(nn.Conv2d(3, 4, 4, 4), nn.Upsample(scale_factor=2), nn.Conv2d(4, 4, 3))
    assert receptive_field(network).stride == 2
    assert receptive_field(network).bounded
    blocks = Written(lambda self, x: x.view(*x.shape[:2], x.shape[2] // 7, 7, x.shape[3] // 7, 7).mean((3, 5)))
    assert receptive_field(blocks) == ReceptiveField(7, 7)
    assert follow(blocks).periods == {7}


@pytest.mark.parametrize("layer", [nn.Linear(2, 2), nn.Conv2d(1, 1, (3, 5)), nn.Conv2d(1, 1, 1, stride=(1, 2))])
def test_layers_without_a_known_field_are_refused(layer):
    with pytest.raises(OptionError):
        receptive_field(nn.Sequential(nn.ReLU(), layer))


def test_residual_branches_of_different_stride_are_refused():
    block = BasicBlock(4, 4)
    block.conv2.stride = (2, 2)
    with pytest.raises(OptionError, match="stride"):
        receptive_field(block)


@pytest.mark.parametrize(
    ("padding", "unbiased", "biased"), [("valid", 30, 30), ("same", 15, 30), ("circular", 15, 15), ("full", 0, 30)]
)
def test_horizons(padding, unbiased, biased):
    assert location_horizon(ReceptiveField(31, 16), padding, biased=False) == unbiased
    assert location_horizon(ReceptiveField(31, 16), padding, biased=True) == biased


def test_horizon_of_an_unknown_padding_is_refused():
    with pytest.raises(OptionError, match="half"):
        location_horizon(ReceptiveField(31, 16), "half", biased=False)


def corners_are_equal(network, border):
    return is_equal(*(extract_features(network, images, dtype=torch.float64) for images in corners(border)))


@pytest.mark.crossed
@pytest.mark.parametrize(
    "strides", [(1, 1, 1, 1), (2, 2), pytest.param((2, 1, 2), marks=pytest.mark.slow), (2, 2, 2, 2)], ids=str
)
@pytest.mark.parametrize("bias", [False, True], ids=["unbiased", "biased"])
@pytest.mark.parametrize("padding", PADDINGS)
def test_location_is_lost_at_the_horizon_and_not_much_before(padding, bias, strides):
    network = QuadrantNet(padding, bias=bias, strides=strides, channels=(3, 16, 16, 16, 16)[: len(strides) + 1])
    horizon = location_horizon(network.field, padding, biased=bias)
    beyond = range(horizon, horizon + network.field.stride)
    assert [border for border in beyond if not corners_are_equal(network, border)] == []
    if padding != "circular" and horizon:
        nearer = range(horizon // 3, horizon)
        assert not all(corners_are_equal(network, border) for border in nearer)


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_the_horizon_is_sharp_without_strides(padding):
    network = QuadrantNet(padding, strides=(1, 1, 1), channels=(3, 32, 32, 32))
    horizon = location_horizon(network.field, padding, biased=False)
    assert not corners_are_equal(network, horizon - 1)
    assert corners_are_equal(network, horizon)


@st.composite
def networks(draw):
    """A random network: convolutions, poolings, what adds places or mixes all of them, and some end."""
    layers, width = [], 3
    for kind in draw(
        st.lists(
            st.sampled_from(["conv", "conv", "conv", "pool", "norm", "gate", "rows", "table"]), min_size=1, max_size=4
        )
    ):
        if kind == "conv":
            kernel, stride = draw(st.integers(1, 4)), draw(st.integers(1, 2))
            padding, bias = draw(st.integers(0, kernel)), draw(st.booleans())
            layers += [nn.Conv2d(width, 4, kernel, stride, padding, bias=bias), nn.ReLU()]
            width = 4
        elif kind == "pool":
            layers.append(draw(st.sampled_from([nn.MaxPool2d(2), nn.AvgPool2d(3, 1, 1), nn.MaxPool2d(3, 2, 1)])))
        elif kind == "norm":
            layers.append(draw(st.sampled_from([nn.BatchNorm2d(width), nn.GroupNorm(1, width)])))
        elif kind == "gate":
            layers.append(Written(lambda self, x: x * x.mean((2, 3), True).sigmoid()))
        elif kind == "rows":
            layers.append(Written(lambda self, x: x + torch.linspace(0, 1, x.shape[2], dtype=x.dtype)[:, None]))
        else:
            layers.append(Written(lambda self, x: x * torch.arange(1, x.shape[3] + 1, dtype=x.dtype)))
    ends = [
        [nn.AdaptiveMaxPool2d(1), nn.Flatten()],
        [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 2)],
        [Written(lambda self, x: x.amax((2, 3)))],
        [nn.AdaptiveAvgPool2d(4), nn.Flatten()],
        [Written(lambda self, x: x[:, :, 0].mean(2))],
    ]
    torch.manual_seed(draw(st.integers(0, 9)))
    return nn.Sequential(*layers, *draw(st.sampled_from(ends))).eval()


@given(networks())
def test_a_bound_holds_in_dense_runs(network):
    """From R - 1 on both corners give the same, for every network that is called bounded; the others may differ."""
    field = receptive_field(network)
    if field.bounded and 32 % field.stride == 0:
        assert corners_are_equal(network, field.size - 1)
