"""Imports inside the package go one way, training needs little, and no module grows too long."""

import ast
import re
import subprocess
import sys
from functools import cache

import pytest
from support import ROOT

PACKAGE = ROOT / "stn_course"
PATHS = sorted(PACKAGE.rglob("*.py"))
DATA = {f"data.{n}" for n in "clutter clutter_set digits distort files made published".split()}
DATA |= {"data.augment", "data.scenes", "data.rows", "data.recipes"}
GEOMETRY = {f"geometry.{n}" for n in "checks corners heads matrices pixels splines".split()}

# What a module is built on. It may import these and whatever they are built on: never upwards.
BUILT_ON = {
    "geometry.checks": set(),
    "geometry.kept": set(),
    "geometry.matrices": {"geometry.checks"},
    "geometry.pixels": {"geometry.matrices"},
    "geometry.corners": {"geometry.matrices"},
    "geometry.splines": {"geometry.kept", "geometry.pixels"},
    "geometry.heads": {"geometry.corners", "geometry.splines"},
    "geometry": GEOMETRY,
    "records": set(),
    "jsonl": {"records"},
    "speed": {"records"},
    "data.files": set(),
    "data.legacy_random": set(),
    "data.clutter_set": set(),
    "data.digits": {"data.files"},
    "data.squares": set(),
    "sampler": {"geometry"},
    "fused.build": set(),
    "fused.notice": set(),
    "fused.kernels": set(),
    "fused.cpu": {"fused.build", "geometry"},
    "fused.gpu": {"fused.kernels", "sampler"},
    "fused.ops": {"fused.cpu", "fused.gpu", "fused.notice", "sampler"},
    "fused": {"fused.ops"},
    "data.clutter": {"data.digits", "data.clutter_set", "data.legacy_random"},
    "data.distort": {"geometry", "sampler", "fused"},
    "data.augment": {"data.distort"},
    "data.scenes": {"data.distort"},
    "data.rows": {"data.scenes", "data.clutter"},
    "data.recipes": {"data.augment", "data.rows", "sampler"},
    "data.published": {"data.clutter"},
    "data.made": {"data.digits", "data.recipes"},
    "data": DATA,
    "transformers": {"geometry", "sampler", "fused"},
    "coordconv": {"geometry"},
    "blocks": set(),
    "localisers": {"blocks", "coordconv"},
    "classifiers": {"blocks", "coordconv"},
    "not_so_clevr": {"blocks", "coordconv", "data.squares"},
    "models": {"transformers", "localisers", "classifiers", "sequence"},
    "sequence_designs": {"blocks", "geometry"},
    "sequence": {"sequence_designs", "transformers"},
    "sequence_measure": {"blocks", "data"},
    "measure": {"geometry", "sampler", "sequence_measure"},
    "checkpoints": {"records"},
    "config": {"models", "data"},
    "pose": {"data", "looks"},
    "sets": {"config", "data"},
    "run_state": set(),
    "step": {"config", "pose"},
    "train": {"sets", "records", "step", "checkpoints", "run_state"},
    "experiment": {"config", "records", "measure"},
    "homography_runs": {"looks", "config"},
    "clevr_runs": {"not_so_clevr", "train"},
    "registration": {"geometry", "sampler"},
    "catalogue_NN": {
        *("experiment", "pose", "sequence_measure", "museum", "colocalise"),
        *("homography_runs", "clevr_runs", "keras_twin", "keras_twin.runs"),
    },
    "short_run": {"config", "looks"},
    "museum": {"short_run"},
    "colocalise": {"train"},
    "turns": set(),
    "experiments": {"train", "catalogue_NN"},
    "sweep": {"experiments", "turns"},
    "tables": set(),
    "scoreboard_rows": set(),
    "scoreboard": {"records", "tables", "scoreboard_rows"},
    "plots": {"records", "geometry"},
    "widgets": {"plots", "sampler"},
    "grid_lab": {"sampler"},
    "glimpse_lab": {"records", "data", "sequence"},
    "glimpse_explorer": {"glimpse_lab", "digit_explorer", "plots_NN"},
    "digit_explorer": {"widgets"},
    "training_player": {"widgets", "geometry", "sampler"},
    "theta_explorer": {"widgets", "geometry", "sampler"},
    "corner_lab": {"widgets"},
    "place_lab": {"data", "data.squares", "fused", "grid_lab", "measure", "scoreboard"},
    "answers": set(),
    "exercises": {"answers", "geometry", "sampler", "data", "models"},
    "byte_count": set(),
    "waits": set(),
    "stopwatch": set(),
    "speed_table": {"speed", "stopwatch"},
    "fast_lab": {"sampler", "byte_count", "stopwatch"},
    "step_lab": {"byte_count", "stopwatch", "waits", "models"},
    "exercises_NN": {"exercises", "measure", "step_lab", "keras_twin", "keras_twin.quiet"},
    "plots_NN": {"plots"},
    "keras_twin.quiet": set(),
    "keras_twin.sampler": {"geometry", "keras_twin.quiet"},
    "keras_twin.heads": {"keras_twin.sampler", "models"},
    "keras_twin.layers": {"keras_twin.heads"},
    "keras_twin.exchange": {"keras_twin.layers"},
    "keras_twin.convert": {"keras_twin.exchange", "models"},
    "keras_twin.compare": {"keras_twin.exchange", "models"},
    "keras_twin.pipeline": {"keras_twin.sampler", "data"},
    "keras_twin.runs": {"keras_twin.pipeline", "keras_twin.convert", "keras_twin.compare", "train"},
    "keras_twin": {"keras_twin.convert", "keras_twin.compare"},
    "keras_lab": {"records", "scoreboard"},
    "doctor": {"data"},
    "plots_run": {"plots"},
    "compared": set(),
    "figures": {"plots_run", "plots_NN", "scoreboard", "compared"},
    "event_log": set(),
    "looks": {"transformers", "blocks", "measure", "sequence"},
    "run_folder": {"train", "plots_run", "event_log", "looks"},
    "gallery": {"looks"},
    "assess": {"run_folder", "gallery"},
    "cli_train": {"assess", "experiments"},
    "cli": {
        "cli_train",
        "jsonl",
        "sweep",
        "figures",
        "scoreboard",
        "doctor",
        "plots",
        "widgets",
        "exercises",
        "keras_twin",
    },
    "__main__": {"cli"},
    "": set(),  # stn_course/__init__.py
}
TRAINING = ("train", "config", "experiments", "data", "measure", "checkpoints", "records", "models")
TRAINING += ("sequence", "sequence_measure")
TRAINING_NEEDS = {"torch", "numpy", "tqdm"}

