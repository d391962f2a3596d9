"""The script of the README, word for word."""

import os
import re
from pathlib import Path
from typing import Any

from qi_datasets.evaluation.entry import Entry
from tests.forks import call_forked

README = Path(__file__).parents[2] / "README.md"


def test_the_script_of_the_readme_gives_an_entry(sets: Path, tmp_path: Path) -> None:
    found = re.search(r"<!-- script: evaluate -->\n```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    script = found[1]
    assert len([line for line in script.splitlines() if line]) <= 15
    (tmp_path / "demo-sets").symlink_to(sets)

    ran = call_forked(run_script, script, tmp_path)

    assert ran.exit_code == 0, ran.stderr
    said = f"{Entry.read(tmp_path / 'my-net')}"
    assert ran.stdout == f"{said}\n"
    # The README is about the whole demo sets; here are fewer pictures.
    shown = " ".join(line.removeprefix("# ") for line in script.splitlines() if line.startswith("# "))
    assert SENTENCE.fullmatch(shown)


def run_script(script: str, folder: Path) -> None:
    os.chdir(folder)
    exec(script, {"__name__": "__main__"})  # noqa: S102


SENTENCE = re.compile(
    r"Sequential \(given\) tells the corners apart at 75 % or more up to a border of 0 pixels; from 16 on it can't, "
    r"for any picture\. Its location score is [\d.]+ \([\d.]+ to [\d.]+\)\."
)


def test_the_table_of_the_readme_is_of_the_entries() -> None:
    """Each row has the figures of an entry in cards/entries."""
    rows = re.findall(
        r"^\| ([^|]+) \| ((?:[^|]+ \| ){7})(\d\.\d\d) \|$", README.read_text(encoding="utf-8"), re.MULTILINE
    )
    there = set()
    for folder in (README.parent / "cards" / "entries").iterdir():
        for figures in Entry.read(folder).figures.values() if folder.is_dir() else ():
            score = figures["location_score"]
            there.add((*map(cell, figures["borders"].values()), f"{score['value']:.2f}" if score else ""))
    assert len(rows) >= 5
    for name, cells, score in rows:
        assert (*cells.removesuffix(" | ").split(" | "), score) in there, name


def cell(at: dict[str, Any]) -> str:
    return {"equal": "=", "proved": "\N{IDENTICAL TO}"}.get(at["verdict"], f"{100 * at['accuracy']:.0f}")
