"""Run the notebooks and store them; keep each .ipynb equal to its MyST source.

    python tools/notebooks.py execute [NAME ...]   run src/NAME.md, store NAME.ipynb
    python tools/notebooks.py sync [--to-source]   carry edits over without running anything
    python tools/notebooks.py check                the rules of tools/notebook_rules.py

The source is the truth. A stored notebook is a function of its source, the records and the
versions: no timings, no machine's name, ids that depend only on a cell's or a widget's place.
What was measured while it ran stands apart, in its metadata under ``stn_course``.
"""

import argparse
import hashlib
import json
import os
import re
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import jupytext
import nbformat
import psutil
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
CELL_TIMEOUT = 600  # seconds
# A kernel on this machine alone warns that its connection is not encrypted: not our reader's worry.
QUIET_KERNEL = ["--log-level=ERROR"]
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


class NotebookFailed(Exception):
    """A cell raised: says which notebook, which cell, and the last line of the error."""

    def __init__(self, notebook: str, cell: int, source: str, ename: str, evalue: str):
        last = f"{ename}: {evalue}".strip().splitlines()[-1] if evalue else ename
        first = source.strip().splitlines()[0] if source.strip() else "(empty)"
        super().__init__(f"{notebook}, cell {cell} ({first}): {last}")
        self.notebook, self.cell = notebook, cell


class PeakMemory:
    """Samples the memory of all child processes; ``mb`` is the largest sum seen, in MB.

    A context manager. Sampled from outside, so that a notebook's code need not know of it.
    """

    def __init__(self, every: float = 0.1):
        self.mb, self.every, self._stop = 0.0, every, threading.Event()

    def __enter__(self) -> "PeakMemory":
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while True:
            total = 0
            for child in me.children(recursive=True):
                try:
                    total += child.memory_info().rss
                except psutil.NoSuchProcess:
                    continue  # it ended between the two calls
            self.mb = max(self.mb, total / 1e6)
            if self._stop.wait(self.every):
                return


@contextmanager
def kernel_environment():
    """Kernels draw with their own backend, whatever this process was told to draw with."""
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        yield
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend


def read(path: Path) -> NotebookNode:
    """Any notebook, as ``.ipynb`` or as MyST markdown."""
    path = Path(path)
    return nbformat.read(path, 4) if path.suffix == ".ipynb" else jupytext.read(path)


def run(nb: NotebookNode, name: str, digits: str, folder: Path = NOTEBOOKS) -> NotebookNode:
    """A freshly executed copy of ``nb``, with nothing in it that depends on the moment.

    ``folder`` is the kernel's working directory. Raises `NotebookFailed`.
    """
    fresh = nbformat.v4.new_notebook(cells=[_bare(cell, k) for k, cell in enumerate(nb.cells)])
    at = {"cell": 0}
    client = NotebookClient(
        fresh,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        extra_arguments=QUIET_KERNEL,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
        on_cell_start=lambda cell, cell_index: at.update(cell=cell_index),
    )
    start = time.monotonic()
    with kernel_environment(), PeakMemory() as memory:
        try:
            client.execute()
        except CellExecutionError as error:
            source = fresh.cells[at["cell"]].source
            raise NotebookFailed(name, at["cell"] + 1, source, error.ename, error.evalue) from None
        except (CellTimeoutError, DeadKernelError) as error:
            source = fresh.cells[at["cell"]].source
            words = "the kernel died" if isinstance(error, DeadKernelError) else "it took too long"
            raise NotebookFailed(name, at["cell"] + 1, source, words, "") from None
    seconds = time.monotonic() - start
    for cell in fresh.cells:
        cell.metadata.pop("execution", None)
    widgets = fresh.metadata.get("widgets")
    fresh.metadata = NotebookNode(
        kernelspec=KERNELSPEC,
        language_info={"name": "python"},
        stn_course={"seconds": round(seconds), "peak_mb": round(memory.mb, -1), "digits": digits},
    )
    if widgets:
        fresh.metadata["widgets"] = widgets
    return stable_widgets(fresh, name)


def _bare(cell: NotebookNode, place: int) -> NotebookNode:
    make = {"code": nbformat.v4.new_code_cell, "markdown": nbformat.v4.new_markdown_cell}
    if cell.cell_type not in make:
        raise ValueError(f"cell {place + 1} is {cell.cell_type!r}; wanted code or markdown")
    kept = {k: v for k, v in cell.metadata.items() if k in ("tags", "mystnb")}
    return make[cell.cell_type](cell.source, id=f"cell-{place + 1:02d}", metadata=kept)


