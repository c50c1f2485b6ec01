"""The house: imports go down, few things lie in each room, and no function outgrows a screen."""

import ast
import subprocess
import sys

import pytest

from tests.support import ROOT
from tools.package_map import FLOOR  # bottom to top; two in a row do not know each other

PACKAGE = ROOT / "stn_course"
SOURCES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))

LESSONS = {path.parts[1] for path in SOURCES if path.parts[0] == "lessons" and len(path.parts) > 2}


@pytest.mark.parametrize("path", [p for p in SOURCES if len(p.parts) > 1], ids=str)
def test_imports_go_down(path):
    here, *below = path.parts  # ("lessons", "fast", "figures.py")
    for there, *rest in imported(path):  # ("experiments", "records"), ...
        if there != here:
            assert FLOOR[there] < FLOOR[here], f"{path} imports {there}"
        elif here == "lessons" and rest and rest[0] in LESSONS and len(below) > 1:
            assert rest[0] == below[0], f"{path} imports the lesson {rest[0]}"


def imported(path, everywhere=True):
    """What a module imports of the package, as tuples of names; or only when it is loaded."""
    for name in imports(PACKAGE / path, everywhere):
        package, *names = name.split(".")
        if package == "stn_course" and names and names[0] in FLOOR:
            yield tuple(names)


def imports(path, everywhere=True):
    """The dotted names that a file imports; `everywhere=False`: when it is loaded, alone."""
    waiting = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from (n.value for n in node.args if isinstance(n, ast.Constant))
        if everywhere or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting.extend(ast.iter_child_nodes(node))


def test_the_reading_of_imports_sees_every_form(tmp_path):
    source = (
        "import os.path\nfrom stn_course import geometry, data\nimport stn_course.models.losses\n"
    )
    source += "def f():\n    from stn_course.models import build\n"
    source += "    importlib.import_module('stn_course.models')\n"
    (tmp_path / "some.py").write_text(source)
    loaded = {("geometry",), ("data",), ("models", "losses")}
    assert set(imported(tmp_path / "some.py")) == loaded | {
        ("models", "build"),
        ("models",),
    }
    assert set(imported(tmp_path / "some.py", everywhere=False)) == loaded


def test_every_package_stands_in_the_row_and_says_what_it_is():
    folders = {path.parts[0] for path in SOURCES if len(path.parts) > 1}
    assert folders == set(FLOOR)
    for path in SOURCES:
        assert ast.get_docstring(ast.parse((PACKAGE / path).read_text("utf-8"))), path


def test_few_things_lie_in_each_room():
    def entries(folder):
        return [p for p in folder.iterdir() if p.name != "__pycache__"]

    assert len(entries(PACKAGE)) <= 14
    for folder in {(PACKAGE / path).parent for path in SOURCES}:
        files = [p for p in entries(folder) if p.is_file() and p.name != "__init__.py"]
        assert len(files) <= 13, f"{folder.relative_to(ROOT)} has {len(files)} files"


@pytest.mark.parametrize("folder", ["stn_course", "tools", "benchmarks", "tests"])
def test_a_function_fits_a_screen(folder):
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            lines = node.end_lineno - node.lineno + 1
            assert lines <= 60, f"{path.relative_to(ROOT)}: {node.name} has {lines} lines"


# ---------------------------------------------------------------- what is loaded
def test_keras_twin_alone_imports_keras_and_tensorflow():
    """Others take them from it: it is what keeps them quiet."""
    both = {"keras", "tensorflow"}
    tops = {p: {n.partition(".")[0] for n in imports(PACKAGE / p)} for p in SOURCES}
    users = {path.parts[0] for path, names in tops.items() if names & both}
    assert users == {"keras_twin"}


@pytest.mark.parametrize("package", ["geometry", "sampling", "data", "models", "training"])
def test_training_needs_only_torch_numpy_and_tqdm(package):
    """A library's user has no matplotlib; what needs more imports it where it is used."""
    for path in SOURCES:
        if path.parts[0] == package:
            top = {name.partition(".")[0] for name in imports(PACKAGE / path, everywhere=False)}
            here = (
                {"triton"} if path.name == "triton_kernels.py" else set()
            )  # loaded on a GPU alone
            others = top - {"stn_course", "torch", "numpy", "tqdm", *here} - sys.stdlib_module_names
            assert others == set(), f"{path} imports {others}: import it where it is used"


def loaded_by(code):
    """Which of the heavy ones a fresh process has loaded after `code`."""
    heavy = "('torch', 'tensorflow', 'keras', 'matplotlib', 'scipy')"
    code = f"{code}\nimport sys\nprint(*(m for m in {heavy} if m in sys.modules))"
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def test_importing_the_package_loads_no_framework():
    assert loaded_by("import stn_course; dir(stn_course)") == []


def test_the_command_line_and_the_tables_start_without_a_framework():
    assert loaded_by("import stn_course.cli.main as c; c.build_parser()") == []
    assert loaded_by("from stn_course.experiments import records, scoreboard, speed, tables") == []


def test_fit_and_warp_need_torch_alone():
    assert loaded_by("from stn_course import Config, SpatialTransformer, fit, warp") == ["torch"]


def test_public_names_are_there_and_others_are_refused():
    import stn_course

    for name in stn_course.__all__:
        if name != "keras_twin":
            assert getattr(stn_course, name) is not None
    assert stn_course.warp is stn_course.sampling.fused.warp
    with pytest.raises(AttributeError, match="module 'stn_course' has no attribute 'wrap'"):
        _ = stn_course.wrap


def test_the_package_never_knows_the_notebooks():
    for path in SOURCES:
        assert "notebooks/" not in (PACKAGE / path).read_text("utf-8"), path
