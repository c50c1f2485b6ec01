"""The tools that run notebooks, on tiny notebooks made here."""

import base64
import io
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from PIL import Image

from tests.support import ROOT, offline
from tools import check as checks
from tools.notebooks import run as notebooks
from tools.notebooks.compare import changed_outputs, other_pixels

WIDGET = """import ipywidgets

ipywidgets.HBox([ipywidgets.IntSlider(3), ipywidgets.Label("three")])"""


def tiny(*sources):
    return new_notebook(
        cells=[
            new_markdown_cell("# Count"),
            new_code_cell('PROFILE = "quick"', metadata={"tags": ["parameters"]}),
            *map(new_code_cell, sources),
        ]
    )


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """One tiny notebook, run twice."""
    folder = tmp_path_factory.mktemp("run")
    source = tiny('print("all", 6 * 7)', WIDGET)
    source.cells[2].metadata["collapsed"] = True
    return [notebooks.run(source, "tiny", "none", folder) for _ in range(2)]


def test_two_runs_give_the_same_file(ran):
    for nb in ran:
        measured = nb.metadata.pop("stn_course")
        assert measured.peak_mb > 20 and measured.seconds >= 0 and measured.digits == "none"
    assert nbformat.writes(ran[0]) == nbformat.writes(ran[1])


def test_a_run_keeps_outputs_and_nothing_of_the_moment(ran):
    nb = ran[0]
    assert nb.cells[2].outputs[0].text == "all 42\n"
    assert [c.execution_count for c in nb.cells[1:]] == [1, 2, 3]
    assert [c.id for c in nb.cells] == ["cell-01", "cell-02", "cell-03", "cell-04"]
    assert nb.cells[2].metadata == {}
    shown = nb.cells[3].outputs[0].data[notebooks.WIDGET_VIEW]["model_id"]
    state = nb.metadata.widgets[notebooks.WIDGET_STATE]["state"]
    assert shown in state and len(state) >= 3


def test_what_a_notebook_adds_to_its_imports_is_measured(tmp_path):
    held = "held = bytearray(300_000_000)\nfor k in range(0, len(held), 4096): held[k] = 1"
    spent = "import time\nwhile time.process_time() < 3: pass"
    light = notebooks.run(tiny("import numpy"), "light", "none", tmp_path).metadata.stn_course
    heavy = notebooks.run(tiny(held, spent), "heavy", "none", tmp_path).metadata.stn_course
    assert abs(light.adds_mb) < 100 and light.times_imports < 4
    assert 200 < heavy.adds_mb - light.adds_mb < 400
    assert heavy.times_imports > light.times_imports


def test_the_imports_of_a_notebook_are_told_from_the_rest():
    first = "if True:\n    %pip install nothing\nimport os.path as p\nx = 1"
    nb = tiny(first, "%time x\nfrom math import pi", "import os.path as p")
    assert notebooks.import_statements(nb) == "import os.path as p\nfrom math import pi"


def test_a_failing_cell_is_named(tmp_path):
    with pytest.raises(notebooks.NotebookFailed) as failure:
        notebooks.run(tiny("a = 1", "a / 0"), "tiny", "none", tmp_path)
    assert str(failure.value) == "tiny, cell 4 (a / 0): ZeroDivisionError: division by zero"


def test_a_kernel_that_dies_is_named(tmp_path):
    with pytest.raises(notebooks.NotebookFailed, match=r"cell 4 \(import os\): the kernel died"):
        notebooks.run(tiny("a = 1", "import os\nos._exit(1)"), "tiny", "none", tmp_path)


def test_sync_carries_edits_both_ways_and_keeps_outputs(ran, tmp_path):
    import jupytext

    (tmp_path / "src").mkdir()
    stored, source = tmp_path / "tiny.ipynb", tmp_path / "src" / "tiny.md"
    nbformat.write(ran[0], stored)
    jupytext.write(ran[0], source, fmt="md:myst")
    assert notebooks.sync("tiny", folder=tmp_path) == []

    source.write_text(source.read_text().replace("# Count", "# Count on"))
    assert notebooks.sync("tiny", folder=tmp_path) == ["cell 1 has another text in the source"]
    nb = notebooks.read(stored)
    assert nb.cells[0].source == "# Count on" and nb.cells[2].outputs[0].text == "all 42\n"

    nb.cells[0].source = "# Count back"
    nbformat.write(nb, stored)
    assert len(notebooks.sync("tiny", to_source=True, folder=tmp_path)) == 1
    assert "# Count back" in source.read_text()
    assert notebooks.sync("tiny", folder=tmp_path) == []


def test_changed_text_is_found(ran):
    import copy

    other = copy.deepcopy(ran[0])
    assert changed_outputs(ran[0], other) == []
    other.cells[2].outputs[0].text = "all 43\n"
    assert changed_outputs(ran[0], other) == ["cell 3: 'all 42' stored, 'all 43' now"]
    other.cells[2].metadata["tags"] = ran[0].cells[2].metadata["tags"] = ["live"]
    assert changed_outputs(ran[0], other) == []
    del ran[0].cells[2].metadata["tags"]
    other.cells[3].outputs = []
    assert changed_outputs(ran[0], other)[-1] == "cell 4 has 1 outputs stored, 0 now"


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def test_pictures_are_compared_by_pixels():
    image = np.full((40, 50, 3), 200, np.uint8)
    shade, moved, line = image - 10, image.copy(), image[:39]
    moved[:10, :10] = 0
    assert other_pixels(png(image), png(shade)) == []
    assert other_pixels(png(image), png(moved)) == ["5.0% of the image's pixels differ"]
    assert other_pixels(png(image), png(line)) == ["image of 50 x 40 stored, 50 x 39 now"]


