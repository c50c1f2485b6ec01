"""Make an executed notebook ready for a page that has no kernel."""

import html
import re
from copy import deepcopy

from nbformat import NotebookNode
from nbformat.v4 import new_output

from tools import ROOT

VIEW = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"
DRAWING = re.compile(r"!\[[^\]]*\]\((?:\.\./)?figures/drawings/([\w-]+)\.svg\)")
IMAGES = ("image/png", "image/jpeg", "image/gif", "image/svg+xml")


def prepare(notebook: NotebookNode, name: str) -> NotebookNode:
    """A copy of `notebook` in which every figure has alt text and every widget says something.

    Drawings of the project stand in it as SVG, and links to the book's pages lead there.

    Anywidgets stay: the page's loader starts them. Widgets that need a kernel are replaced by a
    note and by the picture that was saved with them. `name` is used in errors alone.

    Raises ValueError for a figure without alt text and for a widget whose state was not stored,
    naming notebook and cell.
    """
    notebook = deepcopy(notebook)
    models = notebook.metadata.get("widgets", {}).get(STATE, {}).get("state", {})
    shown: set[str] = set()
    for number, cell in enumerate(notebook.cells, 1):
        if cell.cell_type != "code":
            cell.source = DRAWING.sub(lambda found: drawing(found[1]), cell.source)
            cell.source = cell.source.replace("](../book/", "](../")  # the book's own pages
            continue
        where = f"{name}, cell {number}"
        cell.outputs = [new for old in cell.outputs for new in _still(old, models, shown, where)]
        _ensure_alt(cell, where)
    # A live figure must travel with its state; the rest would only make the page heavier.
    notebook.metadata.pop("widgets", None)
    if shown:
        kept = {key: models[key] for key in sorted(shown)}
        state = {"state": kept, "version_major": 2, "version_minor": 0}
        notebook.metadata["widgets"] = {STATE: state}
    return notebook


def drawing(name: str) -> str:
    """A drawing of the project as SVG in the page, so that it follows its light and dark.

    As an image it would stand on the white that the theme puts behind images in the dark.
    """
    svg = (ROOT / "figures" / "drawings" / f"{name}.svg").read_text(encoding="utf-8")
    return f'\n<figure class="drawing-figure">\n{svg}</figure>\n'


def title(notebook: NotebookNode, name: str) -> str:
    """The text of the first heading. Raises ValueError where there is none."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for line in cell.source.splitlines():
                if line.startswith("# "):
                    return line[2:].strip()
    raise ValueError(f"{name}: no '# title' in any Markdown cell")


def _still(output: NotebookNode, models: dict, shown: set[str], where: str) -> list[NotebookNode]:
    """`output` as it can be shown without a kernel; ids of live figures are put in `shown`."""
    view = output.get("data", {}).get(VIEW)
    if view is None:
        return [output]
    live, labels, saved = [], [], []
    for key in _tree(view["model_id"], models, where):
        model, state = models[key], models[key]["state"]
        if state.get("_anywidget_id", "").endswith(".KeyGuard"):
            continue  # it shows nothing, and there are no notebook's keys on a page
        if model["model_module"] == "anywidget":
            live.append(new_output("display_data", {VIEW: {**view, "model_id": key}}))
            live += _without_script(output)
            shown.add(key)
        elif model["model_module"] == "@jupyter-widgets/output":
            saved += [NotebookNode(found) for found in state.get("outputs", [])]
        elif state.get("_model_name") == "ImageModel":
            saved += [_image(state, buffer) for buffer in model.get("buffers", [])]
        elif state.get("_model_name") in ("HTMLModel", "HTMLMathModel"):
            saved.append(new_output("display_data", {"text/html": state.get("value", "")}))
        elif state.get("description"):
            labels.append(state["description"].strip(" :"))
    if live and not labels and not saved:
        return live
    return [_note(labels, bool(saved)), *live, *saved]


def _without_script(output: NotebookNode) -> list[NotebookNode]:
    """What stands in the page for readers without JavaScript: the figure's still and a caption."""
    png = output.data.get("image/png")
    if not png:
        return []
    alt = html.escape(output.metadata.get("image/png", {}).get("alt", ""))
    picture = f'<img class="still" src="data:image/png;base64,{png.strip()}" alt="{alt}">'
    text = f"<figure>{picture}<figcaption>{alt} With JavaScript it moves.</figcaption></figure>"
    return [new_output("display_data", {"text/html": f"<noscript>{text}</noscript>"})]


def _tree(key: str, models: dict, where: str) -> list[str]:
    """`key` and the models inside it, in the order of the screen."""
    if key not in models:
        raise ValueError(
            f"{where}: the state of widget {key} is not stored; run the notebook again"
        )
    children = models[key]["state"].get("children", [])
    inside = [child.removeprefix("IPY_MODEL_") for child in children]
    return [key, *(found for child in inside for found in _tree(child, models, where))]


def _image(state: dict, buffer: dict) -> NotebookNode:
    kind = "image/jpeg" if state.get("format") in ("jpg", "jpeg") else "image/png"
    return new_output("display_data", {kind: buffer["data"]})


def _note(labels: list[str], saved: bool) -> NotebookNode:
    what = html.escape(", ".join(labels)) or "the controls of this cell"
    after = " Below is what they showed when it was saved." if saved else ""
    text = f"<strong>Move these in JupyterLab:</strong> {what}. They need a running kernel.{after}"
    return new_output("display_data", {"text/html": f'<p class="widget-note">{text}</p>'})


def _ensure_alt(cell: NotebookNode, where: str) -> None:
    """Put alt text where the page reads it: the cell's metadata, else the outputs' own."""
    found = [
        output.get("metadata", {}).get(kind, {}).get("alt", "")
        for output in cell.outputs
        for kind in IMAGES
        if kind in output.get("data", {})
    ]
    options = cell.metadata.setdefault("mystnb", {}).setdefault("image", {})
    if not found or options.get("alt"):
        return
    if len(set(found)) > 1:
        raise ValueError(f"{where}: figures with different alt texts; show one figure a cell")
    if not found[0]:
        raise ValueError(f"{where}: a figure without alt text; set mystnb.image.alt in the cell")
    options["alt"] = found[0]
