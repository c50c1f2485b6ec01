"""What one run of the notebooks by nbval is asked beside nbval's own question.

nbval compares what a cell prints, with times and sizes left out. Each notebook runs once for it,
and this plugin looks at the same run: every text to the letter, every picture by its pixels, and,
when the last cell is through, what it cost beside what it cost when it was stored.

    pytest --nbval notebooks -p tests.project.beside_nbval
"""

from copy import deepcopy

import pytest
from nbformat import NotebookNode

from stn_course import data
from tools.notebooks.compare import changed_outputs
from tools.notebooks.run import WIDGET_VIEW, Usage, costs, imports_alone

# How much more than when it was stored: a notebook that has become three times as slow fails.
# Its cost is taken beside that of its imports, in the same minute on the same machine, so that
# neither a busy machine nor another build of torch fails a check. Whether the header's seconds and
# gigabytes hold is for `make bench` to say, on a quiet machine.
SLACK_TIME, SLACK_MEMORY, SLACK_MB = 3, 1.5, 100

watching: dict[object, Usage] = {}  # by file, while its notebook runs


def is_cell(item) -> bool:
    return type(item).__name__ == "IPyNbCell"


def pytest_collection_modifyitems(items):
    """The longest notebooks first: no process shall be left alone with one at the end."""

    def seconds(item) -> float:
        return item.parent.nb.metadata.stn_course.get("seconds", 0) if is_cell(item) else 0

    items.sort(key=seconds, reverse=True)  # stable: the cells of one stay in their order


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    if is_cell(item) and item.parent not in watching:
        watching[item.parent] = Usage().__enter__()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Only where nbval itself is content: its own words are better where it is not."""
    result = yield
    if is_cell(item):
        stored = item.parent.nb.metadata.stn_course.digits
        same_digits = ("sample" in stored) == data.is_sample()
        if found := other_outputs(item.cell, item.test_outputs, same_digits):
            pytest.fail("\n".join([*found, "in the cell", item.cell.source]), pytrace=False)
    return result


def other_outputs(cell: NotebookNode, outputs: list, pixels: bool) -> list[str]:
    """How `outputs` differ from those of the stored `cell`; a widget's name is of its run."""
    pair = []
    for shown in (cell.outputs, outputs):
        shown = deepcopy(shown)
        for output in shown:
            output.get("data", {}).pop(WIDGET_VIEW, None)
        pair.append(NotebookNode(cells=[NotebookNode(cell, outputs=shown)]))
    return changed_outputs(*pair, pixels=pixels)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item, nextitem):
    last = is_cell(item) and (nextitem is None or nextitem.parent is not item.parent)
    if last:
        usage = watching.pop(item.parent)
        usage.__exit__()
    result = yield  # the kernel ends: it must not be counted among its imports
    if last:
        nb = item.parent.nb
        now = costs(usage, imports_alone(nb, item.parent.path.parent))
        words = f"{item.parent.name}: {now['times_imports']} times its imports, {now['adds_mb']} MB"
        item.user_properties.append(("told", words))
        if found := dearer(nb.metadata.stn_course, now):
            pytest.fail(f"{item.parent.name}: " + "; ".join(found), pytrace=False)
    return result


def pytest_terminal_summary(terminalreporter):
    for outcome in ("", "error"):  # how a teardown may end
        for report in terminalreporter.getreports(outcome):
            for name, text in report.user_properties if report.when == "teardown" else ():
                if name == "told":
                    terminalreporter.write_line(text)


def dearer(before: dict, now: dict) -> list[str]:
    """Where a notebook takes more than when it was stored, beyond the slack."""
    found = []
    if now["times_imports"] > (most := SLACK_TIME * before["times_imports"]):
        told = f"{now['times_imports']:.1f} times the processor time of its imports"
        found.append(f"{told}; wanted at most {most:.1f}")
    if now["adds_mb"] > (most := SLACK_MEMORY * before["adds_mb"] + SLACK_MB):
        found.append(f"{now['adds_mb']:.0f} MB beyond its imports; wanted at most {most:.0f}")
    return found
