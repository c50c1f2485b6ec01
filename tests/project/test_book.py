"""The book: built once from a small notebook and once from the course's own, then read."""

import base64
import html
import json
import re
from pathlib import Path

import nbformat
import pytest

from tests.project.small_book import ALT, PIXEL, build, controls, shown, small_notebook
from tests.support import ROOT
from tools.book import __main__ as book_build
from tools.book import board
from tools.book import check as book_check
from tools.book import notebooks as book_notebooks
from tools.book import pages as book_pages
from tools.book.notebooks import STATE


def text_of(path: Path) -> str:
    """The words of a page, tags away, and so what shows only beside a word that one points at."""
    seen = re.sub(r'<span class="meaning".*?</span>', "", path.read_text())
    seen = re.sub(r'<a class="term"[^>]*>(.*?)</a>', r"\1", seen)
    seen = re.sub(r'<span class="explained">(.*?)</span>', r"\1", seen)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", seen)).split())


def cells_of(path: Path) -> list[list[str]]:
    rows = re.findall(r"<tr>(.*?)</tr>", path.read_text(), re.DOTALL)
    return [[html.unescape(c) for c in re.findall(r"<td[^>]*>(.*?)</td>", row)] for row in rows]


# The course's own book


def test_nothing_leaves_the_page_and_every_picture_is_described(small_book):
    """The course's own book was read in the same way when it was built."""
    assert book_check.problems(small_book) == []


