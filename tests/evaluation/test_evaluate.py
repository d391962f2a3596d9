"""`evaluate` on networks whose answers are known beforehand, with all kinds of arguments."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from qi_datasets import evaluate
from qi_datasets.errors import ModelError, OptionError
from qi_datasets.evaluation.cases import Case
from qi_datasets.evaluation.entry import Entry
from qi_datasets.evaluation.models import resolve_model, weights_sha256
from qi_datasets.evaluation.quadrant import QuadrantWork
from qi_datasets.evaluation.work_folder import Part
from qi_datasets.networks.features import extract_features
from qi_datasets.networks.probe import LinearProbe
from qi_datasets.networks.random_weights import random_seed
from qi_datasets.specs import QI
from qi_datasets.torch import QuadrantImageNet, ZeroBackgroundNormalize
from tests.evaluation import networks
from tests.evaluation.conftest import SOURCES


def test_a_module_is_evaluated_as_it_is(sets: Path) -> None:
    with random_seed(3):
        network = networks.reader()
    before = weights_sha256(network)

    entry = evaluate(network, output=sets, borders=[0, 16])

    figures = entry.figures["given"]["borders"]
    assert list(figures) == ["0", "16"]
    assert figures["16"]["verdict"] == "proved"
    assert figures["0"]["difference"] > 0.01
    assert entry.content["protocol"]["inits"] == {"given": {"seeds": [0], "batch_norm": "untouched"}}
    assert entry.content["model"] | {"weights_sha256": None} == {
        "name": "Sequential",
        "weights": "given",
        "weights_sha256": None,
        "parameters": sum(p.numel() for p in network.parameters()),
        "padding": "own",
        "pool": "own",
        "background": "zero",
        "receptive_field": 7,
        "total_stride": 4,
        "phase": False,
    }
    assert entry.content["model"]["weights_sha256"] == {"given": [before]}
    # The user's module is left alone.
    assert weights_sha256(network) == before
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())


def normed() -> nn.Module:
    """Returns three 5 x 5 layers that see 13 pixels; untrained, black is 0 in all of them, as the padding is."""
    layers: list[nn.Module] = []
    for inputs in (3, 4, 4):
        layers += [nn.Conv2d(inputs, 4, 5, padding=2, bias=False), nn.BatchNorm2d(4), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten())


@pytest.mark.parametrize(
    ("options", "verdicts"),
    [
        ({"init": "random", "batch_norm": "untouched"}, {5: False, 6: True}),
        ({"init": "random", "batch_norm": "calibrated"}, {6: False, 9: False, 10: True}),
        ({"init": "scratch"}, {9: False, 10: True}),
    ],
    ids=["as made", "calibrated", "trained"],
)
def test_a_proof_relies_on_no_number_that_the_evaluation_replaces(
    options: dict[str, Any], verdicts: dict[int, bool], sets: Path
) -> None:
    """Where zero padding continues black no more, the corners differ as far as a position sees patch and padding.

    The first layer's padding always continues it: nine positions of its map are seen, from eight beside the patch on.
    """
    entry = evaluate(normed, output=sets, borders=[*verdicts], seeds=1, **options)

    found = entry.figures[options["init"]]["borders"]
    assert {border: found[str(border)]["verdict"] == "proved" for border in verdicts} == verdicts


@pytest.mark.crossed
@pytest.mark.parametrize("border", [0, 3])
@pytest.mark.parametrize("background", ["zero", "plain"])
@pytest.mark.parametrize("normal", [{}, {"mean": (0.2, 0.5, 0.9), "std": [1, 0.5, 0.1]}], ids=["usual", "own"])
def test_answers_are_those_of_a_probe_on_the_images_of_the_set(
    border: int, background: Any, normal: dict[str, Any], sets: Path
) -> None:
    """The images come from `QuadrantImageNet` here, not as patches; the network runs on them whole."""
    with random_seed(5):
        network = networks.reader().eval()
    transform = ZeroBackgroundNormalize(**normal)

    def features(split: str) -> np.ndarray:
        rows = QuadrantImageNet(sets, split=split, border=border, transform=None)
        images = torch.stack([prepared(image) for image, _ in rows])
        return extract_features(network, images)

    def prepared(image: Any) -> torch.Tensor:
        if background == "zero":
            return transform(image)
        values = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255
        mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (transform.mean, transform.std))
        return (values - mean) / std

    entry = evaluate(network, output=sets, borders=[border], background=background, **normal)

    found = entry.predictions
    probe = LinearProbe(features("train"), np.arange(2 * SOURCES) % 2)
    test = features("test")
    np.testing.assert_allclose(found.column("margin"), probe.decision(test), atol=1e-3)
    apart = np.abs(test[0::2] - test[1::2]).max(axis=1) / np.abs(test).max()
    np.testing.assert_allclose(found.column("difference")[0::2], apart, atol=1e-5)
    rows = QuadrantImageNet(sets, split="test").rows
    assert found.column("source").tolist() == [name for name in entry_sources(sets) for _ in (0, 1)]
    assert found.column("label").tolist() == rows["label"]


def entry_sources(sets: Path) -> list[str]:
    manifest = json.loads((sets / "qi" / "manifest.json").read_text())
    return [record["name"] for record in manifest["sources"]["test"]]


def test_a_function_gives_random_networks_with_calibrated_batch_norm(sets: Path) -> None:
    entry = evaluate(networks.reader, output=sets, borders=[0], seeds=2)

    assert entry.content["protocol"]["inits"] == {"random": {"seeds": [0, 1], "batch_norm": "calibrated"}}
    first, second = entry.content["model"]["weights_sha256"]["random"]
    assert first != second
    margins = [entry.predictions.where(seed=seed).column("margin") for seed in (0, 1)]
    assert not np.array_equal(*margins)
    untouched = evaluate(networks.reader, output=sets, borders=[0], seeds=2, batch_norm="untouched")
    assert not np.array_equal(margins[0], untouched.predictions.where(seed=0).column("margin"))


def test_calibrated_statistics_are_those_of_training_images(sets: Path) -> None:
    """A network whose only layer is batch norm: calibrated, each channel of the images has mean 0 over all pixels."""
    from qi_datasets.evaluation.data import read_quadrant, stored_set
    from qi_datasets.protocols.corners import Corners
    from qi_datasets.protocols.quadrant import calibrate, normalise_patches

    patches = normalise_patches(
        read_quadrant(stored_set(QI, sets), ["train"], None, False).images["train"], (0.0,) * 3, (1.0,) * 3
    )
    network = nn.Sequential(nn.BatchNorm2d(3), nn.AdaptiveMaxPool2d(1), nn.Flatten())
    calibrate(network, patches, 16)

    images = Corners(16).images(patches.repeat_interleave(2, 0), torch.arange(2 * SOURCES) % 2)
    torch.testing.assert_close(network[0].running_mean, images.mean((0, 2, 3)), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(network[0].running_var, images.var((0, 2, 3)), rtol=1e-3, atol=1e-6)
    assert not network.training
    assert network[0].momentum == 0.1


@pytest.mark.parametrize(("batch_norm", "within"), [("untouched", 1e-5), ("calibrated", 2e-3)])
def test_dense_and_local_give_the_same(batch_norm: str, within: float, sets: Path) -> None:
    """Torch's own batch statistics of whole images have relative errors of 1e-3 in float32, so those are looser."""
    arguments: dict[str, Any] = {"output": sets, "borders": [0, 4, 16], "seeds": 2, "batch_norm": batch_norm}
    local, dense = (evaluate(networks.reader, local=local, **arguments) for local in (True, False))

    assert (local.content["run"]["local"], dense.content["run"]["local"]) == (True, False)
    for name in ("source", "border", "label"):
        np.testing.assert_array_equal(local.predictions.column(name), dense.predictions.column(name))
    for name, scale in {"margin": 100, "difference": 1}.items():
        there, here = dense.predictions.column(name), local.predictions.column(name)
        np.testing.assert_allclose(here, there, atol=within * scale)


