"""The tasks beside `qi`: figures of networks whose behaviour is known."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from qi_datasets import evaluate
from qi_datasets.errors import ModelError, StoredSetError
from qi_datasets.evaluation.entry import Entry
from qi_datasets.evaluation.tasks import TASKS
from qi_datasets.networks.random_weights import random_seed
from qi_datasets.networks.reference import RedGreenNet, RookNet
from qi_datasets.protocols.rook import train_rook
from tests.evaluation import entries, networks
from tests.refusals import refused


class Rolled(nn.Module):
    """A classifier that no circular shift changes, and every other shift does."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Conv2d(3, 1000, 3, stride=1, padding=1, padding_mode="circular")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images[:, :, ::4, ::4]).amax((2, 3))


def test_every_set_is_a_task() -> None:
    assert set(TASKS) == {"qi", "shifted", "red_green", "rook", "corner"}


def test_shifted_counts_answers_that_stay(sets: Path, tmp_path: Path) -> None:
    with random_seed(0):
        network = networks.classifier()
    entry = evaluate(network, "shifted", output=sets, limit=2, entry=tmp_path / "entry")

    figures = entry.figures["given"]
    assert list(figures) == ["crop", "zero", "circular"]
    rows = entry.predictions.where(mode="zero")
    pairs = rows.column("prediction")[rows.column("pair") >= 0].reshape(5, 2, 2)
    assert figures["zero"]["consistency"]["value"] == pytest.approx((pairs[:, 0] == pairs[:, 1]).mean())
    assert figures["zero"]["top1"] is None
    assert figures["zero"]["labelled"] == 0
    assert figures["zero"]["largest_change"] > 0
    assert len(entry.predictions) == 3 * 2 * (65 + 10)
    assert Entry.read(tmp_path / "entry").content == entry.content


