"""The README: its table is the records', its code runs, its links and commands exist."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
sys.path.insert(0, str(ROOT / "tools"))


def test_the_table_is_what_the_records_say():
    import readme

    assert readme.rewritten(TEXT) == TEXT, "run python tools/readme.py"
    assert readme.rewritten(TEXT.replace("%", "!")) != TEXT.replace("%", "!")


def test_the_examples_run():
    names = {}
    for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(block, names)  # the second goes on where the first ended
    assert names["turned"].shape == (8, 1, 28, 28)
    assert names["seen"].shape == (8, 2, 20, 36)


@pytest.mark.parametrize("target", re.findall(r"\]\((?!https?:)([^)]+)\)", TEXT))
def test_local_links_lead_somewhere(target):
    assert (ROOT / target).exists()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`?make (\w+)", TEXT))))
def test_make_targets_exist(target):
    assert re.search(rf"(?m)^{target}:", (ROOT / "Makefile").read_text())


def test_every_command_of_the_table_exists():
    from stn_course.experiments import EXPERIMENTS

    names = re.findall(r"stn-course run (\S+)", TEXT)
    assert set(names) <= set(EXPERIMENTS)


def test_there_is_a_colab_link_for_each_notebook():
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert f"blob/main/notebooks/{path.name})" in TEXT
