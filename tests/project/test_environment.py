"""pyproject.toml, constraints.txt and environment.yml say the same, for every platform."""

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from stn_course.cli.doctor import INSTALL
from tests.support import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK_TEXT = (ROOT / "constraints.txt").read_text(encoding="utf-8")
LOCK = [Requirement(x) for x in LOCK_TEXT.splitlines() if x and not x.startswith("#")]
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
MINORS = ("3.11", "3.12", "3.13")


def pins_for(name):
    return [pin for pin in LOCK if canonicalize_name(pin.name) == canonicalize_name(name)]


def everything_asked_for():
    return PROJECT["dependencies"] + sum(PROJECT["optional-dependencies"].values(), [])


@pytest.mark.parametrize("pin", LOCK, ids=lambda pin: pin.name)
def test_a_pin_is_exact_and_portable(pin):
    assert pin.url is None
    assert [s.operator for s in pin.specifier] == ["=="]
    assert "+" not in str(pin.specifier), "a local label ties the lock to one build"
    if pin.marker:
        assert not re.search(r"platform_(release|version|node)", str(pin.marker))


def test_the_lock_names_no_index_and_no_path():
    assert not re.search(r"(?m)^\s*-|://|^/|\bfile:", LOCK_TEXT)


@pytest.mark.parametrize("asked", everything_asked_for())
def test_the_lock_holds_what_is_asked_for(asked):
    wanted = Requirement(asked)
    pins = pins_for(wanted.name)
    assert pins, "not in constraints.txt: make lock"
    for pin in pins:
        locked = next(iter(pin.specifier)).version
        assert wanted.specifier.contains(locked, prereleases=True), locked


@pytest.mark.parametrize("minor", MINORS)
@pytest.mark.parametrize("system", ["linux", "darwin", "win32"])
def test_one_version_a_platform(minor, system):
    where = {"python_version": minor, "python_full_version": f"{minor}.4", "sys_platform": system}
    chosen = [p.name for p in LOCK if p.marker is None or p.marker.evaluate(where)]
    assert len(chosen) == len(set(chosen))


def test_installed_is_what_is_locked():
    wrong = []
    for pin in LOCK:
        if pin.marker and not pin.marker.evaluate():
            continue
        try:
            found = version(pin.name)
        except PackageNotFoundError:
            continue  # an extra that is not installed here
        if found.split("+")[0] not in pin.specifier:
            wrong.append(f"{pin}: {found} is installed")
    assert wrong == [], "run make setup"


def test_conda_takes_python_and_pip_and_leaves_the_rest_to_pip():
    assert set(CONDA) == {"name", "channels", "dependencies"}
    assert CONDA["name"] == PROJECT["name"]
    conda = [d for d in CONDA["dependencies"] if isinstance(d, str)]
    assert [re.split("[=<>]", d)[0] for d in conda] == ["python", "pip"]
    minor = conda[0].partition("=")[2]
    assert minor in MINORS and f"{minor}.0" in SpecifierSet(PROJECT["requires-python"])


def test_conda_make_and_the_doctor_install_the_same():
    pip = next(d["pip"] for d in CONDA["dependencies"] if isinstance(d, dict))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    course, tests = re.findall(r"pip install .*(-c \S+) -e '\.\[(.*)\]'", makefile)
    assert pip == [course[0], f"-e .[{course[1]}]"]
    assert INSTALL.endswith(f"{course[0]} -e '.[{course[1]}]'")
    every = set(PROJECT["optional-dependencies"]) - {"bench", "onnx"}  # peers, and one export
    assert sorted([*course[1].split(","), *tests[1].split(",")]) == sorted(every)


def test_python_versions_are_said_once_and_alike():
    allowed = SpecifierSet(PROJECT["requires-python"])
    assert [f"3.{k}" for k in range(8, 20) if f"3.{k}.5" in allowed] == list(MINORS)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "(3, 11) <= sys.version_info[:2] < (3, 14)" in makefile
    doctor = (ROOT / "stn_course" / "cli" / "doctor.py").read_text(encoding="utf-8")
    assert "(3, 11) <= sys.version_info[:2] < (3, 14)" in doctor


def test_the_container_is_set_up_by_make_on_a_python_that_fits():
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    (base,) = (re.fullmatch(r"FROM python:(3\.\d+)-slim", x) for x in lines if x.startswith("FROM"))
    assert base[1] in MINORS
    assert 'RUN make setup-tests PIP_ARGS="$PIP_ARGS"' in lines and 'ARG PIP_ARGS=""' in lines


def test_the_citation_has_the_package_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"].split(" AND ")[0]  # of the code


