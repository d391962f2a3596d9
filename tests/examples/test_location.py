"""The lecture runs from top to bottom, from nothing, and prints what it is meant to show."""

from pathlib import Path

import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("torch")
pytest.importorskip("ipykernel")

NOTEBOOK = Path(__file__).parents[2] / "examples" / "location.ipynb"


FEWER = {
    "range(50)": "range(6)",
    "of 50 nets": "of 6 nets",
    "demo=True, borders=[0]": "demo=True, borders=[0], per_split=40",
    "limit=60": "limit=40",
}
"""What makes the lecture a short one: its text -> what is run in its place."""


@pytest.fixture(scope="module", params=[False, pytest.param(True, marks=pytest.mark.slow)], ids=["short", "whole"])
def lecture(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    if not request.param:
        for text, fewer in FEWER.items():
            assert any(text in cell.source for cell in notebook.cells)
            for cell in notebook.cells:
                cell.source = cell.source.replace(text, fewer)
    folder = tmp_path_factory.mktemp("lecture")
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    return notebook


def printed(lecture, wanted: str) -> str:
    """Returns the output of the first cell that contains `wanted`."""
    cell = next(cell for cell in lecture.cells if cell.cell_type == "code" and wanted in cell.source)
    return "".join(output.get("text", "") for output in cell.outputs if output.get("name") == "stdout")


def test_full_convolution_never_tells_the_corners_apart_and_same_padding_does(lecture) -> None:
    lines = printed(lecture, "train_rook").splitlines()
    solved = {line.split(":")[0].strip(): int(line.split()[1]) for line in lines}
    nets = int(lines[0].split()[3])

    assert solved["full"] == 0
    assert solved["same"] > 0.8 * nets


def test_the_mended_network_reads_nothing_and_the_one_before_does(lecture) -> None:
    assert "border   0" in printed(lecture, "own = evaluate")
    assert "reads" in printed(lecture, "own = evaluate")
    assert "reads" not in printed(lecture, "mended = to_full_conv")
    assert "bits of location on the grid: 0.00" in printed(lecture, "mended = to_full_conv")


def test_every_figure_is_shown(lecture) -> None:
    drawing = [cell for cell in lecture.cells if cell.cell_type == "code" and "\nfigures." in f"\n{cell.source}"]
    pictures = [cell for cell in drawing if any("image/png" in output.get("data", {}) for output in cell.outputs)]

    assert len(pictures) == len(drawing) == 6


def test_it_is_stored_without_outputs() -> None:
    cells = nbformat.read(NOTEBOOK, as_version=4).cells

    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in cells)
