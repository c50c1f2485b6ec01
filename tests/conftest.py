"""What tests share: which digits they run on, two built books, and a browser.

`full_data` tests skip loudly on the offline sample, `browser` tests where there is no Chromium.
What a test tells with `tell` stands at the end of the run.
"""

import os
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

# They take longest. Where several processes share the tests by the file, these come first, so that
# none of them is begun when there is little else left to do.
LONGEST = (
    "browser/test_pages.py",
    "experiments/test_sweep.py",
    "keras_twin/test_training.py",
    "browser/test_lab.py",
    "lessons/test_checking.py",
    "sampling/test_triton.py",
    "project/test_tools.py",
    "keras_twin/test_parity.py",
    "keras_twin/test_sampling.py",
    "training/test_loop.py",
    "training/test_sequence_training.py",
    "cli/test_cli.py",
    "project/test_book.py",
    "project/test_beside_nbval.py",
    "lessons/look_straight/test_museum.py",
)


def pytest_collection_modifyitems(items):
    place = {ROOT / "tests" / name: k for k, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))  # stable: the rest stays


def pytest_runtest_setup(item):
    if item.get_closest_marker("full_data") is None:
        return
    from stn_course.data import is_sample

    if is_sample():
        pytest.skip("needs the full MNIST: the four files are not here and no mirror answered")


@pytest.fixture(autouse=True)
def figures_are_closed():
    yield
    if "matplotlib.pyplot" in sys.modules:  # a test that draws nothing shall not load it
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture
def tell(record_property):
    """Lines for the end of the run: tests may run in processes whose output nobody sees."""
    return lambda text: record_property("told", text)


def pytest_terminal_summary(terminalreporter):
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, text in report.user_properties if report.when == "call" else ():
                if name == "told":
                    terminalreporter.write_line(text)
    from stn_course import data

    try:
        digits = data.source()
    except (data.CorruptFileError, data.DataFolderError, data.DownloadError) as error:
        digits = f"NONE: {error}"
    terminalreporter.write_line(f"digits: {digits}")


@pytest.fixture(scope="session")
def small_source(tmp_path_factory) -> Path:
    """A folder with one small notebook that holds everything a page may hold."""
    import nbformat

    from tests.project.small_book import small_notebook

    folder = tmp_path_factory.mktemp("notebooks")
    nbformat.write(small_notebook(), folder / "01_small.ipynb")
    return folder


@pytest.fixture(scope="session")
def small_book(small_source, tmp_path_factory) -> Path:
    """The book of that notebook."""
    from tests.project.small_book import build

    folder = tmp_path_factory.mktemp("small")
    done = build(folder, "--notebooks", str(small_source), "--course", str(folder / "none.json"))
    assert done.returncode == 0, done.stderr
    return folder / "html"


@pytest.fixture(scope="session")
def book(tmp_path_factory) -> Path:
    """The course's own book: `make test` has just built it and says where."""
    if built := os.environ.get("STN_COURSE_TEST_BOOK"):
        return ROOT / built
    from tests.project.small_book import build

    folder = tmp_path_factory.mktemp("book")
    done = build(folder)
    assert done.returncode == 0, done.stderr
    return folder / "html"


@pytest.fixture(scope="module")
def browser():
    """Chromium without a network. Not for the whole session: its event loop would outlive it."""
    from tests import chromium

    path = chromium.executable()
    if path is None:
        pytest.skip("NO CHROMIUM on this machine: nothing was looked at in a browser; install it")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        flags = [*chromium.FLAGS, chromium.NO_NETWORK]
        started = playwright.chromium.launch(executable_path=path, args=flags)
        opened = started.new_context

        def patient(**options):
            context = opened(**options)
            context.set_default_timeout(chromium.WAIT)
            return context

        started.new_context = patient
        yield started
        started.close()


@pytest.fixture
def visit(browser):
    """Open an address; afterwards the page must not have complained, failed or gone elsewhere."""
    from tests.chromium import watch

    contexts, wrong = [], []

    def open_page(url: str, **options):
        contexts.append(browser.new_context(color_scheme="light", **options))
        page = contexts[-1].new_page()
        wrong.append(watch(page, url))
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [text for found in wrong for text in found] == []
