"""A book of one small notebook that holds everything a page of the course may hold."""

import subprocess
import sys
from pathlib import Path

import nbformat
from nbformat import v4

from tools.book.notebooks import STATE, VIEW

ALT = 'A red square, "tilted" by an angle & drawn on white: alt text of a test'
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGP4z8DwHwAFAAH/"
    "iZk9HQAAAABJRU5ErkJggg=="
)
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
    """The book of `--notebooks` without the API pages, or the course's own with all."""
    if "--notebooks" in options:
        options = (*options, "--no-api")
    command = [sys.executable, "-m", "tools.book", "--out", str(folder / "html")]
    command += ["--work", str(folder / "work"), *options]
    return subprocess.run(command, capture_output=True, text=True)