def test_the_same_seed_gives_the_same_entry(sets: Path) -> None:
    torch.manual_seed(1)
    first = evaluate(networks.reader, output=sets, borders=[0], seeds=1)
    torch.manual_seed(2)
    second = evaluate(networks.reader, output=sets, borders=[0], seeds=1)

    assert {**first.content, "seconds": None} == {**second.content, "seconds": None}


def test_exact_full_convolution_is_blind_and_zero_padded_is_not(sets: Path) -> None:
    with random_seed(0):
        network = networks.reader()
    own, full, exact = (
        evaluate(network, output=sets, borders=[0], padding=padding).figures["given"]["borders"]["0"]
        for padding in ("own", "full", "exact")
    )

    assert exact["verdict"] in ("equal", "proved")
    assert exact["accuracy"] == 0.5
    assert own["difference"] > 1e-3
    assert full["difference"] > 1e-3


def test_a_named_network_loses_its_head_and_gets_a_maximum(sets: Path) -> None:
    entry = evaluate("squeezenet1_1", output=sets, borders=[16], seeds=1, limit=3)

    assert entry.content["model"]["pool"] == "max"
    assert entry.content["data"] | {"digests": None, "sources_sha256": None} == {
        "set": "qi",
        "data_version": "1.0.0",
        "layout": "demo pictures",
        "track": "other",
        "canonical": False,
        "pixels": "unverified",
        "digests": None,
        "sources": dict.fromkeys(QI.splits, 3),
        "limit": 3,
        "evaluated": 3,
        "sources_sha256": None,
    }
    assert len(entry.predictions) == 6


