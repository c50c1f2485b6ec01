"""Live figures of a stored notebook: the module and the style in their state are today's.

Each has a still beside its view, for where no script runs; it is drawn from the state.

A notebook stores what its widgets are made of, so that it is alive before it is run, and the book
starts its figures from that. `sync` carries a changed module over, as it does words; what a figure
shows, its own values, is the run's.
"""

from importlib import import_module

from nbformat import NotebookNode

WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
PARTS = ("_esm", "_css")


def parts(name: str) -> dict[str, str]:
    """{"_esm": text, "_css": text} of the widget class `name`, as the package has it now."""
    widget = kind_of(name)
    return {part: str(getattr(widget, part)) for part in PARTS if hasattr(widget, part)}


def kind_of(name: str) -> type:
    """The widget class that a state names as its `_anywidget_id`."""
    module, _, kind = name.rpartition(".")
    return getattr(import_module(module), kind)


def outdated(nb: NotebookNode) -> list[str]:
    """The names of the widget classes with another module or style than today, or no still."""
    behind = [state for state, _ in _behind(nb)] + [state for _, state in _without_still(nb)]
    return sorted({state["_anywidget_id"] for state in behind})


def renew(nb: NotebookNode) -> None:
    """Give each live figure of `nb` today's module and style, and a still if it has none."""
    from stn_course.lessons import stills

    for state, today in _behind(nb):
        state.update(today)
    for output, state in _without_still(nb):
        stills.add(output.data, output.metadata, kind_of(state["_anywidget_id"]), state)


def _without_still(nb: NotebookNode) -> list[tuple[NotebookNode, dict]]:
    """The outputs that show a live figure and no still of it, with the figure's state."""
    stored = nb.metadata.get("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    found = []
    for output in (output for cell in nb.cells for output in cell.get("outputs", [])):
        view = output.get("data", {}).get(WIDGET_VIEW, {})
        state = stored.get(view.get("model_id"), {}).get("state", {})
        told = output.get("metadata", {}).get("image/png", {}).get("alt")
        if state.get("_anywidget_id") and not (told and "image/png" in output.data):
            found.append((output, state))
    return found


def _behind(nb: NotebookNode) -> list[tuple[dict, dict]]:
    stored = nb.metadata.get("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    found = []
    for model in stored.values():
        state = model["state"]
        if name := state.get("_anywidget_id"):
            today = parts(name)
            if any(state.get(part, "") != text for part, text in today.items()):
                found.append((state, today))
    return found
