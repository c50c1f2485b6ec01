"""The book in a real browser: at desk and phone width, by day and by night."""

import pytest

from tests.chromium import served
from tests.support import ROOT


@pytest.fixture(scope="module", params=["http", "file"])
def address(request, small_book):
    with served(small_book, request.param) as found:
        yield found


PAGES = "install package many_runs api scoreboard pairs defects status glossary".split()
# Day and night differ in colours and pictures: each is looked at, and so is each width.
DAY_AND_NIGHT = ((1200, "light"), (390, "dark"))
ALL = ((1200, "light"), (1200, "dark"), (390, "light"), (390, "dark"))


def overflow(page) -> int:
    return page.evaluate("document.documentElement.scrollWidth - window.innerWidth")


def looks(page, at=DAY_AND_NIGHT):
    """The page at desk and phone width, by day and by night; yields what it is at."""
    for width, scheme in at:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        page.wait_for_selector(f"html[data-theme={scheme}]")
        yield width, scheme


def fits(page, at=DAY_AND_NIGHT):
    for look in looks(page, at):
        assert page.locator("article h1").is_visible(), look
        assert overflow(page) <= 0, look


@pytest.mark.browser
def test_the_first_page_fits(visit, address):
    fits(visit(f"{address}/index.html"), ALL)


@pytest.mark.browser
@pytest.mark.parametrize("name", PAGES)
def test_pages_fit(visit, small_book, name):
    fits(visit((small_book / f"{name}.html").as_uri()))


AXE = "axe.run(document, {resultTypes: ['violations'], preload: false})"
AXED = ["index", "scoreboard", "references", "api/sampling", "notebooks/02_grid_sampling"]


@pytest.mark.browser
@pytest.mark.parametrize("name", AXED)
def test_axe_finds_nothing_serious(visit, book, name):
    """Names, contrast, keys, lists: by day and by night, ours or the theme's."""
    from axe_playwright_python.base import AXE_FILE_PATH

    page = visit((book / f"{name}.html").as_uri())
    if page.locator(".math").count():
        page.wait_for_selector("mjx-container svg")
    page.evaluate(AXE_FILE_PATH.read_text(encoding="utf-8"))
    for look in looks(page):
        found = page.evaluate(AXE)["violations"]
        bad = [
            (each["id"], each["nodes"][0]["html"][:200])
            for each in found
            if each["impact"] in ("serious", "critical")
        ]
        assert bad == [], look


@pytest.mark.browser
def test_every_icon_is_drawn_and_by_no_script(visit, small_book):
    """The style sheet's font has them; the script of 1.6 MB that draws them again is gone."""
    page = visit((small_book / "notebooks" / "01_small.html").as_uri())
    drawn = page.evaluate(
        """() => [...document.querySelectorAll("i[class*=fa-]")].map((icon) => {
          const style = getComputedStyle(icon, "::before");
          return [icon.className, style.content, style.fontFamily];
        })"""
    )
    assert len(drawn) >= 10
    missing = [
        each
        for each in drawn
        if not "\ue000" <= each[1].strip('"')[0] <= "\uf8ff" or "Awesome" not in each[2]
    ]
    assert missing == []
    assert page.evaluate(
        "document.fonts.ready.then(() => document.fonts.check('900 1em \"Font Awesome 7 Free\"'))"
    )
    assert not list(small_book.rglob("fontawesome.js")) and not list(small_book.rglob("*.map"))


@pytest.mark.browser
def test_notebook_page_lives(visit, address):
    page = visit(f"{address}/notebooks/01_small.html")
    page.wait_for_selector("mjx-container svg")
    assert page.locator("mjx-merror").count() == 0
    buttons = page.locator(".anywidget-static button")
    buttons.nth(1).wait_for()
    buttons.first.focus()
    page.keyboard.press("Enter")
    assert buttons.all_inner_texts() == ["pressed 5", "pressed 5"]
    for look in looks(page, ALL):
        assert overflow(page) <= 0, look


@pytest.mark.browser
def test_course_notebooks_in_the_browser(visit, book):
    pages = sorted((book / "notebooks").glob("[0-9][0-9]_*.html"))
    assert len(pages) == len(list((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")))
    page = visit(pages[0].as_uri())
    for path in pages:
        page.goto(path.as_uri())
        if page.locator(".math").count():
            page.wait_for_selector("mjx-container svg")
        assert page.locator("mjx-merror, mjx-container [fill=red]").count() == 0
        assert page.locator(".widget-note", has_text="did not start").count() == 0
        for look in looks(page):
            assert overflow(page) <= 0, (path.name, look)


@pytest.mark.browser
def test_api_pages_fit(visit, book):
    source = book / "_modules" / "stn_course" / "sampling" / "reference.html"
    page = visit(source.as_uri())
    for path in [source, *sorted((book / "api").glob("*.html"))]:
        page.goto(path.as_uri())
        for look in looks(page):
            assert overflow(page) <= 0, (path.name, look)
