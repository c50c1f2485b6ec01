"""The API pages: which modules they show, and docstrings in plain words made into reST.

A Sphinx extension (conf.py names it) and what writes the pages of the packages before it runs.

The project's docstrings are plain text: blank lines between paragraphs, `- ` before items, code in
single or double backquotes, `name: what it is` for an argument, `::` before an indented example.
Single backquotes become a link where they name something that the pages show, and code elsewhere.
"""

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from tools import ROOT, package_map

PACKAGE = "stn_course"
REGISTERED = "keras.saving.register_keras_serializable"
CODE = re.compile(r"``[^`]+``|`[^`]+`")
NAME = re.compile(r"[A-Za-z_][\w.]*(?:\(\))?")
ITEM = re.compile(r"(- |\d+\. )(.*)")
EMPHASIS = re.compile(r"(?<![\w*])(\*\*?)(?=[^\s*])[^*`]*[^\s*`]\1(?![\w*])")
SHAPE = re.compile(r"\s+# (.*\[[^\]]*\].*)$")  # of what is returned, as the code writes it
SPECIAL = re.compile(r"([\\*|]|(?<=\w)_(?!\w))")


# ---------------------------------------------------------------- which pages
def packages(root: Path = ROOT) -> list[Path]:
    """The folders of the package's parts, bottom first."""
    found = [path.parent for path in (root / PACKAGE).glob("*/__init__.py")]
    return sorted(found, key=lambda folder: package_map.order(folder.name))


def write_pages(out: Path, root: Path = ROOT) -> None:
    """A page for each package into the folder `out`, and packages.md, the list of them."""
    out.mkdir()
    lines, names = [], []
    for folder in packages(root):
        said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
        sentence = (said or "").partition("\n")[0]
        page = package_page(folder)
        (out / f"{folder.name}.md").write_text(page, encoding="utf-8")
        lines.append(f"- {{doc}}`{folder.name} <api/{folder.name}>`: {sentence}")
        names.append(f"api/{folder.name}")
    contents = [*lines, "", "```{toctree}", ":hidden:", "", *names, "```", ""]
    (out / "packages.md").write_text("\n".join(contents), encoding="utf-8")


def package_page(folder: Path) -> str:
    """The Markdown page of one package: its sentence, then each of its modules."""
    name = folder.name
    parts = [f"# {name}\n", _directive(f"{PACKAGE}.{name}", members=False)]
    for module in modules(folder):
        short = module.removeprefix(f"{PACKAGE}.")
        parts += [f"## {short}\n", _directive(module, members=True)]
    return "\n".join(parts)


def modules(folder: Path) -> Iterator[str]:
    """The modules below a package's folder that have something to show, those nearest first.

    Not those of single lessons: they hold solutions, which `show` prints when it is asked to.
    """
    root = folder.parents[0]
    found = folder.glob("*.py") if folder.name == "lessons" else folder.rglob("*.py")
    for path in sorted(found, key=lambda path: (len(path.parts), path)):
        names = path.relative_to(root).with_suffix("").parts
        if names[-1] == "__init__":
            names = names[:-1]
        if len(names) > 1 and _says(path):  # the page begins with the package itself
            yield ".".join([PACKAGE, *names])


def _says(path: Path) -> bool:
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) is not None


def _directive(module: str, members: bool) -> str:
    # What a module defines, whatever its __all__ says: what it only hands on is told at its home.
    options = (
        "   :members:\n   :ignore-module-all:\n   :member-order: bysource\n" if members else ""
    )
    return f"```{{eval-rst}}\n.. automodule:: {module}\n{options}```\n"


# ---------------------------------------------------------------- what they say
def to_rest(lines: list[str], arguments: set[str]) -> list[str]:
    """A docstring in plain text as reST: nothing in it can be taken for markup by accident."""
    out: list[str] = []
    for block in re.split(r"\n\s*\n", "\n".join(lines).strip("\n")):
        if not block.strip():
            continue
        indented = all(line.startswith(" ") for line in block.splitlines())
        if indented:  # an example, a table in columns
            if out and out[-1] == "" and len(out) > 1 and out[-2].startswith("   "):
                pass  # it goes on
            else:
                out += ["::", ""]
            out += textwrap.indent(textwrap.dedent(block), "   ").splitlines()
        else:
            out += _paragraph(block, arguments)
        out.append("")
    return out


