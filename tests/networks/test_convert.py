import copy
import math
import pickle
import warnings
from functools import cache
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision.models import MobileNetV2

from qi_datasets.errors import OptionError
from qi_datasets.networks.convert import convert_network, to_full_conv
from qi_datasets.networks.features import extract_features
from qi_datasets.networks.receptive_field import follow, receptive_field
from qi_datasets.networks.reference import QuadrantNet
from qi_datasets.networks.tolerance import is_equal, relative_difference
from qi_datasets.networks.variants import (
    _AtEnd,
    _Reached,
    with_global_max_pool,
    with_padding,
    without_head,
)
from tests.networks.pictures import corners
from tests.networks.random_networks import networks
from tests.networks.zoo import DEEP, SHALLOW, SMALL, Written, perturbed
from tests.refusals import refused

EQUAL = 1e-12


class Stop(_AtEnd):
    def compute_end(self, x, value):
        raise _Reached(x)


def last_map(forward, end, *args):
    """The map that ends there."""
    try:
        with Stop(end):
            forward(*args)
    except _Reached as reached:
        return reached.features


def up_to_the_pooling(network):
    """A network's last map, and what its positions see of the image along rows and columns."""
    network = copy.deepcopy(network)
    (end,) = follow(network).ends
    return convert_network(network, last_map, end) if end.operator else network, end.reaches


