"""The page in a browser: sorting, filtering, links, the keyboard, narrow and wide, light and dark, and its silence.

Without a browser these tests are skipped; with QI_DATASETS_BROWSER=required that is a failure.
"""

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from qi_datasets.leaderboard.site import build
from qi_datasets.specs import QI
from tests.evaluation import entries
from tests.leaderboard.browsers import launched
from tests.leaderboard.made import SCRIPT, network, shifted, written

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

REQUIRED = "QI_DATASETS_BROWSER"
WIDTHS = (360, 768, 1440)


def no_browser(reason: str) -> None:
    if os.environ.get(REQUIRED) == "required":
        pytest.fail(f"{reason}, and {REQUIRED} requires a browser")
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        no_browser("playwright is not installed")
    with sync_playwright() as playwright:
        try:
            chromium = launched(playwright)
        except Error as error:
            no_browser(f"no Chromium can be started: {str(error).splitlines()[0]}")
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("board")
    made: dict[str, Any] = {
        f"n{number}": network(number, read=QI.borders[: number % 8], missed=number, receptive_field=514 * number)
        for number in range(3, 10)
    }
    made["n10"] = network(10, read=(0,), padding="exact", receptive_field=435)
    made["n11"] = network(11, read=(0, 16), init="given", name=f"{SCRIPT}{'long' * 60}")
    written(folder / "entries", made_up=entries.entry(), moved=shifted(5), **made)
    build([folder / "entries"], folder / "site")
    return folder / "site" / "index.html"


@pytest.fixture(scope="module")
def tab(browser: "Browser", site: Path) -> "Iterator[tuple[Page, list[str]]]":
    """Yields a tab that all tests open the page in, and its messages and requests."""
    context = browser.new_context()
    opened, heard = context.new_page(), list[str]()
    opened.on("console", lambda message: heard.append(message.text))
    opened.on("pageerror", lambda error: heard.append(str(error)))
    opened.on("dialog", lambda dialog: heard.append(dialog.message))
    opened.on("request", lambda request: heard.append(request.url) if not is_own(request.url, site) else None)
    yield opened, heard
    context.close()


@pytest.fixture
def page(tab: "tuple[Page, list[str]]", site: Path) -> "Iterator[Page]":
    """Opens the page, which must print nothing and request nothing."""
    opened, heard = tab
    opened.set_viewport_size({"width": 1440, "height": 900})
    opened.emulate_media(media="screen", color_scheme="light")
    opened.goto("about:blank")
    opened.goto(site.as_uri())
    heard.clear()
    yield opened
    assert heard == []


def is_own(url: str, site: Path) -> bool:
    """Returns whether a request is for the page itself, and so stays local."""
    return url.partition("#")[0] in (site.as_uri(), "about:blank") or url.startswith("data:")


def column(page: "Page", place: int) -> list[str]:
    """Returns the values by which the cells of a column of the first table sort, or their texts."""
    return page.evaluate(
        """(place) => [...document.querySelector("table.qi").tBodies[0].rows].map(
            (row) => row.cells[place].dataset.sort ?? row.cells[place].textContent.trim().toLowerCase())""",
        place,
    )


def test_each_column_sorts_both_ways(page: "Page") -> None:
    heads = page.locator("table.qi").first.locator("thead th")
    methods = heads.evaluate_all("(heads) => heads.map((head) => head.dataset.sortMethod)")
    assert len(methods) == 7 + 7 + 4
    for place, method in enumerate(methods):
        key = float if method == "number" else str
        for way in ("ascending", "descending"):
            assert (
                heads.nth(place).evaluate("(head) => { head.querySelector('button').click(); return head.ariaSort; }")
                == way
            )
            found = column(page, place)
            values = [key(value) for value in found if value]
            assert values == sorted(values, reverse=way == "descending")
            assert found[len(values) :] == [""] * (len(found) - len(values)), "what is missing comes last"
    assert page.locator("table.qi").first.locator("[aria-sort]").count() == 1


def test_sorting_is_a_link(page: "Page", site: Path) -> None:
    page.locator("table.qi").first.locator("thead button", has_text="receptive field").click()
    link = page.url
    assert "sort=receptive+field" in link
    page.goto("about:blank")
    page.goto(link)
    head = page.locator("table.qi").first.locator("thead th[aria-sort]")
    assert head.get_attribute("aria-sort") == "ascending"


def test_curves_are_chosen_and_filtered(page: "Page") -> None:
    lines = page.locator("#accuracy > svg.wide g[data-series]:visible")
    before = lines.count()
    page.locator("#curves .off button").first.click()
    assert lines.count() == before + 1
    assert "curves=" in page.url
    page.locator("select[name=padding]").select_option("exact")
    assert lines.count() < before
    boxes = page.locator("#accuracy > svg.wide text[data-series]:visible").evaluate_all(
        "(texts) => texts.map((text) => Number(text.getAttribute('y')))"
    )
    assert all(after - one >= 14.9 for one, after in pairwise(sorted(boxes))), "labels do not collide"


