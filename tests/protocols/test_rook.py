import numpy as np
import pytest
import torch

from qi_datasets.errors import OptionError
from qi_datasets.networks.padding import PADDINGS
from qi_datasets.networks.reference import RookNet
from qi_datasets.protocols.rook import train_rook
from tests.networks.pictures import towers
from tests.protocols.one_by_one import train_rook_one_by_one


@pytest.mark.crossed
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("epochs", [0, 1, 30])
def test_nets_trained_together_are_those_trained_one_by_one(padding, epochs):
    together = train_rook(towers(), padding, range(4), epochs)
    one_by_one = train_rook_one_by_one(towers(), padding, range(4), epochs)
    for name in ("logits", "filters", "losses"):
        assert getattr(together, name) == pytest.approx(getattr(one_by_one, name), abs=1e-4), name
    assert np.array_equal(together.accuracies, one_by_one.accuracies)
    assert together.losses.shape == (4, epochs)


def test_a_filter_that_answers_below_zero_everywhere_is_not_trained():
    bright = 0.5 + torch.rand(2, 1, 12, 12, generator=torch.Generator().manual_seed(0)) / 2
    together = train_rook(bright, "valid", range(8), epochs=3)
    one_by_one = train_rook_one_by_one(bright, "valid", range(8), epochs=3)
    untouched = train_rook(bright, "valid", range(8), epochs=0)
    assert together.filters == pytest.approx(one_by_one.filters, abs=1e-4)
    assert any(np.array_equal(*pair) for pair in zip(together.filters, untouched.filters, strict=True))


def test_each_seed_starts_where_torch_starts():
    torch.manual_seed(11)
    net = RookNet("same")
    run = train_rook(towers(), "same", [3, 11], epochs=0)
    assert run.seeds == (3, 11)
    assert run.filters[1] == pytest.approx(net.layers[0].weight[0, 0].detach().numpy())
    assert run.logits[1] == pytest.approx(net(towers()).detach().numpy(), abs=1e-6)


def test_same_padding_tells_the_corners_apart_and_full_convolution_never_does():
    same, full = (train_rook(towers(), padding, range(20)) for padding in ("same", "full"))
    assert same.solved >= 5
    assert same.largest_logit_difference > 1
    assert full.solved == 0
    assert full.largest_logit_difference <= 1e-5 * np.abs(full.logits).max()
    assert set(full.accuracies) == {0.5}


def test_losses_fall():
    losses = train_rook(towers(), "same", range(20)).losses
    assert losses[:, 0].mean() > 0.6
    assert losses[:, -1].min() < 0.05


def test_global_random_state_is_left():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train_rook(towers(), "same", [0, 1], epochs=1)
    train_rook_one_by_one(towers(), "same", [0, 1], epochs=1)
    assert torch.equal(torch.rand(3), expected)


def test_the_number_of_threads_is_left():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(before + 1)
        train_rook(towers(), "same", [0], epochs=1)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_unusable_input_is_refused():
    for images in (towers()[:1], towers().double(), towers()[:, 0]):
        with pytest.raises(OptionError, match=r"\(2, 1, H, W\)"):
            train_rook(images, "same", [0])
    with pytest.raises(OptionError, match="seed"):
        train_rook(towers(), "same", [])
    with pytest.raises(OptionError, match="half"):
        train_rook(towers(), "half", [0])


@pytest.mark.slow
@pytest.mark.parametrize("padding", ["same", "full"])
def test_twenty_seeds_together_are_those_one_by_one(padding):
    together, one_by_one = (train(towers(), padding, range(20)) for train in (train_rook, train_rook_one_by_one))
    assert np.array_equal(together.accuracies, one_by_one.accuracies)


@pytest.mark.slow
def test_two_hundred_seeds():
    same, full = (train_rook(towers(), padding, range(200)) for padding in ("same", "full"))
    assert same.solved > 100
    assert (full.solved, full.largest_logit_difference) == (0, 0)
    assert np.array_equal(same.accuracies, train_rook_one_by_one(towers(), "same", range(200)).accuracies)