def test_map_names_all_notebooks_and_links_those_that_exist(book):
    page = (book / "index.html").read_text()
    existing = sorted(p.stem for p in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    for stem in existing:
        assert f'<li><a href="notebooks/{stem}.html"' in page
    for title, line in book_pages.COURSE.values():
        assert title in text_of(book / "index.html") and line in text_of(book / "index.html")
    numbers = {int(stem[:2]) for stem in existing}
    assert page.count("in preparation") == len(book_pages.COURSE.keys() - numbers)


def test_every_row_of_the_scoreboard_is_on_its_page(book):
    from stn_course.experiments.scoreboard import rows

    found = cells_of(book / "scoreboard.html")
    words = text_of(book / "scoreboard.html")
    for row in rows():
        keys = ("variant", "kind", "published", "target", "measured", "n", "test", "params")
        row["test"] = row["test"].split(" of ")[0]  # the page's heading says how many
        cells = [book_pages.unbroken(str(row[key])) for key in keys]
        assert [*cells, row["command"].split()[-1]] in found, row
        assert f"{row['row']}:" in words and row["task"] in words
        for key in ("theirs", "here", "unlike"):
            assert row[key] == "-" or " ".join(book_pages.unbroken(row[key]).split()) in words
    assert len([cells for cells in found if len(cells) > 1]) == len(rows())


def test_every_published_number_is_on_the_page_of_pairs(book):
    from stn_course.experiments.scoreboard import rows

    found = [" | ".join(cells) for cells in cells_of(book / "pairs.html")]
    for row in (row for row in rows() if row["published"] != "none"):
        said = (row["variant"], row["published"], row["theirs"], row["where"], row["unlike"])
        said = [book_pages.unbroken(part) for part in said]
        name = row["command"].split()[-1]
        assert any(line.endswith(name) and all(p in line for p in said) for line in found), row


def test_no_line_ends_within_a_number():
    for text in ("97.12 ± 0.08 %", "445 492", "1.18 ± 0.00 %", "10 000", "98.26 %"):
        assert " " not in book_pages.unbroken(text), text
    assert book_pages.unbroken("at most 1.0 % error").split(" ") == [
        "at",
        "most",
        "1.0\N{NO-BREAK SPACE}%",
        "error",
    ]
    assert book_pages.unbroken("cluttered 40x40, 1 000 test").count(" ") == 3
    assert book_pages.unbroken("run 01 12 s") == "run 01 12 s"


def test_status_says_what_the_build_was(book):
    words = text_of(book / "status.html")
    for name in ("torch", "numpy", "sphinx", "myst-nb"):
        assert [name, book_pages.version(name)] in cells_of(book / "status.html")
    assert book_pages.commit(ROOT).split()[0] in words
    assert re.search(r"built \d{4}-\d\d-\d\d \d\d:\d\d UTC", words)
    for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"):
        assert path.stem in words


def test_every_page_names_its_digits(small_book):
    pages = [p for p in small_book.rglob("*.html") if "_static" not in p.parts]
    assert len(pages) >= 6
    for page in pages:
        assert "Digits: digits of a test." in text_of(page), page


# A notebook's page


def test_alt_text_reaches_the_page_from_cell_and_from_output(small_book):
    page = (small_book / "notebooks" / "01_small.html").read_text()
    assert page.count(f'alt="{html.escape(ALT)}"') == 3


def test_sliders_become_a_note_with_the_saved_picture(small_book):
    page = small_book / "notebooks" / "01_small.html"
    assert "Move these in JupyterLab: angle. They need a running kernel." in text_of(page)
    assert "FloatSliderModel" not in page.read_text()


def test_reader_downloads_the_notebook_itself(small_book, small_source):
    copy = small_book / "_sources" / "notebooks" / "01_small.ipynb"
    assert copy.read_bytes() == (small_source / "01_small.ipynb").read_bytes()


# What the build refuses, and what it says


def started(folder: Path, notebooks: Path) -> int:
    """The exit code of a build in this process, of one that ends before its pages are made."""
    words = {"out": folder / "html", "work": folder / "work", "notebooks": notebooks}
    return book_build.main(["--no-api", *(f"--{key}={path}" for key, path in words.items())])


def test_figure_without_alt_text_stops_the_build(tmp_path, capsys):
    notebook = small_notebook()
    del notebook.cells[3].metadata["mystnb"]
    nbformat.write(notebook, tmp_path / "01_small.ipynb")
    assert started(tmp_path / "out", tmp_path) == 1
    assert "01_small.ipynb, cell 4: a figure without alt text" in capsys.readouterr().err


def test_what_is_wrong_with_a_page_fails_the_build(tmp_path, monkeypatch, capsys):
    def pages(options, settings):
        page = '<p><img src="https://a.example/x.png" alt="a real description"></p>'
        (options.out / "index.html").write_text(page)
        return 0

    monkeypatch.setattr(book_build, "stage", lambda options: {})
    monkeypatch.setattr(book_build, "_sphinx", pages)
    assert started(tmp_path, tmp_path) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: ") and "https://a.example/x.png" in err


@pytest.fixture(scope="module")
def of_the_sample(tmp_path_factory):
    """(the finished process, its pages): a book of a run on the sample, with one bad link."""
    folder = tmp_path_factory.mktemp("sample")
    notebook = small_notebook()
    notebook.cells[0].source += "\n\nSee {doc}`nowhere`."
    nbformat.write(notebook, folder / "01_small.ipynb")
    course = folder / "course.json"
    run = {"01_small": {"seconds": 61.7, "peak_mb": 900.2}}
    course.write_text(json.dumps({"digits": "sample of 5 000 digits", "notebooks": run}))
    done = build(folder, "--notebooks", str(folder), "--course", str(course))
    return done, folder / "html"


def test_warning_stops_the_build(of_the_sample):
    done, _ = of_the_sample
    assert done.returncode != 0 and "nowhere" in done.stderr
    assert done.stderr.count("WARNING") == 1  # and there is no other


def test_foreign_folder_is_not_deleted(tmp_path, capsys):
    (tmp_path / "html").mkdir()
    (tmp_path / "html" / "letter.txt").write_text("keep me")
    (tmp_path / "html" / "source").mkdir()  # as documents of other projects have it
    assert started(tmp_path, tmp_path) == 1 and "no build made" in capsys.readouterr().err
    assert (tmp_path / "html" / "letter.txt").read_text() == "keep me"


def test_a_build_that_broke_off_does_not_block_the_next(tmp_path):
    folder = tmp_path / "html"
    book_build._empty(folder)
    (folder / "index.html").write_text("half a page")
    book_build._empty(folder)
    assert not (folder / "index.html").exists()


def test_sample_is_announced_on_every_page(of_the_sample):
    _, html = of_the_sample
    pages = [page for page in html.rglob("*.html") if "_static" not in page.parts]
    assert len(pages) >= 6
    for page in pages:
        assert "not on the whole of MNIST" in text_of(page)
    assert ["01_small", "62 s", "900 MB"] in cells_of(html / "status.html")


def test_status_admits_what_was_not_measured():
    page = book_pages.status({}, {"01_a": {}}, "c", "b")
    assert page.count(book_pages.NOT_MEASURED) == 2
    assert book_pages.NOT_RECORDED in page


def test_empty_scoreboard_and_empty_course_say_so():
    assert "No row" in board.page([], [])
    assert "No row" in book_pages.pairs([])
    assert book_pages.toctree([]) == ""
    assert book_pages.course_map({}).count("in preparation") == 7


@pytest.mark.parametrize("stems", [["1_short"], ["01_a", "01_b"]])
def test_map_refuses_bad_names(stems):
    with pytest.raises(ValueError, match="a number of its own"):
        book_pages.course_map(dict.fromkeys(stems, "title"))


def test_widget_without_stored_state_stops_the_build():
    notebook = small_notebook()
    del notebook.metadata["widgets"][STATE]["state"]["turn"]
    with pytest.raises(ValueError, match="cell 6: the state of widget turn is not stored"):
        book_notebooks.prepare(notebook, "n")


def test_two_figures_of_one_cell_need_one_text():
    notebook = small_notebook()
    pair = [shown({"image/png": PIXEL}, **{"image/png": {"alt": alt}}) for alt in ("one", "two")]
    notebook.cells[4].outputs = pair
    with pytest.raises(ValueError, match="cell 5: figures with different alt texts"):
        book_notebooks.prepare(notebook, "n")


def test_image_and_html_widgets_keep_what_they_showed():
    notebook = small_notebook()
    models = notebook.metadata.widgets[STATE].state
    box = {"children": ["IPY_MODEL_turn", "IPY_MODEL_picture", "IPY_MODEL_words"]}
    models["box"] = controls("VBoxModel", **box)
    buffer = {"data": PIXEL, "encoding": "base64", "path": ["value"]}
    models["picture"] = controls("ImageModel", [buffer], format="png")
    models["words"] = controls("HTMLModel", value="<b>probabilities</b>")
    outputs = book_notebooks.prepare(notebook, "n").cells[5].outputs
    assert [list(output.data) for output in outputs] == [
        ["text/html"],
        ["image/png"],
        ["text/html"],
    ]
    assert outputs[1].data["image/png"] == PIXEL


def test_what_guards_the_notebook_s_keys_is_no_figure_of_a_page():
    from stn_course.lessons.widgets import KeyGuard

    notebook = small_notebook()
    models = notebook.metadata.widgets[STATE].state
    name = f"{KeyGuard.__module__}.{KeyGuard.__qualname__}"
    models["box"] = controls("VBoxModel", children=["IPY_MODEL_turn", "IPY_MODEL_guard"])
    models["guard"] = models["live"] | {"state": {"_anywidget_id": name}}
    assert KeyGuard().get_state()["_anywidget_id"] == name
    ready = book_notebooks.prepare(notebook, "n")
    (output,) = ready.cells[5].outputs
    assert "They need a running kernel" in output.data["text/html"]
    assert "guard" not in ready.metadata.widgets[STATE].state


def test_a_link_to_the_book_s_page_is_one_where_the_notebook_is_a_page_beside_it():
    notebook = small_notebook()
    notebook.cells[0].source += "\n\nAll rows: the [scoreboard](../book/scoreboard.md)."
    ready = book_notebooks.prepare(notebook, "n")
    assert "[scoreboard](../scoreboard.md)." in ready.cells[0].source


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks" / "src").glob("*.md")))
def test_links_of_notebooks_to_the_book_lead_to_pages(path):
    for page in re.findall(r"\]\(\.\./book/([^)#]*)\)", path.read_text(encoding="utf-8")):
        assert (ROOT / "book" / page).is_file(), page


def test_prepare_leaves_its_input_alone_and_drops_dead_state():
    notebook = small_notebook()
    before = json.dumps(notebook)
    ready = book_notebooks.prepare(notebook, "n")
    assert json.dumps(notebook) == before
    assert list(ready.metadata.widgets[STATE].state) == ["live"]


@pytest.mark.parametrize(
    "page",
    [
        '<script src="https://a.example/x.js"></script>',
        '<link rel="stylesheet" href="//a.example/x.css">',
        '<link rel="preconnect" href="https://a.example">',
        '<img alt="a real description" src="http://a.example/x.png">',
        '<img alt="a real description" srcset="https://a.example/x.png 2x">',
        '<div style="background: url(https://a.example/x.png)"></div>',
        "<style>@import 'https://a.example/x.css';</style>",
        '<style>@font-face { src: url("//a.example/x.woff2") }</style>',
        '<script>import("https://a.example/x.js")</script>',
        '<script type="application/json">{"_esm": "import d from \\"https://a.example\\""}</script>',
        '<iframe src="https://a.example"></iframe>',
        '<svg><use href="https://a.example/x.svg"></use></svg>',
        '<meta http-equiv="refresh" content="0; url=https://a.example">',
        '<img src="missing.png" alt="a real description">',
        '<img src="data:image/png;base64,AA">',
        '<img src="data:image/png;base64,AA" alt="_images/8a83.png">',
        '<a href="nowhere.html">dead</a>',
        '<a href="#nowhere">dead</a>',
    ],
)
def test_check_finds_what_is_wrong(tmp_path, page):
    (tmp_path / "index.html").write_text(f"<p>{page}</p>")
    assert len(book_check.problems(tmp_path)) == 1


def test_check_reads_stylesheets_and_scripts(tmp_path):
    (tmp_path / "index.html").write_text('<p id="a"><a href="https://a.example">fine</a></p>')
    assert book_check.problems(tmp_path) == []
    (tmp_path / "a.css").write_text("@import url(https://a.example/b.css);")
    (tmp_path / "a.js").write_text('import x from "https://a.example/b.js";')
    assert len(book_check.problems(tmp_path)) == 2


def test_hero_is_what_its_code_draws():
    from tools.book import hero as book_hero

    assert book_hero.TARGET.read_text(encoding="utf-8") == book_hero.draw()


def test_test_picture_is_a_picture():
    assert base64.b64decode(PIXEL).startswith(b"\x89PNG")
