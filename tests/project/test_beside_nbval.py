"""One run of nbval also sees pictures, texts that nbval leaves out, and what a header promises."""

import base64
import io
import os
import re
import subprocess
import sys

import nbformat
import pytest
from nbformat import v4
from PIL import Image

from stn_course import data
from tests.project import beside_nbval
from tests.support import ROOT

TITLE = "# A\n\n**Time** 1 minutes. **Runs in** 60 seconds on two CPU cores. **Memory** {} GB."
DRAW = """
import base64
from IPython.display import Image, display
display(Image(data=base64.b64decode("{}"), format="png"))
"""


def png(grey: int) -> str:
    """One pixel."""
    buffer = io.BytesIO()
    Image.new("L", (1, 1), grey).save(buffer, "png")
    return base64.b64encode(buffer.getvalue()).decode()


BLACK, WHITE = png(0), png(255)


def cell(source, *outputs):
    return v4.new_code_cell(source, outputs=list(outputs), execution_count=1)


def printed(text):
    return v4.new_output("stream", name="stdout", text=text)


def picture(png):
    data = {"image/png": png + "\n", "text/plain": "<IPython.core.display.Image object>"}
    return v4.new_output("display_data", data)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """What nbval with the plugin says of a small notebook with four faults."""
    folder = tmp_path_factory.mktemp("notebooks")
    notebook = v4.new_notebook(
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "stn_course": {"digits": data.source(), "adds_mb": -200.0, "times_imports": 9.0},
        },
        cells=[
            v4.new_markdown_cell(TITLE.format("0.001")),
            cell("work = sum(k * k for k in range(5_000_000))\nprint(1 + 1)", printed("2\n")),
            cell("print('took 3 ms')", printed("took 4 ms\n")),
            cell(DRAW.format(BLACK), picture(BLACK)),
            cell(DRAW.format(BLACK), picture(WHITE)),
            cell("print('98.71 %')", printed("98.72 %\n")),
        ],
    )
    nbformat.write(notebook, folder / "01_small.ipynb")
    words = ["-m", "pytest", "--nbval", str(folder), "-p", "no:cacheprovider", "-v", "-rN"]
    words += ["--nbval-sanitize-with", "tests/nbval_sanitize.cfg"]
    words += ["-p", "nbval.plugin", "-p", "tests.project.beside_nbval", f"--rootdir={folder}"]
    alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # others take seconds
    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env={**os.environ, **alone, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    return done.stdout


def test_cells_that_show_what_is_stored_pass(outcome):
    assert "Cell 0 PASSED" in outcome and "Cell 2 PASSED" in outcome


def test_a_text_that_nbval_leaves_out_is_compared_to_the_letter(outcome):
    assert "Cell 1 FAILED" in outcome
    assert "'took 4 ms' stored, 'took 3 ms' now" in outcome


def test_another_number_is_seen_by_nbval_itself(outcome):
    assert "Cell 4 FAILED" in outcome and "Cell outputs differ" in outcome
    assert outcome.count("Cell outputs differ") == 1 and "98.72 %" in outcome


def test_another_picture_is_seen(outcome):
    assert "Cell 3 FAILED" in outcome and "100.0% of the image's pixels differ" in outcome


def test_a_notebook_that_takes_more_memory_than_when_it_was_stored_is_told(outcome):
    assert "Cell 4 ERROR" in outcome and "MB beyond its imports; wanted at most -200" in outcome
    assert "01_small.ipynb: " in outcome and " times its imports, " in outcome
    assert "3 failed" in outcome and "1 error" in outcome


def test_a_kernel_is_not_counted_among_its_imports(outcome):
    (times,) = re.findall(r"01_small.ipynb: ([\d.]+) times its imports", outcome)
    assert float(times) > 1


def test_what_a_notebook_costs_may_grow_up_to_the_slack():
    stored = {"times_imports": 10.0, "adds_mb": 400.0}
    assert beside_nbval.dearer(stored, {"times_imports": 30.0, "adds_mb": 700.0}) == []
    found = beside_nbval.dearer(stored, {"times_imports": 31.0, "adds_mb": 710.0})
    assert found == [
        "31.0 times the processor time of its imports; wanted at most 30.0",
        "710 MB beyond its imports; wanted at most 700",
    ]