def test_networks_of_patches_get_borders_of_four_more(sets: Path) -> None:
    entry = evaluate(networks.Patches, output=sets, borders=[0, 16], seeds=1, limit=3)

    assert entry.content["protocol"]["further_border"] == 4
    assert set(entry.predictions.column("border")) == {0, 16}


def test_scratch_trains_and_says_how_well(sets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qi_datasets.protocols.scratch.EPOCHS", 2)
    entry = evaluate(networks.two_logits, output=sets, borders=[0, 16], init="scratch", seeds=1, limit=4)

    assert [trained["border"] for trained in entry.content["training"]] == [0]
    assert all(0 <= trained["accuracy"] <= 1 for trained in entry.content["training"])
    assert entry.content["protocol"]["inits"]["scratch"]["batch_norm"] == "trained"


def test_memory_that_is_short_halves_the_batch(sets: Path) -> None:
    entry = evaluate(networks.Forgetful(5), output=sets, borders=[0], local=False)
    assert entry.content["run"]["local"] is False

    with pytest.raises(ModelError, match="out of memory on an image of 120 x 120; leave this border out"):
        evaluate(networks.Forgetful(0), output=sets, borders=[0], local=False)


def test_weights_of_a_file(sets: Path, tmp_path: Path) -> None:
    with random_seed(9):
        network = networks.reader()
    torch.save(network.state_dict(), tmp_path / "mine.pt")

    entry = evaluate(networks.reader, output=sets, borders=[0], weights=str(tmp_path / "mine.pt"))

    assert list(entry.figures) == ["pretrained"]
    assert entry.content["model"]["weights"] == "mine.pt"
    assert entry.content["model"]["weights_sha256"] == {"pretrained": [weights_sha256(network)]}
    assert entry.content["protocol"]["inits"]["pretrained"]["batch_norm"] == "untouched"
    given = evaluate(network, output=sets, borders=[0])
    np.testing.assert_array_equal(entry.predictions.column("margin"), given.predictions.column("margin"))


def test_an_entry_is_written_and_found_again(sets: Path, tmp_path: Path) -> None:
    folder = tmp_path / "entry"
    written = evaluate(networks.reader, output=sets, borders=[0], seeds=1, entry=folder)

    assert {path.name for path in folder.iterdir()} == {"entry.json", "predictions.parquet"}
    assert Entry.read(folder).content == written.content
    before = (folder / "entry.json").read_bytes()
    again = evaluate(networks.reader, output=sets, borders=[0], seeds=1, entry=folder)
    assert again.content == written.content
    assert (folder / "entry.json").read_bytes() == before
    with pytest.raises(OptionError, match=r"its protocol.inits.random.seeds is .*give another folder"):
        evaluate(networks.reader, output=sets, borders=[0], seeds=2, entry=folder)


def test_the_names_are_there() -> None:
    assert resolve_model("resnet18").weights == "none"
    assert resolve_model("bagnet33").network(120, 0, own=False).eval()(torch.zeros(1, 3, 40, 40)).shape == (1, 1000)


def test_a_proved_border_is_free(sets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[str] = []
    real = QuadrantWork.features

    def features(self: QuadrantWork, case: Case, name: str) -> Part:
        computed.append(name)
        return real(self, case, name)

    monkeypatch.setattr(QuadrantWork, "features", features)

    entry = evaluate(networks.reader, output=sets, seeds=2)

    assert {name.split("-")[1] for name in computed} == {"0000"}
    figures = entry.figures["random"]
    assert [at["verdict"] for at in figures["borders"].values()][1:] == ["proved"] * 6
    assert figures["location_score"] is not None
    proved = entry.predictions.column("difference")[entry.predictions.column("border") > 0]
    assert not proved.any()
