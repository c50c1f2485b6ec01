"""Every notebook, run again from its source: the same outputs, in the time and memory it states.

Slow (each notebook runs once), and measured: alone on the machine, with all its cores.
"""

from functools import cache

import notebook_rules as rules
import pytest
from keras_support import MISSING
from notebook_compare import changed_outputs
from support import NOTEBOOKS, ROOT

import notebooks
from stn_course import data

# What is stated is what a laptop with two cores needs; a busier or slower one gets this much more.
SLACK_TIME, SLACK_MEMORY = 1.5, 1.15

pytestmark = pytest.mark.xdist_group("notebooks")


def stored(name):
    return notebooks.read(ROOT / "notebooks" / f"{name}.ipynb")


@cache
def again(name):
    if MISSING and name == "06_keras":
        pytest.skip(f"{' AND '.join(MISSING).upper()} NOT INSTALLED: python -m pip install '.[tf]'")
    source = notebooks.read(ROOT / "notebooks" / "src" / f"{name}.md")
    return notebooks.run(source, name, data.source())


def test_there_is_something_to_run():
    assert NOTEBOOKS


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_running_again_gives_the_same_outputs(name):
    before, now = stored(name), again(name)
    # Figures may show digits: they are compared where those are the same.
    same_digits = ("sample" in before.metadata.stn_course.digits) == data.is_sample()
    assert changed_outputs(before, now, pixels=same_digits) == []


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_header_tells_the_truth(name):
    stated, measured = rules.header(stored(name)), again(name).metadata.stn_course
    assert measured.seconds <= stated["seconds"] * SLACK_TIME
    assert measured.peak_mb <= stated["gigabytes"] * 1000 * SLACK_MEMORY
