"""`qi-plot`: several entries in one figure."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from qi_datasets.commands.plot import main
from tests.evaluation import entries
from tests.leaderboard.made import network, written

pytest.importorskip("matplotlib")


def test_entries_are_drawn_and_described(tmp_path: Path) -> None:
    written(tmp_path, a=entries.entry(), b=network(1, read=(0,)))
    arguments = [str(tmp_path / "a"), str(tmp_path / "b"), "-o", str(tmp_path / "curves.svg")]

    shown = CliRunner().invoke(main, arguments)

    assert shown.exit_code == 0, shown.output
    assert "<svg" in (tmp_path / "curves.svg").read_text()
    assert shown.stdout.splitlines()[0].startswith("made_up (random, 2 seeds) tells the corners apart")
    assert "was evaluated with qi-datasets" in shown.stdout
    assert shown.stdout.endswith(f"{tmp_path / 'curves.svg'}: 2 entries\n")
    assert CliRunner().invoke(main, [*arguments, "--quiet"]).stdout == ""


def test_what_can_not_be_drawn_is_one_line(tmp_path: Path) -> None:
    entries.entry().write(tmp_path / "a")
    for arguments, message in (
        ([str(tmp_path / "a"), "-o", str(tmp_path / "x.doc")], "give a name that ends in .png, .svg or .pdf"),
        ([str(tmp_path / "none"), "-o", str(tmp_path / "x.pdf")], "entry.json is missing"),
    ):
        refused = CliRunner().invoke(main, arguments)
        assert (refused.exit_code, message in refused.stderr) == (2, True)
