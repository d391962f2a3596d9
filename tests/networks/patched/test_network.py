"""Networks in training: batch norm by the batch of whole images, and gradients."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from qi_datasets.errors import OptionError
from qi_datasets.networks.convert import to_full_conv
from qi_datasets.networks.local import LocalEvaluation, LocalNetwork, local_features
from qi_datasets.networks.tolerance import is_equal, relative_difference
from qi_datasets.networks.variants import with_global_max_pool
from tests.networks.patched.networks import KINDS, Apply, patches_of, perturbed, pooled, small, whole_images
from tests.networks.zoo import SHALLOW
from tests.refusals import refused

TOLERANCE = 1e-11
BORDER, SIDE = 6, 36


def corners(pairs=3):
    """Patches, rows and columns of a mixed batch of both corners, and labels."""
    patches = torch.cat([patches_of(pairs)] * 2)
    label = torch.tensor([0] * pairs + [1] * pairs)
    order = torch.randperm(2 * pairs, generator=torch.Generator().manual_seed(2))
    return patches[order], (BORDER + 16 * label)[order], label[order]


def statistics(network):
    return torch.cat([torch.zeros(1), *(buffer.double().flatten() for buffer in network.buffers())])


def gradients(network):
    return torch.cat([weight.grad.flatten() for weight in network.parameters()])


def two_steps(network, answers, label):
    """Loss after two steps of training, with the answers, gradients and statistics of the second."""
    optimiser = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    for _ in range(2):
        optimiser.zero_grad()
        torch.manual_seed(3)
        logits = answers()
        F.cross_entropy(logits, label).backward()
        optimiser.step()
    return logits.detach(), gradients(network), statistics(network), nn.utils.parameters_to_vector(network.parameters())


def check_training(network, pairs=3):
    patches, at, label = corners(pairs)
    dense, local = network.double().train(), copy.deepcopy(network).double().train()
    images = whole_images(patches, at, at, SIDE)
    evaluation = LocalNetwork(local, SIDE)
    expected = two_steps(dense, lambda: dense(images), label)
    found = two_steps(local, lambda: evaluation(patches, at, at), label)
    for one, other in zip(expected, found, strict=True):
        assert relative_difference(one.detach(), other.detach()) < TOLERANCE
    return evaluation


@pytest.mark.crossed
@pytest.mark.parametrize("maximum", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_steps_of_training(kind, maximum):
    network = nn.Sequential(*small(kind, maximum=maximum), nn.LazyLinear(2))
    network.double()(patches_of(1, size=32))
    assert check_training(network).local


class Sized(nn.Module):
    """Pads a map to a multiple of 8, and divides it by its rows, however it asks for them."""

    def __init__(self, ask):
        super().__init__()
        self.ask = ask
        self.first, self.last = nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, images):
        x = self.first(images)
        rows, columns = self.ask(x)
        return self.last(F.pad(x, (0, -columns % 8, 0, -rows % 8)) / rows)


@pytest.mark.parametrize("ask", [lambda x: (x.shape[2], x.shape[-1]), lambda x: (x.size(2), x.size()[3])])
def test_sizes_of_maps_are_known(ask):
    network = nn.Sequential(pooled(Sized(ask)), nn.Linear(4, 2))
    assert check_training(network).local


@pytest.mark.crossed
@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("kind", [*KINDS, "resnet"])
def test_full_convolution(kind, exact):
    """Branches of ResNet meet where its own padding has them meet, which takes cropping, and sizes of maps."""
    own = small(kind) if kind in KINDS else with_global_max_pool(SHALLOW["resnet"]().double().eval())
    network = to_full_conv(own, exact)
    patches, at, _ = corners()
    evaluation = LocalEvaluation(network, SIDE, patch=tuple(patches.shape[2:]), places=[(6, 6), (22, 22)])
    with torch.no_grad():
        assert is_equal(evaluation(patches, at, at), network(whole_images(patches, at, at, SIDE)))
    assert evaluation.local


@pytest.mark.parametrize("momentum", [0.3, None])
def test_running_statistics(momentum):
    network = pooled(
        nn.Conv2d(3, 4, 3, 2), nn.BatchNorm2d(4, momentum=momentum), nn.ReLU(), nn.BatchNorm2d(4, affine=False)
    )
    assert check_training(nn.Sequential(*network, nn.Linear(4, 2))).local
    untracked = pooled(nn.BatchNorm2d(3, track_running_stats=False), nn.Conv2d(3, 2, 3))
    assert check_training(nn.Sequential(untracked, nn.BatchNorm1d(2))).local


def test_a_residual_network():
    torch.manual_seed(0)
    network = SHALLOW["resnet"]()
    network.avgpool = nn.AdaptiveMaxPool2d(1)
    assert check_training(network).local


class ChannelNorm(nn.Module):
    """Divides channels by their norms over all positions, of which one is 0."""

    def forward(self, x):
        x = torch.cat([x, 0 * x[:, :1]], 1)
        return x / (x.norm(p=2, dim=(2, 3), keepdim=True) + x.std((2, 3), keepdim=True) + 1)


@pytest.mark.parametrize("between", [nn.GELU, ChannelNorm])
def test_layers_without_bias_at_initialization(between):
    """Black is 0 in every layer, as padding is, which has no gradient."""
    torch.manual_seed(0)
    first, last = nn.Conv2d(3, 4, 3, padding=1), nn.LazyConv2d(4, 5, stride=2, padding=2)
    body = pooled(first, between(), last, nn.GELU(), nn.Conv2d(4, 4, 3, padding=1), maximum=False)
    network = nn.Sequential(body, nn.Linear(4, 2))
    network.double()(patches_of(1))
    for layer in (first, last):
        nn.init.zeros_(layer.bias)
    assert check_training(network).local


def test_calibration():
    """Without gradients, running statistics alone change; frozen features then follow them."""
    network, (patches, at, _) = small("residual"), corners()
    other = copy.deepcopy(network)
    with torch.no_grad():
        network.train()(whole_images(patches, at, at, SIDE))
        LocalNetwork(other.train(), SIDE)(patches, at, at)
    assert relative_difference(statistics(network), statistics(other)) < TOLERANCE
    expected = network.eval()(whole_images(patches, at, at, SIDE)).detach()
    evaluation = LocalEvaluation(other, SIDE, patch=(8, 8), places=[(BORDER, BORDER), (BORDER + 16, BORDER + 16)])
    assert is_equal(evaluation(patches, at, at), expected)


def test_mode_and_weights_may_change_between_calls():
    network, (patches, at, _) = small("residual"), corners()
    images, local = whole_images(patches, at, at, SIDE), LocalNetwork(network, SIDE)
    for change in (nn.Module.eval, nn.Module.train, perturbed, nn.Module.eval):
        change(network)
        tracked = copy.deepcopy(network.state_dict())
        expected = network(images).detach()
        network.load_state_dict(tracked)
        assert is_equal(local(patches, at, at).detach(), expected)


def test_gradients_in_evaluation_mode_reach_patches_too():
    network, (patches, at, _) = small("dense"), corners()
    dense, local = patches.clone().requires_grad_(), patches.clone().requires_grad_()
    network(whole_images(dense, at, at, SIDE)).sin().sum().backward()
    local_features(network, local, at, at, SIDE).sin().sum().backward()
    assert relative_difference(dense.grad, local.grad) < TOLERANCE


@pytest.mark.parametrize(
    "pool", [nn.AdaptiveMaxPool2d(1), Apply(lambda x: x.amax((2, 3), keepdim=True))], ids=["first", "spread"]
)
def test_ties(pool):
    """Coarse steps make many positions equal, inside the window and outside, whose gradients differ."""
    patches = patches_of(4).mul(2).round()
    for place in (0, 3, 9):
        grads = []
        for local in (False, True):
            torch.manual_seed(0)
            first = nn.Conv2d(3, 2, 3, padding=1, bias=True).double()
            first.weight.data.mul_(4).round_().div_(4)
            first.bias.data.fill_(1)
            # The slope differs by position, the value does not.
            network = nn.Sequential(first, Apply(lambda x: x - x.detach() + x.detach().clamp(0, 1)), pool, nn.Flatten())
            images = patches.clone().requires_grad_()
            answer = (
                LocalNetwork(network, 17)(images, place, place)
                if local
                else network(whole_images(images, place, place, 17))
            )
            (answer * torch.tensor([1.0, 3.0])).sum().backward()
            grads.append((answer.detach(), torch.cat([images.grad.flatten(), gradients(network)])))
        assert torch.equal(grads[0][0], grads[1][0])
        assert relative_difference(grads[0][1], grads[1][1]) < TOLERANCE


def test_the_size_of_the_batch_is_that_of_all_images():
    class Viewing(nn.Module):
        def forward(self, x):
            return x.amax((2, 3), keepdim=True).view(x.size(0), 3) * x.shape[0]

    patches, at, _ = corners()
    images = whole_images(patches, at, at, SIDE)
    assert torch.equal(LocalNetwork(Viewing(), SIDE)(patches, at, at), Viewing()(images))


def test_what_is_drawn_at_random_is_drawn_for_whole_maps():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.Dropout2d(0.5),
        nn.Conv2d(4, 4, 3),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 2),
    )
    evaluation = check_training(network)
    assert not evaluation.local
    assert evaluation.reasons == ["dropout2d"]


class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x.sigmoid()

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * (x.sigmoid() * (1 + x * (1 - x.sigmoid())))


@pytest.mark.parametrize("layers", [[nn.AdaptiveAvgPool2d(1), nn.Flatten()], []], ids=["inside", "at the end"])
def test_gradients_are_never_lost(layers):
    """In an autograd function of the network's own they would be; without gradients it is computed."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), Apply(Swish.apply), *layers).double()
    with pytest.raises(OptionError, match="Swish is an autograd function of the network's own"):
        LocalNetwork(network, SIDE)(patches_of(2), 3, 3)
    with torch.no_grad():
        found = LocalNetwork(network, SIDE)(patches_of(2), 3, 3)
        assert is_equal(found, network(whole_images(patches_of(2), 3, 3, SIDE)))


def test_a_place_outside_is_refused():
    with refused(OptionError, "does-not-fit", match="row 29, column 0"):
        LocalNetwork(small("plain"), SIDE)(patches_of(2), [0, 29], 0)
