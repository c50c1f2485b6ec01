"""The ledger of bytes: held to what moves, to exercise 7.1 and to the page that shows it."""

import base64
import itertools
import json
import subprocess

import pytest
import torch
import traitlets

from stn_course.lessons.checking import find
from stn_course.lessons.fast import ledger
from stn_course.lessons.fast.helpers import case
from stn_course.lessons.fast.traffic import count
from stn_course.sampling import fused
from tests.chromium import watch, widget_page
from tools import check as checks

CASES = [(1, 64, 64), (3, 28, 14), (8, 14, 28)]  # channels, side, side of the output


def counted(warp, channels, side, out_side, direction):
    """Bytes that each operator reads and writes for one image, theta and the like left out."""
    images, theta, _ = case(1, channels, side, side)
    size = (1, channels, out_side, out_side)
    out, forward = count(warp, images, theta, size)
    found = forward
    if direction == "backward":
        _, found = count(torch.autograd.grad, out, theta, torch.ones_like(out))
    return found.operations


def pair(images, theta, size):
    grid = torch.nn.functional.affine_grid(theta, size, align_corners=False)
    return torch.nn.functional.grid_sample(images, grid, align_corners=False)


@pytest.mark.parametrize(("channels", "side", "out_side"), CASES)
@pytest.mark.parametrize("direction", ledger.PASSES)
def test_the_pair_s_rows_are_what_moves(channels, side, out_side, direction):
    """Each operator's arrays, in the order in which it is run; three fill the base grid."""
    operations = counted(pair, channels, side, out_side, direction)
    fills = [each for each in operations if each.name in ("copy_", "fill_")]
    others = [each for each in operations if each not in fills]
    small = 4 * (3 * out_side + 16)  # of coordinates along a side, theta and the like
    size = lambda array: ledger.size_of(array, channels, side, out_side)  # noqa: E731
    assert sum(each.written for each in fills) == size("base grid")
    rows = [row for row in ledger.ROWS[ledger.PAIR][direction] if row[0] != "copy_, fill_"]
    grouped = [list(group) for _, group in itertools.groupby(rows, key=lambda row: row[0])]
    big = [each for each in others if each.total > small]
    assert len(big) == len(grouped)
    for each, group in zip(big, grouped, strict=True):
        for does, bytes_ in (("reads", each.read), ("writes", each.written)):
            wanted = sum(size(array) for _, did, array in group if did == does)
            assert abs(bytes_ - wanted) <= small, (each, group)


@pytest.mark.skipif(bool(fused._closed("cpu")), reason="NO C COMPILER: one operator not counted")
@pytest.mark.parametrize("direction", ledger.PASSES)
def test_one_operator_s_rows_are_what_moves(direction):
    channels, side, out_side = CASES[1]
    warp = lambda x, t, size: fused.warp(x, t, size[2:], padding="zeros")  # noqa: E731
    total = sum(each.total for each in counted(warp, channels, side, out_side, direction))
    wanted = ledger.moved(ledger.ONE, direction, channels, side, out_side)
    assert wanted <= total <= wanted + 4 * 32


@pytest.mark.parametrize(("channels", "side", "out_side"), [*CASES, (64, 128, 128)])
def test_the_sums_are_exercise_7_1(channels, side, out_side):
    wanted = find("7.1").solution(1, channels, (side, side), (out_side, out_side))
    found = [
        ledger.moved(way, direction, channels, side, out_side)
        for way in (ledger.PAIR, ledger.ONE)
        for direction in ledger.PASSES
    ]
    assert found == list(wanted)


def test_it_is_what_the_notebook_says_of_a_grey_pixel():
    pixel = lambda *what: ledger.moved(*what, 1, 1, 1)  # noqa: E731
    assert [pixel(ledger.PAIR, each) for each in ledger.PASSES] == [48, 56]
    assert [pixel(ledger.ONE, each) for each in ledger.PASSES] == [8, 8]


def in_the_page(call):
    """What the page's module gives for `call` of its m."""
    source = base64.b64encode(ledger.module_text().encode()).decode()
    code = f"import('data:text/javascript;base64,{source}')"
    code += f".then((m) => console.log(JSON.stringify({call})))"
    return json.loads(subprocess.check_output([*checks.node(), "-e", code]))


