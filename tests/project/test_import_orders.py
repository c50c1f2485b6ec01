"""TensorFlow and Triton in one process, in any order; `tools.import_orders` has them all."""

import itertools
import os
import sys
from importlib.util import find_spec

import pytest

from stn_course import extras
from tools import import_orders

# Together they load Triton behind each of what brings TensorFlow, and TensorFlow behind Triton.
LIKELY = [
    ("tensorflow", "keras", "twin", "optimiser", "warp", "triton"),  # notebook 06
    ("tensorboard", "warp", "optimiser", "twin"),  # torch's event files, then training
    ("optimiser", "tensorflow", "twin"),
]


@pytest.mark.parametrize("order", LIKELY, ids=" ".join)
def test_a_process_lives(order):
    missing = [name for name in ("triton", "tensorflow", "keras") if find_spec(name) is None]
    if missing:
        pytest.skip(f"{' AND '.join(missing).upper()} NOT INSTALLED: no order was tried")
    assert import_orders.fails(order) == ""


def test_a_process_that_dies_or_says_something_wrong_is_told_of(monkeypatch):
    for code, words in {
        "import os; os.kill(os.getpid(), 11)": "exit code -11: without a word",
        "assert 1 + 1 == 3, 'the sum'": "exit code 1: AssertionError: the sum",
        "import os; os._exit(0)": "exit code 0",
    }.items():
        monkeypatch.setitem(import_orders.STEPS, "torch", code)
        assert import_orders.fails(["torch"]).startswith(words)


def test_every_order_is_one_of_those_that_are_run():
    """Any order loads the same, in the same order, as one that the tool runs."""

    def loads(order):
        new, loaded = [import_orders.needs_the_course_first(order)], set()
        for step in order:
            new.append(frozenset(import_orders.LOADS[step] - loaded))
            loaded |= import_orders.LOADS[step]
        return tuple(each for each in new if each)

    run = [loads(order) for order in import_orders.orders(4)]
    assert len(run) == len(set(run)) > 100
    assert set(run) == {loads(order) for order in itertools.permutations(import_orders.STEPS, 4)}
    assert len(list(import_orders.orders())) > 100


def test_only_what_no_course_could_help_begins_with_it():
    first = import_orders.needs_the_course_first
    assert first(["tensorflow", "optimiser", "twin"]) and first(["keras", "triton"])
    assert first(["tensorboard", "torch", "optimiser"])
    for order in (["triton", "tensorflow"], ["tensorflow", "twin", "triton"], ["warp", "keras"]):
        assert not first(order)


def test_triton_is_found_as_ever_unless_tensorflow_is_there(monkeypatch):
    assert extras.Finder in sys.meta_path  # the tests have imported the course
    find = extras.Finder.find_spec
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert find(extras.LIBRARY) is None
    monkeypatch.setitem(sys.modules, "tensorflow", os)
    assert find("triton") is None and find("numpy") is None


@pytest.mark.skipif(not hasattr(os, "RTLD_DEEPBIND"), reason="Linux alone has it, and Triton")
def test_the_flags_of_loading_come_back(monkeypatch):
    flags, seen = sys.getdlopenflags(), []
    monkeypatch.setattr(
        extras.ExtensionFileLoader, "create_module", lambda *_: seen.append(sys.getdlopenflags())
    )
    extras.AtHomeFirst("a", "a.so").create_module(None)
    assert seen == [flags | os.RTLD_DEEPBIND] and sys.getdlopenflags() == flags

    def dies(*_):
        raise ImportError("no such file")

    monkeypatch.setattr(extras.ExtensionFileLoader, "create_module", dies)
    with pytest.raises(ImportError):
        extras.AtHomeFirst("a", "a.so").create_module(None)
    assert sys.getdlopenflags() == flags


def test_it_is_put_in_place_once():
    extras.bear_each_other()
    assert sys.meta_path.count(extras.Finder) == 1
