"""Every frozen set and every first batch is the one that the records were made with."""

import json

import pytest

from tests.training.golden import make_sets

GOLDEN = json.loads(make_sets.PATH.read_text())


def same(found, wanted) -> bool:
    if isinstance(wanted, dict):
        return list(found) == list(wanted) and all(same(found[k], wanted[k]) for k in wanted)
    return found == (pytest.approx(wanted, abs=0.05) if isinstance(wanted, list) else wanted)


def test_sets_and_batches_are_as_they_were():
    made = make_sets.make()
    assert list(made) == list(GOLDEN)
    assert [name for name in GOLDEN if not same(made[name], GOLDEN[name])] == []


def test_no_two_sets_are_alike():
    """What is read from the same numbers at two places would not be a set of its own."""
    batches = [batch for name in GOLDEN if "batches" in name for batch in GOLDEN[name].values()]
    sets = [each for each in (*GOLDEN.values(), *batches) if "levels" in each]
    assert len({json.dumps(each["levels"]) for each in sets}) == len(sets) > 100