def _paragraph(block: str, arguments: set[str]) -> list[str]:
    """Running text, items, and arguments; each of these may be longer than a line."""
    said: list[list[str]] = []  # [what begins the line, its text]
    for line in block.splitlines():
        item, argument = ITEM.match(line), re.match(r"`{0,2}(\w+)`{0,2}: (.*)", line)
        if item:
            said.append([item[1], item[2]])
        elif argument and argument[1] in arguments:
            said.append([f":param {argument[1]}: ", argument[2]])
        elif said:
            said[-1][1] += " " + line.strip()
        else:
            said.append(["", line.strip()])
    out: list[str] = []
    for begin, text in said:
        if begin and out and not out[-1].startswith(begin[:2]):
            out.append("")
        out.append(begin + _inline(text.removesuffix("::") + ":" * text.endswith("::")))
    return out


def _inline(text: str) -> str:
    """`text` in which nothing but backquotes and *emphasis* means anything."""
    out, at = [], 0
    text = SHAPE.sub(" \N{RIGHTWARDS ARROW} ``\\1``", text)
    for found in CODE.finditer(text):
        out.append(_words(text[at : found.start()]))
        code = found[0].strip("`")
        is_name = not found[0].startswith("``") and NAME.fullmatch(code)
        # The backslash and space end the markup where a letter follows: `k`th.
        out.append((f"`{code}`" if is_name else f"``{code}``") + r"\ ")
        at = found.end()
    return "".join([*out, _words(text[at:])])


def _words(text: str) -> str:
    """`text` without code: every character is itself, but for *emphasis*."""
    out, at = [], 0
    for found in EMPHASIS.finditer(text):
        out += [_escaped(text[at : found.start()]), found[0], r"\ "]
        at = found.end()
    return "".join([*out, _escaped(text[at:])])


def _escaped(text: str) -> str:
    return SPECIAL.sub(r"\\\1", text).replace("`", r"\`")


def _arguments(thing: object) -> set[str]:
    try:
        return set(inspect.signature(thing).parameters)
    except (TypeError, ValueError):  # a module, a constant
        return set()


def _docstring(app, what, name, thing, options, lines: list[str]) -> None:
    lines[:] = to_rest(lines, _arguments(thing) if callable(thing) else set())


def _missing(app, env, node, content):
    """A name as docstrings and the list of public names write it: `geometry.affine`, `warp`."""
    if node.get("reftype") != "obj":
        return None
    domain, target = env.get_domain("py"), node["reftarget"].removeprefix(f"{PACKAGE}.")
    ends = [name for name in domain.objects if name.endswith(f".{target}")]
    for name in (_home(target), f"{PACKAGE}.{target}", *(ends if len(ends) == 1 else [])):
        if name in domain.objects:
            where = (env, node["refdoc"], app.builder, "obj", name, node, content)
            return domain.resolve_xref(*where)
    return None


def _home(name: str) -> str:
    """Where a public name of the package is defined; empty for any other name."""
    package = importlib.import_module(PACKAGE)
    if name not in package.__all__:
        return ""
    thing = getattr(package, name)
    return f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', '')}"


def _skip(app, what, name, thing, skip, options) -> bool | None:
    """Leave out methods of Keras classes: Keras, which registers the classes, is only mocked."""
    home, place = getattr(thing, "__module__", ""), getattr(thing, "__qualname__", "")
    return True if f"{home}".startswith(f"{PACKAGE}.keras_twin") and "." in place else None


def _signature(app, what, name, thing, options, signature, returned):
    """Name a Keras class where the mock has put what registered it."""
    return tuple(text and text.replace(REGISTERED, "keras.Layer") for text in (signature, returned))


def source_of(app, module: str, name: str) -> str:
    """The module whose page shows the source of `name`, found in `module`: where it was defined.

    What a mocked package decorates says that it is of that package, which has no page here.
    """
    thing = importlib.import_module(module)
    for part in name.split("."):
        thing = getattr(thing, part, None)
    home = getattr(thing, "__module__", None) or ""
    return home if f"{home}.".startswith(f"{PACKAGE}.") else module


def setup(app) -> dict:
    app.connect("autodoc-process-docstring", _docstring)
    app.connect("autodoc-process-signature", _signature)
    app.connect("autodoc-skip-member", _skip)
    app.connect("missing-reference", _missing)
    app.connect("viewcode-follow-imported", source_of)
    return {"parallel_read_safe": True}
