"""Renders the report as one self-contained HTML page."""

from importlib.util import find_spec
from pathlib import Path

from qi_datasets.cards import template
from qi_datasets.errors import missing_extra
from qi_datasets.specs import SPEC_VERSION
from qi_datasets.verification.report.report import Plot, Report, Tiles, write_text

PAGE = "index.html"
TEMPLATE = "verification.html.jinja"


def require_drawing() -> None:
    """Raises MissingExtraError if figures will be measured that can't be drawn."""
    if find_spec("torch") is not None and find_spec("matplotlib") is None:
        raise missing_extra("a report is drawn with matplotlib, which is missing", "torch")


def write_page(report: Report, folder: Path) -> Path:
    """Writes the page into a folder, which is made, and returns its path. Raises OutputError if it can't be written."""
    path = folder / PAGE
    write_text(path, render(report))
    return path


def render(report: Report) -> str:
    """Returns the page as text; its figures are inline SVG."""
    drawn = [(figure, drawing(figure)) for figure in report.figures]
    by_set = {check.set: [one for one in report.checks if one.set == check.set] for check in report.checks}
    text: str = template(TEMPLATE).render(report=report, by_set=by_set, drawn=drawn, spec_version=SPEC_VERSION)
    return text


def drawing(figure: Plot | Tiles) -> str:
    """Returns a figure as SVG text."""
    from qi_datasets.verification.report.drawing import draw_plot, draw_tiles

    return draw_plot(figure) if isinstance(figure, Plot) else draw_tiles(figure)
