import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qi_datasets.errors import OptionError
from qi_datasets.networks.operators import (
    RuledTensor,
    Rules,
    Window,
    note_unsupported,
    operator_of,
    pad_with_background,
    pointwise_functions,
    record_unsupported,
)


class Doubled(RuledTensor):
    """A tensor that stores half of its values."""

    rules = Rules()

    @staticmethod
    def __new__(cls, half):
        return torch.Tensor._make_wrapper_subclass(cls, half.shape, dtype=half.dtype)

    def __init__(self, half):
        self.half = half

    def overwrite(self, value):
        self.half = value.half


@Doubled.rules.register("add")
def add(func, x, y):
    return Doubled(func(2 * x.half if isinstance(x, Doubled) else x, 2 * y.half if isinstance(y, Doubled) else y) / 2)


@Doubled.rules.register("sub", "relu")
def plain(func, *args):
    return add(func, *args) if len(args) == 2 else Doubled(func(args[0].half))


@Doubled.rules.register("relu")
def relu(func, x, inplace=False):
    assert not inplace
    return Doubled(func(x.half))


@Doubled.rules.register("__getitem__")
def getitem(func, x, index):
    return Doubled(x.half[index])


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x + 1,
        lambda x: 1 + x,
        lambda x: 1 - x,
        lambda x: torch.sub(x, 3),
        lambda x: x.add_(x),
        lambda x: F.relu(x, inplace=True),
        lambda x: x.relu_() + x,
        torch.relu,
    ],
)
def test_one_rule_computes_every_spelling_of_a_function(call):
    values = torch.tensor([-1.0, 0.5, 2.0])
    assert torch.equal(2 * call(Doubled(values / 2)).half, call(values.clone()))


def test_in_place_functions_change_what_they_were_called_on():
    x = Doubled(torch.tensor([-1.0, 1.0]))
    same = x
    x += 2
    assert x is same
    assert torch.equal(x.half, torch.tensor([0.0, 2.0]))


@pytest.mark.parametrize("which", [0, 1])
def test_what_does_not_see_what_was_written_is_not_read(which):
    x = Doubled(torch.tensor([-1.0, 1.0]))
    seen = x, x[:1]
    assert seen[which].relu_().half[0] == 0
    with pytest.raises(OptionError, match="sub can't read a Doubled after relu has written into another view of it"):
        seen[1 - which] - 1
    assert (seen[which] - 1).shape == seen[which].shape


def test_functions_without_a_rule_are_named():
    x = Doubled(torch.ones(2))
    for call in (lambda: x.flip(0), lambda: x.mul_(2), lambda: torch.add(x, 1, out=x)):
        with pytest.raises(OptionError, match=r"flip|mul|add\(out"):
            call()


def test_names_of_functions():
    for func, name in [
        (Tensor.shape.__get__, "shape"),
        (Tensor.add_, "add"),
        (torch.concat, "cat"),
        (F.max_pool2d, "max_pool2d"),
        (torch.ops.aten.relu.default, "relu"),
        (Tensor.__getitem__, "__getitem__"),
    ]:
        assert operator_of(func).name == name


def test_pointwise_functions_are_pointwise():
    names = pointwise_functions()
    assert names >= {"relu", "add", "gelu", "where", "hardswish", "sigmoid", "clamp", "mul"}
    assert not names & {"max", "sum", "softmax", "flip", "cumsum", "dropout", "conv2d", "bernoulli"}


POOLS = [
    (k, s, p, d, c) for k in (1, 2, 3) for s in (1, 2, 3) for p in range(k // 2 + 1) for d in (1, 2) for c in (0, 1)
]


@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation", "ceil"), POOLS)
def test_counts_of_outputs(kernel, stride, padding, dilation, ceil):
    window = Window.of_pooling(kernel, stride, padding, dilation, bool(ceil))
    for length in range(window.reach[0], 12):
        pooled = F.max_pool2d(torch.zeros(1, 1, length, 12), kernel, stride, padding, dilation, bool(ceil))
        assert (window.count(0, length), window.count(1, 12)) == pooled.shape[2:]


def test_windows_of_convolutions():
    layer = nn.Conv2d(3, 4, (3, 4), padding="same", dilation=(1, 3))
    window = Window.of_convolution(layer.weight, layer.stride, layer.padding, layer.dilation)
    assert (window.count(0, 9), window.count(1, 11)) == layer(torch.zeros(1, 3, 9, 11)).shape[2:]
    assert Window.of_pooling([2], []).stride == (2, 2)


def test_padding_with_the_background():
    x, background = torch.randn(2, 3, 4, 4), torch.randn(1, 3, 1, 1)
    padded = pad_with_background(x, ((1, 0), (2, -1)), background)
    assert padded.shape == (2, 3, 5, 5)
    torch.testing.assert_close(padded[:, :, 1:, 2:], x[:, :, :, :-1])
    torch.testing.assert_close(padded[:, :, :1], background.expand(2, 3, 1, 5))


def test_names_are_collected_once():
    note_unsupported("unheard")
    with record_unsupported() as names:
        for name in ("flip", "softmax", "flip"):
            note_unsupported(name)
    assert names == ["flip", "softmax"]
