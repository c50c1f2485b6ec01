"""The book as a server sends it: under a strict policy, and no heavier than a page may be."""

import re

import pytest

from tests.chromium import served
from tests.project.small_book import ALT
from tools.book import policy

pytestmark = pytest.mark.browser
TEXT, NOTEBOOK = 500_000, 2_000_000  # bytes that a page may load, nothing compressed
FIGURES = ".warp-playground, .corner-lab, .looks, .draw-digit"


@pytest.fixture(scope="module")
def strict(book):
    """The course's own book from a server that sends the policy's header."""
    with served(book, "http", {"Content-Security-Policy": policy.HEADER}) as address:
        yield address


def pages_of(book) -> list[str]:
    """All pages; of those that show code, which are alike, two."""
    found = sorted(p.relative_to(book).as_posix() for p in book.rglob("*.html"))
    code = [name for name in found if name.startswith("_modules/")]
    return [n for n in found if not n.startswith(("_modules/", "_static/"))] + code[:2]


def all_in_sight(page):
    """Every picture of the page has come, also those far below."""
    page.evaluate(
        """() => Promise.all([...document.images].map((image) => {
          image.loading = "eager";
          return image.complete || new Promise((done) => { image.onload = image.onerror = done; });
        }))"""
    )


def test_every_page_keeps_to_the_policy_and_to_its_weight(visit, strict, book):
    """`visit` finds what is blocked in the console. The sizes are printed."""
    assert "unsafe" not in policy.HEADER and policy.HEADER.startswith("default-src 'self';")
    page = visit(f"{strict}/status.html")
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    network.send("Network.setCacheDisabled", {"cacheDisabled": True})
    loaded = []
    network.on("Network.dataReceived", lambda event: loaded.append(event["dataLength"]))
    weights = {}
    for name in pages_of(book):
        loaded.clear()
        page.goto(f"{strict}/{name}")
        figures = page.locator(".anywidget-static").count()
        if figures:
            page.locator(FIGURES).nth(0).wait_for()
        all_in_sight(page)
        page.wait_for_load_state("networkidle")
        assert page.locator(".widget-note", has_text="did not start").count() == 0, name
        weights[name] = sum(loaded)
    for name, weight in sorted(weights.items(), key=lambda pair: -pair[1]):
        print(f"{weight / 1000:7.0f} kB  {name}")
    assert len(weights) > 30
    heavy = {
        name: weight
        for name, weight in weights.items()
        if weight > (NOTEBOOK if name == "index.html" or name.startswith("notebooks/") else TEXT)
    }
    assert heavy == {}


def test_without_javascript_every_live_figure_is_a_picture_with_a_caption(browser, strict, book):
    """Under the policy, and not in the page of a reader who has JavaScript."""
    phone = {"width": 360, "height": 740}
    context = browser.new_context(java_script_enabled=False, viewport=phone)
    page, found = context.new_page(), 0
    for path in sorted((book / "notebooks").glob("*.html")):
        figures = path.read_text(encoding="utf-8").count("jupyter.widget-view+json")
        page.goto(f"{strict}/notebooks/{path.name}")
        stills = page.locator("noscript figure")
        assert stills.count() == figures, path.name
        for still in stills.all():
            assert len(still.locator("img").get_attribute("alt")) >= 40
            assert still.locator("figcaption").is_visible()
            still.scroll_into_view_if_needed()
            box = still.locator("img").bounding_box()
            assert 150 < box["width"] <= 360 and box["height"] > 80, path.name
        found += figures
    assert found >= 8
    context.close()


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_every_live_figure_of_the_book_is_moved_by_keys_and_shared(visit, book, scheme):
    """In its page; the address has its number there, and opens it as it was left."""
    headers = {"Content-Security-Policy": policy.HEADER}
    with served(book, scheme, headers) as address:
        moved = 0
        for path in sorted((book / "notebooks").glob("*.html")):
            count = path.read_text(encoding="utf-8").count("jupyter.widget-view+json")
            if not count:
                continue
            url = f"{address}/notebooks/{path.name}"
            page = visit(url)
            figures = page.locator(".anywidget-static")
            for n in range(count):
                page.goto(url)
                figure = figures.nth(n)
                control = figure.locator("input[type=range], .wp-handle").first
                for key in ("Home", "ArrowRight"):  # from wherever it opens
                    control.press(key)
                number = f"figure={n + 1}&" if n else ""
                page.wait_for_url(re.compile(rf"#{number}[a-z_]+="))
                shown = figure.inner_text()
                link = page.url
                page.goto("about:blank")
                page.goto(link)
                figure.locator(".wp-foot").wait_for(state="attached")
                assert figure.inner_text() == shown, link
                moved += 1
            page.close()
    assert moved >= 8


