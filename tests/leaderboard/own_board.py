"""The board of the project's own entries; `python -m tests.leaderboard.own_board` makes it and its screenshot again."""

import shutil
from pathlib import Path

from qi_datasets.leaderboard.site import build

CARDS = Path(__file__).parents[2] / "cards"
ENTRIES, SITE, SCREENSHOT = CARDS / "entries", CARDS / "leaderboard" / "site", CARDS / "leaderboard" / "site.png"
SCREEN = {"width": 1080, "height": 720}


def screenshot(page: Path, file: Path) -> None:
    """Returns the first screen of a page as a PNG file."""
    from playwright.sync_api import sync_playwright

    from tests.leaderboard.browsers import launched

    with sync_playwright() as playwright:
        browser = launched(playwright)
        opened = browser.new_page(viewport=SCREEN)
        opened.goto(page.as_uri())
        opened.screenshot(path=file)
        browser.close()


def main() -> None:
    """Makes the site and the screenshot again."""
    shutil.rmtree(SITE, ignore_errors=True)
    refused = build([ENTRIES], SITE, link=True).refused
    assert not refused, refused
    screenshot(SITE / "index.html", SCREENSHOT)


if __name__ == "__main__":
    main()
