"""Every stored notebook keeps the rules; every rule can be broken, and then says where."""

import ast

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tests.support import NOTEBOOKS, ROOT
from tools.notebooks import rules
from tools.notebooks import run as notebooks

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEANl9ngAAAAABJRU5ErkJggg=="


def test_the_course_begins():
    assert "01_invariance" in NOTEBOOKS, "notebooks/01_invariance.ipynb is missing"


def test_every_notebook_has_its_source_and_every_source_its_notebook():
    assert NOTEBOOKS == notebooks.sources()
    assert not (ROOT / "notebooks" / "src" / ".ipynb_checkpoints").exists()


@pytest.fixture(scope="module")
def stored():
    return {name: notebooks.read(ROOT / "notebooks" / f"{name}.ipynb") for name in NOTEBOOKS}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_equals_its_source(name, stored):
    source = notebooks.read(ROOT / "notebooks" / "src" / f"{name}.md")
    assert notebooks.differences(stored[name], source) == []


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_keeps_the_rule(name, rule, stored):
    assert rule(stored[name]) == []


TITLE = """# Turn a digit

**You need** Python. No GPU.

**Time** 15 minutes. **Runs in** 10 seconds on two CPU cores. **Memory** 0.5 GB.
"""


def code(source, tags=(), outputs=(), alt=None):
    metadata = {"tags": list(tags)} | ({"mystnb": {"image": {"alt": alt}}} if alt else {})
    return new_code_cell(source, metadata=metadata, outputs=list(outputs))


def figure():
    return new_output("display_data", {"image/png": PNG, "text/plain": "<Figure>"})


def good_notebook():
    """The smallest notebook that keeps every rule."""
    alt = "Accuracy against angle: it falls from 0 to 90 degrees"
    cells = [
        new_markdown_cell(TITLE),
        code(rules.address.install_cell(), ["setup"]),
        code('PROFILE = "quick"', ["parameters"]),
        code("draw()", outputs=[figure()], alt=alt),
        code("print(1 + 1)", outputs=[new_output("stream", name="stdout", text="2\n")]),
        code("fit()", ["live", "nbval-ignore-output"]),
        *(new_markdown_cell("What do you see? " + "Look again. " * 16) for _ in range(30)),
    ]
    nb = new_notebook(cells=cells)
    nb.metadata["stn_course"] = {"seconds": 8, "peak_mb": 400, "digits": "full MNIST"}
    nb.metadata["stn_course"] |= {"adds_mb": 100, "times_imports": 2.0}
    for place, (_, cell) in enumerate(rules.code_cells(nb), 1):
        cell.execution_count = place
    return nb


def test_a_good_notebook_breaks_no_rule():
    assert [line for rule in rules.RULES for line in rule(good_notebook())] == []


def edit(cell, **values):
    def change(nb):
        for key, value in values.items():
            setattr(nb.cells[cell - 1], key, value)

    return change


def retag(cell, *tags):
    return lambda nb: nb.cells[cell - 1].metadata.update(tags=list(tags))


def in_title(old, new):
    return edit(1, source=TITLE.replace(old, new))


