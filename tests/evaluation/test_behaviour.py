"""Networks of every kind are evaluated, or refused before the evaluation in one line that says why."""

import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import prune
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from qi_datasets import evaluate
from qi_datasets.errors import QIDatasetsError
from qi_datasets.evaluation.behaviour import check_batch_norms
from qi_datasets.evaluation.cases import OnContiguous
from qi_datasets.evaluation.models import resolve_model
from qi_datasets.networks.local import LocalEvaluation
from tests.evaluation import networks


class Doing(nn.Module):
    """A network whose forward pass is a function of itself and of images."""

    def __init__(self, what: Callable[..., Any], **layers: nn.Module) -> None:
        super().__init__()
        self.what, self.body = what, networks.layers()
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, images: Tensor) -> Any:
        """Returns the function's result."""
        return self.what(self, images)


def largest(maps: Tensor) -> Tensor:
    return maps.amax((2, 3))


def ended(layer: nn.Module) -> nn.Module:
    return nn.Sequential(layer, nn.AdaptiveMaxPool2d(1), nn.Flatten())


def pruned(*, used: bool = False) -> nn.Module:
    network = networks.reader()
    prune.l1_unstructured(network[0][0], "weight", 0.5)
    if used:
        network(torch.zeros(2, 3, 60, 60))
    return network


def viewing() -> nn.Module:
    maps = nn.Sequential(nn.Conv2d(3, 8, 5, padding=2), nn.ReLU(), nn.AdaptiveAvgPool2d(4))
    return Doing(lambda net, x: net.maps(x).view(x.size(0), -1), maps=maps)


RUN: dict[str, Callable[[], nn.Module]] = {
    "plain": networks.reader,
    "a view of what may be strided": viewing,
    "weight norm": lambda: ended(weight_norm(nn.Conv2d(3, 8, 3, padding=1))),
    "weight norm of old": lambda: ended(nn.utils.weight_norm(nn.Conv2d(3, 8, 3, padding=1))),
    "spectral norm": lambda: ended(spectral_norm(nn.Conv2d(3, 8, 3, padding=1))),
    "pruned": pruned,
    "pruned and used": lambda: pruned(used=True),
    "half precision": lambda: networks.reader().half(),
    "double precision": lambda: networks.reader().double(),
    "scripted": lambda: torch.jit.script(networks.reader()),
    "traced": lambda: torch.jit.trace(networks.reader().eval(), torch.zeros(1, 3, 120, 120)),
    "DataParallel": lambda: nn.DataParallel(networks.reader()),
    "no weights": lambda: ended(nn.AvgPool2d(3)),
    "it writes into its images": lambda: Doing(lambda net, x: largest(net.body(x.mul_(2)))),
    "it sees the last corner alone": lambda: Doing(lambda net, x: net.body(x)[:, :, 17:].amax((2, 3))),
    "a module of dropout": lambda: nn.Sequential(nn.Dropout2d(0.5), networks.reader()),
}


@pytest.mark.crossed
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("local", [True, False], ids=["local", "dense"])
@pytest.mark.parametrize("make", RUN.values(), ids=RUN)
def test_it_runs(make: Callable[[], nn.Module], local: bool, sets: Path) -> None:
    torch.manual_seed(0)
    network = make()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    entry = evaluate(network, output=sets, borders=[0], limit=4, local=local)

    assert len(entry.predictions) == 8
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_a_view_of_what_may_be_strided_is_computed_in_windows_up_to_it(sets: Path) -> None:
    torch.manual_seed(0)
    network = viewing()
    local, dense = (evaluate(network, output=sets, borders=[0, 16], limit=4, local=one) for one in (True, False))

    assert all(map(np.allclose, *(one.predictions.column("difference").reshape(1, -1) for one in (local, dense))))
    whole = LocalEvaluation(OnContiguous(network.eval()), 120, patch=(56, 56), places=[(0, 0), (64, 64)])
    assert not any("conv" in reason for reason in whole.reasons)


