"""`qi-leaderboard`: what it prints, and its exit status."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from qi_datasets.commands.leaderboard import main
from tests.evaluation import entries
from tests.evaluation.entries import put
from tests.leaderboard.made import network, written


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return written(tmp_path / "entries", a=network(1), b=network(2, read=(0,)))


def test_a_page_is_made(folder: Path, tmp_path: Path) -> None:
    result = run(folder, "--output", tmp_path / "site")

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.output == f"{tmp_path / 'site' / 'index.html'}: 2 entries, 0 refused\n"
    assert "network_2" in (tmp_path / "site" / "index.html").read_text()


@pytest.mark.parametrize("quiet", [False, True])
def test_an_invalid_entry_ends_with_1_and_the_page_is_there(quiet: bool, folder: Path, tmp_path: Path) -> None:
    entries.rewrite(folder / "b", put("figures.random.reach", 512), seal=True)

    result = run(folder, "--output", tmp_path / "site", *(["--quiet"] if quiet else []))

    assert result.exit_code == 1
    line = "refused: b: figures.random.reach is 512, but the predictions give 0"
    assert (result.stderr if quiet else result.stdout).splitlines()[0] == line
    assert (result.stdout if quiet else result.stderr) == ""
    page = (tmp_path / "site" / "index.html").read_text()
    assert "network_1" in page
    assert "network_2" not in page


def test_a_submission_is_checked(folder: Path, tmp_path: Path) -> None:
    written(tmp_path / "published", a=network(1))

    result = run("--check", folder, "--against", tmp_path / "published")
    assert (result.exit_code, result.output) == (0, f"new: b\n{folder}: 1 new, 1 unchanged, 0 refused\n")

    entries.rewrite(folder / "a", put("date", "2025-02-02"), seal=True)
    result = run("--check", folder, "--against", tmp_path / "published")
    assert result.exit_code == 1
    assert result.output.startswith("refused: a: date is '2025-02-02', but was published as '2025-01-31'")


BAD = {
    "nothing": ([], "Give ENTRIES and --output SITE or --hub ORG/NAME, or --check FOLDER."),
    "no output": (["{folder}"], "Give ENTRIES and --output SITE"),
    "check and a page": (
        ["{folder}", "--check", "{folder}"],
        "--check goes with --against, --rerun and --quiet alone.",
    ),
    "against without check": (["{folder}", "--output", "x", "--against", "{folder}"], "--against needs --check."),
    "no such place": (["{folder}/nope", "--output", "{folder}/site"], "error: there are no entries in"),
    "no such submission": (["--check", "{folder}/nope"], "is no folder"),
}


@pytest.mark.parametrize(("arguments", "words"), BAD.values(), ids=BAD)
def test_bad_usage_ends_with_2_and_says_why(arguments: list[str], words: str, folder: Path) -> None:
    result = run(*(argument.format(folder=folder) for argument in arguments))

    assert result.exit_code == 2
    assert words in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr
