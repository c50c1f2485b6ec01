"""A page that hangs costs one test its time, and is told by that test's name."""

import subprocess
import sys

import pytest

from tests.support import ROOT

TESTS = """
import pytest

def test_a_page_that_hangs(browser):
    browser.new_page().evaluate("() => { for (;;) {} }")

@pytest.mark.timeout(300)
def test_the_next(browser):
    assert browser.new_page().evaluate("1 + 1") == 2
"""


def test_each_test_has_a_time_limit(pytestconfig):
    assert pytestconfig.pluginmanager.hasplugin("timeout"), "make setup-tests"
    assert 60 <= float(pytestconfig.getini("timeout")) <= 600


@pytest.mark.browser
@pytest.mark.timeout(1200)  # it starts a pytest and a browser of its own
def test_a_page_that_hangs_fails_by_name_and_the_next_test_runs(browser, tmp_path):
    (tmp_path / "test_hung.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-c", str(ROOT / "pyproject.toml")]
    command += ["-p", "no:cacheprovider", "-p", "tests.conftest", "-o", "timeout=4", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "test_hung.py::test_a_page_that_hangs - Failed: Timeout" in done.stdout
