from contextlib import suppress

import numpy as np
import pytest
import torch
from torch import nn

from qi_datasets.errors import OptionError
from qi_datasets.networks import features
from qi_datasets.networks.features import as_input, extract_features, ieee_float32
from qi_datasets.networks.probe import LinearProbe
from qi_datasets.networks.reference import QuadrantNet
from qi_datasets.networks.tolerance import is_equal

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 3, 33, 40), dtype=np.uint8)


class TestExtraction:
    def test_features_are_what_the_network_answers(self):
        network = QuadrantNet("same")
        expected = network(torch.from_numpy(IMAGES).float() / 255).numpy()
        assert is_equal(extract_features(network, IMAGES), expected)

    def test_the_form_of_the_input_does_not_matter(self):
        network = QuadrantNet("full", bias=True)
        expected = extract_features(network, IMAGES)
        for images in (
            torch.from_numpy(IMAGES),
            IMAGES.astype(np.float32) / 255,
            (IMAGES[rows] for rows in (slice(0, 3), slice(3, 3), slice(3, 7))),
            [IMAGES[:1], torch.from_numpy(IMAGES[1:])],
        ):
            assert is_equal(extract_features(network, images), expected)

    def test_large_arrays_are_cut_into_passes(self, monkeypatch):
        sizes = []

        class Counting(nn.Module):
            def forward(self, images):
                sizes.append(len(images))
                return images.amax((2, 3))

        monkeypatch.setattr(features, "_CPU_PIXELS", 3 * 33 * 40)
        assert extract_features(Counting(), IMAGES).shape == (7, 3)
        assert sizes == [3, 3, 1]

    @pytest.mark.parametrize(("dtype", "name"), [(torch.float32, "float32"), (torch.float64, "float64")])
    def test_dtype(self, dtype, name):
        network = QuadrantNet("same")
        assert extract_features(network, IMAGES, dtype=dtype).dtype == name
        assert next(network.parameters()).dtype == torch.float32

    def test_the_network_is_frozen_and_left_as_it_is(self):
        network = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.AdaptiveMaxPool2d(1), nn.Flatten()
        )
        before = {name: value.clone() for name, value in network.state_dict().items()}
        first, second = extract_features(network, IMAGES), extract_features(network, IMAGES[::-1].copy())
        assert np.allclose(first, second[::-1])
        assert network.training
        assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())

    @pytest.mark.parametrize("images", [IMAGES[0], IMAGES.astype(np.int32), []], ids=["shape", "dtype", "none"])
    def test_unusable_images_are_refused(self, images):
        with pytest.raises(OptionError):
            extract_features(QuadrantNet("same"), images)

    def test_input_range(self):
        assert as_input(np.full((1, 1, 1, 1), 255, np.uint8)).item() == 1.0
        assert as_input(torch.full((1, 1, 1, 1), 0.5), dtype=torch.float64).item() == 0.5

    @pytest.mark.parametrize("precision", ["tf32", "ieee"])
    @pytest.mark.skipif(not hasattr(torch.backends.cuda.matmul, "fp32_precision"), reason="torch < 2.9")
    def test_tensor_float_32_is_off_within_and_as_before_after(self, precision):
        places = (torch.backends.cudnn.conv, torch.backends.cuda.matmul)
        at_first = [place.fp32_precision for place in places]
        try:
            for place in places:
                place.fp32_precision = precision
            with suppress(ZeroDivisionError), ieee_float32():
                within = [place.fp32_precision for place in places]
                raise ZeroDivisionError
            after = [place.fp32_precision for place in places]
        finally:
            for place, value in zip(places, at_first, strict=True):
                place.fp32_precision = value
        assert within == ["ieee", "ieee"]
        assert after == [precision, precision]


def noisy(rows=200, width=6, seed=0):
    random = np.random.default_rng(seed)
    labels = np.arange(rows) % 2
    values = random.normal(size=(rows, width)).astype(np.float32)
    values[:, 2] += 1.5 * labels
    return 100 + 7 * values, labels


class TestProbe:
    def test_the_fit_is_the_optimum(self):
        values, labels = noisy()
        probe = LinearProbe(values, labels, penalty=2.0)
        inputs = (torch.from_numpy(values).double() - probe.mean) * probe.scale
        assert inputs.mean(0).abs().max() < 1e-9
        assert inputs.std(0, correction=0).tolist() == pytest.approx([1] * 6)
        weights = probe.weights.clone().requires_grad_()
        odds = inputs @ weights[:-1] + weights[-1]
        loss = nn.functional.binary_cross_entropy_with_logits(odds, torch.from_numpy(labels).double(), reduction="sum")
        (loss + weights[:-1].square().sum()).backward()
        assert weights.grad.abs().max() < 1e-6
        assert probe.decision(values) == pytest.approx(odds.detach().numpy())

    def test_it_generalises(self):
        probe = LinearProbe(*noisy())
        values, labels = noisy(rows=1000, seed=1)
        assert 0.7 < (probe.predict(values) == labels).mean() < 0.85

    def test_separable_and_more_features_than_rows(self):
        values = np.random.default_rng(0).normal(size=(20, 300))
        labels = np.arange(20) % 2
        values[:, 5] += 50 * labels
        probe = LinearProbe(values, labels)
        assert (probe.predict(values) == labels).all()
        assert probe.weights.isfinite().all()

    @pytest.mark.parametrize("seed", [2, 17, 21])
    def test_outliers_that_throw_a_bare_newton_step_off(self, seed):
        values = np.random.default_rng(seed).normal(size=(1000, 3))
        values[:3] *= 1000
        labels = (values[:, 0] > 0).astype(int)
        labels[:2] = 1 - labels[:2]
        assert LinearProbe(values, labels).weights.abs().max() < 1e4

    def test_it_is_deterministic(self):
        assert torch.equal(LinearProbe(*noisy()).weights, LinearProbe(*noisy()).weights)

    def test_equal_features_for_both_labels_leave_chance(self):
        sources = np.random.default_rng(0).normal(size=(50, 8))
        rows, labels = sources.repeat(2, axis=0), np.arange(100) % 2
        assert (LinearProbe(rows, labels).predict(rows) == labels).mean() == 0.5

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_rounding_is_no_signal(self, dtype):
        labels = np.arange(100) % 2
        constant = np.full((100, 1), 3.0, dtype)
        constant[:, 0] += labels * 3 * np.finfo(dtype).eps
        sources = np.random.default_rng(0).normal(size=(50, 3)).repeat(2, axis=0).astype(dtype)
        rows = np.hstack([constant, sources])
        assert len(np.unique(rows[:, 0])) == 2
        assert (LinearProbe(rows, labels).predict(rows) == labels).mean() == 0.5

    @pytest.mark.parametrize(
        ("values", "labels", "penalty"),
        [
            (np.zeros(4), [0, 1, 0, 1], 1),
            (np.zeros((4, 2)), [0, 1, 0], 1),
            (np.full((4, 2), np.nan), [0, 1, 0, 1], 1),
            (np.zeros((4, 2)), [0, 0, 0, 0], 1),
            (np.zeros((4, 2)), [0, 1, 2, 1], 1),
            (np.zeros((4, 2)), [0, 1, 0, 1], 0),
            (np.zeros((4, 2), np.float16), [0, 1, 0, 1], 1),
        ],
        ids=["shape", "length", "nan", "one label", "three labels", "penalty", "dtype"],
    )
    def test_unusable_input_is_refused(self, values, labels, penalty):
        with pytest.raises(OptionError):
            LinearProbe(values, np.array(labels), penalty=penalty)
