"""Every block of code in the documentation runs, or says why it is not run; then its options exist at least."""

import re
import shutil
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, Block, blocks, commands, main_of, run_page
from tests.forks import call_forked


def commands_not_run(block: Block) -> list[list[str]]:
    """Returns the commands of a block that is not run."""
    return commands(block.text) if block.skipped and block.language == "sh" else []


NOT_RUN = [(page, words) for page in PAGES for block in blocks(page) for words in commands_not_run(block)]


@pytest.mark.docs
@pytest.mark.parametrize("page", [page for page in PAGES if any(not block.skipped for block in blocks(page))])
def test_the_code_of_a_page_runs(page: str, sets: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "demo-sets").symlink_to(sets)
    shutil.copytree(
        ROOT / "cards" / "entries", tmp_path / "entries", ignore=shutil.ignore_patterns("*.py", "README.md")
    )

    ran = call_forked(run_page, page, tmp_path)

    assert ran.exit_code == 0, ran.stderr


@pytest.mark.parametrize(("page", "words"), NOT_RUN, ids=lambda value: value if isinstance(value, str) else value[0])
def test_what_is_not_run_has_options_that_there_are(page: str, words: list[str]) -> None:
    command = main_of(words[0])
    if command is None:
        pytest.skip(f"{words[0]} is another's program")
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word.partition("=")[0] for word in words[1:] if word.startswith("--")} <= options


@pytest.mark.parametrize("page", PAGES)
def test_blocks_have_a_language_and_a_reason(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert text.count("\n```\n") + text.endswith("\n```") == len(blocks(page))
    assert all(block.language in ("python", "sh", "toml") for block in blocks(page))
    assert len(re.findall("<!-- (not run|command|script): ", text)) == sum(bool(b.skipped) for b in blocks(page))


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_what_is_linked_is_there(page: str) -> None:
    """Links of the documentation itself are checked when it is built."""
    links = re.findall(r"\]\(([^)]+)\)|(?:src|href)=\"([^\"]+)\"", (ROOT / page).read_text(encoding="utf-8"))
    local = [link for link in map("".join, links) if "://" not in link]
    assert [link for link in local if not (ROOT / link.partition("#")[0]).exists()] == []
