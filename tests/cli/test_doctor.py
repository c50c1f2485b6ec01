"""`stn-course doctor`: what it says where all is well, and the cure for each thing that is not."""

import builtins
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from types import SimpleNamespace

import pytest

from stn_course import data, extras
from stn_course.cli import doctor
from stn_course.sampling.fused import compiler

ORDER = ["Python", "packages", "device", "threads", "warp", "digits", "kernel", "browser"]


def test_this_machine_is_ready():
    done = subprocess.run(
        [sys.executable, "-m", "stn_course", "doctor"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == ORDER and lines[-1] == "ready"
    assert all(line.split()[1] == "OK" for line in lines[:6] if not line.startswith("warp"))


def report_with(monkeypatch, capsys, *findings):
    monkeypatch.setattr(doctor, "report", lambda: list(findings))
    return doctor.main(), capsys.readouterr().out


def test_something_needed_and_missing_is_an_exit_code(monkeypatch, capsys):
    good = doctor.Finding("Python", True, "3.11.7")
    bad = doctor.Finding("kernel", False, "do this")
    code, text = report_with(monkeypatch, capsys, good, bad)
    assert code == 1
    assert "kernel    TO DO     do this" in text and "not ready: kernel" in text


def test_something_optional_and_missing_is_none(monkeypatch, capsys):
    optional = doctor.Finding("browser", False, "install it", needed=False)
    code, text = report_with(monkeypatch, capsys, optional)
    assert code == 0
    assert "browser   optional  install it" in text and text.endswith("ready\n")


@pytest.mark.parametrize("here", [(3, 10, 14), (3, 14, 0)])
def test_another_python(monkeypatch, here):
    monkeypatch.setattr(sys, "version_info", here)
    found = doctor.check_python()
    assert not found.ok and "install 3.11, 3.12 or 3.13" in found.detail


def test_without_a_compiler_the_slower_warp_is_named(monkeypatch):
    def library():
        raise compiler.BuildError("there is no C compiler (cc) on this machine\nand more")

    monkeypatch.setattr(compiler, "library", library)
    found = doctor.check_fast_warp()
    assert not found.ok and not found.needed
    assert found.detail == (
        "there is no C compiler (cc) on this machine; the sampler does its work"
    )


def lock(tmp_path, *lines):
    path = tmp_path / "constraints.txt"
    path.write_text("# the lock\n" + "\n".join(lines) + "\n")
    return path


def test_a_package_off_the_lock_is_named_with_its_cure(tmp_path):
    found = doctor.check_packages(lock(tmp_path, "packaging==0.1", "numpy==0.2"))
    assert not found.ok
    assert "packaging is " in found.detail and "wanted ==0.1" in found.detail
    assert "numpy is " in found.detail and "make setup" in found.detail


def test_many_packages_off_the_lock_are_counted(tmp_path):
    names = ("packaging", "numpy", "tqdm", "torch", "pooch")
    found = doctor.check_packages(lock(tmp_path, *(f"{name}==0.1" for name in names)))
    assert "and 2 more" in found.detail


def test_pins_for_other_systems_and_missing_extras_do_not_count(tmp_path):
    elsewhere = "packaging==0.1 ; sys_platform == 'nowhere'"
    found = doctor.check_packages(lock(tmp_path, elsewhere, "no-such-package==1.0"))
    assert found.ok, found.detail


def test_a_local_label_is_no_other_version(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "_installed", lambda name: "2.13.0+cpu")
    monkeypatch.setattr(doctor, "requires", lambda name: ["torch>=2.11"])
    assert doctor.check_packages(lock(tmp_path, "torch==2.13.0")).ok


def test_without_a_lock_the_ranges_count(tmp_path, monkeypatch):
    asked = ["numpy>=2", "no-such-package>=1", "packaging<0.1", 'x>=1 ; extra == "tf"']
    monkeypatch.setattr(doctor, "requires", lambda name: asked)
    found = doctor.check_packages(tmp_path / "constraints.txt")
    assert not found.ok
    assert "no-such-package is missing" in found.detail and "packaging is " in found.detail
    assert "numpy" not in found.detail and "x is" not in found.detail


def test_the_package_itself_is_not_installed(tmp_path, monkeypatch):
    def missing(name):
        raise doctor.PackageNotFoundError(name)

    monkeypatch.setattr(doctor, "requires", missing)
    found = doctor.check_packages(tmp_path / "constraints.txt")
    assert not found.ok and "stn-course is not installed" in found.detail


def test_a_broken_torch(monkeypatch):
    real = builtins.__import__

    def broken(name, *rest):
        if name == "torch":
            raise ImportError("libtorch.so: cannot open shared object file")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", broken)
    found = doctor.device()
    assert not found.ok and "libtorch.so" in found.detail and "reinstall" in found.detail


def test_corrupt_digits(monkeypatch):
    def corrupt(split):
        raise data.CorruptFileError("train-images has SHA-256 00, wanted 44: delete it")

    monkeypatch.setattr(data, "mnist", corrupt)
    found = doctor.check_digits()
    assert not found.ok
    assert "SHA-256 00" in found.detail and "stn-course data" in found.detail


def test_the_sample_is_enough_and_is_said(monkeypatch):
    monkeypatch.setattr(data, "is_sample", lambda: True)
    assert "a sample is enough" in doctor.check_digits().detail and doctor.check_digits().ok


def test_a_named_folder_without_digits_is_to_do_and_says_what_was_looked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("STN_COURSE_DATA", str(tmp_path))
    found = doctor.check_digits()
    assert not found.ok and found.needed and str(tmp_path) in found.detail
    assert "train-images.idx3-ubyte" in found.detail and "mnist.npz" in found.detail
    assert "stn-course data" not in found.detail  # would look in the same folder


def kernel_found(monkeypatch, answer):
    from jupyter_client.kernelspec import KernelSpecManager

    monkeypatch.setattr(KernelSpecManager, "get_kernel_spec", answer)
    return doctor.check_jupyter_kernel()


def test_no_kernel(monkeypatch):
    from jupyter_client.kernelspec import NoSuchKernel

    def none(self, name):
        raise NoSuchKernel(name)

    found = kernel_found(monkeypatch, none)
    assert not found.ok and "python -m ipykernel install" in found.detail


def test_a_kernel_whose_python_is_gone(monkeypatch):
    from jupyter_client.kernelspec import KernelSpec

    spec = KernelSpec(argv=["/gone/bin/python", "-m", "ipykernel_launcher"], display_name="Old")
    found = kernel_found(monkeypatch, lambda self, name: spec)
    assert not found.ok and "/gone/bin/python, which is not there" in found.detail


def test_no_browser_is_only_told(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    found = doctor.check_browser()
    assert not found.ok and not found.needed and "apt-get install chromium" in found.detail


TOLD = {
    "a folder": (
        '{"url": "file:///home/me/the%20course", "dir_info": {}}',
        "python -m pip install --upgrade '/home/me/the course[tf]'",
    ),
    "a repository": (
        '{"url": "https://host/us/course", "vcs_info": {"vcs": "git", "commit_id": "ab12"}}',
        "python -m pip install --upgrade 'stn-course[tf] @ git+https://host/us/course@ab12'",
    ),
    "an archive": (
        '{"url": "https://host/course.zip", "archive_info": {}}',
        "python -m pip install --upgrade 'stn-course[tf] @ https://host/course.zip'",
    ),
    "an index": (None, "install the course again from where you have it, with [tf]"),
}


@pytest.mark.parametrize("told, wanted", TOLD.values(), ids=TOLD)
def test_the_course_is_installed_anew_as_it_was_installed(monkeypatch, tmp_path, told, wanted):
    """By a name that anybody may have taken on an index it is never."""
    assert extras.how_to_install("tf").endswith("install -c constraints.txt -e '.[tf]'")
    monkeypatch.setattr(extras, "CHECKOUT", tmp_path)
    here = SimpleNamespace(read_text={"direct_url.json": told}.get)
    monkeypatch.setattr(extras, "distribution", lambda name: here)
    assert extras.how_to_install("tf").startswith(wanted)
    monkeypatch.setattr(doctor, "against_ranges", lambda needs: (["torch is 1.0"], 1))
    cure = doctor.check_packages(tmp_path / "constraints.txt").detail
    assert cure == f"torch is 1.0; to cure: {extras.how_to_install('course')}"


def test_where_nothing_is_installed_no_name_is_made_up(monkeypatch, tmp_path):
    def none(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(extras, "CHECKOUT", tmp_path)
    monkeypatch.setattr(extras, "distribution", none)
    assert extras.how_to_install("tf").startswith("install the course again")
