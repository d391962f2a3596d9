import numpy as np
import pytest
import torch
import torch.nn.functional as F

from qi_datasets.errors import OptionError
from qi_datasets.networks.tolerance import is_equal
from qi_datasets.protocols import red_green as red_green_training
from qi_datasets.protocols.red_green import LabelledImages, train_red_green
from tests.networks.pictures import boxes


def labelled(pairs, seed, **options):
    return LabelledImages(*boxes(pairs, seed, **options))


VALIDATION = labelled(25, seed=1)
ONE_BATCH = labelled(100, seed=0)
SIMILAR, DISSIMILAR = labelled(25, seed=2), labelled(25, seed=2, swap_heights=True)
TESTS = {"similar": SIMILAR, "dissimilar": DISSIMILAR}


def run(padding="same", seed=0, epochs=2, train=ONE_BATCH, **options):
    return train_red_green(train, VALIDATION, TESTS, padding, seed, epochs=epochs, **options)


@pytest.fixture
def small_batches(monkeypatch):
    """Sets batches of 40: learning takes steps, and small ones are quick."""
    monkeypatch.setattr(red_green_training, "BATCH_SIZE", 40)


@pytest.mark.parametrize("padding", ["full", "circular"])
def test_blind_paddings_answer_alike_row_by_row(padding):
    trained = run(padding)
    assert is_equal(trained.logits["similar"], trained.logits["dissimilar"])
    assert trained.accuracies["similar"] == trained.accuracies["dissimilar"]


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_seeing_paddings_read_the_height(padding, small_batches):
    trained = run(padding, epochs=10)
    assert trained.accuracies["similar"] >= 0.9
    assert trained.accuracies["dissimilar"] <= 0.4


def test_a_run_depends_on_its_seed_alone():
    torch.manual_seed(1)
    first = run(seed=4)
    torch.manual_seed(2)
    second = run(seed=4)
    assert np.array_equal(first.logits["similar"], second.logits["similar"])
    assert first.epochs == second.epochs
    assert not np.array_equal(first.logits["similar"], run(seed=5).logits["similar"])


def test_global_random_state_is_left():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run(epochs=1)
    assert torch.equal(torch.rand(3), expected)


def test_curves_and_answers_belong_to_the_weights_that_they_name():
    seen = []
    tests = {"validation": VALIDATION}
    trained = train_red_green(ONE_BATCH, VALIDATION, tests, "same", 0, epochs=6, progress=seen.append)
    assert tuple(seen) == trained.epochs
    assert [epoch.number for epoch in seen] == list(range(1, 7))
    losses = [epoch.validation_loss for epoch in seen]
    assert trained.best_epoch == 1 + int(np.argmin(losses))
    logits, labels = torch.from_numpy(trained.logits["validation"]), torch.from_numpy(VALIDATION.labels)
    assert F.cross_entropy(logits, labels).item() == pytest.approx(min(losses), rel=1e-4)
    assert trained.accuracies["validation"] == (logits.argmax(1) == labels).double().mean()
    assert seen[0].train_loss == pytest.approx(np.log(2), rel=0.5)


def test_training_stops_when_validation_gets_no_better_and_goes_back_to_the_best_weights(small_batches):
    contrary = LabelledImages(VALIDATION.images, 1 - VALIDATION.labels)
    tests = {"contrary": contrary}
    trained = train_red_green(ONE_BATCH, contrary, tests, "same", 0, epochs=40, patience=10)
    assert len(trained.epochs) == trained.best_epoch + 10 < 40
    logits, labels = torch.from_numpy(trained.logits["contrary"]), torch.from_numpy(contrary.labels)
    best = trained.epochs[trained.best_epoch - 1].validation_loss
    assert F.cross_entropy(logits, labels).item() == pytest.approx(best, rel=1e-4)
    assert trained.epochs[-1].validation_loss > 1.5 * best


def test_the_gradient_of_a_batch_does_not_depend_on_its_parts(monkeypatch):
    parts = run(epochs=3)
    monkeypatch.setattr(red_green_training, "_CPU_PART", 200)
    whole = run(epochs=3)
    assert parts.logits["similar"] == pytest.approx(whole.logits["similar"], abs=1e-3)
    assert parts.epochs[-1].train_loss == pytest.approx(whole.epochs[-1].train_loss, rel=1e-3)


def test_floating_point_images_are_taken_as_they_are():
    scaled = LabelledImages(torch.from_numpy(ONE_BATCH.images) / 255, ONE_BATCH.labels)
    trained = train_red_green(scaled, VALIDATION, TESTS, "same", 0, epochs=1)
    assert np.array_equal(trained.logits["similar"], run(epochs=1).logits["similar"])


@pytest.mark.parametrize(
    "data",
    [
        LabelledImages(ONE_BATCH.images[:, :1], ONE_BATCH.labels),
        LabelledImages(ONE_BATCH.images, ONE_BATCH.labels[:-1]),
        LabelledImages(ONE_BATCH.images, ONE_BATCH.labels + 1),
        LabelledImages(ONE_BATCH.images, ONE_BATCH.labels - 1),
        LabelledImages(ONE_BATCH.images[0], ONE_BATCH.labels),
        LabelledImages(ONE_BATCH.images.astype(np.int64), ONE_BATCH.labels),
        LabelledImages(ONE_BATCH.images[:0], ONE_BATCH.labels[:0]),
    ],
    ids=["channels", "labels missing", "label 2", "label -1", "no batch", "dtype", "empty"],
)
def test_unusable_data_are_refused(data):
    with pytest.raises(OptionError):
        train_red_green(data, VALIDATION, {}, "same", 0)


@pytest.mark.parametrize("options", [{"epochs": 0}, {"patience": 0}, {"padding": "half"}])
def test_unusable_options_are_refused(options):
    with pytest.raises(OptionError):
        run(**options)


@pytest.mark.slow
def test_the_protocol_with_full_convolution():
    train, validation = labelled(1000, seed=3), labelled(500, seed=4)
    tests = {"similar": labelled(500, seed=5), "dissimilar": labelled(500, seed=5, swap_heights=True)}
    trained = train_red_green(train, validation, tests, "full", 0)
    assert is_equal(trained.logits["similar"], trained.logits["dissimilar"])
    assert trained.accuracies["similar"] > 0.6
