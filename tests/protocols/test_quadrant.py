"""The frozen protocol on features that are known beforehand."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from qi_datasets.errors import ModelError
from qi_datasets.protocols.quadrant import (
    CALIBRATION_BATCH,
    calibrate,
    check_alive,
    compare_corners,
    logit_answers,
    normalise_patches,
    probe_corners,
)
from tests.refusals import refused

RANDOM = np.random.default_rng(0)


def features(shift: float, count: int = 40, dtype: type = np.float32) -> np.ndarray:
    """Returns features of which the third alone differs between the corners."""
    values = RANDOM.normal(size=(count, 1, 5)).repeat(2, axis=1)
    values[:, 1, 2] += shift
    return values.astype(dtype)


def test_a_difference_is_read() -> None:
    found = probe_corners(features(3.0), features(3.0))

    right = (found.margins > 0) == np.arange(2)
    assert right.mean() > 0.9
    np.testing.assert_allclose(found.channels, 0.2)
    assert not found.equal


def test_a_difference_is_of_scale() -> None:
    values = features(0.5)
    found = compare_corners(values)

    np.testing.assert_allclose(found.difference, 0.5 / np.abs(values).max(), rtol=1e-5)


@pytest.mark.parametrize(("dtype", "shift"), [(np.float32, 1e-6), (np.float64, 1e-13), (np.float32, 0.0)])
def test_rounding_is_no_difference(dtype: type, shift: float) -> None:
    found = probe_corners(features(3.0, dtype=dtype), features(shift, dtype=dtype))

    assert found.equal
    assert not found.margins.any()
    assert not found.channels.any()


def test_one_source_that_differs_is_a_difference() -> None:
    test = features(0.0)
    test[7, 1, 0] += 1
    found = probe_corners(features(3.0), test)

    assert not found.equal
    assert (found.channels > 0).sum() == 1


@pytest.mark.parametrize("values", [np.zeros((4, 2, 3)), np.ones((4, 2, 3)), np.full((4, 2, 3), 7.0) + 1e-15])
def test_a_dead_network_is_refused(values: np.ndarray) -> None:
    with refused(ModelError, "not-finite", match="dead"):
        check_alive(values)


def test_living_networks_and_single_sources_pass() -> None:
    check_alive(features(0.0))
    check_alive(np.zeros((1, 2, 3)))


def test_a_network_that_sees_one_corner_alone_is_not_dead() -> None:
    values = features(0.0)
    values[:, 0] = 0.5
    check_alive(values)


@pytest.mark.parametrize("local", [True, False], ids=["local", "dense"])
def test_statistics_of_mostly_black_images_are_exact(local: bool) -> None:
    """In float32 as in float64: the mean over many equal values is not summed one by one."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten()
    )
    patches = torch.randn(6, 3, 56, 56)
    means = []
    for dtype in (torch.float32, torch.float64):
        copied = copy.deepcopy(network).to(dtype).to(memory_format=torch.channels_last)
        calibrate(copied, patches.to(dtype), 0, local=local)
        means.append(copied[1].running_mean.double())
        assert not any(layer._forward_pre_hooks for layer in copied.modules())
    assert float(((means[0] - means[1]) / means[1]).abs().max()) < 1e-5


def test_logits_are_answers() -> None:
    logits = np.array([[[1.0, 0.0], [0.0, 2.0]], [[0.0, 3.0], [1.0, 1.5]]], np.float32)
    found = logit_answers(logits)

    np.testing.assert_array_equal(found.margins, [[-1, 2], [3, 0.5]])
    np.testing.assert_allclose(found.difference, [2 / 3, 0.5])
    with refused(ModelError, "not-finite", match="diverged"):
        logit_answers(np.full((1, 2, 2), np.nan, np.float32))


def test_black_stays_zero_whatever_mean_and_deviation() -> None:
    patches = RANDOM.integers(0, 256, (2, 3, 4, 4), dtype=np.uint8)
    found = normalise_patches(patches, (0.5, 0.4, 0.3), (0.2, 0.1, 0.5))

    expected = (patches / 255 - np.array([0.5, 0.4, 0.3])[:, None, None]) / np.array([0.2, 0.1, 0.5])[:, None, None]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("local", [True, False])
def test_calibration_takes_the_mean_over_batches(local: bool) -> None:
    patches = torch.rand(CALIBRATION_BATCH, 3, 56, 56, generator=torch.Generator().manual_seed(1))
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.5), nn.AdaptiveMaxPool2d(1), nn.Flatten()).double()
    network[0].running_mean += 5
    network[0].num_batches_tracked += 3
    calibrate(network, patches.double(), 0, local=local)

    share = 56**2 / 120**2
    batches = patches.double().split(CALIBRATION_BATCH // 2)
    means = [batch.mean((0, 2, 3)) * share for batch in batches]
    torch.testing.assert_close(network[0].running_mean, torch.stack(means).mean(0))
    variances = []
    for batch, mean in zip(batches, means, strict=True):
        count = len(batch) * 120**2
        inside = batch.square().sum((0, 2, 3)) / count - mean.square()
        variances.append(inside * count * 2 / (2 * count - 1))
    torch.testing.assert_close(network[0].running_var, torch.stack(variances).mean(0))
    assert not any(layer.training for layer in network.modules())
