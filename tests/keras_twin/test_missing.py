"""Without TensorFlow the twin says what to install, and the rest of the course does not care."""

import json
import os
import subprocess
import sys

import pytest

HIDE = "import sys; sys.modules['tensorflow'] = None; "


def run(code: str, **changed) -> subprocess.CompletedProcess:
    command, kept = [sys.executable, "-c", HIDE + code], dict(os.environ)
    kept.pop("KERAS_BACKEND", None)
    return subprocess.run(command, capture_output=True, text=True, env=kept | changed)


def test_the_twin_says_what_to_install_and_all_the_rest_is_still_there():
    code = "from stn_course.experiments import catalogue; catalogue.find('hr-stn'); "
    code += "from stn_course.lessons import checking; checking.keys(); "
    done = run(code + "print('keras' in sys.modules, flush=True); import stn_course.keras_twin")
    assert (done.returncode, done.stdout) == (1, "False\n"), done.stderr
    assert "tensorflow not installed" in done.stderr and "'.[tf]'" in done.stderr
    assert "pip install tensorflow keras" in done.stderr  # for those without a checkout


def test_keras_that_runs_on_torch_already_is_taken_as_it_is(tmp_path):
    """The sampler runs there; what needs TensorFlow says so, and what to do."""
    pytest.importorskip("keras", reason="KERAS IS NOT INSTALLED: it was not tried on torch")
    (tmp_path / "keras.json").write_text(json.dumps({"backend": "torch"}))
    code = "import keras, torch; from stn_course import keras_twin; "
    code += "x = keras_twin.warp(torch.ones(1, 3, 5, 1), torch.eye(2, 3)[None], (4, 2)); "
    code += "print(tuple(x.shape)); import stn_course.keras_twin.pipeline"
    done = run(code, KERAS_HOME=str(tmp_path))
    assert done.stdout == "(1, 4, 2, 1)\n", done.stderr
    assert "RuntimeError: Keras runs on 'torch'; this needs 'tensorflow'" in done.stderr
