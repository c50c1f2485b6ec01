"""What notebook 06 runs in other processes."""

import json

import pytest

from stn_course.lessons.keras import helpers


def test_a_script_has_its_backend_and_no_settings_of_the_reader(tmp_path, monkeypatch):
    pytest.importorskip("keras", reason="KERAS IS NOT INSTALLED: no script was run on it")
    (tmp_path / "keras.json").write_text(json.dumps({"image_data_format": "channels_first"}))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    script = "import json, keras\nprint('some words')\n"
    script += "print(json.dumps([keras.config.image_data_format(), keras.backend.backend()]))"
    found = helpers.run_on(script, "torch", "tensorflow")
    assert found == {name: ["channels_last", name] for name in ("torch", "tensorflow")}


def test_what_a_script_died_of_is_told():
    with pytest.raises(RuntimeError, match="on torch: .*ZeroDivisionError"):
        helpers.run_on("1 / 0", "torch")
