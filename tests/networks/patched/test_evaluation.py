import copy
import warnings

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.models.vgg import cfgs, make_layers

from qi_datasets.errors import OptionError
from qi_datasets.networks.local import LocalEvaluation, LocalNetwork, local_features
from qi_datasets.networks.tolerance import is_equal
from tests.networks.patched import networks
from tests.networks.patched.networks import KINDS, patches_of, perturbed, pooled, small, whole_images
from tests.networks.zoo import DEEP
from tests.refusals import refused

PATCH, DISPLACEMENT = 56, 64


def googlenet(maximum):
    network = models.googlenet(weights=None, init_weights=False, aux_logits=False, num_classes=2)
    network.avgpool = nn.AdaptiveMaxPool2d(1) if maximum else nn.AdaptiveAvgPool2d(1)
    return network


LARGE = {
    "resnet18": lambda maximum: pooled(*[*models.resnet18().children()][:-2], maximum=maximum),
    "resnet50": lambda maximum: pooled(*[*models.resnet50().children()][:-2], maximum=maximum),
    "densenet121": lambda maximum: pooled(models.densenet121().features, nn.ReLU(inplace=True), maximum=maximum),
    "vgg16_bn": lambda maximum: pooled(make_layers(cfgs["D"], batch_norm=True), maximum=maximum),
    "googlenet": googlenet,
    "mobilenet_v2": lambda maximum: pooled(models.mobilenet_v2().features, maximum=maximum),
    "convnext_tiny": lambda maximum: pooled(models.convnext_tiny().features, maximum=maximum),
}


def narrow(name):
    """As deep as the large one, and narrow where that can be had."""

    def make(maximum):
        if name == "googlenet":
            return googlenet(maximum)
        network = DEEP[name]()
        if name.startswith("resnet"):
            return pooled(*[*network.children()][:-2], maximum=maximum)
        last = [nn.ReLU(inplace=True)] if name == "densenet121" else []
        return pooled(network.features, *last, maximum=maximum)

    return make


def check_large(make, border, dtype, *, maximum, corner):
    torch.manual_seed(0)
    network = perturbed(make(maximum)).to(dtype).eval()
    patches, side = patches_of(2, size=PATCH, dtype=dtype), PATCH + DISPLACEMENT + 2 * border
    place = border + corner * DISPLACEMENT
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.filterwarnings("error", "whole maps")
        found = local_features(network, patches, place, place, side)
        # One image after the other: a batch of large ones takes much memory.
        dense = torch.cat([network(whole_images(patch[None], place, place, side)) for patch in patches])
    assert is_equal(found, dense)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        *((name, torch.float64) for name in LARGE),
        ("resnet18", torch.float32),
        *(pytest.param(name, torch.float32, marks=pytest.mark.slow) for name in LARGE if name != "resnet18"),
    ],
    ids=str,
)
def test_deep_networks(name, dtype):
    double = dtype == torch.float64
    check_large(narrow(name), 16 * double, dtype, maximum=double, corner=int(double))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("border", [0, 16, 64, 512])
@pytest.mark.parametrize("name", LARGE)
def test_large_networks_at_many_borders(name, border, dtype):
    for corner in (0, 1):
        check_large(LARGE[name], border, dtype, maximum=True, corner=corner)
        check_large(LARGE[name], border, dtype, maximum=False, corner=corner)


@pytest.mark.crossed
@pytest.mark.parametrize("dtype", [pytest.param(torch.float32, marks=pytest.mark.slow), torch.float64], ids=str)
@pytest.mark.parametrize("maximum", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_both_corners_at_every_border(kind, maximum, dtype):
    network = small(kind, maximum=maximum).to(dtype)
    patches = patches_of(3, dtype=dtype)
    for border in (0, 1, 5, 16, 64):
        side = 24 + 2 * border
        places = [(border, border), (border + 16, border + 16)]
        evaluation = LocalEvaluation(network, side, patch=(8, 8), places=places)
        assert evaluation.local
        together = evaluation.at_all_places(patches)
        for place, found in zip(places, together, strict=True):
            expected = network(whole_images(patches, *place, side)).detach()
            assert is_equal(found, expected)
            assert is_equal(evaluation(patches, *place), expected)


def test_any_place_and_shape_of_patch():
    network = small("inception")
    patches = torch.randn(2, 3, 5, 9, dtype=torch.float64)
    for y, x in [(0, 0), (3, 21), (25, 0), (7, 8), (25, 21)]:
        expected = network(whole_images(patches, y, x, 30)).detach()
        assert is_equal(local_features(network, patches, y, x, 30).detach(), expected)


@pytest.mark.parametrize(
    "network",
    [small("residual"), pooled(nn.Conv2d(3, 4, 1, padding=1), nn.Conv2d(4, 4, 3, padding=2), maximum=False).double()],
    ids=["residual", "padded"],
)
def test_a_patch_that_is_the_image(network):
    patches = patches_of(2, size=16)
    assert is_equal(local_features(network.eval(), patches, 0, 0, 16).detach(), network(patches).detach())


def test_a_branch_that_reaches_further_than_the_one_with_the_wider_stride():
    """The blank canvas is folded by multiples of the total stride, whichever branch limits it."""
    torch.manual_seed(0)
    first = [nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, padding=1)]
    wide, far = pooled(nn.Conv2d(4, 4, 3, 2), maximum=False), pooled(nn.Conv2d(4, 4, 9, padding=4), maximum=False)
    network = nn.Sequential(*first, networks.Branches(wide, far, "cat")).double().eval()
    for side in range(60, 68):
        for place in (10, 30):
            expected = network(whole_images(patches_of(2), place, place, side)).detach()
            assert is_equal(local_features(network, patches_of(2), place, place, side).detach(), expected)


