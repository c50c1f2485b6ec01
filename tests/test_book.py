"""The book: built once from a small notebook and once from the course's own, then read."""

import base64
import functools
import html
import http.server
import json
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import nbformat
import pytest
from nbformat import v4

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import book_check  # noqa: E402
import book_notebooks  # noqa: E402
import book_pages  # noqa: E402

ALT = 'A red square, "tilted" by an angle & drawn on white: alt text of a test'
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGP4z8DwHwAFAAH/"
    "iZk9HQAAAABJRU5ErkJggg=="
)
VIEW, STATE = book_notebooks.VIEW, book_notebooks.STATE
COUNTER = """
function render({ model, el }) {
  const button = document.createElement("button");
  const show = () => { button.textContent = `pressed ${model.get("value")}`; };
  button.onclick = () => { model.set("value", model.get("value") + 1); model.save_changes(); };
  model.on("change:value", show);
  show();
  el.append(button);
}
export default { render };
"""


def code(source: str, outputs: list, **metadata) -> nbformat.NotebookNode:
    return v4.new_code_cell(source, outputs=outputs, metadata=metadata, execution_count=1)


def shown(data: dict, **metadata) -> nbformat.NotebookNode:
    return v4.new_output("display_data", data, metadata=metadata)


def view(key: str) -> nbformat.NotebookNode:
    data = {"model_id": key, "version_major": 2, "version_minor": 0}
    return shown({VIEW: data, "text/plain": "widget"})


def controls(name: str, buffers: list | None = None, **state) -> dict:
    module = "@jupyter-widgets/output" if name == "OutputModel" else "@jupyter-widgets/controls"
    model = {"model_module": module, "model_name": name, "state": {"_model_name": name, **state}}
    return {**model, "buffers": buffers} if buffers else model


def small_notebook() -> nbformat.NotebookNode:
    """Everything a page of the course may hold, in nine cells."""
    picture = shown({"image/png": PIXEL, "text/plain": "<Figure>"})
    models = {
        "box": controls("VBoxModel", children=["IPY_MODEL_turn", "IPY_MODEL_out"]),
        "turn": controls("FloatSliderModel", description="angle:", value=3.0),
        "out": controls("OutputModel", outputs=[dict(picture)]),
        "live": {"model_module": "anywidget", "state": {"_esm": COUNTER, "value": 4}},
    }
    wide = "word " * 60 + "x" * 300
    return v4.new_notebook(
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "language_info": {"name": "python", "pygments_lexer": "ipython3"},
            "widgets": {STATE: {"state": models, "version_major": 2, "version_minor": 0}},
            "stn_course": {"seconds": 12.3, "peak_mb": 456.0, "digits": "digits of a test"},
        },
        cells=[
            v4.new_markdown_cell("# Try everything a page may hold\n\nTen $\\theta \\in \\R$."),
            v4.new_markdown_cell("## A sum\n\n$$p' = \\begin{pmatrix} a & b \\end{pmatrix} p$$"),
            v4.new_markdown_cell("| " + "wide | " * 12 + "\n|" + "---|" * 12 + "\n|" + " 1 |" * 12),
            code("draw()", [picture], mystnb={"image": {"alt": ALT}}),
            code("draw_again()", [shown({"image/png": PIXEL}, **{"image/png": {"alt": ALT}})]),
            code("sliders()", [view("box")], mystnb={"image": {"alt": ALT}}),
            code("live()", [view("live")]),
            code("again()", [view("live")]),
            code("print(wide)", [v4.new_output("stream", name="stdout", text=wide)]),
        ],
    )


def build(folder: Path, *options: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "tools" / "book.py"), "--out", str(folder / "html")]
    command += ["--work", str(folder / "work"), *options]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="session")