def test_make_alone_lists_what_there_is():
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    listed = re.findall(r"(?m)^make (\w+)", done.stdout)
    wanted = "help setup course test torture matrix lab book notebooks bench full lock".split()
    assert listed == wanted


def only_the_makefile(folder):
    """A checkout of which nothing but the Makefile counts."""
    (folder / "Makefile").write_bytes((ROOT / "Makefile").read_bytes())
    for name in ("pyproject.toml", "constraints.txt"):
        (folder / name).write_text("")


def refusal(folder, python, **environment):
    """What `make setup` says when it refuses, before it has made anything."""
    command = ["make", "setup", f"PYTHON={python}"]
    environment = os.environ | environment
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode != 0 and not (folder / ".venv").exists()
    return done.stderr


@pytest.mark.parametrize("hashes", ["try", "require", "no"])
@pytest.mark.parametrize("same", [True, False], ids=["the same builds", "others"])
def test_builds_are_held_to_their_sums_where_the_index_has_the_same(tmp_path, hashes, same):
    only_the_makefile(tmp_path)
    pip = tmp_path / ".venv" / "bin" / "python"
    pip.parent.mkdir(parents=True)
    refused = "" if same else "case $* in *--require-hashes*) exit 1;; esac\n"
    pip.write_text(f'#!/bin/sh\necho "$@" >> said\n{refused}exit 0\n')
    pip.chmod(0o755)
    command = ["make", "setup-tests", f"HASHES={hashes}", f"PYTHON={sys.executable}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    said = [line for line in (tmp_path / "said").read_text().splitlines() if "install" in line]
    locks = [re.search(r"--no-deps --require-hashes -r tools/locks/(\w+).txt", x) for x in said]
    extras = re.findall(r"-c constraints.txt -e \.\[(.*?)\]", "\n".join(said))
    goes_on = same or hashes != "require"
    assert (done.returncode == 0) == goes_on
    assert [m[1] for m in locks if m] == ["course", "tests"][: 0 if hashes == "no" else 1 + goes_on]
    assert len(extras) == (2 if goes_on else 0)
    told = done.stdout.count("Not the builds of tools/locks: going on by versions alone.")
    assert told == (2 if hashes == "try" and not same else 0)


def test_the_sums_are_of_the_pinned_versions_and_of_all_but_torch():
    pinned = [line.split()[0] for line in LOCK_TEXT.splitlines() if "==" in line]
    ours = [pin for pin in pinned if not re.match("torch=|triton=|cuda-|nvidia-", pin)]
    sums = {}
    for name in ("course", "tests"):
        for line in (ROOT / "tools" / "locks" / f"{name}.txt").read_text().splitlines():
            if not line.startswith("    --hash"):
                pin = line.removesuffix(" \\").split()[0]
                sums[pin] = 0
            else:
                assert re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line)
                sums[pin] += 1
    assert len(ours) > 200 and sorted(sums) == sorted(ours) and min(sums.values()) > 0


def test_what_a_workflow_runs_is_named_by_its_commit_and_may_only_read():
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        flow = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert flow["permissions"] == {"contents": "read"}
        used = [s["uses"] for job in flow["jobs"].values() for s in job["steps"] if "uses" in s]
        assert used and all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", each) for each in used)


def test_setup_refuses_an_unfit_python(tmp_path):
    only_the_makefile(tmp_path)
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\n[ "$1" = -V ] && echo Python 3.9.1 && exit 0\nexit 1\n')
    old.chmod(0o755)
    said = refusal(tmp_path, old)
    assert "needs Python 3.11, 3.12 or 3.13; found: Python 3.9.1" in said


def test_setup_mends_a_half_made_venv(tmp_path):
    """A python without pip is what is left where python3-venv is missing, or after Ctrl-C."""
    only_the_makefile(tmp_path)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / ".venv"], check=True)
    python = tmp_path / "python3"  # one that notes what it is asked for, and fits
    told = 'case "$2" in venv) echo "$@" >> asked; exit 9;; *) exit 0;; esac'
    python.write_text(f"#!/bin/sh\n{told}\n")
    python.chmod(0o755)
    done = subprocess.run(["make", "setup", f"PYTHON={python}"], cwd=tmp_path, capture_output=True)
    assert done.returncode != 0  # it went no further than its python
    assert (tmp_path / "asked").read_text() == "-m venv --clear .venv\n"


def test_setup_refuses_a_mac_for_which_there_is_no_torch(tmp_path):
    only_the_makefile(tmp_path)
    uname = tmp_path / "uname"
    uname.write_text("#!/bin/sh\necho Darwin x86_64\n")
    uname.chmod(0o755)
    said = refusal(tmp_path, sys.executable, PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert "needs Apple silicon" in said