def test_formulas_and_figures_work_under_the_policy(visit, strict):
    """Set as drawings, and moved by a key."""
    page = visit(f"{strict}/notebooks/02_grid_sampling.html")
    assert page.locator("mjx-container > svg").count() > 20
    box = page.locator("mjx-container > svg").first.bounding_box()
    assert box["width"] > 5 and box["height"] > 5
    figure = page.locator(".warp-playground").first
    slider = figure.get_by_role("slider").first
    slider.focus()
    before = slider.input_value()
    page.keyboard.press("ArrowRight")
    assert slider.input_value() != before


def test_a_style_in_a_tag_looks_as_before(visit, small_book):
    """What had a style in its tag has a class; it still counts for more than the page's rules."""
    page = visit((small_book / "notebooks" / "01_small.html").as_uri())
    shift = page.evaluate(
        "getComputedStyle(document.querySelector('mjx-container > svg')).verticalAlign"
    )
    assert shift.startswith("-") and shift.endswith("px")


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_search_shows_lines_of_its_finds(visit, book, scheme):
    """From disk, too, where a page may not fetch another."""
    with served(book, scheme) as address:
        page = visit(f"{address}/search.html?q=clutter")
        summary = page.locator("#search-results p.context")
        summary.first.wait_for()
        assert "clutter" in " ".join(summary.all_inner_texts()).lower()
        page.wait_for_load_state("networkidle")  # the other finds' pages


def test_the_index_of_the_search_comes_when_somebody_searches(visit, book):
    for name in ("glossary", "notebooks/01_invariance"):
        assert "searchindex.js" not in (book / f"{name}.html").read_text(encoding="utf-8")
    asked = []
    page = visit((book / "search.html").as_uri())
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    assert not [url for url in asked if "searchindex" in url]
    page.goto(f"{(book / 'search.html').as_uri()}?q=theta")
    page.locator("#search-results li").first.wait_for()
    assert [url for url in asked if "searchindex" in url]


def test_no_page_has_a_script_a_style_or_a_picture_in_its_text(book, small_book):
    for page in [*book.rglob("*.html"), *small_book.rglob("*.html")]:
        text = page.read_text(encoding="utf-8")
        data = re.compile(r'<script[^>]*type="application/[^>]*>.*?</script>', re.S)
        inside = re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", data.sub("", text))
        assert inside == [] and "<style" not in text, page
        tags = policy.TAG.findall(data.sub("", text))
        assert not [t for t in tags if re.search(r"""\s(style|on\w+)=["']|=["']data:""", t)], page


def test_every_picture_says_its_size_and_waits(book, small_book):
    tags = [
        tag
        for page in [*book.rglob("*.html"), *small_book.rglob("*.html")]
        for tag in re.findall(r"<img\b[^>]*>", page.read_text(encoding="utf-8"))
    ]
    assert len(tags) > 100 and any(ALT.split(",")[0] in tag for tag in tags)
    for tag in tags:
        assert 'loading="lazy"' in tag and re.search(r'(width|style|class="s-)', tag), tag


def test_a_word_s_meaning_shows_for_keys_and_pointer_and_goes_with_escape(visit, strict):
    """At the width of a phone it stays inside the page."""
    page = visit(f"{strict}/notebooks/03_look_straight.html")
    page.set_viewport_size({"width": 360, "height": 800})
    for word in page.locator("a.term").all():
        word.focus()
        meaning = word.locator("xpath=following-sibling::span")
        assert meaning.is_visible() and len(meaning.inner_text()) > 15
        box = meaning.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 360, meaning.inner_text()
        assert word.get_attribute("aria-describedby") == meaning.get_attribute("id")
    page.keyboard.press("Escape")
    assert not meaning.is_visible()
    page.evaluate("document.activeElement.blur()")
    page.locator("a.term").first.hover()
    assert page.locator(".meaning").first.is_visible()