CHANCE, BATCH = "gives two answers to the same image: it is random", "differently with others in its batch"
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "noise": (lambda: Doing(lambda net, x: largest(net.body(x)) + torch.randn(12)), CHANCE),
    "dropout": (lambda: Doing(lambda net, x: F.dropout(largest(net.body(x)), 0.5, training=True)), CHANCE),
    "the batch's mean": (lambda: Doing(lambda net, x: largest(net.body(x - x.mean(0)))), BATCH),
    "the batch's sum": (lambda: Doing(lambda net, x: largest(net.body(x)) * (1 if x.sum() > 0 else -1)), BATCH),
    "no statistics": (
        lambda: ended(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, track_running_stats=False))),
        BATCH,
    ),
    "batch norm in training": (lambda: Doing(lambda net, x: largest(net.body.train()(x))), BATCH),
    "one number": (lambda: Doing(lambda net, x: largest(net.body(x))[:, 0]), r"to one image it gives \(1,\)"),
    "a tuple": (lambda: Doing(lambda net, x: (largest(net.body(x)),)), "to one image it gives a tuple"),
    "lazy": (lambda: ended(nn.LazyConv2d(8, 3)), "has lazy layers, which get their weights at the first image"),
    "quantised": (
        lambda: torch.ao.quantization.quantize_dynamic(networks.two_logits().eval(), {nn.Linear}),
        "give the network before it was quantised",
    ),
    "exported": (
        lambda: torch.export.export(networks.reader().eval(), (torch.zeros(1, 3, 120, 120),)),
        "an exported program takes images of one size",
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("local", [True, False], ids=["local", "dense"])
@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused_before_the_work(make: Callable[[], Any], message: str, local: bool, sets: Path) -> None:
    torch.manual_seed(0)

    with pytest.raises(QIDatasetsError, match=message) as raised:
        evaluate(make(), output=sets, borders=[0], limit=4, local=local)
    assert len(str(raised.value).splitlines()) == 1


def test_a_function_that_loads_weights_is_one_network(sets: Path, tmp_path: Path) -> None:
    """Its batch norms keep their statistics, and no seeds are drawn."""
    torch.manual_seed(3)
    trained = networks.reader()
    trained(torch.randn(4, 3, 60, 60))
    torch.save(trained.state_dict(), tmp_path / "trained.pth")

    def make() -> nn.Module:
        network = networks.reader()
        network.load_state_dict(torch.load(tmp_path / "trained.pth"))
        return network

    entry = evaluate(make, output=sets, borders=[0], limit=4)

    assert entry.content["protocol"]["inits"] == {"given": {"seeds": [0], "batch_norm": "untouched"}}
    assert entry.content["model"]["weights"] == "given"
    alike = evaluate(trained, output=sets, borders=[0], limit=4)
    assert entry.predictions.table.equals(alike.predictions.table)
    assert (
        evaluate(make, output=sets, borders=[0], limit=4, init="given").content["protocol"] == entry.content["protocol"]
    )
    for init in ("random", "pretrained"):
        with pytest.raises(
            QIDatasetsError, match=f"makes the same weights whatever the seed: init is given, not {init}"
        ):
            evaluate(make, output=sets, borders=[0], limit=4, init=init)
    with warnings.catch_warnings(action="ignore"):
        assert resolve_model(networks.reader).anew


def rows_of(maps: Tensor) -> Tensor:
    """Returns a channel with the position of each row."""
    count, _, height, width = maps.shape
    return torch.linspace(-1, 1, height).view(1, 1, height, 1).expand(count, 1, height, width)


KEEPS_PLACES: dict[str, Callable[[], nn.Module]] = {
    "a map of 4 x 4, flattened": lambda: nn.Sequential(
        networks.layers(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(192, 16)
    ),
    "coordinates": lambda: Doing(
        lambda net, x: largest(net.with_rows(torch.cat([net.body(x), rows_of(net.body(x))], 1))),
        with_rows=nn.Conv2d(13, 8, 1),
    ),
    "learned places": lambda: Doing(
        lambda net, x: largest(net.body(x) + F.interpolate(net.places.weight.view(1, 12, 8, 8), size=x.shape[2] // 4)),
        places=nn.Embedding(12, 64),
    ),
}


@pytest.mark.parametrize("make", KEEPS_PLACES.values(), ids=KEEPS_PLACES)
def test_a_network_that_keeps_places_reads_beyond_its_windows(make: Callable[[], nn.Module], sets: Path) -> None:
    """No receptive field bounds it, so that its entry says none and is not refused."""
    torch.manual_seed(0)
    entry = evaluate(make(), output=sets, borders=[0, 64])

    assert entry.content["model"]["receptive_field"] is None
    assert entry.figures["given"]["borders"]["64"]["accuracy"] > 0.8


def test_a_network_that_forgets_places_has_its_receptive_field(sets: Path) -> None:
    for last in (nn.AdaptiveMaxPool2d(1), nn.AdaptiveAvgPool2d(1)):
        entry = evaluate(nn.Sequential(networks.layers(), last, nn.Flatten()), output=sets, borders=[0, 64], limit=4)
        assert entry.content["model"]["receptive_field"] == 7


def normalized(*, constant: bool = False) -> nn.Sequential:
    """Returns two batch norms and one of a head; the second has statistics that belong to no layer."""

    class Traced(nn.Module):
        mean, variance = torch.zeros(8), torch.ones(8)

        def forward(self, maps: Tensor) -> Tensor:
            return F.batch_norm(maps, self.mean, self.variance)

    body = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3), Traced() if constant else nn.BatchNorm2d(8)]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(8))


def test_a_network_is_evaluated_with_the_batch_norms_that_it_was_made_with() -> None:
    made = normalized()
    check_batch_norms(made, nn.Sequential(OrderedDict(first=nn.Identity(), network=normalized())), 16, "it")
    check_batch_norms(made, normalized()[:6], 16, "it")
    without = normalized()
    without[1] = nn.Identity()
    with pytest.raises(QIDatasetsError, match=r"without 1 of its batch norms, the first '1'"):
        check_batch_norms(made, without, 16, "it")
    without[3] = without[6] = nn.Identity()
    with pytest.raises(QIDatasetsError, match="without 2 of its batch norms"):
        check_batch_norms(made, without, 16, "it")


def test_batch_norms_whose_statistics_no_layer_keeps_are_refused(tmp_path: Path) -> None:
    with pytest.raises(QIDatasetsError, match="1 of 3 batch norms whose statistics no layer keeps"):
        evaluate(normalized(constant=True), output=tmp_path, borders=[0], limit=2)
