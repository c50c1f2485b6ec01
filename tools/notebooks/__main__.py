"""Run the notebooks and store them; keep each .ipynb equal to its MyST source.

python -m tools.notebooks execute [NAME ...]   run src/NAME.md, store NAME.ipynb
python -m tools.notebooks sync [--to-source]   carry edits over without running anything
python -m tools.notebooks check                the rules of tools/notebooks/rules.py
"""

import argparse
import sys

import nbformat

from tools.notebooks import rules
from tools.notebooks.run import NOTEBOOKS, NotebookFailed, read, run, sources, sync


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
            for line in rules.all_problems(name):
                print(f"{name}: {line}")
                wrong += 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