def test_each_image_may_have_its_own_place():
    network, patches = small("dense"), patches_of(7)
    rows, columns = torch.tensor([0, 4, 0, 9, 4, 4, 0]), [2, 3, 2, 5, 3, 2, 2]
    expected = network(whole_images(patches, rows, columns, 20)).detach()
    with torch.no_grad():
        assert is_equal(local_features(network, patches, rows, columns, 20), expected)


@pytest.mark.parametrize("batch", [1, 3, 7, 100, None])
def test_batches(batch):
    network, patches = small("residual"), patches_of(7)
    expected = network(whole_images(patches, 4, 4, 40)).detach()
    evaluation = LocalEvaluation(network, 40, patch=(8, 8), places=[(4, 4), (20, 20)], batch=batch)
    assert is_equal(evaluation(patches[:1], 4, 4), expected[:1])
    for _ in range(2):  # What was kept of the first batches serves the next ones.
        assert is_equal(evaluation(patches, 4, 4), expected)
        assert is_equal(evaluation(patches[:2], 4, 4), expected[:2])
        assert is_equal(evaluation.at_all_places(patches)[0], expected)


@pytest.mark.parametrize(
    "sampling",
    [nn.Conv2d(3, 3, 1, 16), nn.MaxPool2d(1, 16), networks.Apply(lambda x: x[:, :, ::16, ::16].sigmoid_())],
    ids=["convolution", "pool", "written into"],
)
def test_samples_between_which_the_patch_lies(sampling):
    torch.manual_seed(0)
    network = pooled(nn.Conv2d(3, 3, 3, padding=1), sampling, maximum=False).double().eval()
    for place, side in ((2, 40), (19, 40), (19, 30)):
        evaluation = LocalEvaluation(network, side, patch=(8, 8), places=[(place, place)])
        for batch in (patches_of(2), -patches_of(3)):
            assert is_equal(evaluation(batch, place, place), network(whole_images(batch, place, place, side)).detach())


def test_batches_of_a_network_that_is_computed_densely_are_as_small_as_the_images_are_large():
    class Gated(nn.Module):
        def forward(self, x):
            seen.append(len(x))
            return x.amax((2, 3)) if x.sum() > 0 else x.amin((2, 3))

    for side, most in ((16, 64), (512, 1)):
        seen = []
        evaluation = LocalEvaluation(Gated(), side, patch=(8, 8), places=[(2, 2)], dtype=torch.float64)
        assert not evaluation.local
        evaluation(patches_of(65), 2, 2)
        assert max(seen) == most


def test_a_frozen_network_is_a_copy_in_evaluation_mode():
    network, patches = small("residual"), patches_of(2)
    expected = network(whole_images(patches, 4, 4, 40)).detach()
    network.train()
    before = copy.deepcopy(network.state_dict())
    evaluation = LocalEvaluation(network, 40, patch=(8, 8), places=[(4, 4)])
    found = evaluation(patches, 4, 4)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    nn.init.zeros_(network[0].weight)
    assert is_equal(found, expected)
    assert is_equal(evaluation(patches, 4, 4), expected)


def test_other_types_of_number():
    network, patches = small("residual"), patches_of(2)
    expected = network(whole_images(patches, 4, 4, 40)).detach()
    evaluation = LocalEvaluation(network, 40, patch=(8, 8), places=[(4, 4)], dtype=torch.float32)
    assert is_equal(evaluation(patches, 4, 4), expected.float())
    assert local_features(small("residual"), patches.float(), 4, 4, 40).dtype == torch.float64


