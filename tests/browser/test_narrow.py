"""Every page on a phone: no table is cut, and no number goes over two lines, at any width."""

import pytest

from tests.browser.test_wire import pages_of

pytestmark = pytest.mark.browser
PHONE = 390
# Tables of the article, and the box each stands in, that show less than they hold.
CUT = """() => [...document.querySelectorAll(".bd-article table")]
  .filter((table) => [table, table.parentElement].some((e) => e.scrollWidth > e.clientWidth + 2)
    || table.getBoundingClientRect().right > innerWidth)
  .map((table) => table.innerText.slice(0, 80))"""
# Numbers with what belongs to them that are drawn in more than one line.
BROKEN = r"""() => {
  const number = /\d[\d.]*\s±\s[\d.]+(\s%)?|\d\s%|\d{1,3}\s\d{3}(?!\d)/g;
  const found = [];
  const texts = document.createTreeWalker(
    document.querySelector("article") ?? document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = texts.nextNode());) {
    if (node.parentElement.closest("pre, svg, script")) continue;
    for (const match of node.data.matchAll(number)) {
      const range = document.createRange();
      range.setStart(node, match.index);
      range.setEnd(node, match.index + match[0].length);
      const lines = [...range.getClientRects()].filter((box) => box.width > 0);
      if (new Set(lines.map((box) => Math.round(box.top))).size > 1) found.push(match[0]);
    }
  }
  return found;
}"""


# Cells whose words run over their edge, into the next one.
OVER = """() => [...document.querySelectorAll("article td, article th")]
  .filter((cell) => cell.scrollWidth > cell.clientWidth + 1).map((cell) => cell.textContent)"""


def test_no_table_is_cut_and_no_number_breaks(visit, book):
    page = visit((book / "index.html").as_uri(), viewport={"width": PHONE, "height": 900})
    seen = 0
    for name in pages_of(book):
        page.goto((book / name).as_uri())
        for width in (PHONE, 320, 768):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate(BROKEN) == [], (name, width)
            if width >= 768:
                assert page.evaluate(OVER) == [], (name, width)
            if width != 320:
                assert page.evaluate(CUT) == [], (name, width)
        seen += page.locator(".bd-article table").count()
    assert seen > 60


def test_a_stacked_cell_stands_below_the_one_before_it_with_its_name(visit, book):
    page = visit(
        (book / "notebooks" / "03_look_straight.html").as_uri(),
        viewport={"width": PHONE, "height": 900},
    )
    cells = page.locator("table.stacks tbody tr").first.locator("td")
    boxes = [cell.bounding_box() for cell in cells.all()]
    assert len(boxes) > 2
    assert all(b["y"] >= a["y"] + a["height"] - 1 for a, b in zip(boxes, boxes[1:], strict=False))
    name = cells.nth(1).evaluate("(cell) => getComputedStyle(cell, '::before').content")
    assert name == f'"{cells.nth(1).get_attribute("data-label")}"' != '""'
    page.set_viewport_size({"width": 1280, "height": 900})
    boxes = [cell.bounding_box() for cell in cells.all()]
    assert all(b["x"] > a["x"] for a, b in zip(boxes, boxes[1:], strict=False))


def test_a_picture_that_goes_on_says_so_until_its_end(visit, book):
    page = visit((book / "stuck.html").as_uri(), viewport={"width": PHONE, "height": 900})
    box = page.locator(".scrolls").first
    caption = page.locator(".scrolls + figcaption").first
    box.scroll_into_view_if_needed()
    assert box.get_attribute("data-more") == "right" and box.get_attribute("tabindex") == "0"
    cue = "(e) => getComputedStyle(e, '::before').content"
    assert "scroll" in caption.evaluate(cue)
    assert "gradient" in box.evaluate("(e) => getComputedStyle(e).maskImage")
    # Its words keep their size: it is at least three quarters as wide as it was drawn.
    shown, drawn = box.locator("img").evaluate("(e) => [e.clientWidth, e.naturalWidth]")
    assert shown >= 0.7 * drawn and box.bounding_box()["width"] <= PHONE
    box.evaluate("(e) => e.scrollTo(e.scrollWidth, 0)")
    page.locator(".scrolls[data-more=left]").first.wait_for()
    page.set_viewport_size({"width": 1280, "height": 900})
    page.locator(".scrolls:not([data-more])").first.wait_for()
    assert caption.evaluate(cue) == "none"


def test_a_page_is_printed_black_on_white_also_by_night(visit, book):
    page = visit((book / "notebooks" / "03_look_straight.html").as_uri())
    page.emulate_media(color_scheme="dark")
    page.wait_for_selector("html[data-theme=dark]")
    page.emulate_media(media="print", color_scheme="dark")
    page.wait_for_selector("html[data-theme=light]")
    colours = "(e) => [getComputedStyle(e).color, getComputedStyle(e).backgroundColor]"
    assert page.locator("article p").first.evaluate(colours)[0] == "rgb(0, 0, 0)"
    assert page.locator("body").evaluate(colours)[1] == "rgb(255, 255, 255)"
    for code in page.locator(".highlight pre span").all()[:40]:
        shade = [int(v) for v in code.evaluate(colours)[0].strip("rgb()").split(",")]
        assert sum(shade) < 450, code.inner_text()
    assert not page.locator(".scrolls").first.evaluate("(e) => e.scrollWidth > e.clientWidth + 1")
    page.emulate_media(media="screen", color_scheme="dark")
    page.wait_for_selector("html[data-theme=dark]")
