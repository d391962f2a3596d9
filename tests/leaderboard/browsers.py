"""The browser of the tests: the machine's Chromium, else playwright's own."""

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def launched(playwright: "Playwright") -> "Browser":
    """Returns a running browser. Raises playwright's Error if there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    # Chromium's own sandbox refuses to run as root, as in a container.
    return playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
