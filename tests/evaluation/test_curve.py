"""The curve of an entry, with characters."""

import pytest

from qi_datasets.errors import OptionError
from qi_datasets.evaluation.curve import curves_of, draw_text_curve
from qi_datasets.evaluation.entry import Entry
from qi_datasets.evaluation.paper_figures import paper_curve
from tests.evaluation import entries


def test_marks_stand_at_their_accuracy() -> None:
    lines = draw_text_curve(entries.entry().content)

    assert lines[0].split() == ["100", "%", "|", "●", "●", "●"]
    fifty = next(line for line in lines if line.startswith("  50 %"))
    assert fifty.count("=") == 3
    assert lines[-2].split() == ["border", *(f"{border}" for border in entries.BORDERS)]
    assert max(map(len, lines)) < 80
    assert sum(line.count("●") for line in lines[:-1]) == 4


def test_only_qi_has_a_curve() -> None:
    entry = entries.entry()
    other = Entry({**entry.content, "task": "rook"}, entry.predictions)
    with pytest.raises(OptionError, match="an entry of rook has no accuracy against border"):
        curves_of(other.content)


def test_the_papers_curves_are_at_the_official_borders() -> None:
    assert paper_curve("resnet18", "random")[64] == 0.81
    assert paper_curve("resnet18", "given") == {}
    assert paper_curve("vgg16", "random") == {}