BROKEN = [
    (rules.opening, edit(1, source="Turn a digit"), "is not a title"),
    (rules.opening, in_title("**Runs in**", "runs in"), "does not state seconds"),
    (rules.opening, in_title("0.5 GB", "little"), "does not state gigabytes"),
    (rules.opening, in_title("15 minutes", "90 minutes"), "says 90 minutes"),
    (rules.opening, in_title("10 seconds", "5 seconds"), "measured 8 s"),
    (rules.opening, in_title("10 seconds", "100 seconds"), "measured 8 s"),
    (rules.opening, in_title("0.5 GB", "0.3 GB"), "measured 0.40 GB"),
    (rules.opening, in_title("0.5 GB", "4 GB"), "measured 0.40 GB"),
    (rules.opening, edit(2, source="import stn_course"), "not the setup cell"),
    (rules.opening, retag(3), "0 cells are tagged parameters"),
    (rules.opening, edit(3, source='PROFILE = "full"'), 'does not set PROFILE = "quick"'),
    (rules.shape, lambda nb: nb.cells.pop() and nb.cells.pop(), "34 cells"),
    (rules.shape, edit(5, source="x = 1\n" * 31), "cell 5 has 31 lines"),
    (rules.shape, edit(5, source="x = '" + "a" * 70 + "'"), "cell 5 is 76 columns wide"),
    (rules.shape, edit(7, source="a" * 1_500_001), "larger than"),
    (rules.executed, edit(5, execution_count=None), "cell 5 has execution count None; wanted 4"),
    (rules.executed, edit(5, execution_count=3), "cell 5 has execution count 3; wanted 4"),
    (rules.executed, edit(5, outputs=[new_output("error", ename="E")]), "cell 5 holds an error"),
    (
        rules.executed,
        edit(5, outputs=[new_output("stream", name="stderr", text="W0000\n")]),
        "cell 5 holds what was written to stderr",
    ),
    (rules.executed, lambda nb: nb.metadata.clear(), "not measured"),
    (rules.pictures, edit(4, outputs=[]), "the first figure is in cell None"),
    (rules.pictures, edit(4, metadata={}), "cell 4 has alt text ''"),
    (rules.pictures, edit(4, outputs=[figure(), figure()]), "cell 4 shows 2 figures"),
    (rules.live, retag(6, "live"), "cell 6 has one of the tags"),
    (rules.live, retag(6, "nbval-ignore-output"), "cell 6 has one of the tags"),
    (rules.live, retag(5, "raises-exception"), "cell 5 has a tag that keeps it"),
    (rules.live, retag(5, "live", "nbval-ignore-output"), "no number is compared"),
]


@pytest.mark.parametrize(("rule", "spoil", "words"), BROKEN, ids=[row[2] for row in BROKEN])
def test_a_broken_rule_is_named(rule, spoil, words):
    nb = good_notebook()
    spoil(nb)
    assert any(words in line for line in rule(nb)), rule(nb)


def test_median_length():
    nb = good_notebook()
    for k in (2, 3, 4, 5):
        nb.cells[k].source = "x = 1\n" * 7
    assert any("median" in line for line in rules.shape(nb))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda nb: nb.cells.pop(), "35 cells stored, 36 in the source"),
        (edit(5, source="print(3)"), "cell 5 has another text"),
        (retag(5, "live"), "cell 5 has other tags"),
        (edit(4, metadata={"tags": []}), "cell 4 has other mystnb"),
        (edit(1, cell_type="raw"), "cell 1 is raw stored"),
    ],
)
def test_a_pair_that_differs_is_named(spoil, words):
    nb = good_notebook()
    spoil(nb)
    assert words in " ".join(notebooks.differences(nb, good_notebook()))


def test_jupytext_pairs_the_two_folders(tmp_path):
    """JupyterLab saves both files of a pair: the configuration says which."""
    from jupytext.config import load_jupytext_config, notebook_formats
    from jupytext.paired_paths import paired_paths

    path = str(ROOT / "notebooks" / "01_invariance.ipynb")
    config = load_jupytext_config(path)
    formats = notebook_formats(new_notebook(), config, path)
    pairs = {p for p, _ in paired_paths(path, {"extension": ".ipynb"}, formats)}
    assert str(ROOT / "notebooks" / "src" / "01_invariance.md") in pairs


def import_lines(name):
    """The statements of a notebook's source that import from the package."""
    cells = [
        c
        for c in notebooks.read(ROOT / "notebooks" / "src" / f"{name}.md").cells
        if c.cell_type == "code"
    ]
    found = []
    for cell in cells:
        lines = [
            "pass" if line.lstrip().startswith("%") else line for line in cell.source.split("\n")
        ]
        tree = ast.walk(ast.parse("\n".join(lines)))
        froms = [s for s in tree if isinstance(s, ast.ImportFrom)]
        found += [s for s in froms if s.module.partition(".")[0] == "stn_course"]
    return found


def test_the_first_seven_notebooks_import_in_few_lines_and_none_after_in_more():
    seven, later = NOTEBOOKS[:7], NOTEBOOKS[7:]
    assert sum(len(import_lines(name)) for name in seven) <= 30
    assert all(len(import_lines(name)) <= 4 for name in later)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_what_an_untouched_exercise_names_is_imported(name):
    """Untouched, it says that show("2.1") prints the reference; and `figures` is its own."""
    names = {alias.asname or alias.name: s.module for s in import_lines(name) for alias in s.names}
    assert names["show"] == names["check"] == "stn_course"
    lesson = name.partition("_")[2]
    assert names["figures"] == f"stn_course.lessons.{lesson}"