def test_patches_are_not_written_into():
    network = nn.Sequential(nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    patches = patches_of(2)
    before = patches.clone()
    with torch.no_grad():
        local_features(network.eval(), patches, 1, 1, 12)
        LocalNetwork(network, 12)(patches, 1, 1)
    assert torch.equal(patches, before)


def test_the_black_canvas_is_stored_as_its_edges_are():
    network = small("residual").float()
    large = LocalEvaluation(network, 4096 + 24, patch=(8, 8), places=[(2048, 2048)])
    small_image = LocalEvaluation(network, 512 + 24, patch=(8, 8), places=[(256, 256)])
    assert is_equal(large(patches_of(2), 2048, 2048), small_image(patches_of(2), 256, 256))


def test_what_is_proved_equal_is_computed_once():
    network = small("going down")
    for border, shared in ((64, True), (0, False)):
        places = [(border, border), (border + 16, border + 16)]
        evaluation = LocalEvaluation(network, 24 + 2 * border, patch=(8, 8), places=places)
        with torch.inference_mode():
            first, second = evaluation._answers(patches_of(2), places)
        assert (first is second) == shared


def test_backgrounds_are_kept_for_further_batches(monkeypatch):
    """They are not where weights change, or what comes before is of each image's own."""
    network, patches = small("residual"), patches_of(3)
    evaluation = LocalEvaluation(network, 60, patch=(8, 8), places=[(26, 26)], batch=1)
    evaluation(patches, 26, 26)
    kept = {key: list(found) for key, found in evaluation._kept._found.items()}
    evaluation(patches, 26, 26)
    assert kept
    assert kept.keys() == evaluation._kept._found.keys()
    with torch.no_grad():
        evaluation._network[0].weight.add_(0.1)
        network[0].weight.add_(0.1)
    assert is_equal(evaluation(patches, 26, 26), network(whole_images(patches, 26, 26, 60)).detach())


@pytest.mark.parametrize("wrong", [{"y": -1}, {"x": 13}, {"side": 7}, {"y": [0, 13, 0]}])
def test_patches_outside_the_image_are_refused(wrong):
    with pytest.raises(OptionError, match="patch"):
        local_features(small("plain"), patches_of(3), **({"y": 0, "x": 0, "side": 20} | wrong))


def test_unusable_patches_and_networks_are_refused():
    network = small("plain")
    evaluation = LocalEvaluation(network, 20, patch=(8, 8), places=[(1, 1)])
    for patches in (patches_of(2, size=9), patches_of(2, channels=1), patches_of(2)[0]):
        with pytest.raises(OptionError, match="patches"):
            evaluation(patches, 1, 1)
    for patches in (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), patches_of(2)[:0]):
        with pytest.raises(OptionError, match="floating"):
            evaluation(patches, 1, 1)
        with pytest.raises(OptionError, match="floating"):
            evaluation.at_all_places(patches)
        with pytest.raises(OptionError, match="floating"):
            local_features(network, patches, 1, 1, 20)
    for place in (1.0, [1], [[1, 1]]):
        with pytest.raises(OptionError, match="whole number"):
            local_features(network, patches_of(2), place, 1, 20)
    with refused(OptionError, "does-not-fit", match="row 2, column 1"):
        evaluation(patches_of(2), 2, 1)
    with pytest.raises(OptionError, match="depends on the batch"):
        LocalEvaluation(pooled(nn.BatchNorm2d(3, track_running_stats=False)), 20, patch=(8, 8), places=[(1, 1)])
    with pytest.raises(OptionError, match="one tensor"):
        local_features(networks.Apply(lambda x: (x.mean((2, 3)), 1)).train(), patches_of(2), 1, 1, 20)
    with pytest.raises(OptionError, match="one tensor"):
        LocalEvaluation(networks.Apply(lambda x: x.mean()), 20, patch=(8, 8), places=[(1, 1)])(patches_of(2), 1, 1)


def test_a_network_that_takes_more_than_images_is_refused():
    class Conditioned(nn.Module):
        def forward(self, images, condition):
            return images * condition

    class Optional(nn.Module):
        def forward(self, images, scale=2.0, mask=None):
            return (images if mask is None else images * mask).amax((2, 3)) * scale

    with pytest.raises(OptionError, match="condition"):
        local_features(Conditioned(), patches_of(2), 0, 0, 20)
    patches = patches_of(2)
    evaluation = LocalNetwork(Optional(), 20)
    assert is_equal(evaluation(patches, 0, 0), 2 * patches.amax((2, 3)).clamp(min=0))
    assert evaluation.local
