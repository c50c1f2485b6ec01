"""Words of the glossary in the pages: linked at first use, with their meaning; codes spelled."""

import re

import pytest

from tools.book import terms

GRID = terms.Term("term-grid", "grid", "<p>Points. Two numbers a pixel.</p>")
ADDRESS = '<a class="reference external" href="https://a.org/x/y">x/y</a>'
XQ = terms.Term("term-XQ", "XQ", f"<p>{ADDRESS}, a net.</p>")
LEAN = terms.Term("term-lean", "lean", "<p>The mean angle.</p>")


def told(article: str) -> str:
    return terms.explained(article, [GRID, XQ, LEAN], "glossary.html")


def test_the_first_use_is_linked_with_its_meaning_and_no_other():
    found = told("<h2>Grids</h2><p><code>grid</code> Grids and grids.</p><p>A grid.</p>")
    assert found.count('class="term"') == 1 and "<code>grid</code>" in found
    assert re.search(
        r'<a class="term" href="glossary.html#term-grid" aria-describedby="(.*?)">Grids</a>'
        r'<span class="meaning" role="tooltip" id="\1">Points. Two numbers a pixel.</span>',
        found,
    )


@pytest.mark.parametrize(
    "text", ["gridded", "<a href='x'>grid</a>", "it leans", "grid_sample", "a-grid", "<b>x</b>"]
)
def test_other_words_and_links_stay(text):
    assert told(f"<p>{text}</p>") == f"<p>{text}</p>"


def test_a_verb_is_no_noun():
    assert 'class="term"' in told("<p>the lean of a class</p>")


def test_a_code_is_spelled_out_once_with_its_address():
    found = told("<p>XQ and XQ.</p>")
    assert found.count(f"({ADDRESS})") == 1
    there = '<p><a href="https://a.org/x/y">XQ</a>. XQ.</p>'
    assert told(there) == there


def test_every_code_and_every_set_stands_in_the_glossary(book):
    page = (book / "glossary.html").read_text(encoding="utf-8")
    for name in "LJ XQ HR HY SE SK DD P E head glimpse lean IoU R-RTS theta".split():
        assert f'id="term-{name}"' in page, name
    names = {name for term in terms.glossary(page) for name in term.names}
    assert {"LJ", "XQ", "HR", "HY", "SE", "SK", "DD", "RTS", "theta", "IoU"} <= names


def test_pages_explain_words_and_sources(book):
    page = (book / "notebooks" / "03_look_straight.html").read_text(encoding="utf-8")
    assert page.count('class="term"') > 4
    words = (book / "glossary.html").read_text(encoding="utf-8")
    assert re.search(r'aria-describedby="meaning-source-1">LLM\+18</a>', words)
    assert 'title="Rosanne' not in words
