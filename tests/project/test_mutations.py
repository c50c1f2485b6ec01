"""The list of small wrong changes fits the code that is there now."""

import pytest

from tools import mutations
from tools.mutations import MUTATIONS, ROOT, Mutation, NotFoundOnce, mutate


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name)
def test_what_is_to_be_changed_is_there_once_and_its_tests_are_too(mutation):
    source = (ROOT / "stn_course" / mutation.file).read_text(encoding="utf-8")
    assert mutate(source, mutation) != source
    assert (ROOT / mutation.tests.partition(" -k ")[0]).exists()


def test_a_text_that_is_not_there_once_is_told():
    twice = Mutation("twice", "x.py", "a", "b", "tests")
    for source, times in (("aa", 2), ("c", 0)):
        with pytest.raises(NotFoundOnce, match=f"twice: 'a' is {times} times in x.py; wanted once"):
            mutate(source, twice)


def test_survivors_are_told_and_the_tree_stays_as_it_is(tmp_path, monkeypatch, capsys):
    for name in ("stn_course", "tests"):
        (tmp_path / name).mkdir()
    (tmp_path / "stn_course" / "__init__.py").write_text("ONE, TWO = 1, 2\n")
    test = "from stn_course import ONE\n\n\ndef test_one():\n    assert ONE == 1\n"
    (tmp_path / "tests" / "test_it.py").write_text(test)
    monkeypatch.setattr(mutations, "ROOT", tmp_path)
    one, two = (
        Mutation(name, "__init__.py", f"= {old}", f"= {new}", "tests/test_it.py")
        for name, old, new in (("one", "1, 2", "3, 2"), ("two", "1, 2", "1, 3"))
    )
    monkeypatch.setattr(mutations, "MUTATIONS", (one, two))
    assert mutations.main([]) == 1
    told = [line.split() for line in capsys.readouterr().out.splitlines()]
    told = [(words[0], words[-1]) for words in told]
    assert told == [("killed", "one"), ("SURVIVED", "two"), ("2", "survived")]
    assert (tmp_path / "stn_course" / "__init__.py").read_text() == "ONE, TWO = 1, 2\n"
    monkeypatch.setattr(mutations, "MUTATIONS", (one._replace(tests="tests/none.py"),))
    with pytest.raises(RuntimeError, match="ended with 4"):
        mutations.main([])