def test_the_page_adds_up_as_python_does():
    given = json.dumps({"rows": ledger.ROWS, "arrays": ledger.ARRAYS})
    asked = [
        (way, direction, *sizes)
        for way in ledger.ROWS
        for direction in ledger.PASSES
        for sizes in CASES
    ]
    call = f"{json.dumps(asked)}.map(([w, direction, channels, side, out_side]) => "
    call += f"m.account({given}, w, {{ direction, channels, side, out_side }}).total)"
    assert in_the_page(call) == [ledger.moved(*each) for each in asked]
    told = in_the_page("[0, 999, 1000, 49152, 999499, 999500, 2097152, 536870912, 4e9].map(m.told)")
    assert told == "0 B,999 B,1 kB,49.2 kB,999 kB,1 MB,2.1 MB,537 MB,4 GB".split(",")


def test_what_cannot_be_is_named():
    with pytest.raises(ValueError, match="way='both' is unknown; wanted one of"):
        ledger.moved("both", "forward", 1, 1, 1)
    with pytest.raises(ValueError, match="direction='back' is unknown"):
        ledger.moved(ledger.ONE, "back", 1, 1, 1)
    with pytest.raises(ValueError, match="channels=0; wanted at least 1"):
        ledger.moved(ledger.ONE, "forward", 0, 1, 1)
    widget = ledger.ByteLedger(channels=3)
    assert repr(widget) == "ByteLedger(channels=3, side=64, out_side=64, forward)"
    for name, wrong in (("side", 65), ("channels", 0), ("direction", "both")):
        with pytest.raises(traitlets.TraitError, match=name):
            setattr(widget, name, wrong)


@pytest.mark.browser
def test_sizes_are_set_by_keys_mouse_and_touch(browser, tmp_path):
    path = widget_page(
        tmp_path / "page.html", ledger.ByteLedger(), ledger.module_text(), ledger.style_text()
    )
    context = browser.new_context(viewport={"width": 390, "height": 700}, has_touch=True)
    page = context.new_page()
    wrong = watch(page, path.as_uri())
    page.goto(path.as_uri())

    def shows(way, direction, *sizes):
        assert page.evaluate("[given.channels, given.side, given.out_side]") == list(sizes)
        assert page.evaluate("given.direction") == direction
        body = page.locator("tbody").nth(list(ledger.ROWS).index(way))
        title = body.locator(".bl-way").inner_text()
        total = ledger.moved(way, direction, *sizes)
        assert title == f"{way}: {in_the_page(f'm.told({total})')}"
        does = body.locator("td:nth-child(2)").all_inner_texts()
        assert does == [f"{verb} {array}" for _, verb, array in ledger.ROWS[way][direction]]
        lengths = body.locator(".bl-bar").evaluate_all("b => b.map(e => parseFloat(e.style.width))")
        longest = max(
            ledger.size_of(row[2], *sizes)
            for each in ledger.ROWS.values()
            for row in each[direction]
        )
        wanted = [
            100 * ledger.size_of(row[2], *sizes) / longest for row in ledger.ROWS[way][direction]
        ]
        assert lengths == pytest.approx(wanted, abs=1e-3)

    shows(ledger.PAIR, "forward", 1, 64, 64)
    page.get_by_role("slider", name="channels").press("ArrowRight")
    page.get_by_role("slider", name="channels").press("ArrowRight")
    shows(ledger.PAIR, "forward", 3, 64, 64)
    shows(ledger.ONE, "forward", 3, 64, 64)
    backward = page.get_by_role("radio", name="backward, to θ")
    backward.tap()
    shows(ledger.PAIR, "backward", 3, 64, 64)
    box = page.get_by_role("slider", name="image").bounding_box()
    page.mouse.click(box["x"] + box["width"] - 3, box["y"] + box["height"] / 2)
    shows(ledger.ONE, "backward", 3, 1024, 64)
    page.evaluate("model.set('channels', 128)")
    shows(ledger.PAIR, "backward", 128, 1024, 64)
    assert "less than 1 %" in page.locator(".wp-say").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert wrong == []
    context.close()