def course(folder, *sources):
    (folder / "in").mkdir()
    nbformat.write(tiny(*sources), folder / "in" / "01_tiny.ipynb")
    command = [sys.executable, "-m", "tools.course", "--no-book"]
    command += ["--notebooks", folder / "in", "--build", folder / "build"]
    environment = offline(folder / "cache")
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def test_the_command_that_makes_its_book_is_one(tmp_path, monkeypatch, capsys):
    from tools.book import __main__ as book
    from tools.course import book_command

    def stop(folder):
        raise ValueError(f"begun in {folder}")

    monkeypatch.setattr(book, "_empty", stop)
    command = book_command(tmp_path)
    assert command[:3] == [sys.executable, "-m", "tools.book"]
    assert book.main(command[3:]) == 1  # every flag is one of its own
    assert f"begun in {tmp_path / 'html'}" in capsys.readouterr().err


def test_the_course_runs_and_says_on_what(tmp_path):
    done = course(tmp_path, "import os", "print(PROFILE, os.path.basename(os.getcwd()))")
    assert done.returncode == 0, done.stderr
    assert "[1/1] 01_tiny" in done.stdout
    found = json.loads((tmp_path / "build" / "course.json").read_text())
    assert "sample" in found["digits"] and found["profile"] == "quick"
    assert found["notebooks"]["01_tiny"]["peak_mb"] > 20
    nb = notebooks.read(tmp_path / "build" / "notebooks" / "01_tiny.ipynb")
    assert nb.cells[-1].outputs[0].text == "quick in\n"
    assert nb.metadata.stn_course.digits == found["digits"]


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        (("a = {}", 'a["b"]', "print('never')"), """cell 4 (a["b"]): KeyError: 'b'"""),
        (("import os", "os._exit(1)"), "cell 4 (os._exit(1)): the kernel died"),
    ],
    ids=["a cell that fails", "a kernel that dies"],
)
def test_what_stops_the_course_is_named(tmp_path, monkeypatch, capsys, sources, said):
    from tools import course

    # The command that finds the digits is run by the test above.
    found = SimpleNamespace(run=lambda command, **_: subprocess.CompletedProcess(command, 0))
    monkeypatch.setattr(course, "subprocess", found)
    nbformat.write(tiny(*sources), tmp_path / "01_tiny.ipynb")
    build = tmp_path / "build"
    asked = ["--no-book", "--notebooks", str(tmp_path), "--build", str(build)]
    assert course.main(asked) == 1
    assert f"the course stopped: 01_tiny.ipynb, {said}\n" in capsys.readouterr().err
    assert not (build / "course.json").exists()


def test_digits_that_are_not_in_order_stop_the_course(tmp_path, monkeypatch, capsys):
    from tools import course

    found = SimpleNamespace(run=lambda command, **_: subprocess.CompletedProcess(command, 3))
    monkeypatch.setattr(course, "subprocess", found)
    assert course.main(["--notebooks", str(tmp_path), "--build", str(tmp_path / "build")]) == 3
    assert "the digits are not in order" in capsys.readouterr().err


def test_a_course_without_notebooks_is_no_success(tmp_path):
    from tools import course

    with pytest.raises(FileNotFoundError, match="no notebook in"):
        course.run_all(tmp_path, tmp_path / "out", "quick")


def step(name, code):
    return checks.Step(
        name, [sys.executable, "-c", f"print('{name} ran'); raise SystemExit({code})"]
    )


def test_no_step_hides_another(monkeypatch, capfd):
    monkeypatch.setattr(checks, "digits", lambda: "none")
    for codes, wanted in (((0, 0), 0), ((3, 0), 1), ((0, 5), 1)):
        chosen = [step("first", codes[0]), step("second", codes[1])]
        monkeypatch.setattr(checks, "steps", lambda chosen=chosen: chosen)
        assert checks.main([]) == wanted
        text = capfd.readouterr().out
        assert "first ran" in text and "second ran" in text and "digits: none" in text
        assert ("all checks passed" in text) == (wanted == 0)


def test_digits_that_cannot_be_read_fail_the_checks(monkeypatch, capsys):
    def corrupt():
        raise RuntimeError("train-images is corrupt")

    monkeypatch.setattr(checks, "digits", corrupt)
    assert checks.conclude([(step("first", 0), 0, 1.0)]) == 1
    assert "train-images is corrupt" in capsys.readouterr().out


def test_the_summary_tells_what_was_skipped_and_why(tmp_path):
    (tmp_path / "test_it.py").write_text(
        "import pytest\n\n\ndef test_a():\n    pytest.skip('no browser')\n\n\ndef test_b():\n"
        "    assert True is not False\n"
    )
    report = tmp_path / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", tmp_path]
    plain = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # nbval alone takes seconds
    subprocess.run(command, cwd=tmp_path, env=plain, capture_output=True, check=True)
    words, reasons = checks.told_by(report)
    assert words == "2 tests, 1 skipped"
    assert reasons == {"skip: no browser": 1}


def test_every_step_has_something_to_check():
    names = [step.name for step in checks.steps()]
    wanted = ["ruff check", "ruff format", "book", "unit tests", "nbval", "JavaScript"]
    assert names == wanted
    assert all(node.returncode == 0 for node in [subprocess.run([*checks.node(), "--version"])])


def test_a_cell_that_hangs_stops_the_course(tmp_path, monkeypatch):
    from tools import course

    monkeypatch.setattr(course, "CELL_TIMEOUT", 2)
    path = tmp_path / "01_tiny.ipynb"
    nbformat.write(tiny("import time", "time.sleep(60)"), path)
    with pytest.raises(notebooks.NotebookFailed, match=r"cell 4 \(time.sleep\(60\)\): it took too"):
        course.run_one(path, tmp_path / "out.ipynb", "quick")
