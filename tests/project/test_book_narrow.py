"""What the build does for a narrow screen: wide tables can be stacked, numbers do not break."""

import re

import pytest

from tools.book import narrow


def table(*rows, head="th"):
    first, *rest = rows
    made = "".join(f"<{head}>{cell}</{head}>" for cell in first)
    body = "".join("<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>" for row in rest)
    return f"<table class='x'><thead><tr>{made}</tr></thead><tbody>{body}</tbody></table>"


def finished(tmp_path, article):
    page = tmp_path / "page.html"
    page.write_text(f"<p>1 000</p><article>{article}</article>", encoding="utf-8")
    narrow.apply(tmp_path)
    return page.read_text(encoding="utf-8")


def test_a_wide_table_names_the_column_of_each_cell(tmp_path):
    row = ["a-long-name-of-a-network", "97.12 ± 0.08 %", "<b>98.00 %</b>"]
    page = finished(tmp_path, table(["network", "here &amp; now", ""], row, row))
    assert "stacks" in page.split(">")[3]
    for label in ("network", "here &amp; now", ""):
        assert page.count(f'<td data-label="{label}">') == 2
    assert "<b>98.00\xa0%</b>" in page


def test_a_table_that_fits_stays(tmp_path):
    page = finished(tmp_path, table(["a", "b", "c"], ["1", "2", "3"]))
    assert "data-label" not in page and "stacks" not in page


@pytest.mark.parametrize(
    "rows, wide",
    [
        ([["one two three four five six seven"] * 2], False),  # two columns that break
        ([["one two three four five six seven " * 3] * 3], True),  # prose, three times
        ([["97.12\xa0±\xa00.08\xa0%"] * 3], True),
        ([["97.12 ± 0.08 %"] * 3], False),
        ([["a" * 17] * 2], True),
    ],
)
def test_wide_is_what_does_not_break(rows, wide):
    assert narrow.is_wide(rows) is wide


def test_a_table_without_a_head_and_a_note_across_stay_whole(tmp_path):
    long = ["x" * 20] * 3
    bare = f"<table><tr>{''.join(f'<td>{c}</td>' for c in long)}</tr></table>"
    assert "stacks" not in finished(tmp_path, bare)
    noted = table(["a", "b", "c"], long).replace(
        "</tbody>", '<tr><td colspan="3">note</td></tr></tbody>'
    )
    page = finished(tmp_path, noted)
    assert page.count("data-label") == 3 and '<td colspan="3">note</td>' in page


def test_numbers_do_not_break_in_text_and_stay_as_they_are_elsewhere(tmp_path):
    page = finished(
        tmp_path, '<p title="1 000">97.12 ±\n0.08\n% of 10 000</p><pre>1 000</pre><svg>5 %</svg>'
    )
    assert "97.12\xa0±\xa00.08\xa0% of 10\xa0000" in page
    for kept in ('title="1 000"', "<pre>1 000</pre>", "<svg>5 %</svg>", "<p>1 000</p>"):
        assert kept in page


def test_pages_have_numbers_that_do_not_break(book):
    broken = re.compile(r"\d ± ?\d|\d [±%]")
    for page in (book / "notebooks").glob("*.html"):
        article = narrow.ARTICLE.search(page.read_text(encoding="utf-8"))[0]
        assert not broken.search(narrow.NO_TEXT.sub("<>", article)), page.name
