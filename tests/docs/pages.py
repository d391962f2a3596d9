"""Finds the code blocks of pages, and runs them one after another in one process, as a reader would."""

import os
import re
import shlex
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))]
# README's commands are run by CI, its script by the tests of evaluation.
BLOCK = re.compile(r"(?:<!-- (not run|command|script): ([^\n]*) -->\n)?```(\w+)\n(.*?)\n```", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One block of code. skipped: why it is not run, "" if it is."""

    language: str
    text: str
    skipped: str


def blocks(page: str) -> list[Block]:
    """Returns the blocks of a page, in order."""
    found = BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
    return [Block(language, text, f"{mark}: {why}" if mark else "") for mark, why, language, text in found]


def commands(text: str) -> list[list[str]]:
    """Returns the words of each command of a shell block, without comments."""
    lines = [shlex.split(line, comments=True) for line in text.replace("\\\n", " ").splitlines()]
    return [words for words in lines if words]


def main_of(name: str):  # type: ignore[no-untyped-def]
    """Returns the click command of an installed script of this package; None for other programs."""
    found = [script for script in entry_points(group="console_scripts", name=name) if script.dist.name == "qi-datasets"]
    return found[0].load() if found else None


def run_page(page: str, folder: Path) -> None:
    """Runs the blocks of a page in a folder; an error ends the process."""
    os.chdir(folder)
    os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
    os.environ["QI_DATASETS_HOME"] = str(folder / "demo-sets")
    names: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(page):
        if block.skipped:
            continue
        if block.language == "python":
            exec(compile(block.text, page, "exec"), names)  # noqa: S102
        elif block.language == "sh":
            for program, *arguments in commands(block.text):
                main_of(program).main(arguments, prog_name=program, standalone_mode=False)