def test_nothing_matches_and_the_way_back(page: "Page") -> None:
    page.locator("input[name=text]").fill("no such network")
    assert page.locator("#nothing").is_visible()
    assert not page.locator("table.qi").first.is_visible()
    page.locator("#nothing button").click()
    wait_for_count(page, "13 rows")
    assert not page.locator("#nothing").is_visible()


def test_on_a_phone_a_network_is_three_figures_and_a_fold(page: "Page") -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    row = page.locator("table.qi tbody tr").first
    assert not page.locator("table.qi thead").first.is_visible()
    assert page.locator("select[name=sort]").is_visible()
    assert row.locator("svg.spark").is_visible()
    assert row.locator("td:visible").count() == 4, "rank, and three figures"
    row.locator("button.unfold").click()
    assert row.locator("td:visible").count() > 4
    page.locator("select[name=sort]").select_option("reach,down")
    assert page.locator("table.qi thead th[aria-sort=descending]").count() >= 1


def test_the_keyboard_sorts_and_filters_and_opens(page: "Page") -> None:
    page.locator("table.qi thead button").nth(3).focus()
    for key in ("Enter", "Space"):
        before = page.locator("table.qi thead th").nth(3).get_attribute("aria-sort")
        page.keyboard.press(key)
        assert page.locator("table.qi thead th").nth(3).get_attribute("aria-sort") != before
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent").replace("\u00a0", " ") == "location score (95 %)"

    page.locator("input[name=text]").focus()
    page.keyboard.type("network_1")
    assert shown(page) == ["network_10"]
    page.locator("button[type=reset]").focus()
    page.keyboard.press("Enter")
    wait_for_count(page, "13 rows")
    assert len(shown(page)) == 10

    page.locator("details:not([hidden]) summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("details[open]").count() == 1


def wait_for_count(page: "Page", text: str) -> None:
    from playwright.sync_api import expect

    expect(page.locator("#count")).to_have_text(text)


def shown(page: "Page") -> list[str]:
    """Returns the names of the visible rows of the first table."""
    return page.locator("table.qi tbody tr:visible th bdi").all_inner_texts()


def test_a_filter_is_a_link(page: "Page", site: Path) -> None:
    page.locator("select[name=init]").select_option("random")
    page.locator("select[name=padding]").select_option("exact")
    assert shown(page) == ["network_10"]
    assert page.locator("#count").inner_text() == "1 of 13 rows"
    link = page.url
    assert link.endswith("#?init=random&padding=exact")

    page.goto("about:blank")
    page.goto(link)
    assert shown(page) == ["network_10"]
    page.locator("button[type=reset]").click()
    wait_for_count(page, "13 rows")
    assert page.url == f"{site.as_uri()}#"


@pytest.mark.parametrize("part", ["#?padding=nope&init=%22%3E", "#nowhere", "#?text=%3Cscript%3E", "#%"])
def test_a_broken_link_breaks_nothing(part: str, page: "Page", site: Path) -> None:
    page.goto("about:blank")
    page.goto(f"{site.as_uri()}{part}")

    assert page.locator("#count").inner_text() in ("13 rows", "1 of 13 rows")


def test_a_row_and_an_entry_have_links(page: "Page") -> None:
    page.locator("input[name=text]").fill("network_10")
    row = page.locator("table.qi tbody tr", has_text="network_9")
    name = row.get_attribute("id")
    page.evaluate("(name) => { location.hash = name; }", name)
    wait_for_count(page, "13 rows")
    assert row.evaluate("(row) => row.matches(':target') && row.getBoundingClientRect().top < innerHeight")

    row.locator("th a").first.click()
    fold = page.locator("details[open]")
    assert fold.locator("summary bdi").inner_text() == "network_9"
    assert fold.locator("table").is_visible()


@pytest.mark.crossed
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_fits_its_screen(width: int, scheme: Any, page: "Page") -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")

    assert page.evaluate("document.documentElement.scrollWidth") == width
    # Each visible text has contrast to its background.
    ink, paper = page.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    assert contrast(ink, paper) > 7
    assert page.locator("figure svg.wide").first.is_visible() == (width > 700)
    assert page.locator("figure svg.narrow").first.is_visible() == (width <= 700)
    seen = page.locator("table.qi thead button").evaluate_all(
        "(buttons) => buttons.map((button) => button.checkVisibility() && button.getClientRects().length > 0)"
    )
    assert set(seen) == {width > 700}


def contrast(one: str, other: str) -> float:
    """Returns the contrast of two colours such as rgb(1, 2, 3), as WCAG 2 defines it."""

    def luminance(colour: str) -> float:
        shares = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
        linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_all_is_there_in_print_and_without_scripts(page: "Page", browser: "Browser", site: Path) -> None:
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details[open]").count() == 0
    assert not page.locator("form").is_visible()

    context = browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto(site.as_uri())
    assert plain.locator("table.qi tbody tr").count() == 10
    assert not plain.locator("form").is_visible()
    context.close()


def test_a_download_is_there(page: "Page", site: Path) -> None:
    links = page.locator("a[download]").evaluate_all("(links) => links.map((link) => link.href)")

    assert len(links) == 2 + 2 * 11
    assert all(Path(link.removeprefix("file://")).is_file() for link in links)