def small_source(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("notebooks")
    nbformat.write(small_notebook(), folder / "01_small.ipynb")
    return folder


@pytest.fixture(scope="session")
def small_book(small_source, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    done = build(folder, "--notebooks", str(small_source), "--course", str(folder / "none.json"))
    assert done.returncode == 0, done.stderr
    return folder / "html"


@pytest.fixture(scope="session")
def book(tmp_path_factory) -> Path:
    """The course's own book."""
    folder = tmp_path_factory.mktemp("book")
    done = build(folder)
    assert done.returncode == 0, done.stderr
    return folder / "html"


def text_of(path: Path) -> str:
    """The words of a page, tags away."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", path.read_text())).split())


def cells_of(path: Path) -> list[list[str]]:
    rows = re.findall(r"<tr>(.*?)</tr>", path.read_text(), re.DOTALL)
    return [[html.unescape(c) for c in re.findall(r"<td[^>]*>(.*?)</td>", row)] for row in rows]


# The course's own book


def test_nothing_leaves_the_page_and_every_picture_is_described(book, small_book):
    assert book_check.problems(book) == []
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
    from stn_course.scoreboard import rows

    found = cells_of(book / "scoreboard.html")
    words = text_of(book / "scoreboard.html")
    for row in rows():
        keys = ("variant", "published", "ours", "n", "params", "command")
        assert [str(row[key]) for key in keys] in found, row
        assert f"{row['row']}:" in words and row["task"] in words
    assert len([cells for cells in found if cells]) == len(rows())


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


def test_mathjax_is_the_checked_file_and_only_where_there_is_maths(small_book):
    import hashlib

    import book as driver

    vendored = small_book / "_static" / "mathjax" / "tex-svg.js"
    assert hashlib.sha256(vendored.read_bytes()).hexdigest() == driver.MATHJAX_SHA256
    assert "tex-svg.js" in (small_book / "notebooks" / "01_small.html").read_text()
    assert "tex-svg.js" not in (small_book / "status.html").read_text()


def test_a_changed_mathjax_is_refused(tmp_path, monkeypatch):
    import book as driver

    other = tmp_path / "tex-svg.js"
    other.write_text("changed")
    monkeypatch.setattr(driver, "MATHJAX", str(other))
    with pytest.raises(ValueError, match="tex-svg.js has SHA-256"):
        driver._vendor_mathjax(tmp_path / "to")


def test_alt_text_reaches_the_page_from_cell_and_from_output(small_book):
    page = (small_book / "notebooks" / "01_small.html").read_text()
    assert page.count(f'alt="{html.escape(ALT)}"') == 3


def test_sliders_become_a_note_with_the_saved_picture(small_book):
    page = small_book / "notebooks" / "01_small.html"
    assert "Move these in JupyterLab: angle. They need a running kernel." in text_of(page)
    assert "FloatSliderModel" not in page.read_text()


def test_launch_button_goes_where_pyproject_says(small_book):
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    path = project["urls"]["Repository"].removeprefix("https://github.com/")
    link = f"https://colab.research.google.com/github/{path}/blob/main/notebooks/01_small.ipynb"
    assert f'<a href="{link}"' in (small_book / "notebooks" / "01_small.html").read_text()


def test_reader_downloads_the_notebook_itself(small_book, small_source):
    copy = small_book / "_sources" / "notebooks" / "01_small.ipynb"
    assert copy.read_bytes() == (small_source / "01_small.ipynb").read_bytes()


# What the build refuses, and what it says


def test_figure_without_alt_text_stops_the_build(tmp_path):
    notebook = small_notebook()
    del notebook.cells[3].metadata["mystnb"]
    nbformat.write(notebook, tmp_path / "01_small.ipynb")
    done = build(tmp_path / "out", "--notebooks", str(tmp_path))
    assert done.returncode == 1
    assert "01_small.ipynb, cell 4: a figure without alt text" in done.stderr


def test_warning_stops_the_build(tmp_path):
    notebook = small_notebook()
    notebook.cells[0].source += "\n\nSee {doc}`nowhere`."
    nbformat.write(notebook, tmp_path / "01_small.ipynb")
    done = build(tmp_path / "out", "--notebooks", str(tmp_path))
    assert done.returncode != 0 and "nowhere" in done.stderr


def test_foreign_folder_is_not_deleted(tmp_path):
    (tmp_path / "html").mkdir()
    (tmp_path / "html" / "letter.txt").write_text("keep me")
    done = build(tmp_path)
    assert done.returncode == 1 and "no build made" in done.stderr
    assert (tmp_path / "html" / "letter.txt").read_text() == "keep me"


def test_sample_is_announced_on_every_page(small_source, tmp_path):
    course = tmp_path / "course.json"
    run = {"01_small": {"seconds": 61.7, "peak_mb": 900.2}}
    course.write_text(json.dumps({"digits": "sample of 5 000 digits", "notebooks": run}))
    done = build(tmp_path, "--notebooks", str(small_source), "--course", str(course))
    assert done.returncode == 0, done.stderr
    for page in (tmp_path / "html").rglob("*.html"):
        if "_static" not in page.parts:
            assert "not on the whole of MNIST" in text_of(page)
    assert ["01_small", "62 s", "900 MB"] in cells_of(tmp_path / "html" / "status.html")


def test_status_admits_what_was_not_measured():
    page = book_pages.status({}, {"01_a": {}}, "c", "b")
    assert page.count(book_pages.NOT_MEASURED) == 2
    assert book_pages.NOT_RECORDED in page


def test_empty_scoreboard_and_empty_course_say_so():
    assert "No row" in book_pages.scoreboard([])
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
    import book_hero

    assert book_hero.TARGET.read_text(encoding="utf-8") == book_hero.draw()


def test_test_picture_is_a_picture():
    assert base64.b64decode(PIXEL).startswith(b"\x89PNG")


# In a real browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("NO CHROMIUM on this machine: the book was not looked at in a browser")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def serve(folder: Path):
    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture(scope="module", params=["http", "file"])
def address(request, small_book):
    if request.param == "file":
        yield small_book.as_uri()
        return
    server = serve(small_book)
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def visit(browser):
    """Open an address; afterwards the page must not have complained, failed or gone elsewhere."""
    contexts, wrong = [], []

    def open_page(url: str):
        context = browser.new_context(color_scheme="light")
        contexts.append(context)
        page = context.new_page()
        origin = url.split("/")[:3]
        page.on("console", lambda m: m.type in ("error", "warning") and wrong.append(m.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("requestfailed", lambda r: wrong.append(f"failed: {r.url}"))
        page.on("response", lambda r: r.status >= 400 and wrong.append(f"{r.status}: {r.url}"))
        page.on(
            "request",
            lambda r: (
                r.url.split("/")[:3] != origin
                and not r.url.startswith(("data:", "blob:"))
                and wrong.append(f"left the page: {r.url}")
            ),
        )
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def overflow(page) -> int:
    return page.evaluate("document.documentElement.scrollWidth - window.innerWidth")


def looks(page):
    """The page at desk and phone width, by day and by night; yields what it is at."""
    for width in (1200, 390):
        page.set_viewport_size({"width": width, "height": 900})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.wait_for_selector(f"html[data-theme={scheme}]")
            yield width, scheme


@pytest.mark.browser
@pytest.mark.parametrize("name", ["index", "scoreboard", "status", "glossary"])
def test_pages_fit(visit, address, name):
    page = visit(f"{address}/{name}.html")
    for look in looks(page):
        assert page.locator("article h1").is_visible(), look
        assert overflow(page) <= 0, look


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
    for look in looks(page):
        assert overflow(page) <= 0, look


@pytest.mark.browser
def test_course_notebooks_in_the_browser(visit, book):
    pages = sorted((book / "notebooks").glob("[0-9][0-9]_*.html"))
    assert len(pages) == len(list((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")))
    for path in pages:
        page = visit(path.as_uri())
        if page.locator(".math").count():
            page.wait_for_selector("mjx-container svg")
        assert page.locator("mjx-merror, mjx-container [fill=red]").count() == 0
        assert page.locator(".widget-note", has_text="did not start").count() == 0
        for look in looks(page):
            assert overflow(page) <= 0, (path.name, look)
