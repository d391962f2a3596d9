"""Sentences, tables and plots of an entry follow from its figures."""

from pathlib import Path

import pytest

from qi_datasets.errors import OptionError
from qi_datasets.evaluation.curve import figure_of
from qi_datasets.evaluation.entry import Entry
from qi_datasets.evaluation.wording import COLUMNS, p_value, rows_of
from qi_datasets.specs import QI
from tests.evaluation import entries
from tests.leaderboard.made import network, shifted

ALL = QI.borders
SENTENCES: dict[str, tuple[Entry, str]] = {
    "to a border, then proved": (
        entries.entry(),
        "made_up (random, 2 seeds) tells the corners apart at 75 % or more up to a border of 32 pixels; from 512 on it "
        "can't, for any picture. Its location score is 0.",
    ),
    "then equal": (
        network(1, read=(0, 16), name="net"),
        "net (random) tells the corners apart at 75 % or more up to a border of 16 pixels; from 32 on both corners "
        "give it the same features, for every test picture. Its location score is 0.29",
    ),
    "weakly": (
        network(1, read=(0,), missed=18, name="net", padding="full"),
        "net (random, full padding) tells the corners apart, below 75 %, up to a border of 0 pixels; from 16 on",
    ),
    "nowhere": (
        network(1, read=(), name="net"),
        "does not tell the corners apart at any border that was run",
    ),
    "everywhere": (
        network(1, read=ALL, name="net"),
        "up to a border of 512 pixels. Its location score is 1.",
    ),
    "some borders": (
        network(1, read=(0, 16), borders=(0, 16), name="net"),
        "net (random) tells the corners apart at 75 % or more up to a border of 16 pixels; that is by 2 of 7 borders.",
    ),
    "shifted": (
        shifted(3),
        "network_3 (random) gives the same answer to 100.0 % of pairs of moved pictures (crop); but it answers with 4 "
        "classes only.",
    ),
}


@pytest.mark.parametrize(("entry", "sentence"), SENTENCES.values(), ids=SENTENCES)
def test_an_entry_says_what_it_found(entry: Entry, sentence: str) -> None:
    assert sentence in f"{entry}"
    assert sentence.replace("'", "&#x27;") in entry._repr_html_()


@pytest.mark.parametrize(("of", "said"), [(8, " 3 of its 8 "), (3, " All of its 3 ")])
def test_dead_branches_are_said(of: int, said: str) -> None:
    dead = {"random": {"count": 3, "of": of, "layers": ["layer1.0", "layer1.1", "layer2.0", "layer2.1"]}}
    found = f"{entries.entry(dead_branches=dead)}"
    assert f"{said}residual branches add nothing (layer1.0, layer1.1, layer2.0, ...): " in found


def test_tables_come_in_three_forms() -> None:
    entry = entries.entry()
    at = entry.figures["random"]["borders"]["0"]
    accuracy, low, high = (f"{100 * at[name]:.1f}" for name in ("accuracy", "low", "high"))

    assert f"| 0 | reads | {accuracy} | {low} to {high} |" in entry.table("markdown")
    assert f"0 & reads & {accuracy} & {low} to {high} &" in entry.table("latex")
    assert "proved & 50.0 & -- & -- &" in entry.table("latex")
    assert "accuracy \\%" in entry.table("latex")
    assert [len(line) for line in entry.table().splitlines()[1:3]] == [79, 79] or "border" in entry.table()
    with pytest.raises(OptionError, match="a table is text, markdown or latex, not 'html'"):
        entry.table("html")


@pytest.mark.parametrize("made", [entries.entry(), shifted(1)], ids=["qi", "shifted"])
def test_every_column_is_explained(made: Entry) -> None:
    header, _ = rows_of(made.task, made.figures["random"])
    assert set(header) <= set(COLUMNS)


def test_methods_name_version_digests_and_test() -> None:
    said = entries.entry().methods()
    for word in ("qi-datasets 0.1.0", "data version 1.0.0", "test 000000000000", "30 test sources", "Holm", "2 seeds"):
        assert word in said


def test_figures_hold_several_entries(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    figure = figure_of([entries.entry().content, network(1, name="resnet18", read=(0,)).content])
    (axes,) = figure.axes
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert {"made_up (random, 2 seeds)", "made_up, proved", "made_up, equal"} <= set(names)
    assert {"resnet18 (random)", "resnet18, equal", "resnet18 (random), paper"} <= set(names)
    assert axes.get_title() == "qi, data version 1.0.0, track other"
    entries.entry().plot().savefig(tmp_path / "own.svg")
    for labelled in (True, False):
        figure_of([shifted(2, labelled=labelled).content]).savefig(tmp_path / f"{labelled}.svg")
    with pytest.raises(OptionError, match="of one task and data version"):
        figure_of([entries.entry().content, shifted(2).content])


def test_tiny_p_values_are_bounded() -> None:
    assert [p_value(p) for p in (None, 0.0, 3e-22, 0.01, 1.0)] == ["\N{EN DASH}", "< 1e-99", "3e-22", "0.010", "1.000"]
