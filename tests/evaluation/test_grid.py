"""Evaluation on grids: in which cells a network reads, from answers to figures, and back from the files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from click.testing import CliRunner
from torch import nn

from qi_datasets.commands.evaluate import main
from qi_datasets.errors import EntryError, ModelError, OptionError
from qi_datasets.evaluation.entry import seals_of
from qi_datasets.evaluation.evaluate import evaluate
from qi_datasets.evaluation.grid import ANSWERS, SETTINGS, GridEntry, GridWork, evaluate_grid, grid_beside
from qi_datasets.networks.reference import QuadrantNet
from qi_datasets.protocols.grid import Cells, GridNetwork
from tests.evaluation.networks import reader

DEEP = {"strides": (2,) * 6, "channels": (3, 8, 8, 8, 8, 8, 8)}
"""A total stride of 64: all cells of a grid are one phase."""


def network(padding: Any, **options: Any) -> QuadrantNet:
    return QuadrantNet(padding, **{"channels": (3, 16, 16, 16, 16), **options})


@pytest.fixture(scope="module")
def made(sets: Path) -> GridEntry:
    return evaluate_grid(network("same"), 2, sets)


class Quadrants(nn.Module):
    """Answers what it sees above, and at the left: location, and nothing else."""

    def forward(self, images: Any) -> Any:
        half = images.shape[-1] // 2
        return torch.stack([part.abs().amax((1, 2, 3)) for part in (images[:, :, :half], images[..., :half])], 1)


def test_a_network_that_says_where_reads_all_bits_and_full_convolution_none(made: GridEntry, sets: Path) -> None:
    knowing, full = evaluate_grid(Quadrants(), 2, sets), evaluate_grid(network("full"), 2, sets)

    assert knowing.figures["given"]["shares"] == [[1, 1], [1, 1]]
    assert knowing.figures["given"]["bits"]["value"] == pytest.approx(2)
    assert made.content["differences"]["given"] > 1e-3
    assert full.figures["given"]["bits"] == {"value": 0, "low": 0, "high": 0}
    assert full.figures["given"]["accuracy"]["value"] == 0.25
    assert full.content["differences"]["given"] < 1e-5


def test_circular_padding_reads_nothing_on_a_canvas_where_it_closes_and_something_elsewhere(sets: Path) -> None:
    closed, open_ = (evaluate_grid(network("circular", **DEEP), 3, sets, border) for border in (4, 0))

    assert Cells(3, 4).side % 64 == 0
    assert closed.figures["given"]["bits"]["high"] == 0
    assert open_.content["differences"]["given"] > 1e-3


@pytest.mark.parametrize("padding", ["same", "full", "valid", "circular"])
@pytest.mark.parametrize(("grid", "border"), [(2, 0), (3, 5)])
def test_local_evaluation_is_the_dense_one(padding: Any, grid: int, border: int) -> None:
    patches = torch.rand(3, 3, 56, 56, generator=torch.Generator().manual_seed(0))
    local, dense = (
        GridNetwork(network(padding, bias=True), Cells(grid, border), local=local).features(patches)
        for local in (True, False)
    )

    assert local.shape == (3, grid**2, 16)
    assert np.abs(local - dense).max() <= 1e-5 * np.abs(dense).max()


def test_cells_are_where_the_views_have_them(sets: Path) -> None:
    from qi_datasets import load_dataset

    rows = load_dataset("qi", grid=3, border=7, split="test", output=sets)
    patch = torch.from_numpy(np.asarray(rows[0]["image"])[7:63, 7:63].transpose(2, 0, 1).copy())[None]
    cells = Cells(3, 7)

    for row in rows.select(range(9)):
        image = cells.images(patch, [cells.places[row["label"]]])[0].permute(1, 2, 0)
        np.testing.assert_array_equal(image, np.asarray(row["image"]))


def test_what_is_written_is_read_and_the_figures_are_computed_again(made: GridEntry, tmp_path: Path) -> None:
    again = GridEntry.read(made.write(tmp_path / "entry"))

    assert again.content == json.loads(json.dumps(made.content))
    np.testing.assert_array_equal(again.answers["given"], made.answers["given"])
    assert again.sources == made.sources


def test_a_changed_setting_is_told_by_its_seal(made: GridEntry, tmp_path: Path) -> None:
    folder = made.write(tmp_path / "entry")
    content = json.loads((folder / SETTINGS).read_text())
    content["border"] = 16
    (folder / SETTINGS).write_text(json.dumps(content))

    with pytest.raises(EntryError, match="the section border was changed"):
        GridEntry.read(folder)


def seeds_of_random(sets: Path, entry: Path) -> GridEntry:
    return evaluate_grid(reader, 2, sets, init="random", seeds=3, entry=entry)


def test_a_run_that_was_cut_off_goes_on(sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = seeds_of_random(sets, tmp_path / "whole")
    answers, computed = GridWork.answers, []

    def cut_off(work: GridWork, case: Any) -> Any:
        computed.append(case.seed)
        if len(computed) == 2:
            raise KeyboardInterrupt
        return answers(work, case)

    monkeypatch.setattr(GridWork, "answers", cut_off)
    with pytest.raises(KeyboardInterrupt):
        seeds_of_random(sets, tmp_path / "cut")
    assert not (tmp_path / "cut" / SETTINGS).exists()

    gone_on = seeds_of_random(sets, tmp_path / "cut")
    assert computed == [0, 1, 1, 2], "what was done is not done again"
    assert gone_on.content == whole.content
    np.testing.assert_array_equal(gone_on.answers["random"], whole.answers["random"])
    assert sorted(path.name for path in (tmp_path / "cut").iterdir()) == [SETTINGS, ANSWERS]
    assert seeds_of_random(sets, tmp_path / "cut").content == json.loads(json.dumps(whole.content)), "finished already"
    assert len(computed) == 4
    with pytest.raises(OptionError, match="holds another evaluation: its grid is 2, not 3"):
        evaluate_grid(reader, 3, sets, init="random", seeds=3, entry=tmp_path / "cut")


def test_it_stands_beside_the_entry_of_its_network_alone(sets: Path, tmp_path: Path) -> None:
    one, other = network("same"), network("same", bias=True)
    entry = evaluate(one, output=sets, borders=[0], entry=tmp_path / "net-1")
    assert grid_beside(tmp_path / "net-1", entry.content) is None
    evaluate_grid(one, 2, sets, entry=tmp_path / "net-1")

    found = grid_beside(tmp_path / "net-1", entry.content)
    assert found is not None
    assert found.content["grid"] == 2
    evaluate_grid(other, 2, sets).write(tmp_path / "net-1")
    with pytest.raises(EntryError, match="is of other weights"):
        grid_beside(tmp_path / "net-1", entry.content)
    evaluate_grid(one, 2, sets, padding="full").write(tmp_path / "net-1")
    with pytest.raises(EntryError, match="is of another network: its padding is 'full'"):
        grid_beside(tmp_path / "net-1", entry.content)


def test_figures_that_the_answers_contradict_are_refused(made: GridEntry, tmp_path: Path) -> None:
    folder = made.write(tmp_path / "entry")
    content = json.loads((folder / SETTINGS).read_text())
    content["figures"]["given"]["bits"]["value"] += 0.01
    content["seals"] = seals_of(content)
    (folder / SETTINGS).write_text(json.dumps(content))

    with pytest.raises(EntryError, match="not those of the answers"):
        GridEntry.read(folder)
    (folder / ANSWERS).write_bytes(b"PAR1")
    with pytest.raises(EntryError, match="can't be read"):
        GridEntry.read(folder)


class Dead(nn.Module):
    def forward(self, images: Any) -> Any:
        return images.new_ones(len(images), 2)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"grid": 1}, OptionError, "grid must be an integer from 2 to 9"),
        ({"grid": 10}, OptionError, "grid must be an integer from 2 to 9"),
        ({"init": "scratch"}, OptionError, "scratch has no effect"),
        ({"model": Dead()}, ModelError, "dead|same features"),
        ({"limit": 1000}, OptionError, "limit=1000"),
    ],
)
def test_what_can_not_be_evaluated_is_one_error(
    options: dict[str, Any], error: type[Exception], said: str, sets: Path
) -> None:
    with pytest.raises(error, match=said):
        evaluate_grid(**{"model": network("same"), "grid": 2, "output": sets, **options})


FACTORY = """
from qi_datasets.networks.reference import QuadrantNet

def make():
    return QuadrantNet("same", channels=(3, 8, 8, 8, 8))
"""


def test_the_command_shows_the_map_and_writes_it(sets: Path, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(FACTORY)
    arguments = [f"{tmp_path}/net.py:make", "--grid", "2", "--output", f"{sets}"]
    files = ["--entry", f"{tmp_path}/entry", "--plot", f"{tmp_path}/map.png"]
    found = CliRunner().invoke(main, [*arguments, *files])

    assert found.exit_code == 0, found.output
    assert "bits of location" in found.output
    assert "of 2.00" in found.output
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    assert GridEntry.read(tmp_path / "entry").content["grid"] == 2


@pytest.mark.parametrize(
    "options",
    [["--merge"], ["--dry-run"], ["--task", "shifted"], ["--border", "0", "--border", "16"], ["--notes", "x"]],
)
def test_options_that_a_grid_does_not_take_are_refused(options: list[str], sets: Path, tmp_path: Path) -> None:
    arguments = ["resnet18", "--grid", "2", "--output", f"{sets}", "--entry", f"{tmp_path}/entry", *options]

    assert CliRunner().invoke(main, arguments).exit_code == 2