def stable_widgets(nb: NotebookNode, salt: str) -> NotebookNode:
    """Widget model ids that depend only on ``salt`` and the order of first appearance.

    Models that no shown widget reaches are dropped: the kernel leaves some behind.
    """
    store = nb.metadata.get("widgets", {}).get(WIDGET_STATE, {})
    state = store.get("state", {})
    outputs = [out for cell in nb.cells for out in cell.get("outputs", [])]
    waiting = [
        o["data"][WIDGET_VIEW]["model_id"] for o in outputs if WIDGET_VIEW in o.get("data", {})
    ]
    order: list[str] = []
    while waiting:
        model = waiting.pop(0)
        if model in state and model not in order:
            order.append(model)
            text = json.dumps(state[model], sort_keys=True)
            waiting = re.findall(r"IPY_MODEL_([0-9a-f]{32})", text) + waiting
    if state:
        store["state"] = {model: state[model] for model in order}
    text = nbformat.writes(nb)
    for k, model in enumerate(order):
        text = text.replace(model, hashlib.md5(f"{salt}:{k}".encode()).hexdigest())
    return nbformat.reads(text, 4)


def differences(stored: NotebookNode, source: NotebookNode) -> list[str]:
    """Where the cells of a stored notebook and of its source differ, in words."""
    found = []
    if len(stored.cells) != len(source.cells):
        found.append(f"{len(stored.cells)} cells stored, {len(source.cells)} in the source")
    for k, (a, b) in enumerate(zip(stored.cells, source.cells, strict=False), 1):
        if a.cell_type != b.cell_type:
            found.append(f"cell {k} is {a.cell_type} stored, {b.cell_type} in the source")
        elif a.source.strip() != b.source.strip():
            found.append(f"cell {k} has another text in the source")
        for key, empty in (("tags", []), ("mystnb", {})):
            if a.metadata.get(key, empty) != b.metadata.get(key, empty):
                found.append(f"cell {k} has other {key} in the source")
    return found


def sync(name: str, to_source: bool = False, folder: Path = NOTEBOOKS) -> list[str]:
    """Carry edits from source to notebook (or back); outputs of unchanged cells stay.

    Returns the differences there were.
    """
    stored_path, source_path = folder / f"{name}.ipynb", folder / "src" / f"{name}.md"
    stored, source = read(stored_path), read(source_path)
    found = differences(stored, source)
    if found and to_source:
        jupytext.write(stored, source_path, fmt="md:myst")
    elif found:
        merged = jupytext.combine.combine_inputs_with_outputs(source, stored, fmt="md:myst")
        merged.metadata = stored.metadata
        nbformat.write(merged, stored_path)
    return found


def sources(folder: Path = NOTEBOOKS) -> list[str]:
    return sorted(path.stem for path in (folder / "src").glob("*.md"))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("execute", "sync", "check"))
    parser.add_argument("names", nargs="*", help="notebooks, e.g. 01_invariance (default: all)")
    parser.add_argument("--to-source", action="store_true", help="sync: from .ipynb to the source")
    arguments = parser.parse_args(argv)
    names = arguments.names or sources()
    for unknown in set(names) - set(sources()):
        parser.error(f"{unknown!r} is not in notebooks/src; there is {', '.join(sources())}")
    wrong = 0
    for name in names:
        if arguments.what == "execute":
            from stn_course import data

            source = read(NOTEBOOKS / "src" / f"{name}.md")
            try:
                nb = run(source, name, data.source())
            except NotebookFailed as failure:
                print(failure, file=sys.stderr)
                return 1
            nbformat.write(nb, NOTEBOOKS / f"{name}.ipynb")
            measured = nb.metadata.stn_course
            print(f"{name:<24} {measured.seconds:4d} s  {measured.peak_mb:6.0f} MB", flush=True)
        elif arguments.what == "sync":
            for line in sync(name, arguments.to_source):
                print(f"{name}: {line} (carried over)")
        else:
            import notebook_rules

            for line in notebook_rules.all_problems(name):
                print(f"{name}: {line}")
                wrong += 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
