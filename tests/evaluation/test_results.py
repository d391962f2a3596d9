"""Figures are dataclasses whose fields are keys, and become the same JSON that they were read from."""

import json
from typing import Any

import pytest

from qi_datasets.evaluation.entry import Entry
from qi_datasets.evaluation.results import (
    BorderFigures,
    Estimate,
    FigureRecord,
    ModeFigures,
    PairFigures,
    QuadrantFigures,
    RedGreenFigures,
    ShiftedFigures,
    as_plain_json,
)
from tests.evaluation import entries
from tests.leaderboard import made


def records(figures: Any) -> list[FigureRecord]:
    """Returns a record and all records in it."""
    inside = figures.values() if hasattr(figures, "values") else ()
    own = [figures] if isinstance(figures, FigureRecord) else []
    return [*own, *(found for one in inside for found in records(one))]


@pytest.fixture(scope="module", params=[entries.entry, lambda: made.shifted(1)], ids=["qi", "shifted"])
def entry(request: pytest.FixtureRequest) -> Entry:
    made: Entry = request.param()
    return made


def test_they_are_what_the_json_says(entry: Entry) -> None:
    assert json.dumps(as_plain_json(entry.figures)) == json.dumps(entry.content["figures"])
    assert entry.figures == entry.content["figures"]


def test_keys_are_attributes(entry: Entry) -> None:
    found = records(entry.figures)
    assert found
    for record in found:
        assert list(record) == list(as_plain_json(record))
        for name, value in record.items():
            found_by_name = record.modes[name] if isinstance(record, ShiftedFigures) else getattr(record, name)
            assert found_by_name is value
        with pytest.raises(KeyError):
            record["no such figure"]
        with pytest.raises(AttributeError):
            record.value_of = 1  # type: ignore[attr-defined]


def test_qi_has_borders_with_intervals() -> None:
    figures = entries.entry().figures["random"]
    assert isinstance(figures, QuadrantFigures)
    assert all(isinstance(at, BorderFigures) for at in figures.borders.values())
    assert isinstance(figures.location_score, Estimate | None)
    assert figures.borders["0"].accuracy == figures["borders"]["0"]["accuracy"]


def test_shifted_has_modes() -> None:
    (figures,) = made.shifted(1).figures.values()
    assert all(isinstance(mode, ModeFigures) for mode in figures.values())


@pytest.mark.parametrize("kind", [PairFigures, RedGreenFigures])
def test_the_toy_tasks_have_theirs(kind: type[FigureRecord]) -> None:
    interval = {"value": 0.5, "low": 0.25, "high": 0.75}
    content = {name: interval if hint is Estimate else 0.5 for name, hint in kind.__annotations__.items()}
    found = kind.read(content)
    assert found == content
    assert sum(isinstance(value, Estimate) for value in found.values()) == list(content.values()).count(interval)