MOST_LINES = 250
LONG = {
    "scoreboard_rows.py": "one table: every published number beside the experiment that answers",
    "exercises_01.py": "four exercises, each with its cases and its known bugs beside it",
}  # file -> why it may be longer


def module_name(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


OF_A_NOTEBOOK = re.compile(r"(exercises|plots|catalogue)_\d\d")
MODULES = {module_name(path): path for path in PATHS}


def layer(module):
    """The row of the table; exercises_01, exercises_02, ... share one, and so do plots_02, ..."""
    found = OF_A_NOTEBOOK.match(module)
    return f"{found[1]}_NN" if found else module


def same_notebook(a, b):
    """Whether two modules are parts of one notebook's: exercises_02, exercises_02_sampling."""
    a, b = OF_A_NOTEBOOK.match(a), OF_A_NOTEBOOK.match(b)
    return a is not None and b is not None and a[0] == b[0]


def absolute(node, module):
    """The dotted module names an import statement names, `from . import x` made absolute."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not node.level:
        base = node.module
    else:
        is_package = MODULES[module].name == "__init__.py"
        package = ["stn_course", *module.split(".")] if module else ["stn_course"]
        kept = len(package) - node.level + (1 if is_package else 0)
        base = ".".join([*package[:kept], *([node.module] if node.module else [])])
    return [base, *(f"{base}.{alias.name}" for alias in node.names)]


def imports(module, everywhere=True):
    """Names of what ``module`` imports; ``everywhere=False``: at import time alone."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    found, waiting = set(), [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.update(absolute(node, module))
        if everywhere or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting.extend(ast.iter_child_nodes(node))
    return found


def ours(names, module):
    """The modules of the package among dotted names, the module itself left out."""
    inside = {name.removeprefix("stn_course.") for name in names if name.startswith("stn_course.")}
    return {name for name in inside if name in MODULES} - {module, ""}


@cache
def beneath(name):
    """All that ``name`` may import: what it is built on, and what that is built on."""
    found = set(BUILT_ON[name])
    for below in BUILT_ON[name]:
        found |= beneath(below)
    return found


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_one_way(module):
    assert layer(module) in BUILT_ON, f"{module} has no place: say in BUILT_ON what it is built on"
    others = {n for n in ours(imports(module), module) if not same_notebook(n, module)}
    assert {layer(name) for name in others} - beneath(layer(module)) == set()


def test_the_table_itself_goes_one_way():
    for name in BUILT_ON:
        assert name not in beneath(name), f"{name} is built on itself"


def test_the_reading_of_imports_sees_every_form(tmp_path, monkeypatch):
    source = "import os.path\nfrom . import geometry\nfrom .data import digits\n"
    source += "def f():\n    from stn_course.models import CNN\n"
    (tmp_path / "sampler.py").write_text(source)
    monkeypatch.setitem(MODULES, "sampler", tmp_path / "sampler.py")
    assert ours(imports("sampler"), "sampler") == {"geometry", "data", "data.digits", "models"}
    at_import = ours(imports("sampler", everywhere=False), "sampler")
    assert at_import == {"geometry", "data", "data.digits"}


def loaded_for(module):
    """``module`` and every module of ours that importing it loads."""
    found, waiting = set(), [module]
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += ours(imports(module, everywhere=False), module)
    return found


def test_keras_twin_alone_imports_keras_and_tensorflow():
    """Others take them from it: it is what keeps them quiet and Triton before TensorFlow."""
    both = {"keras", "tensorflow"}
    users = {m for m in MODULES if both & {name.partition(".")[0] for name in imports(m)}}
    assert "keras_twin.pipeline" in users, "the reading does not see them"
    assert {m for m in users if m.partition(".")[0] != "keras_twin"} == set()


@pytest.mark.parametrize("entry", TRAINING)
def test_training_needs_only_torch_numpy_and_tqdm(entry):
    for module in loaded_for(entry):
        top = {name.partition(".")[0] for name in imports(module, everywhere=False)}
        others = top - TRAINING_NEEDS - {"stn_course"} - sys.stdlib_module_names
        assert others == set(), f"{module} imports {others}: import it where it is used"


def test_importing_the_package_loads_no_framework():
    code = "import sys, stn_course; print([m for m in ('torch', 'tensorflow') if m in sys.modules])"
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_command_line_starts_without_a_framework():
    code = "import sys, stn_course.cli as c; c.build_parser(); print('torch' in sys.modules)"
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.parametrize("path", PATHS, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_fits_a_reader(path):
    name, lines = str(path.relative_to(PACKAGE)), len(path.read_text("utf-8").splitlines())
    if name in LONG:
        assert lines > MOST_LINES, f"{name} is short again: take it off the list"
    else:
        assert lines <= MOST_LINES, f"{name} has {lines} lines: split it, or say in LONG why not"


def test_the_package_never_knows_the_notebooks():
    for path in PATHS:
        assert "notebooks/" not in path.read_text("utf-8"), path.name
