"""The hunt counts what it tried, and what tried nothing has shown nothing."""

import random

import pytest

from tools.torture import hunt, mirrors


def test_what_fell_is_counted_and_told(monkeypatch, capsys):
    def one_in_three(times, chance, folder):
        assert folder.is_dir() and 0 <= chance.random() < 1
        yield from ("it fell" if k % 3 == 2 else None for k in range(times))

    monkeypatch.setattr(hunt, "PARTS", {"a": (4, one_in_three), "none": (3, lambda *_: iter(()))})
    monkeypatch.setattr(hunt.children, "prepare", lambda: None)
    assert (
        hunt.main(["a", "--times", "0.5"]) == 0 and "2 tries    0 fell" in capsys.readouterr().out
    )
    assert hunt.main(["a"]) == 1 and "FELL: a: it fell" in capsys.readouterr().out
    assert hunt.main(["none"]) == 1
    with pytest.raises(SystemExit):
        hunt.main(["b"])


def test_mirrors_are_tried(tmp_path):
    """A part that has fallen behind the package ends in a traceback: the shortest one is run."""
    assert list(mirrors.mirrors(2, random.Random(4), tmp_path)) == [None] * 2


def test_the_same_seed_draws_the_same_calls():
    from tools.torture import fuzz

    one, again, other = (
        list(fuzz.drawn(fuzz.command_lines(fuzz.flags()), 20, random.Random(k))) for k in (1, 1, 2)
    )
    assert one == again != other


def test_each_flag_of_the_command_line_is_tried():
    """They are the real parser's, so that a new one is tried from its first day."""
    from tools.torture import fuzz

    known = fuzz.flags()
    assert {"--start-from", "--limit-measured", "--tensorboard", "--data"} <= set(known["train"])
    assert "--again" in known["records"] and "--cluster" in known["run"]
    lines = list(fuzz.each_flag(known, random.Random(0)))
    for command, of in known.items():
        for flag in of:
            assert any(words[0] == command and flag in words for words in lines), flag
    assert all(words[-1] == "--out=none" for words in lines if words[0] == "export-web")


def test_what_this_machine_lacks_is_skipped_aloud(monkeypatch, capsys):
    from tools.torture import guarded

    monkeypatch.setattr(guarded.shutil, "which", lambda name: None)
    parts = {name: hunt.PARTS[name] for name in ("c-valgrind", "c-program")}
    monkeypatch.setattr(hunt, "PARTS", parts)
    monkeypatch.setattr(hunt.children, "prepare", lambda: None)
    assert hunt.main([]) == 0
    said = capsys.readouterr().out
    assert "SKIPPED: c-valgrind: no" in said and "SKIPPED: c-program: no gcc" in said
