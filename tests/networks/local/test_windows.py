import pytest
import torch
from torch import nn

from qi_datasets.networks.local.windows import NotLocalError, Span, Sweep

SWEEPS = [
    (kernel, stride, dilation, padding, ceil)
    for kernel in (1, 2, 3)
    for stride in (1, 2, 3)
    for dilation in (1, 2)
    for padding in range(kernel // 2 + 1)
    for ceil in (False, True)
]


@pytest.mark.parametrize(("kernel", "stride", "dilation", "padding", "ceil"), SWEEPS)
def test_which_outputs_a_changed_window_changes(kernel, stride, dilation, padding, ceil):
    """Against torch: the outputs of a pool that answer to a position, for each window of an axis of 11 positions."""
    pool = nn.MaxPool1d(kernel, stride, padding, dilation, ceil_mode=ceil)
    sweep = Sweep(kernel, stride, dilation, padding, padding, ceil)
    for start in range(11):
        for stop in range(start + 1, 12):
            axis = torch.zeros(1, 1, 11)
            axis[:, :, start:stop] = 1
            changed = pool(axis).flatten().nonzero().flatten().tolist()
            window = sweep.over(Span(11, start, stop))
            assert window.length == pool(axis).numel() == sweep.count(11)
            assert 0 <= window.start < window.stop <= window.length
            assert set(changed) <= set(window.positions)
            if dilation == 1 and changed:
                assert [*window.positions] == changed


def test_what_a_window_of_outputs_reads():
    sweep = Sweep(3, 2, 2, before=1, after=1)
    assert sweep.reads(Span(9, 0, 1)) == range(-1, 4)
    assert sweep.reads(Span(9, 3, 5)) == range(5, 12)


@pytest.mark.parametrize(("start", "stop"), [(0, 20), (3, 17), (5, 9), (5, 8)])
def test_outputs_that_read_nothing_but_a_run(start, stop):
    sweep = Sweep(3, 2, 1, before=1, after=1)
    expected = [j for j in range(sweep.count(20)) if 2 * j - 1 >= start and 2 * j + 1 < stop]
    assert [*sweep.inside(range(start, stop), 20)] == expected


def test_a_cropping_sweep():
    """Rows 2 to 8 of 11, every third: 2, 5, 8."""
    sweep = Sweep(1, 3, before=-2, after=-2)
    assert sweep.count(11) == 3
    assert sweep.over(Span(11, 4, 7)) == Span(3, 1, 2)
    assert sweep.over(Span(11, 0, 2)) == Span(3, 0, 1)


def test_a_kernel_that_does_not_fit():
    with pytest.raises(NotLocalError, match="5 positions"):
        Sweep(5).over(Span(4, 0, 4))
