"""Write the repository's address, which pyproject.toml alone holds, wherever it is needed.

python -m tools.address URL       the repository is at URL: its clone lines, links and buttons
python -m tools.address --none    there is none yet: nothing that would lead to a made-up address
python -m tools.address           carry what pyproject.toml says into the other files
python -m tools.address --check   only say what is out of step; exit code 1 if anything is

The book reads pyproject.toml itself. Going there and back leaves every file as it was.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

from tools import ROOT, readme, repository

# Names that stand for "put yours here", and domains that are reserved for examples.
PLACEHOLDER = re.compile(r"(your|my|the)?[-_.]?(user(name)?|owner|name|org|repo(sitory)?)", re.I)
RESERVED = re.compile(r"(?i)(^|\.)(example(\.(com|net|org))?|test|invalid|localhost)$")

SETUP = """import importlib.util

if importlib.util.find_spec("stn_course") is None:
    {cure}"""
INSTALL = '%pip install -q "stn-course[course] @ git+{url}"'
REFUSAL = """raise ModuleNotFoundError(
        "stn_course is missing: run `make lab` (see book/install.md)"
    )"""
SOURCE_CELL = re.compile(r"(?s)(```\{code-cell\} ipython3\n---\ntags: \[setup\]\n---\n).*?(\n```)")


def checked(url: str) -> str:
    """`url` if it can be a repository's address; a ValueError that says why not otherwise."""
    parts = urlsplit(url)
    host, names = parts.hostname or "", parts.path.split("/")[1:]
    if re.search(r"\s", url):
        why = "there is white space in it"
    elif parts.scheme != "https":
        why = "it does not begin with https://"
    elif "@" in parts.netloc:
        why = "it holds a user's name or password"
    elif parts.query or parts.fragment or not re.fullmatch(r"[\w.-]+(:\d+)?", parts.netloc):
        why = "there is more in it than a host and a path"
    elif "." not in host or RESERVED.search(host):
        why = f"{host!r} is no host that others can reach"
    elif len(names) < 2 or not all(re.fullmatch(r"\w[\w.-]*", name) for name in names):
        why = f"{parts.path!r} does not name an owner and a repository"
    elif url.endswith(".git"):
        why = "it ends in .git; wanted the page that a browser opens"
    elif made_up := [name for name in names if PLACEHOLDER.fullmatch(name)]:
        why = f"{made_up[0]!r} only stands for a name"
    else:
        return url
    raise ValueError(f"the repository's address is {url!r}: {why}; wanted https://host/owner/name")


def setup_cell(url: str | None) -> str:
    """A notebook's first code cell: what it does where the package is missing."""
    return SETUP.format(cure=INSTALL.format(url=url) if url else REFUSAL)


def install_cell(root: Path = ROOT) -> str:
    """The first code cell that every notebook has now."""
    return setup_cell(repository(root))


def in_project(text: str, url: str | None) -> str:
    """pyproject.toml with the address, or without one."""
    return _with_line(text, "[project.urls]\n", "Repository = ", url)


def in_citation(text: str, url: str | None) -> str:
    """CITATION.cff with the address, or without one."""
    return _with_line(text, "license: MIT\n", "repository-code: ", url)


def _with_line(text: str, before: str, key: str, url: str | None) -> str:
    """`text` with the line of `key` right after the line `before`, or without it."""
    if text.count(before) != 1:
        raise ValueError(f"{before.strip()!r} stands there {text.count(before)} times; wanted once")
    text = re.sub(rf"(?m)^{re.escape(key)}.*\n", "", text)
    return text.replace(before, f'{before}{key}"{url}"\n') if url else text


def in_source(text: str, url: str | None) -> str:
    """A notebook's MyST source with the first code cell that belongs to the address."""
    new, count = SOURCE_CELL.subn(lambda found: found[1] + setup_cell(url) + found[2], text)
    if count != 1:
        raise ValueError(f"{count} code cells are tagged [setup]; wanted one")
    return new


def in_notebook(text: str, url: str | None) -> str:
    """The same for the stored notebook; the rest of it keeps its bytes."""
    notebook = json.loads(text)
    cells = [c for c in notebook["cells"] if "setup" in c["metadata"].get("tags", [])]
    if len(cells) != 1:
        raise ValueError(f"{len(cells)} cells are tagged setup; wanted one")
    lines = setup_cell(url).splitlines(keepends=True)
    if cells[0]["source"] == lines:
        return text
    cells[0]["source"] = lines
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


WHERE = {
    "pyproject.toml": in_project,
    "CITATION.cff": in_citation,
    "README*.md": readme.addressed,
    "notebooks/src/*.md": in_source,
    "notebooks/*.ipynb": in_notebook,
}


def out_of_step(root: Path, url: str | None) -> dict[Path, str]:
    """Each file that does not say `url` -> what it should read. ValueError: which cannot."""
    found = {}
    for pattern, rewritten in WHERE.items():
        for path in sorted(root.glob(pattern)):
            text = path.read_text(encoding="utf-8")
            try:
                new = rewritten(text, url)
            except (ValueError, LookupError) as error:
                raise ValueError(f"{path.relative_to(root)}: {error}") from None
            if new != text:
                found[path] = new
    return found


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    """0 if all went well, 1 if --check found something, 2 for an address that cannot be."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    what = parser.add_mutually_exclusive_group()
    what.add_argument("url", nargs="?", help="https://host/owner/name")
    what.add_argument("--none", action="store_true", help="there is no address")
    what.add_argument("--check", action="store_true", help="change nothing")
    options = parser.parse_args(argv)
    try:
        url = None if options.none else options.url or repository(root)
        wrong = out_of_step(root, url if url is None else checked(url))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    for path, text in wrong.items():
        if not options.check:
            path.write_text(text, encoding="utf-8", newline="\n")
        print(f"{path.relative_to(root)}: {'out of step' if options.check else 'rewritten'}")
    return 1 if options.check and wrong else 0


if __name__ == "__main__":
    sys.exit(main())
