"""Entries and predictions that somebody changed are refused, even if the seals were renewed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qi_datasets.errors import EntryError
from qi_datasets.evaluation.entry import Entry
from qi_datasets.evaluation.predictions import PREDICTIONS
from tests.evaluation import entries
from tests.evaluation.entries import Columns, changed, kept, put

CHANGED: dict[str, tuple[str, Any, str]] = {
    "an accuracy": ("figures.random.borders.16.accuracy", 0.75, "figures.random.borders.16.accuracy is 0.75"),
    "a lower bound": ("figures.random.borders.64.low", 0.49, "figures.random.borders.64.low"),
    "a verdict": ("figures.random.borders.64.verdict", "proved", "figures.random.borders.64.verdict is 'proved'"),
    "the reach": ("figures.random.reach", 16, "figures.random.reach is 16, but the predictions give 32"),
    "no reach": ("figures.random.reach", None, "figures.random.reach is None"),
    "the score": ("figures.random.location_score.value", 0.1, "figures.random.location_score.value"),
    "a border left out": ("figures.random.borders.64", ..., "figures.random.borders.64 is missing"),
    "a digest": ("data.digests.test", "1" * 64, "data was changed after"),
    "the digest of the weights": ("model.weights_sha256.random", ["1" * 64] * 2, "model was changed after"),
    "the digest of the predictions": ("predictions.sha256", "1" * 64, "predictions.parquet is not what"),
    "the number of rows": ("predictions.rows", 839, "predictions.parquet is not what"),
    "the sources": ("data.sources_sha256", "1" * 64, "data.sources_sha256"),
    "the model": ("model.name", "resnet18", "model was changed after"),
    "the padding": ("model.padding", "exact", "model was changed after"),
    "the date": ("date", "2024-01-31", "date was changed after"),
    "the protocol": ("protocol.settings.probe_penalty", 2.0, "protocol was changed after"),
    "canonical": ("data.canonical", True, "data.canonical is True, but data.track is other"),
    "pinned": ("data.pixels", "pinned", "data.digests.train is not the digest that is pinned for qi"),
    "the track": ("data.track", "demo", "data.digests.train is not the digest that is pinned for qi"),
    "the data version": ("data.data_version", "2.0.0", "data.data_version is 2.0.0"),
    "a seed more": ("protocol.inits.random.seeds", [0, 1, 2], "init random, border 0, seed 2: 0 rows"),
    "a border less": ("protocol.borders", entries.BORDERS[:-1], "120 rows beyond"),
    "another order": ("protocol.borders", entries.BORDERS[::-1], "init random, border 512, seed 0: the rows are not"),
    "a proof": ("proved.random", [64, 512], "init random, border 64: proved, yet the corners differ by 2.5e-01"),
    "a narrower field": ("model.receptive_field", 33, "figures.random.reach is 32"),
    "fewer sources": ("data.evaluated", 29, "data.sources_sha256"),
    "a number as text": ("figures.random.borders.0.accuracy", "0.9", "figures.random"),
    "a field too many": ("model.remark", "best", "model"),
    "a field too few": ("run.device", ..., "run"),
    "another task": ("task", "shifted", "data.set|figures"),
    "an unknown task": ("task", "chess", "task"),
    "another version": ("version", "3.0", "version is '3.0'"),
    "a long name": ("model.name", "x" * 1_000_000, "model.name"),
}


@pytest.mark.crossed
@pytest.mark.parametrize("seal", [False, True], ids=["edited", "forged"])
@pytest.mark.parametrize(("path", "value", "reason"), CHANGED.values(), ids=CHANGED)
def test_a_changed_field_is_refused(path: str, value: Any, reason: str, seal: bool, folder: Path) -> None:
    """A forger redoes the seals; then only what the predictions tell is left to contradict."""
    if seal and "was changed after" in reason:
        pytest.skip("nothing but the seal can tell")
    entries.rewrite(folder, put(path, value), seal=seal)

    with pytest.raises(EntryError, match=reason) as raised:
        Entry.read(folder)
    assert len(str(raised.value)) < 500
    assert len(str(raised.value).splitlines()) == 1


FIRST_64, FIRST_128 = 3 * 120, 4 * 120
PREDICTED: dict[str, tuple[Callable[[Columns], Columns], str]] = {
    "a prediction": (changed("margin", 0, 2.0), "figures.random.borders.0.accuracy"),
    "a margin alone": (changed("margin", slice(None), float("nan")), "margins must be finite"),
    "a row less": (
        kept(slice(1, None)),
        "init random, border 0, seed 0: 59 rows",
    ),
    "the last row missing": (kept(slice(0, -1)), "init random, border 512, seed 1: 59 rows, but there must be 60"),
    "a row twice": (kept([*range(61), *range(60, 840)]), "init random, border 0, seed 1: 61 rows"),
    "rows beyond": (kept([*range(840), 839, 839]), "init random, border 512, seed 1: 62 rows|2 rows beyond"),
    "rows in another order": (kept([1, 0, *range(2, 840)]), "label 0, then label 1"),
    "a source swapped": (kept([*range(60), 62, 63, 60, 61, *range(64, 840)]), "seed 1: the sources are not those"),
    "another source": (changed("source", [0, 1], "other"), "data.sources_sha256"),
    "a source twice": (changed("source", [2, 3], "picture_0"), "a source occurs twice, picture_0"),
    "a label": (changed("label", 5, 0), "label 0, then label 1"),
    "two classes for equal corners": (
        changed("margin", FIRST_128 + 1, 0.5),
        "128, seed 0: the corners are equal",
    ),
    "one difference of a pair": (changed("difference", FIRST_64, 0.5), "border 64, seed 0: the two rows of a source"),
    "a negative difference": (changed("difference", [0, 1], -0.5), "differences finite and 0 or more"),
    "an equal border that is not": (
        changed("difference", [FIRST_128, FIRST_128 + 1], 0.5),
        "figures.random.borders.128",
    ),
    "a proved border that is not": (changed("difference", [838, 839], 0.5), "border 512: proved, yet"),
    "another seed": (changed("seed", slice(0, 60), 7), "border 0, seed 0: 0 rows"),
}


@pytest.mark.parametrize(("change", "reason"), PREDICTED.values(), ids=PREDICTED)
def test_changed_predictions_are_refused(change: Callable[[Columns], Columns], reason: str, folder: Path) -> None:
    entries.forge(folder, change(entries.answers()))

    with pytest.raises(EntryError, match=reason) as raised:
        Entry.read(folder)
    assert len(str(raised.value).splitlines()) == 1


def test_predictions_that_the_entry_was_not_made_from(folder: Path) -> None:
    entries.predictions(changed("margin", 0, -1.25)(entries.answers())).write(folder / PREDICTIONS)

    with pytest.raises(EntryError, match=r"predictions\.parquet is not what the entry was made from"):
        Entry.read(folder)


def test_a_prediction_that_its_margin_contradicts(folder: Path) -> None:
    columns = entries.answers()
    entries.forge(folder, columns | {"prediction": columns["margin"] <= 0})

    with pytest.raises(EntryError, match="the prediction is 1 where the margin is above 0"):
        Entry.read(folder)