def first_position(reach, padding):
    """The first position of an endless map that sees some of an image, or in `valid` padding nothing else."""
    return -(-reach.before // reach.stride) if padding == "valid" else -(reach.after // reach.stride)


def equal(first, second):
    return first.shape == second.shape and relative_difference(first, second) < EQUAL


def check_on_a_large_canvas(network, image):
    """Exact full convolution is the network's own map on a large black canvas, and its black beyond; so are maxima."""
    maps, reaches = up_to_the_pooling(network)
    side, stride = image.shape[-1], math.lcm(*(reach.stride for reach in reaches))
    margin = -(-max(2 * r.size + 3 * r.stride for r in reaches) // stride) * stride
    with torch.no_grad():
        exact = to_full_conv(maps)
        found, black = exact(image), exact(torch.zeros_like(image[:1]))
        own = maps(F.pad(image, (margin,) * 4))
        highest = to_full_conv(with_global_max_pool(maps))(image)
    ground = black[:, :, :1, :1]
    assert equal(black, ground.expand_as(black))
    starts = [(-((r.after - margin) // r.stride), (margin + side - 1 + r.before) // r.stride + 1) for r in reaches]
    sees = tuple(slice(*span) for span in starts)
    assert equal(found, own[..., *sees])
    # Black around it, as far as no edge of the canvas reaches.
    inside = tuple(
        slice(start - r.size // r.stride - 1, stop + r.size // r.stride + 1)
        for (start, stop), r in zip(starts, reaches, strict=True)
    )
    assert all(part.start >= 0 for part in inside)
    assert equal(highest, own[..., *inside].amax((2, 3)))
    own[..., *sees] = ground
    assert equal(own[..., *inside], ground.expand_as(own[..., *inside]))


WIDE = ("bagnet", "vgg", "inception", "mobilenet", "densenet", "convnext")


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize(
    ("name", "side"),
    # An even and an odd side of each; the deeper ones take a canvas of seconds.
    [
        pytest.param(*case, marks=[pytest.mark.slow] * (case in product(WIDE, (20,))))
        for case in product(SMALL, (7, 20))
    ],
)
def test_exact_is_the_network_itself_on_a_large_black_canvas(name, side):
    check_on_a_large_canvas(perturbed(SMALL[name]()), torch.rand(2, 3, side, side, dtype=torch.float64))


def test_exact_resnet_18_is_itself_on_a_large_black_canvas():
    check_on_a_large_canvas(perturbed(DEEP["resnet18"]()), torch.rand(1, 3, 24, 24, dtype=torch.float64))


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@settings(max_examples=15, deadline=None)
@given(network=networks(), side=st.integers(6, 14))
def test_any_network_is_itself_on_a_large_black_canvas(network, side):
    check_on_a_large_canvas(network, torch.rand(1, 3, side, side, dtype=torch.float64))


def differing(network, *, border=0, dtype=torch.float64, **where):
    return relative_difference(*(extract_features(network, images, dtype=dtype) for images in corners(border, **where)))


def pooled(network):
    """Features before the head, by a global maximum."""
    return with_global_max_pool(without_head(network))


@pytest.mark.parametrize(
    "make",
    [
        *(pytest.param(SHALLOW[name], id=name) for name in ("resnet", "mobilenet", "shufflenet")),
        *(pytest.param(make, id=name, marks=pytest.mark.slow) for name, make in DEEP.items()),
    ],
)
def test_networks_are_blind_to_the_corner(make):
    torch.manual_seed(0)  # Of a few draws no filter of the narrow ones answers to a picture.
    network = pooled(perturbed(make()))
    assert receptive_field(network).stride in (8, 32)
    exact = to_full_conv(network)
    assert differing(exact, count=1) < EQUAL
    assert differing(exact, count=1, displacement=28) > 1e-4
    assert differing(to_full_conv(network, exact=False), count=1) > 1e-4


def test_resnet_18_is_blind_on_the_canvas_of_quadrant_imagenet():
    network = perturbed(DEEP["resnet18"]())
    where = {"count": 1, "patch": 56, "displacement": 64}
    assert differing(to_full_conv(network), **where) < EQUAL
    assert differing(to_full_conv(network), border=16, **where) < EQUAL
    assert differing(to_full_conv(network, exact=False), **where) > 1e-4


@pytest.mark.crossed
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, EQUAL)])
@pytest.mark.parametrize("border", [0, 4, 16])
@pytest.mark.parametrize("strides", [(2, 2, 2, 2), (1, 1, 1, 1)], ids=str)
def test_biased_networks_are_blind(strides, border, dtype, tolerance):
    network = QuadrantNet("full", bias=True, strides=strides, channels=(3, 16, 16, 16, 16))
    assert differing(network.exact(), dtype=dtype, border=border) < tolerance


@pytest.mark.parametrize("strides", [(2, 2, 2, 2), (1, 1, 1, 1)], ids=str)
def test_zero_padding_lets_them_see(strides):
    network = QuadrantNet("full", bias=True, strides=strides, channels=(3, 16, 16, 16, 16))
    zeros = to_full_conv(network, exact=False)
    image = torch.from_numpy(corners(0)[0]).float() / 255
    assert differing(zeros) > 1e-3
    assert torch.equal(zeros(image), network(image))


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(3, 1, 0), (3, 1, 1), (3, 2, 1), (5, 2, 0), (4, 3, 2), (1, 2, 0)]
)
def test_all_windows_that_meet_the_image_are_computed(kernel, stride, padding):
    layer = nn.Conv2d(3, 4, kernel, stride, padding, dtype=torch.float64)
    image = torch.rand(1, 3, 9, 9, dtype=torch.float64)
    starts = [j * stride - padding for j in range(-9, 99) if -kernel < j * stride - padding < 9]
    windows = F.pad(image, (20,) * 4)
    expected = [[windows[:, :, y + 20 :, x + 20 :][:, :, :kernel, :kernel] for x in starts] for y in starts]
    expected = torch.stack(
        [torch.stack([F.conv2d(w, layer.weight, layer.bias)[..., 0, 0] for w in row], -1) for row in expected], -2
    )
    assert equal(to_full_conv(layer, exact=False)(image), expected)


def test_full_pads_the_branches_with_zeros():
    network = Written(lambda self, x: self.wide(x) + x, wide=nn.Conv2d(1, 1, 3, padding=1))
    nn.init.ones_(network.wide.weight)
    nn.init.constant_(network.wide.bias, 10.0)
    image = torch.full((1, 1, 1, 2), 3.0)
    expected = torch.tensor([[13.0, 16, 16, 13], [13, 19, 19, 13], [13, 16, 16, 13]])
    assert torch.equal(to_full_conv(network, exact=False)(image)[0, 0], expected)


def test_the_black_beyond_the_map_takes_part_in_the_maximum():
    darkening = nn.Conv2d(1, 1, 1)
    nn.init.constant_(darkening.weight, -1)
    nn.init.constant_(darkening.bias, 1)
    network = nn.Sequential(darkening, nn.AdaptiveMaxPool2d(1), nn.Flatten())
    assert to_full_conv(network)(torch.ones(1, 1, 2, 2)).item() == 1
    assert to_full_conv(network, exact=False)(torch.ones(1, 1, 2, 2)).item() == 0


def test_a_mean_is_the_ground_and_what_the_image_adds_to_it():
    layer = nn.Conv2d(1, 1, 3, 2, 1)
    nn.init.ones_(layer.weight)
    nn.init.constant_(layer.bias, 5.0)
    image = torch.zeros(1, 1, 8, 8)
    image[0, 0, 3, 3] = 2.0  # In the windows of four positions.
    by_layer = nn.Sequential(layer, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    by_method = Written(lambda self, x: self.layer(x).mean((2, 3)), layer=layer)
    by_size = Written(lambda self, x: F.avg_pool2d(y := self.layer(x), y.shape[-2:]).flatten(1), layer=layer)
    for network in (by_layer, by_method, by_size):
        assert to_full_conv(network)(image).tolist() == [[5.0 + 4 * 2.0 / (8 * 8 / 4)]]


@pytest.mark.parametrize("background", [0.75, (0.5, -1.0, 2.0)], ids=str)
def test_another_background(background):
    network = perturbed(SMALL["basic blocks"]())
    image = torch.rand(1, 3, 8, 8, dtype=torch.float64)
    canvas = torch.zeros(1, 3, 48, 48, dtype=torch.float64) + torch.tensor(background).double().view(1, -1, 1, 1)
    canvas[:, :, 20:28, 20:28] = image
    highest = network(canvas)[:, :, 5:-5, 5:-5].amax((2, 3))
    exact = with_padding(with_global_max_pool(network), "exact", background=background)
    assert equal(exact(image), highest)
    with refused(OptionError, "contradiction", match="background"):
        to_full_conv(network, exact=False, background=background)


class TestWeights:
    def test_they_are_shared_and_keep_their_names(self):
        network = DEEP["resnet18"]()
        exact = to_full_conv(network)
        assert {*map(id, exact.parameters())} == {*map(id, network.parameters())}
        assert exact.state_dict().keys() == network.state_dict().keys()
        before = exact.eval()(image := torch.rand(1, 3, 40, 40))
        network.load_state_dict(perturbed(DEEP["resnet18"]()).state_dict())
        assert not is_equal(before, exact(image))

    def test_a_copy_is_independent(self):
        network = perturbed(DEEP["resnet18"]())
        exact, image = to_full_conv(network), torch.rand(1, 3, 40, 40, dtype=torch.float64)
        other = copy.deepcopy(exact)
        assert torch.equal(other(image), exact(image))
        with torch.no_grad():
            network.fc.bias.add_(1)
        assert equal(exact(image), other(image) + 1)

    def test_the_network_is_left_as_it_is(self):
        network = SMALL["picked"]()
        network.register_buffer("table", torch.rand(3))
        names, training = set(vars(network)), network.training
        to_full_conv(network)
        assert (set(vars(network)), network.training, network.first.padding) == (names, training, (1, 1))

    def test_gradients_are_those_on_a_large_canvas(self):
        network = perturbed(SMALL["basic blocks"]())
        image = torch.rand(2, 3, 6, 6, dtype=torch.float64, requires_grad=True)
        inside = network(F.pad(image, (24,) * 4))[:, :, 6:-6, 6:-6].amax((2, 3))
        found = to_full_conv(with_padding(network, "own"))
        wanted = torch.autograd.grad(inside.square().sum(), [image, *network.parameters()])
        exact = to_full_conv(Written(lambda self, x: self.body(x).amax((2, 3)), body=network))
        given = torch.autograd.grad(exact(image).square().sum(), [image, *network.parameters()])
        assert found is not network
        assert all(equal(a, b) for a, b in zip(wanted, given, strict=True))

    def test_it_trains_blind_to_the_corner(self):
        exact = to_full_conv(pooled(DEEP["resnet18"]().double().train()))
        exact.train()
        both = torch.from_numpy(np.concatenate(corners(0, count=3))).double() / 255
        features = exact(both)
        assert equal(features[:3], features[3:])
        features.square().sum().backward()
        assert exact.bn1.running_mean.abs().max() > 0
        assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in exact.parameters())

    def test_on_single_precision(self):
        network = QuadrantNet("valid", bias=True)
        image = corners(0)[0]
        margin = 3 * network.field.stride
        canvas = np.pad(image, ((0, 0), (0, 0), (margin,) * 2, (margin,) * 2))
        assert is_equal(extract_features(network.exact(), image), extract_features(network, canvas))


def small_mobilenet():
    return MobileNetV2(3, inverted_residual_setting=[[1, 8, 1, 1], [2, 8, 1, 2]])


@cache
def full_mobilenet(exact):
    return to_full_conv(pooled(perturbed(small_mobilenet())), exact)


@cache
def exported_mobilenet(exact):
    return torch.export.export(full_mobilenet(exact), (torch.rand(2, 3, 64, 64, dtype=torch.float64),)).module()


@pytest.mark.parametrize("exact", [True, False])
class TestTools:
    """What else is done with networks: kept in files, copied, put on devices, exported."""

    @pytest.fixture
    def network(self, exact):
        return copy.deepcopy(full_mobilenet(exact))

    @pytest.fixture
    def pixels(self):
        return torch.rand(2, 3, 64, 64, dtype=torch.float64)

    def test_it_is_saved_and_loaded_whole(self, network, pixels, tmp_path):
        torch.save(network, tmp_path / "network.pt")
        loaded = torch.load(tmp_path / "network.pt", weights_only=False)
        assert torch.equal(loaded(pixels), network(pixels))
        assert type(loaded) is type(network)

    def test_its_weights_are_those_of_the_network_itself(self, network, pixels, exact):
        other = pooled(small_mobilenet().double()).eval()
        other.load_state_dict(network.state_dict())
        assert torch.equal(to_full_conv(other, exact)(pixels), network(pixels))

    def test_copies_and_pickles(self, network, pixels):
        for made in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):  # noqa: S301
            assert torch.equal(made(pixels), network(pixels))
            assert not {*map(id, made.parameters())} & {*map(id, network.parameters())}

    def test_replicas_have_weights_of_their_own(self, network, pixels):
        assert torch.equal(nn.DataParallel(network)(pixels), network(pixels))
        replica = network._replicate_for_data_parallel()
        assert type(replica) is type(network)
        assert replica._modules is not network._modules

    def test_it_is_exported_to_plain_convolutions(self, network, pixels, exact):
        exported = exported_mobilenet(exact)
        assert equal(exported(pixels), network(pixels))
        assert not {type(layer) for layer in exported.modules()} & {type(layer) for layer in network.modules()}

    def test_it_is_traced_for_images_of_one_size(self, network, pixels):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # That it is one size, and that tracing is deprecated.
            traced = torch.jit.trace(network, pixels)
        assert equal(traced(pixels), network(pixels))

    def test_compiled_it_runs_as_it_is_for_every_size(self, network, pixels):
        torch._dynamo.reset()
        compiled = torch.compile(network, backend="eager")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert torch.equal(compiled(pixels), network(pixels))
            assert torch.equal(compiled(pixels[:, :, :48]), network(pixels[:, :, :48]))
        # Nothing of it is compiled, so that nothing is compiled again and again.
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 0

    def test_exported_it_compiles_as_a_whole(self, network, pixels, exact):
        assert equal(torch.compile(exported_mobilenet(exact), backend="eager", fullgraph=True)(pixels), network(pixels))

    @pytest.mark.parametrize(
        "read",
        [
            lambda network, pixels: torch.jit.script(network),
            lambda network, pixels: torch.jit.script(nn.Sequential(network)),
            lambda network, pixels: torch.fx.symbolic_trace(network),
            lambda network, pixels: torch.compile(network, backend="eager", fullgraph=True)(pixels),
        ],
        ids=["scripted", "scripted within another", "traced by fx", "compiled as one graph"],
    )
    @pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
    def test_what_can_not_read_it_says_what_can(self, network, pixels, read):
        torch._dynamo.reset()
        with torch.no_grad(), pytest.raises(Exception, match=r"torch\.export\.export\(network, \(images,\)\)"):
            read(network, pixels)


@pytest.mark.parametrize("images", [torch.rand(3, 8, 8), [1.0], None], ids=["one image", "a list", "nothing"])
def test_what_are_no_images_is_refused(images):
    with pytest.raises(OptionError, match=r"images are a tensor \(N, C, H, W\), got"):
        to_full_conv(nn.Conv2d(3, 4, 3))(images)
