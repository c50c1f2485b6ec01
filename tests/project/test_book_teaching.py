"""Pages for teachers and for who is stuck: minutes, pictures and solutions of the notebooks."""

import re

import nbformat
import pytest

from stn_course.lessons import checking
from tests.project.small_book import small_notebook
from tests.support import ROOT
from tools.book import pages, teaching


@pytest.fixture(scope="module")
def notebooks():
    paths = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    return {path.stem: nbformat.read(path, 4) for path in paths}


@pytest.mark.parametrize("name", teaching.PLANS)
def test_a_plan_fits_into_its_time_and_leaves_some_for_questions(name, notebooks):
    there_are, parts = teaching.PLANS[name]
    by_number = {stem[:2]: notebook for stem, notebook in notebooks.items()}
    took = teaching.PAD + sum(teaching.minutes(each, by_number[each.notebook]) for each in parts)
    assert 0.65 * there_are < took < 0.85 * there_are


def test_minutes_are_words_and_what_exercises_say(notebooks):
    notebook = small_notebook()
    notebook.cells[1].source = (
        "## A sum\n\n" + "word " * 260 + "\n\n### Exercise 9.1: b\n*Difficulty 1 of 5, 7 minutes.*"
    )
    found = teaching.sections(notebook)
    assert found["A sum"] == pytest.approx(2) and 7 < found["Exercise 9.1: b"] < 8
    part = teaching.Part("09", ("9.1",), ("A sum",))
    assert 9 < teaching.minutes(part, notebook) < 10
    with pytest.raises(ValueError, match="notebook 09 has no 9.2, Nowhere"):
        teaching.minutes(teaching.Part("09", ("9.2",), ("Nowhere",)), notebook)


def test_every_failure_of_the_museum_is_shown_with_its_picture(notebooks, tmp_path):
    from stn_course.lessons.look_straight.museum import EXHIBITS

    text = teaching.museum(notebooks, tmp_path)
    for exhibit in EXHIBITS.values():
        if exhibit.repair != "none needed":
            assert exhibit.sign in text and exhibit.repair in text
    assert len(list(tmp_path.glob("failure-*.png"))) == text.count(":alt: ") == 6
    assert teaching.museum({}, tmp_path) == "Notebook 03 has the pictures.\n"


def test_the_checklist_is_the_one_that_notebook_08_ends_in(notebooks):
    text = teaching.checklist(notebooks)
    steps = re.findall(r"^(\d+)\. ", text, re.MULTILINE)
    assert steps == [f"{k}" for k in range(1, len(steps) + 1)] and len(steps) > 5
    source = (ROOT / "notebooks" / "src" / "08_bent_words.md").read_text(encoding="utf-8")
    assert text in source
    assert teaching.checklist({}) == "Notebook 08 has the list.\n"
    with pytest.raises(ValueError, match="no numbered list"):
        teaching.checklist({"08_other": small_notebook()})


def test_solutions_are_those_that_show_prints_and_readers_do_not_get_them(book, capsys):
    text = teaching.solutions()
    for key in checking.keys():
        checking.show(key)
        assert f"## Exercise {key}\n\n```python\n{capsys.readouterr().out}```" in text
    assert not (book / "solutions.html").exists()


def test_links_lead_to_notebooks_that_are_there():
    text = "[a](nb:01) and [b](nb:02#c)"
    assert teaching.linked(text, ["01_x"]) == "[a](notebooks/01_x.ipynb) and b"


def test_pages_are_linked_from_the_first(book):
    page = (book / "index.html").read_text(encoding="utf-8")
    for name in ("teaching", "stuck", "elsewhere"):
        assert f'href="{name}.html"' in page
    stuck = (book / "stuck.html").read_text(encoding="utf-8")
    assert len(re.findall(r'<img[^>]*src="_images/failure-', stuck)) == 6
    assert "(nb:" not in stuck


def test_a_page_says_when_it_was_changed_and_where_to_ask_if_that_is_known():
    plain = pages.changed("glossary", None)
    assert re.fullmatch(r"Last changed \d{4}-\d\d-\d\d\.", plain)
    told = pages.changed("notebooks/02_grid_sampling", "https://github.com/a/b")
    assert 'href="https://github.com/a/b/edit/main/notebooks/src/02_grid_sampling.md"' in told
    assert 'href="https://github.com/a/b/issues/new?title=02_grid_sampling' in told
    assert "edit" not in pages.changed("glossary", "https://elsewhere.org/a/b").lower()
    assert 'href="https://elsewhere.org/a/b/issues"' in pages.changed(
        "glossary", "https://elsewhere.org/a/b"
    )
    assert pages.changed("genindex", "https://github.com/a/b") == ""


def test_pages_of_the_book_say_it(book):
    assert re.search(r"Last changed \d{4}-\d\d", (book / "glossary.html").read_text("utf-8"))
