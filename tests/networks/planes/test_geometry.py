import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from qi_datasets.errors import OptionError
from qi_datasets.networks.planes.geometry import Reach, Window

LAYERS = st.lists(
    st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(0, 5), st.integers(1, 2)), min_size=1, max_size=4
)


def positions(layers, length, meets):
    """First and last position whose windows meet (or lie in) the positions of the layer before, one by one."""
    first, last = 0, length - 1
    for kernel, stride, padding, dilation in layers:
        reach = dilation * (kernel - 1)
        starts = {j: j * stride - padding for j in range(-40, 80)}
        if meets:
            kept = [j for j, start in starts.items() if start <= last and start + reach >= first]
        else:
            kept = [j for j, start in starts.items() if start >= first and start + reach <= last]
        if not kept:
            return None
        first, last = min(kept), max(kept)
    return first, last


def reach_of(layers):
    reach = Reach()
    for kernel, stride, padding, dilation in layers:
        reach = reach.through(dilation * (kernel - 1), stride, padding)
    return reach


@given(layers=LAYERS, length=st.integers(8, 30))
def test_three_numbers_say_which_positions_are_computed_after_any_layers(layers, length):
    reach = reach_of(layers)
    for extent, found in (("full", positions(layers, length, True)), ("valid", positions(layers, length, False))):
        if found is not None:
            assert (reach.first(extent), (length - 1 + reach.edge(extent)) // reach.stride) == found


@given(layers=LAYERS)
def test_reach_is_what_a_position_sees(layers):
    reach = reach_of(layers)
    network = nn.Sequential(*(nn.Conv1d(1, 1, k, s, p, d, bias=False).double() for k, s, p, d in layers))
    for weight in network.parameters():
        nn.init.ones_(weight)
    position = -(-reach.before // reach.stride) + 1
    image = torch.zeros(1, 1, position * reach.stride + reach.size + 10, dtype=torch.float64, requires_grad=True)
    answers = network(image)[0, 0]
    (seen,) = torch.autograd.grad(answers[position], image)
    pixels = seen[0, 0].nonzero()
    assert pixels.min() == position * reach.stride - reach.before
    assert pixels.max() == position * reach.stride + reach.after


def test_what_is_put_before_a_map_moves_its_positions():
    reach = Reach(3, 5, 2)
    assert reach.moved(4) == Reach(11, -3, 2)
    assert reach.moved(4).first("full") == reach.first("full") + 4
    assert reach.moved(-1).moved(1) == reach


def test_branches_are_seen_together():
    assert Reach(3, 1, 2).joined(Reach(1, 4, 2)) == Reach(3, 4, 2)
    with pytest.raises(OptionError, match="strides 2 and 4"):
        Reach(stride=2).joined(Reach(stride=4))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((3, 2, 1), Window((3, 3), (2, 2), (1, 1))),
        (((1, 5), [1], (0, 2), (1, 3)), Window((1, 5), (1, 1), (0, 2), (1, 3))),
        ((4, 1, "same", (1, 2)), Window((4, 4), (1, 1), (1, 3), (1, 2))),
        ((3, 1, "valid"), Window((3, 3))),
    ],
)
def test_windows_are_read_as_torch_takes_them(arguments, expected):
    assert Window.of(*arguments) == expected
