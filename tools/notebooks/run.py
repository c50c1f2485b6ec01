"""Run notebooks and store them; keep each .ipynb equal to its MyST source.

The source is the truth. A stored notebook is a function of its source, the records and the
versions: no timings, no machine's name, ids that depend only on a cell's or a widget's place.
What was measured while it ran stands apart, in its metadata under `stn_course`.
"""

import ast
import hashlib
import json
import os
import re
import subprocess
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

from tools.notebooks import figures

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
CELL_TIMEOUT = 600  # seconds
# A kernel on this machine alone warns that its connection is not encrypted: not our reader's worry.
QUIET_KERNEL = ["--log-level=ERROR"]
# What a notebook costs is told of two cores, as in its header, on whatever machine it runs. Threads
# that have nothing to do soon sleep (`extras.wait_briefly`): processor time is time spent on the
# notebook.
TWO_CORES = {"OMP_NUM_THREADS": "2"}
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


class Usage:
    """What all child processes together use while the block runs, sampled from outside.

    `mb` is the most memory (resident, in MB), `own_mb` the most of it that is their own, as
    code and other files that are mapped are not: there a build of torch makes the difference.
    `cpu_seconds` is the processor time of all of them.
    """

    def __init__(self, every: float = 0.1):
        self.mb, self.own_mb, self.every, self._stop = 0.0, 0.0, every, threading.Event()
        self._seconds: dict[int, float] = {}

    @property
    def cpu_seconds(self) -> float:
        return sum(self._seconds.values())

    def __enter__(self) -> "Usage":
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        mine = me.cmdline()
        while True:
            total = own = 0
            for child in me.children(recursive=True):
                try:
                    with child.oneshot():
                        if child.cmdline() == mine:
                            continue  # forked, and not yet the program that it will be
                        memory, times = child.memory_info(), child.cpu_times()
                except psutil.NoSuchProcess:
                    continue  # it ended between the two calls
                total += memory.rss
                own += memory.rss - getattr(memory, "shared", 0)  # only Linux tells them apart
                self._seconds[child.pid] = times.user + times.system
            self.mb, self.own_mb = max(self.mb, total / 1e6), max(self.own_mb, own / 1e6)
            if self._stop.wait(self.every):
                return


def import_statements(nb: NotebookNode) -> str:
    """The imports of a notebook's cells, each once, in their order: code of its own."""
    found = []
    for cell in nb.cells:
        if cell.cell_type == "code":
            body = ast.parse(re.sub(r"(?m)^( *)[%!].*", r"\1pass", cell.source)).body  # no magics
            found += [ast.unparse(s) for s in body if isinstance(s, ast.Import | ast.ImportFrom)]
    return "\n".join(dict.fromkeys(found))


def imports_alone(nb: NotebookNode, folder: Path) -> Usage:
    """What the imports of a notebook use in a Python of their own: the measure of what it adds."""
    last = "import time; time.sleep(0.5)"  # long enough to be seen
    code = f"import ipykernel.ipkernel\n{import_statements(nb)}\n{last}"
    with kernel_environment(**TWO_CORES), Usage() as usage:
        subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, capture_output=True)
    return usage


def costs(usage: Usage, alone: Usage) -> dict[str, float]:
    """What a notebook's run used beside what its imports used alone."""
    return {
        "adds_mb": round(usage.own_mb - alone.own_mb, -1),
        "times_imports": round(usage.cpu_seconds / alone.cpu_seconds, 1),
    }


@contextmanager
def kernel_environment(**variables: str):
    """Kernels draw with their own backend, whatever this process was told to draw with.

    `variables` are set as well while the block runs.
    """
    before = dict(os.environ)
    os.environ.pop("MPLBACKEND", None)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def read(path: Path) -> NotebookNode:
    """Any notebook, as `.ipynb` or as MyST markdown."""
    path = Path(path)
    return nbformat.read(path, 4) if path.suffix == ".ipynb" else jupytext.read(path)


def run(nb: NotebookNode, name: str, digits: str, folder: Path = NOTEBOOKS) -> NotebookNode:
    """A freshly executed copy of `nb`, with nothing in it that depends on the moment.

    `folder` is the kernel's working directory. Its metadata under `stn_course` tell what the
    run took (seconds, peak_mb) and, for machines that are busy or have another build of torch,
    what it took beside its imports alone: `adds_mb`, memory of its own beyond theirs, and
    `times_imports`, its processor time over theirs. Raises `NotebookFailed`.
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
    with kernel_environment(**TWO_CORES), Usage() as usage:
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
    alone = imports_alone(nb, folder)
    measured = {
        "seconds": round(seconds),
        "peak_mb": round(usage.mb, -1),
        **costs(usage, alone),
        "digits": digits,
    }
    for cell in fresh.cells:
        cell.metadata.pop("execution", None)
    widgets = fresh.metadata.get("widgets")
    fresh.metadata = NotebookNode(
        kernelspec=KERNELSPEC,
        language_info={"name": "python"},
        stn_course=measured,
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
    """Widget model ids that depend only on `salt` and the order of first appearance.

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

    The modules of live figures are carried over with them.

    Returns the differences there were.
    """
    stored_path, source_path = folder / f"{name}.ipynb", folder / "src" / f"{name}.md"
    stored, source = read(stored_path), read(source_path)
    found = differences(stored, source)
    if to_source:
        if found:
            jupytext.write(stored, source_path, fmt="md:myst")
        return found
    behind = figures.outdated(stored)
    figures.renew(stored)
    if found:
        merged = jupytext.combine.combine_inputs_with_outputs(source, stored, fmt="md:myst")
        merged.metadata = stored.metadata
        nbformat.write(merged, stored_path)
    elif behind:
        nbformat.write(stored, stored_path)
    return found + [f"the module or the still of {name} is another" for name in behind]


def sources(folder: Path = NOTEBOOKS) -> list[str]:
    return sorted(path.stem for path in (folder / "src").glob("*.md"))
