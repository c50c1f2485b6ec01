"""Without TensorFlow the twin says what to install, and the rest of the course does not care."""

import subprocess
import sys

HIDE = "import sys; sys.modules['tensorflow'] = None; "


def run(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", HIDE + code], capture_output=True, text=True)


def test_the_twin_says_what_to_install():
    done = run("import stn_course.keras_twin")
    assert done.returncode == 1
    assert "tensorflow not installed" in done.stderr and "'.[tf]'" in done.stderr
    assert "pip install tensorflow keras" in done.stderr  # for those without a checkout


def test_the_experiments_and_exercises_are_still_there():
    code = "from stn_course.experiments import catalogue; catalogue.find('hr-stn'); "
    code += "from stn_course.lessons import checking; checking.keys()"
    done = run(code + "; print('keras' in sys.modules)")
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr
