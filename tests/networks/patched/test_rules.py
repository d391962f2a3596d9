"""An operator of one's own: a rule that a user registers."""

import torch
from torch import nn
from torch.overrides import handle_torch_function, has_torch_function_unary

from qi_datasets.networks.local import LocalEvaluation
from qi_datasets.networks.patched import Patched
from qi_datasets.networks.tolerance import is_equal
from tests.networks.patched.networks import patches_of, pooled, whole_images


def soft_sign(x, scale):
    """An operator as users write them, which hands tensor types to their rules."""
    if has_torch_function_unary(x):
        return handle_torch_function(soft_sign, (x,), x, scale)
    return x / (scale + x.abs())


class SoftSign(nn.Module):
    def forward(self, x):
        return soft_sign(x, 2.0)


def reasons(network):
    patches = patches_of(2)
    evaluation = LocalEvaluation(network, 40, patch=(8, 8), places=[(9, 4)])
    assert is_equal(evaluation(patches, 9, 4), network(whole_images(patches, 9, 4, 40)).detach())
    return evaluation.reasons


def test_an_operator_without_a_rule_gets_whole_maps_and_one_with_a_rule_windows(monkeypatch):
    torch.manual_seed(0)
    network = pooled(nn.Conv2d(3, 4, 3, padding=1), SoftSign(), nn.Conv2d(4, 4, 3)).double().eval()
    assert reasons(network) == ["soft_sign"]
    monkeypatch.setattr(Patched, "rules", type(Patched.rules)(Patched.rules))

    @Patched.rules.register("soft_sign")
    def rule(func, x, scale):
        return x.each(lambda maps: func(maps, scale))

    assert reasons(network) == []
