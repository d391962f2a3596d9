"""Arguments that repeat an entry, and the differences of another run."""

from pathlib import Path
from typing import Any

import pytest

from qi_datasets import evaluate
from qi_datasets.errors import OptionError
from qi_datasets.evaluation.evaluate import evaluate_request
from qi_datasets.evaluation.reproduce import differences, request_of
from tests.evaluation import entries, networks


@pytest.mark.parametrize(
    "asked",
    [
        {"borders": [0], "seeds": 2},
        {"borders": [0, 3], "seeds": 1, "batch_norm": "untouched", "padding": "full", "limit": 4},
        {"borders": [5], "seeds": 1, "background": "plain", "pool": "own", "std": (0.1, 0.2, 0.3)},
        {"task": "corner", "seeds": 1},
    ],
)
def test_arguments_repeat_an_entry(asked: dict[str, Any], sets: Path) -> None:
    entry = evaluate(networks.reader, output=sets, **asked)

    again = evaluate_request(networks.reader, request_of(entry.content), sets)

    assert differences(entry, again) == []
    assert {**again.content, "seconds": 0} == {**entry.content, "seconds": 0}


def test_other_answers_are_named_by_border() -> None:
    columns = entries.answers()
    columns["margin"][columns["border"] == 16] *= -1
    there, here = entries.entry(), entries.entry(columns)

    assert differences(there, here) == ["border 16: 100.0% of the answers differ"]
    columns = entries.answers()
    columns["margin"][0] *= -1
    assert differences(there, entries.entry(columns)) == []


def test_other_settings_are_named() -> None:
    model = entries.settings()["model"] | {"padding": "full"}
    assert differences(entries.entry(), entries.entry(model=model)) == ["model differs: padding"]


def test_an_entry_that_no_single_run_gives() -> None:
    entry = entries.entry()
    inits = {
        "random": {"seeds": [0, 1], "batch_norm": "calibrated"},
        "scratch": {"seeds": [0], "batch_norm": "trained"},
    }
    protocol = {**entry.content["protocol"], "inits": inits}
    with pytest.raises(OptionError, match="run them one by one"):
        request_of({**entry.content, "protocol": protocol})
