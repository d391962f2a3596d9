"""Random networks of every padding, stride and bias: local evaluation is the dense one, and proofs are never wrong."""

from contextlib import contextmanager

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from qi_datasets.networks.convert import to_full_conv
from qi_datasets.networks.local import LocalNetwork, corners_proved_equal, local_features
from qi_datasets.networks.receptive_field import receptive_field
from qi_datasets.networks.tolerance import equal_tolerance, relative_difference
from qi_datasets.networks.variants import with_global_max_pool
from tests.networks.patched.networks import patches_of, whole_images
from tests.networks.patched.random_networks import random_networks
from tests.networks.random_networks import networks

CASES = {"network": random_networks(), "border": st.integers(0, 24), "displacement": st.integers(0, 24)}
PATCH = 5


def check(network, border, displacement):
    """Both corners, local against dense; and if they are proved equal, dense against dense."""
    side, patches = PATCH + displacement + 2 * border, patches_of(2, size=PATCH)
    places = [border, border + displacement]
    with torch.no_grad():
        with noting_largest_values(network) as largest:
            dense = [answered(network, whole_images(patches, place, place, side)) for place in places]
        local = [local_features(network, patches, place, place, side) for place in places]
    # The mean of what a norm has centred is the small rest of large parts: theirs is the rounding.
    answers = max(float(one.abs().max()) for one in dense)
    within = equal_tolerance(dense[0].dtype) * max(answers, max(largest) / 100)
    for one, other in zip(dense, local, strict=True):
        assert (one - other).abs().max() <= within
    if corners_proved_equal(network, side, PATCH, displacement):
        assert (dense[0] - dense[1]).abs().max() <= within


@contextmanager
def noting_largest_values(network):
    """Yields a list that takes the largest absolute value of each ordinary tensor that a layer answers."""
    largest = []

    def note(_, __, answer):
        if type(answer) is torch.Tensor:
            largest.append(float(answer.abs().max()))

    hooks = [layer.register_forward_hook(note) for layer in network.modules()]
    yield largest
    for hook in hooks:
        hook.remove()


def answered(network, images):
    """What the network answers; if the images are too small for it, the case is given up."""
    try:
        answer = network(images)
    except (RuntimeError, ValueError):
        assume(False)
    assume(answer.isfinite().all())
    return answer


def check_training(network, border, displacement):
    """One step of both corners in one batch: answers, running statistics, gradients of weights and patches."""
    side, patches = PATCH + displacement + 2 * border, torch.cat([patches_of(2, size=PATCH)] * 2)
    at = torch.tensor([border, border + displacement]).repeat(2)

    def dense(images):
        return network(whole_images(images, at, at, side))

    try:
        expected = step(network, patches, dense)
    except (RuntimeError, ValueError):
        assume(False)
    assume(all(part.isfinite().all() for part in expected))
    assume(not any(sees_a_constant(layer) for layer in network if isinstance(layer, torch.nn.BatchNorm2d)))
    local = step(network, patches, lambda images: LocalNetwork(network, side)(images, at, at))
    for one, other in zip(expected, local, strict=True):
        assert relative_difference(one, other) < 1e-9


def sees_a_constant(norm):
    """Whether a batch norm, after one step, has divided the rounding of some constant by what little it varied."""
    mean, variance = norm.running_mean / norm.momentum, (norm.running_var - 1) / norm.momentum + 1
    return bool((variance < 1e-6 * mean.square()).any())


def step(network, patches, answers):
    """Answers, gradients and running statistics of a step that starts with fresh statistics, one tensor for each."""
    network.train().zero_grad()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.reset_running_stats()
    images = patches.clone().requires_grad_()
    found = answers(images)
    (found.sin() * torch.arange(1, 1 + found.numel()).view_as(found)).sum().backward()
    # Where no output sees the patch, its gradient is missing, which counts as 0.
    inputs = [one for one in (images, *network.parameters()) if one.requires_grad]
    gradients = [torch.zeros(one.numel()) if one.grad is None else one.grad.flatten() for one in inputs]
    statistics = [buffer.double().flatten() for buffer in network.buffers()]
    return [found.detach(), torch.cat(gradients), torch.cat([torch.zeros(1), *statistics])]


@pytest.mark.filterwarnings("ignore:whole maps")
@given(**CASES)
@settings(max_examples=25)
def test_local_is_dense_and_proofs_hold(network, border, displacement):
    check(network, border, displacement)


@given(**{**CASES, "network": networks(), "exact": st.booleans()})
@settings(max_examples=20)
def test_full_convolution_is_proved_if_it_is_exact(network, border, displacement, exact):
    network = to_full_conv(with_global_max_pool(network), exact)
    check(network, border, displacement)
    stride = receptive_field(network).stride
    # Where branches meet, the patch's window may be cropped at a narrow border.
    if exact and border >= 2 * stride and displacement % stride == 0:
        assert corners_proved_equal(network, PATCH + displacement + 2 * border, PATCH, displacement)


@pytest.mark.filterwarnings("ignore:whole maps")
@given(**CASES)
@settings(max_examples=12)
def test_training_and_gradients(network, border, displacement):
    check_training(network, border, displacement)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:whole maps")
@given(**CASES)
@settings(max_examples=1000)
def test_both_in_many_cases(network, border, displacement):
    check(network, border, displacement)
    check_training(network, border, displacement)
