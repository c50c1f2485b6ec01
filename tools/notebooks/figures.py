"""Live figures of a stored notebook: the module and the style in their state are today's.

A notebook stores what its widgets are made of, so that it is alive before it is run, and the book
starts its figures from that. `sync` carries a changed module over, as it does words; what a figure
shows, its own values, is the run's.
"""

from importlib import import_module

from nbformat import NotebookNode

WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
PARTS = ("_esm", "_css")


def parts(name: str) -> dict[str, str]:
    """{"_esm": text, "_css": text} of the widget class `name`, as the package has it now."""
    module, _, kind = name.rpartition(".")
    widget = getattr(import_module(module), kind)
    return {part: str(getattr(widget, part)) for part in PARTS if hasattr(widget, part)}


def outdated(nb: NotebookNode) -> list[str]:
    """The names of the widget classes whose stored module or style is not today's."""
    return sorted({state["_anywidget_id"] for state, _ in _behind(nb)})


def renew(nb: NotebookNode) -> None:
    """Give each live figure of `nb` the module and the style of today."""
    for state, today in _behind(nb):
        state.update(today)


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