def test_shifted_knows_whether_it_was_right(sets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo pictures have no classes, so the test says that all are of the class that the network answers at 0."""
    from qi_datasets.evaluation import shifted as moved

    with random_seed(0):
        network = networks.classifier()
    answers = evaluate(network, "shifted", output=sets, limit=2).predictions
    unmoved = answers.where(mode="crop", shift=0, pair=-1).column("prediction").astype(np.int64)
    real = moved.read_shifted

    def labelled(*arguments: Any) -> Any:
        images, _, pairs = real(*arguments)
        return images, unmoved, pairs

    monkeypatch.setattr(moved, "read_shifted", labelled)
    figures = evaluate(network, "shifted", output=sets, limit=2).figures["given"]["crop"]

    assert figures["labelled"] == 2
    assert figures["top1"]["0"]["value"] == 1.0
    along = answers.where(mode="crop", pair=-1).column("prediction").reshape(65, 2)
    assert figures["diagonal"]["value"] == pytest.approx((along == unmoved).mean())
    fewer = evaluate(lambda: networks.classifier(10), "shifted", output=sets, limit=2, seeds=1)
    assert fewer.figures["random"]["crop"]["labelled"] == 0


def test_a_network_that_rolls_with_the_picture_is_consistent_in_one_mode(sets: Path) -> None:
    figures = evaluate(Rolled(), "shifted", output=sets, limit=1).figures["given"]
    assert figures["crop"]["largest_change"] > 1e-3


def test_shifted_reads_what_the_manifest_says(sets: Path, tmp_path: Path) -> None:
    import shutil

    from tests.evaluation.damaged import swap_images

    shutil.copytree(sets / "shifted", tmp_path / "shifted")
    swap_images(tmp_path / "shifted" / "default" / "test-00000-of-00001.parquet", 0, 1)
    with pytest.raises(StoredSetError, match=r"source demo_.*the image differs"):
        evaluate(networks.classifier, "shifted", output=tmp_path, limit=2, seeds=1)


def test_rook_trains_one_network_a_seed(sets: Path) -> None:
    entry = evaluate(lambda: RookNetOfThree("same"), "rook", output=sets, seeds=3)

    assert entry.content["data"]["track"] == "official"
    assert entry.content["data"]["pixels"] == "pinned"
    assert len(entry.predictions) == 6
    solved = entry.figures["scratch"]["solved"]
    right = (entry.predictions.column("prediction") == entry.predictions.column("label")).reshape(3, 2).all(1)
    assert solved["value"] == right.mean()
    full = evaluate(lambda: RookNetOfThree("full"), "rook", output=sets, seeds=2).figures["scratch"]
    assert (full["solved"]["value"], full["equal"]["value"]) == (0, 1)


class RookNetOfThree(nn.Module):
    """The rook net on images whose three channels are the normalised grey one."""

    def __init__(self, padding: Any) -> None:
        super().__init__()
        self.inner = RookNet(padding)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        grey = images[:, :1] * 0.229 + 0.485
        return self.inner(grey)


def test_rook_nets_are_those_of_the_protocol(sets: Path) -> None:
    from qi_datasets import load_dataset

    rows = load_dataset("rook", split="train", output=sets)
    images = torch.stack([torch.from_numpy(np.array(row["image"])).float()[None] / 255 for row in rows])
    logits = train_rook(images, "same", [0, 1]).logits

    found = evaluate(lambda: RookNetOfThree("same"), "rook", output=sets, seeds=2).predictions

    np.testing.assert_allclose(found.column("margin").reshape(2, 2), logits[..., 1] - logits[..., 0], atol=1e-2)


def test_a_rook_net_that_diverges_is_an_error(sets: Path) -> None:
    class Explodes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3 * 32 * 32, 2)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.linear(1e20 * images.flatten(1)) ** 3

    with refused(ModelError, "not-finite", match="not finite numbers"):
        evaluate(Explodes, "rook", output=sets, seeds=1)


def test_corner_shows_what_padding_loses(sets: Path) -> None:
    def one_filter(padding: int) -> nn.Module:
        layer = nn.Conv2d(3, 1, 3, padding=padding, bias=False)
        with torch.no_grad():
            layer.weight.zero_()
            layer.weight[0, :, 2, 2] = 1
        return nn.Sequential(layer, nn.AdaptiveMaxPool2d(1), nn.Flatten())

    same, full = (evaluate(one_filter(padding), "corner", output=sets).figures["given"] for padding in (1, 2))

    assert (same["equal"]["value"], same["difference"], same["channels"]) == (0, 1, 1)
    assert (full["equal"]["value"], full["difference"], full["channels"]) == (1, 0, 0)


@pytest.mark.parametrize("padding", ["valid", "full"])
def test_red_green_tells_who_goes_by_place(padding: Any, sets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "qi_datasets.protocols.red_green.train_on_red_green.__kwdefaults__",
        {"epochs": 2, "patience": 8, "progress": None},
    )
    entry = evaluate(lambda: RedGreenNet(padding), "red_green", output=sets, seeds=1, limit=20)

    figures = entry.figures["scratch"]
    assert set(figures) == {"test_similar", "test_dissimilar", "agreement", "difference"}
    (trained,) = entry.content["training"]
    assert trained["epochs"] == 2
    if padding == "full":
        assert figures["agreement"]["value"] == 1
        assert figures["test_similar"]["value"] == figures["test_dissimilar"]["value"]
    assert len(entry.predictions) == 40


SHIFTED_ROWS: dict[str, tuple[str, Any, str]] = {
    "a shift": ("shift", (0, 5), "init given, border 0, seed 0, mode crop, pair -1, shift -32: 1 rows"),
    "a mode": ("mode", (0, "zero"), "mode crop, pair -1, shift -32: 1 rows"),
    "a negative margin": ("margin", (3, -1.0), "margin and prediction are 0 or more"),
    "a prediction": ("prediction", (0, 999), "figures.given.crop"),
}


@pytest.mark.parametrize(("name", "change", "reason"), SHIFTED_ROWS.values(), ids=SHIFTED_ROWS)
def test_changed_answers_to_shifted_are_refused(
    name: str, change: Any, reason: str, sets: Path, tmp_path: Path
) -> None:
    from qi_datasets.errors import EntryError
    from qi_datasets.evaluation.predictions import PREDICTIONS, Predictions

    with random_seed(0):
        entry = evaluate(networks.classifier(), "shifted", output=sets, limit=2, entry=tmp_path)
    columns = {column: entry.predictions.column(column).copy() for column in entry.predictions.table.column_names}
    row, value = change
    columns[name][row] = value
    if name == "prediction":
        columns[name][:] = np.arange(len(columns[name])) % 1000
    forged = Predictions.of("shifted", columns)
    forged.write(tmp_path / PREDICTIONS)

    def redo(content: dict[str, Any]) -> None:
        content["predictions"] = {"rows": len(forged), "sha256": forged.sha256}

    entries.rewrite(tmp_path, redo, seal=True)
    with pytest.raises(EntryError, match=reason):
        Entry.read(tmp_path)


def test_entries_of_every_task_are_of_the_schema(sets: Path, tmp_path: Path) -> None:
    entry = evaluate(networks.reader, "corner", output=sets, seeds=2, entry=tmp_path / "entry")

    assert Entry.read(tmp_path / "entry").content == json.loads(json.dumps(entry.content))
