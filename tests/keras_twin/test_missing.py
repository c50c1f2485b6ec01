"""Without TensorFlow the twin says what to install, and the rest of the course does not care."""

import subprocess
import sys

HIDE = "import sys; sys.modules['tensorflow'] = None; "


def test_the_twin_says_what_to_install_and_all_the_rest_is_still_there():
    code = "from stn_course.experiments import catalogue; catalogue.find('hr-stn'); "
    code += "from stn_course.lessons import checking; checking.keys(); "
    code += "print('keras' in sys.modules, flush=True); import stn_course.keras_twin"
    done = subprocess.run([sys.executable, "-c", HIDE + code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "False\n"), done.stderr
    assert "tensorflow not installed" in done.stderr and "'.[tf]'" in done.stderr
    assert "pip install tensorflow keras" in done.stderr  # for those without a checkout
