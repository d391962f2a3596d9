"""Random networks of every padding, stride and bias: local evaluation is the dense one, and proofs are never wrong."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from qi_datasets.networks.local import LocalNetwork, local_features, obstacle_to_proof
from qi_datasets.networks.tolerance import is_equal
from tests.networks.local.networks import patches_of, random_networks, whole_images

CASES = {"network": random_networks(), "border": st.integers(0, 24), "displacement": st.integers(0, 24)}
PATCH = 5


def check(network, border, displacement):
    """Both corners, local against dense; and if they are proved equal, dense against dense."""
    side, patches = PATCH + displacement + 2 * border, patches_of(2, size=PATCH)
    places = [border, border + displacement]
    with torch.no_grad():
        dense = [answered(network, whole_images(patches, place, place, side)) for place in places]
        local = [local_features(network, patches, place, place, side) for place in places]
    for one, other in zip(dense, local, strict=True):
        assert is_equal(one, other)
    if obstacle_to_proof(network, side, PATCH, displacement) is None:
        assert is_equal(*dense)


def answered(network, images):
    """What the network answers; if the images are too small for it, the case is given up."""
    try:
        answer = network(images)
    except (RuntimeError, ValueError):
        assume(False)
    assume(answer.isfinite().all())
    return answer


@pytest.mark.filterwarnings("ignore:whole maps")
@given(**CASES)
@settings(max_examples=60)
def test_local_is_dense_and_proofs_hold(network, border, displacement):
    check(network, border, displacement)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:whole maps")
@given(**CASES)
@settings(max_examples=2000)
def test_local_is_dense_and_proofs_hold_in_many_cases(network, border, displacement):
    check(network, border, displacement)


@pytest.mark.filterwarnings("ignore:whole maps")
@given(**CASES)
@settings(max_examples=30)
def test_training_and_gradients(network, border, displacement):
    """One step of both corners in one batch: answers, running statistics, gradients of weights and patches."""
    side, patches = PATCH + displacement + 2 * border, torch.cat([patches_of(2, size=PATCH)] * 2)
    at = torch.tensor([border, border + displacement]).repeat(2)
    states = []
    for local in (False, True):
        network.train().zero_grad()
        for layer in network.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.reset_running_stats()
        images = patches.clone().requires_grad_()
        if local:
            found = LocalNetwork(network, side)(images, at, at)
        else:
            found = answered(network, whole_images(images, at, at, side))
        (found.sin() * torch.arange(1, 1 + found.numel()).view_as(found)).sum().backward()
        gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
        states.append([found, images.grad, *gradients, *(b.double() for b in network.buffers())])
    for dense, local in zip(*states, strict=True):
        assert torch.allclose(dense, local, rtol=1e-9, atol=1e-9 * dense.abs().max().item())
