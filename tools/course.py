"""The course, from digits to book: what `make course` runs once .venv is ready.

Gets and verifies the digits, runs every notebook in order with papermill on the quick profile,
builds the book from what has just been run, and writes build/course.json: what it ran on, and
each notebook's seconds and peak memory.
"""

import argparse
import json
import logging
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path

import nbformat
import papermill
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError

from stn_course.files import write_atomically
from tools.notebooks.run import (
    CELL_TIMEOUT,
    NOTEBOOKS,
    QUIET_KERNEL,
    ROOT,
    NotebookFailed,
    Usage,
    kernel_environment,
)

INJECTED = "injected-parameters"


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code: 0 if everything ran, else that of the step that failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--notebooks", type=Path, default=NOTEBOOKS, help="where to find them")
    parser.add_argument("--build", type=Path, default=ROOT / "build", help="where to put it all")
    parser.add_argument("--profile", choices=("quick", "full"), default="quick")
    parser.add_argument("--no-book", action="store_true", help="stop after the notebooks")
    arguments = parser.parse_args(argv)
    build = arguments.build.resolve()

    print("digits: find or fetch, and verify", flush=True)
    code = subprocess.run([sys.executable, "-m", "stn_course", "data"], cwd=ROOT).returncode
    if code:
        print("the course stopped: the digits are not in order", file=sys.stderr)
        return code
    (build / "course.json").unlink(missing_ok=True)  # it tells of notebooks that make room now
    try:
        result = run_all(arguments.notebooks, build / "notebooks", arguments.profile)
    except (NotebookFailed, FileNotFoundError) as failure:
        print(f"the course stopped: {failure}", file=sys.stderr)
        return 1
    write_atomically(build / "course.json", (json.dumps(result, indent=1) + "\n").encode())
    if arguments.no_book:
        return 0
    code = subprocess.run(book_command(build), cwd=ROOT).returncode
    if code:
        print("the course stopped: the book was not built", file=sys.stderr)
        return code
    print(f"\nThe course ran on: {result['digits']}")
    print(f"Open {build / 'html' / 'index.html'} in a browser; `make lab` opens notebook 01.")
    return 0


def book_command(build: Path) -> list[str]:
    """What makes the book of the notebooks that ran in `build`."""
    book = [sys.executable, "-m", "tools.book", "--notebooks", str(build / "notebooks")]
    book += ["--course", str(build / "course.json")]
    return [*book, "--out", str(build / "html"), "--work", str(build / "book")]


def run_all(folder: Path, out: Path, profile: str) -> dict:
    """Run every notebook of `folder` in order; one line each.

    Returns {"digits", "profile", "notebooks": {name: {"seconds", "peak_mb"}}}. Raises
    `NotebookFailed` at the first cell that fails, FileNotFoundError where there is no notebook.
    """
    paths = sorted(Path(folder).resolve().glob("[0-9][0-9]_*.ipynb"))
    if not paths:
        raise FileNotFoundError(f"no notebook in {folder}")
    from stn_course import data

    digits = data.source()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    measured = {}
    for number, path in enumerate(paths, 1):
        print(f"[{number}/{len(paths)}] {path.stem:<24}", end=" ", flush=True)
        nb, seconds, peak = run_one(path, out / path.name, profile)
        measured[path.stem] = {"seconds": round(seconds, 1), "peak_mb": round(peak)}
        nb.metadata["stn_course"] = {**measured[path.stem], "digits": digits}
        nbformat.write(nb, out / path.name)
        print(f"{seconds:5.0f} s  {peak:6.0f} MB", flush=True)
    return {"digits": digits, "profile": profile, "notebooks": measured}


def run_one(path: Path, out: Path, profile: str) -> tuple[nbformat.NotebookNode, float, float]:
    """Run one notebook with papermill: (notebook, seconds, peak memory of its kernel in MB).

    Raises `NotebookFailed`; the half-run notebook stays at `out` to be looked at.
    """
    logging.getLogger("papermill").setLevel(logging.ERROR)
    start = time.monotonic()
    with kernel_environment(), Usage() as usage, warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        try:
            nb = papermill.execute_notebook(
                path,
                out,
                parameters={"PROFILE": profile},
                kernel_name="python3",
                extra_arguments=QUIET_KERNEL,
                language="python",
                progress_bar=False,
                execution_timeout=CELL_TIMEOUT if profile == "quick" else None,
                cwd=path.parent,
                coalesce_streams=True,
            )
        except PapermillExecutionError as error:
            print("failed", flush=True)
            number = _original_number(out, error.cell_index)
            raise NotebookFailed(
                path.name, number, error.source, error.ename, error.evalue
            ) from None
        except (CellTimeoutError, DeadKernelError) as error:
            print("failed", flush=True)
            words = "the kernel died" if isinstance(error, DeadKernelError) else "it took too long"
            cells = nbformat.read(out, 4).cells
            # The last cell that papermill was done with, well or not, is the one it ended in.
            done = [k for k, cell in enumerate(cells) if cell.metadata.papermill.end_time]
            index = max(done, default=0)
            number = _original_number(out, index)
            raise NotebookFailed(path.name, number, cells[index].source, words, "") from None
    for cell in nb.cells:
        cell.metadata.pop("papermill", None)
        if INJECTED in cell.metadata.get("tags", []):
            cell.metadata.tags.append("remove-cell")  # it is not part of the course's text
    nb.metadata.pop("papermill", None)
    return nb, time.monotonic() - start, usage.mb


def _original_number(ran: Path, index: int) -> int:
    """The failing cell's number in the notebook a reader opens: papermill adds cells of its own."""
    added = ("papermill-error-cell-tag", INJECTED)
    cells = nbformat.read(ran, 4).cells
    original = [cell for cell in cells if not set(added) & set(cell.metadata.get("tags", []))]
    failed = [cell for cell in cells if "papermill-error-cell-tag" not in _tags(cell)][index]
    return original.index(failed) + 1


def _tags(cell: nbformat.NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


if __name__ == "__main__":
    sys.exit(main())
