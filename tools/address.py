"""Write the repository's address, which pyproject.toml alone holds, wherever it is repeated.

python tools/address.py            rewrite README, notebooks, book and CITATION.cff
python tools/address.py --check    only say what is out of step; exit code 1 if anything is
"""

import argparse
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WHERE = ("README.md", "CITATION.cff", "book/*.md", "notebooks/*.ipynb", "notebooks/src/*.md")
OWNER_NAME = r"[\w.-]+/[\w-]+(?:\.[\w-]+)*"
INSTALL = """import importlib.util

if importlib.util.find_spec("stn_course") is None:
    %pip install -q "stn-course @ git+{address}"
"""


def address(root: Path = ROOT) -> str:
    """``https://host/owner/name`` from pyproject.toml; a ValueError if it is not of that form."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = project["urls"]["Repository"]
    if not re.fullmatch(rf"https://[\w.-]+/{OWNER_NAME}", found):
        raise ValueError(f"project.urls.Repository is {found!r}; wanted https://host/owner/name")
    return found


def install_cell(root: Path = ROOT) -> str:
    """The first code cell of every notebook: installs the package where it is missing."""
    return INSTALL.format(address=address(root)).strip()


def rewritten(text: str, ours: str) -> str:
    """``text`` with every address of this project replaced by ``ours``.

    These are ours: what a ``git+`` install names, what a Colab link opens, the citation's
    ``repository-code``, and any link whose repository is called stn-course.
    """
    host_owner, name = ours.rsplit("/", 1)
    slug = "/".join(ours.split("/")[-2:])
    text = re.sub(rf"git\+https://[\w.-]+/{OWNER_NAME}", f"git+{ours}", text)
    text = re.sub(rf"(colab\.research\.google\.com/github/){OWNER_NAME}", rf"\g<1>{slug}", text)
    text = re.sub(r'(?m)^(repository-code: )"[^"]*"', rf'\g<1>"{ours}"', text)
    return re.sub(rf"https://github\.com/[\w.-]+/(?:stn-course|{re.escape(name)})\b", ours, text)


def out_of_step(root: Path = ROOT) -> dict[Path, str]:
    """Each file that repeats another address -> what it should read."""
    ours = address(root)
    found = {}
    for pattern in WHERE:
        for path in sorted(root.glob(pattern)):
            text = path.read_text(encoding="utf-8")
            if rewritten(text, ours) != text:
                found[path] = rewritten(text, ours)
    return found


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing")
    check = parser.parse_args(argv).check
    wrong = out_of_step(root)
    for path, text in wrong.items():
        if not check:
            path.write_text(text, encoding="utf-8")
        print(f"{path.relative_to(root)}: {'another address' if check else 'rewritten'}")
    return 1 if check and wrong else 0


if __name__ == "__main__":
    sys.exit(main())
