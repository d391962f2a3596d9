import re
from xml.etree import ElementTree

import numpy as np
import pytest

from qi_datasets.errors import MissingExtraError, OutputError
from qi_datasets.verification.report import page
from qi_datasets.verification.report.report import Check, Curve, Plot, Report, Status, Table, Tile, Tiles
from tests.refusals import refused

CHECKS = (
    Check("qi", "labels", Status.FAIL, "1 / 2", "every label is <right>", (0.1, 0.9), "row 3 & more"),
    Check("rook", "files", Status.PASS, "", "all there"),
)


def figures():
    pytest.importorskip("matplotlib")
    curves = (Curve("same", (0.0, 16.0, 512.0), (100.0, 50.0, 50.0), (90.0, 50.0, 50.0), (100.0, 50.0, 50.0)),)
    plot = Plot("Accuracy", "By border.", "border", "accuracy", curves, ((15.0, "horizon"),), (0.0, 16.0, 512.0))
    tiles = Tiles("Filters", "Learned.", (("filter", (Tile("a", np.eye(5)), Tile("b", np.zeros((5, 5))))),))
    return plot, tiles


def test_the_page_holds_everything_and_asks_for_nothing(tmp_path):
    table = Table("numbers", ("a", "b"), (("1", "2"),), "a note")
    report = Report("here", CHECKS, (table,), figures(), ("a remark",), seconds=3, package_version="0")
    path = page.write_page(report, tmp_path / "new")
    text = path.read_text(encoding="utf-8")
    for words in ("every label is &lt;right&gt;", "row 3 &amp; more", "10 to 90 %", "a note", "a remark", "Learned."):
        assert words in text
    assert len(re.findall("<svg", text)) == 2
    assert text.index(">qi<") < text.index(">rook<")
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!data:|#)|url\((?!#)|@import|<script""", text)


def test_drawings_are_well_formed():
    for figure in figures():
        assert ElementTree.fromstring(page.drawing(figure)).tag.endswith("svg")  # noqa: S314


def test_a_page_without_figures_needs_no_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "drawing", None)
    assert "all there" in page.render(Report("here", CHECKS))


def test_figures_that_could_not_be_drawn_are_told_before_they_are_measured(monkeypatch):
    monkeypatch.setattr(page, "find_spec", lambda name: None if name == "matplotlib" else object())
    with pytest.raises(MissingExtraError, match=r"pip install '\.\[torch\]'"):
        page.require_drawing()
    monkeypatch.setattr(page, "find_spec", lambda name: None)
    page.require_drawing()


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    with refused(OutputError, "cannot-write", match="cannot write"):
        page.write_page(Report("here", ()), tmp_path / "file")
