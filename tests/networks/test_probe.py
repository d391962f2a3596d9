"""The probe of many classes finds its optimum, and is that of two classes where there are two."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from qi_datasets.errors import OptionError
from qi_datasets.networks.probe import LinearProbe, MultinomialProbe


def clusters(classes: int, each: int = 40, width: int = 6):
    generator = np.random.default_rng(classes)
    centres = generator.normal(size=(classes, width)) * 3
    labels = np.tile(np.arange(classes), each)
    return centres[labels] + generator.normal(size=(len(labels), width)), labels


@pytest.mark.parametrize("classes", [2, 4, 9, 25])
def test_separable_classes_are_told_apart(classes):
    features, labels = clusters(classes)

    assert (MultinomialProbe(features, labels, classes).predict(features) == labels).mean() > 0.9


def test_two_classes_are_answered_as_by_the_probe_of_two():
    features, labels = clusters(2)
    features = features[:, :2]
    # Two columns of weights share the penalty, each with half the difference.
    two = LinearProbe(features, labels, penalty=0.5)

    assert (MultinomialProbe(features, labels, 2).predict(features) == two.predict(features)).all()


def test_features_that_vary_by_rounding_alone_say_nothing():
    labels = np.arange(40) % 4
    features = (1 + 1e-7 * labels[:, None]).astype(np.float32)

    assert len(set(MultinomialProbe(features, labels, 4).predict(features))) == 1


@pytest.mark.parametrize(
    ("features", "labels"),
    [
        (np.zeros((3, 2)), np.zeros(2, int)),
        (np.full((2, 2), np.nan), np.zeros(2, int)),
        (np.zeros((2, 2)), np.array([0, 4])),
    ],
)
def test_what_no_probe_can_be_fitted_to_is_refused(features, labels):
    with pytest.raises(OptionError):
        MultinomialProbe(features, labels, 4)
