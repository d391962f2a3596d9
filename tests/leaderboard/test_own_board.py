"""The project's own board is what its entries make, and small."""

import re
import shutil
from pathlib import Path

import pytest

from qi_datasets.leaderboard.site import build
from tests.leaderboard.own_board import CARDS, ENTRIES, SCREENSHOT, SITE

LARGEST = 400_000

pytestmark = pytest.mark.skipif(not ENTRIES.is_dir(), reason="the project's entries are not in this checkout")


def test_the_board_is_made_again_without_a_difference(tmp_path: Path) -> None:
    """Links lead from the page to the entries, so both are placed as in the checkout."""
    again = tmp_path / SITE.relative_to(CARDS)
    shutil.copytree(ENTRIES, tmp_path / ENTRIES.relative_to(CARDS))

    made = build([tmp_path / ENTRIES.relative_to(CARDS)], again, link=True)

    assert made.refused == []
    assert {path.name for path in again.iterdir()} == {path.name for path in SITE.iterdir()}
    for path in again.iterdir():
        assert path.read_text(encoding="utf-8") == (SITE / path.name).read_text(encoding="utf-8"), (
            f"{path.name} is not what the entries give: python -m tests.leaderboard.own_board"
        )


def test_the_board_and_its_screenshot_are_small() -> None:
    assert sum(path.stat().st_size for path in (*SITE.iterdir(), SCREENSHOT)) < LARGEST


def test_every_download_is_there() -> None:
    page = (SITE / "index.html").read_text(encoding="utf-8")
    links = re.findall(r'href="([^"#]*)" download', page)

    assert len(links) == 2 + 2 * len(list(ENTRIES.rglob("entry.json")))
    assert all((SITE / link).is_file() for link in links)
