"""The scoreboard filtered and sorted in the page: by keys, from a server and from disk."""

import pytest

from tests.chromium import served
from tools.book import policy

pytestmark = pytest.mark.browser


@pytest.fixture(params=["http", "file"])
def board(request, visit, book):
    with served(book, request.param, {"Content-Security-Policy": policy.HEADER}) as address:
        yield visit(f"{address}/scoreboard.html")


def shown(page, selector):
    return page.locator(f"{selector}:visible")


def total(page) -> int:
    return page.locator("table.board tbody tr:not(.note)").count()


def said(page) -> int:
    return int(page.locator(".board-controls output").inner_text().split()[0])


def test_filtered_by_keys(board):
    all_of, rows = total(board), "table.board tbody tr:not(.note)"
    assert said(board) == all_of == shown(board, rows).count()
    find = board.get_by_label("Find")
    find.focus()
    board.keyboard.type("keras fc")
    left = shown(board, rows)
    assert 0 < left.count() == said(board) < all_of
    assert all("keras" in text.lower() for text in left.all_inner_texts())
    lines = shown(board, ".board-chart .lines li").all_inner_texts()
    assert lines and all("Keras" in text for text in lines)
    board.get_by_label("Show", exact=True).focus()
    board.keyboard.type("not yet")
    assert 0 < said(board) < left.count() or said(board) == shown(board, rows).count()
    assert shown(board, ".board-chart").count() == 0  # it has no line for what has not run
    headings = shown(board, "article section section > h2").all_inner_texts()
    assert len(headings) < 16  # sections without a row are away, with their headings
    board.get_by_role("button", name="Reset").focus()
    board.keyboard.press("Enter")
    board.locator("output", has_text=f"{all_of} of {all_of}").wait_for()
    assert shown(board, rows).count() == all_of and shown(board, ".board-chart").count() == 1


def test_below_the_published_number_has_a_mark(board):
    board.get_by_label("Show", exact=True).select_option("below")
    cells = shown(board, "table.board td.below")
    assert cells.count() == said(board) > 0
    assert "✗" in cells.first.evaluate("(cell) => getComputedStyle(cell, '::after').content")
    crosses = shown(board, ".board-chart .lines li")
    assert crosses.count() == cells.count()
    assert set(
        board.locator(".lines li.below use").evaluate_all(
            "(all) => all.map((use) => use.getAttribute('href'))"
        )
    ) == {"#mark-below"}


def test_sorted_within_its_tables_and_back(board):
    table = board.locator("table.board").nth(1)
    read = "(body) => [...body.rows].map((row) => row.textContent)"
    before = table.locator("tbody").evaluate(read)
    board.get_by_label("Sort").select_option("difference")
    now = table.locator("tbody").evaluate(read)
    assert now != before and sorted(now) == sorted(before)
    # The note stays below its row.
    kinds = table.locator("tbody tr").evaluate_all("(all) => all.map((row) => row.className)")
    assert all(b == "note" or a == "note" for a, b in zip(kinds, kinds[1:], strict=False))
    numbers = [
        [float(cell.replace("\xa0", "").split("%")[0].split("±")[0]) for cell in cells]
        for cells in table.locator("tbody tr:not(.note)").evaluate_all(
            "(all) => all.map((row) => [row.cells[2].textContent, row.cells[4].textContent])"
        )
        if "yet" not in cells[1]
    ]
    gaps = [theirs - ours for theirs, ours in numbers]  # errors
    assert len(gaps) > 3 and gaps == sorted(gaps, reverse=True)
    board.get_by_label("Sort").select_option("")
    assert table.locator("tbody").evaluate(read) == before


def test_without_scripts_all_is_there_and_no_control(browser, book):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((book / "scoreboard.html").as_uri())
    assert shown(page, "table.board tbody tr:not(.note)").count() == total(page) > 100
    assert shown(page, ".board-chart .lines li").count() > 50
    assert shown(page, ".board-controls").count() == 0
    context.close()
