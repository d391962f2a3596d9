"""The entries of the project: their content, and the commands that made them."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from qi_datasets.commands.evaluate import main
from qi_datasets.evaluation.entry import Entry
from qi_datasets.specs import QI

ENTRIES = Path(__file__).parents[2] / "cards" / "entries"
NAMES = sorted(path.parent.name for path in ENTRIES.glob("*/entry.json"))
SEEDS = {"random": 5, "pretrained": 1, "scratch": 3}


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def commands() -> dict[str, dict[str, Any]]:
    """Returns entry -> parameters of the command in the README that makes it."""
    found: dict[str, dict[str, Any]] = {}
    for line in re.findall(
        r"^qi-eval .* --entry .*$", (ENTRIES / "README.md").read_text(encoding="utf-8"), re.MULTILINE
    ):
        parameters = main.make_context("qi-eval", shlex.split(line)[1:]).params
        assert parameters["entry"] == Path("cards/entries", parameters["entry"].name)
        assert parameters["output"] == "demo-sets"
        assert parameters["entry"].name not in found
        found[parameters["entry"].name] = parameters
    return found


def test_each_entry_has_its_command() -> None:
    assert len(NAMES) >= 5
    assert sorted(commands()) == NAMES


def test_all_together_are_small() -> None:
    assert sum(map(size, (ENTRIES / name for name in NAMES))) < 2_000_000


@pytest.mark.parametrize("name", NAMES)
def test_an_entry_is_what_its_command_says(name: str) -> None:
    content, said = Entry.read(ENTRIES / name).content, commands()[name]

    assert size(ENTRIES / name) < 100_000
    assert sorted(path.name for path in (ENTRIES / name).iterdir()) == ["entry.json", "predictions.parquet"]
    assert '"/' not in (ENTRIES / name / "entry.json").read_text(encoding="utf-8")
    assert (content["task"], content["data"]["track"]) == ("qi", "demo")
    assert content["data"]["digests"] == dict(QI.demo_digests)
    assert content["model"]["name"] == Path(said["model"]).name
    assert content["model"]["padding"] == said["padding"]
    assert content["model"]["background"] == said["background"]
    assert said["pool"] in (None, content["model"]["pool"])
    for what in ("mean", "std"):
        assert said[what] is None or list(said[what]) == content["transform"][what]
    assert content["protocol"]["borders"] == (list(said["borders"]) or list(QI.borders))
    (init,) = said["init"]
    assert list(content["protocol"]["inits"]) == [init]
    assert len(content["protocol"]["inits"][init]["seeds"]) == (said["seeds"] or SEEDS[init])
    assert (content["model"]["weights"] == "none") is (said["weights"] == "none")
