"""Every exercise: right, untouched and every known wrong answer, each with its message."""

import pytest
import torch
from keras_support import MISSING

from stn_course import exercises
from stn_course.exercises import WrongAnswer, check

NEED_TENSORFLOW = (
    {"6.2"} if MISSING else set()
)  # its tests are skipped, loudly, where it is missing
KEYS = [key for key in exercises.keys() if key not in NEED_TENSORFLOW]
# What everybody writes first, in words of the message that names it.
NAMED = {
    "2.1": ("x and y are swapped", "half a pixel", "forward map", "wrong order", "rows and col"),
    "2.2": ("order is swapped", "shifts are added", "-t", "transposed", "third row", "batch"),
    "2.3": ("x and y are swapped", "half a pixel", "last row or column is lost", "row-major")
    + ("do not sum to one", "clipped neighbours with unclipped weights", "align_corners")
    + ("long()", "exchanged", "clipped neighbours and their distances"),
    "2.4": ("x and y are swapped", "per pixel", "detached", "a sum", "upstream is forgotten")
    + ("h stands for w", "output's size"),
    "2.5": ("inverse matrix", "keeps one", "nearest"),
    "2.6": ("detached", "zero_grad", "forward map", "starts at the identity", "clone"),
    "3.1": ("all zeros", "weights still speak", "tanh", "row by row", "detached"),
    "3.2": ("outside is 0", "smeared", "align_corners", "added again", "input's size", "forward"),
    "3.5": ("A and C", "B and C", "A and B", ".76"),
    "3.3": ("stays below", "reaches the target", "proportional"),
    "3.4": ("order is exchanged", "should undo", "inverse of true", "the batch", "squares"),
    "4.1": ("cover the digits", "added", "clip", "x and y are swapped", "left and top", "9 large"),
    "4.2": ("fractions", "p ** D", "as soon as one", "down the batch", "count digits", "order"),
    "4.3": ("repeat_interleave", "step after step", "two dimensions", "last glimpse", "corners"),
    "4.4": ("although stop is True", "although stop is False", "wrong way", "from nothing"),
    "4.5": ("first number", "swapped", "theta is squeezed", "cuts a corner", "rounded up"),
    "5.1": ("x and y are swapped", "h and w are swapped", "edge to edge", "half a pixel"),
    "5.2": ("differ in more than place", "dice"),
    "5.3": ("not divided by w", "any scale", "forward map", "transposed", "x and y are swapped"),
    "5.4": ("degenerate", "way back", "sign", "swapped", "transposed", "best affine"),
    "5.5": ("bound them", "over the batch", "that is affine", "detached"),
    "6.1": ("transposed", "way back", "rows and columns"),
    "6.2": ("x and y are swapped", "edges", "border", "next row", "nearest", "detached"),
    "6.3": ("largest difference", "bit for bit", "as they lie", "flatten is blamed", "last layer"),
    "7.1": ("base grid is missing", "once a channel", "*output*", "four bytes", "`batch`"),
    "7.2": ("swapped", "means", "own theta", "upstream is forgotten", "in pixels"),
    "7.3": ("inverse matrix", "area", "shared places", "nearest readers", "do not exist"),
    "7.4": ("images[known]", "`if length > 1`", "loss.item()", "no longer shortened", "zeros"),
}
BUGS = [(k, message, bug) for k in KEYS for message, bug in exercises.find(k).wrong.items()]


@pytest.mark.parametrize("key", KEYS)
def test_the_reference_is_right(key, capsys):
    reference = exercises.find(key).reference
    # A copy, so that being right is found by computing, not by being the same object.
    assert check(key, lambda *a: reference(*a)) is not reference
    assert f"{key}: right." in capsys.readouterr().out


@pytest.mark.parametrize("key", KEYS)
def test_untouched_says_so_and_hands_back_the_reference(key, capsys):
    def stub(*arguments):
        """What to do."""
        ...

    assert check(key, stub) is exercises.find(key).reference
    assert check(key, ...) is exercises.find(key).reference
    assert capsys.readouterr().out.count(f"{key}: untouched.") == 2


@pytest.mark.parametrize("key, message, bug", BUGS, ids=[f"{k}-{b.__name__}" for k, _, b in BUGS])
def test_each_known_bug_is_rejected_with_its_own_message(key, message, bug):
    with pytest.raises(WrongAnswer) as caught:
        check(key, bug)
    assert str(caught.value) == f"{key}: {message}"


@pytest.mark.parametrize("key", NAMED)
def test_the_bugs_that_everybody_writes_have_names(key):
    known = " | ".join(exercises.find(key).wrong)
    assert [words for words in NAMED[key] if words not in known] == []


@pytest.mark.parametrize("key", exercises.keys())
def test_a_reference_that_is_shown_needs_nothing_hidden(key):
    """`show` prints it alone: it may call only what the notebook has imported."""
    called = set(exercises.find(key).reference.__code__.co_names)
    assert not [name for name in called if name.startswith("_")]


@pytest.mark.parametrize("key", KEYS)
def test_every_exercise_knows_wrong_answers_and_has_a_hint(key):
    exercise = exercises.find(key)
    assert len(exercise.wrong) >= 2 and len(exercise.hint) > 20
    assert len(list(exercise.cases())) >= 2


@pytest.mark.parametrize("key", KEYS)
def test_unknown_bugs_raise_with_the_hint(key):
    def broken(*arguments):
        raise RuntimeError("half written")

    with pytest.raises(
        WrongAnswer, match=r"raised RuntimeError: half written \(line \d+: raise Run.*\)\. Hint: "
    ):
        check(key, broken)
    with pytest.raises(WrongAnswer, match="you gave 'nonsense', wanted .*Hint"):
        check(key, lambda *a: "nonsense")
    with pytest.raises(WrongAnswer, match="got int, wanted a function"):
        check(key, 3)


def test_a_function_that_returns_something_is_not_untouched():
    assert exercises.is_untouched(lambda x: None)
    assert not exercises.is_untouched(lambda x: 0)
    assert not exercises.is_untouched(lambda x: x)


def test_a_check_whose_wrong_answer_passes_would_be_caught(monkeypatch):
    """The suite's own check: a tolerance so wide that a bug passes makes check() return."""
    import dataclasses

    from stn_course import exercises_01

    wide = dataclasses.replace(exercises.find("1.3"), tolerance=1e9)
    monkeypatch.setitem(exercises_01.EXERCISES, "1.3", wide)
    bug = next(iter(wide.wrong.values()))
    assert check("1.3", bug) is bug  # so test_each_known_bug... would fail


def test_an_endless_loop_is_stopped():
    def stuck(fooled, low, high, tolerance):
        while high - low > tolerance:
            fooled((low + high) / 2)

    with pytest.raises(WrongAnswer, match="called 1000 times: the interval stays long"):
        check("1.3", stuck)


def test_right_numbers_of_another_kind_are_told(monkeypatch):
    from stn_course import exercises_01

    def keeps(x):
        return x * 2

    toy = exercises.Exercise(
        keeps, lambda: [(torch.ones(3, dtype=torch.float64),)], {"": lambda x: x}, "double it"
    )
    monkeypatch.setitem(exercises_01.EXERCISES, "1.9", toy)
    assert check("1.9", lambda x: x + x)(torch.ones(1)) == 2
    for answer, message in (
        (lambda x: (x * 2).numpy(), "come as ndarray; wanted a torch tensor"),
        (lambda x: (x * 2).float(), "come as torch.float32; wanted torch.float64"),
        (lambda x: (x * 2).requires_grad_(), "still carries its graph"),
    ):
        with pytest.raises(WrongAnswer, match=message):
            check("1.9", answer)


def test_float32_where_float64_came_is_told_by_its_name():
    reference = exercises.find("2.1").reference
    with pytest.raises(WrongAnswer, match="torch.float32; wanted torch.float64, as the input"):
        check("2.1", lambda theta, size: reference(theta.float(), size))


def test_an_answer_that_knows_float64_alone_is_told():
    """The cases are in float64, the notebooks are not."""

    def answer(theta, size):
        return exercises.find("2.1").reference(theta.double(), size)

    with pytest.raises(WrongAnswer, match="of float32 input they come as torch.float64; wanted"):
        check("2.1", answer)

    def mixed(images):
        x = (2 * torch.arange(images.shape[3], dtype=torch.double) + 1) / images.shape[3] - 1
        out = exercises.find("5.1").reference(images)
        out[:, -2] = (images.new_ones(1, images.shape[2], 1) @ x.view(1, 1, -1))[0]
        return out

    with pytest.raises(WrongAnswer, match=r"of float32 input your function raised .*line \d+: out"):
        check("5.1", mixed)


def test_numbers_that_are_not_finite_are_named():
    with pytest.raises(WrongAnswer, match=r"\(1, 2, 3, 2\) with NaN or infinity in it, wanted an"):
        check("2.1", lambda theta, size: 0 / torch.zeros(len(theta), *size, 2))


def test_a_wrong_word_does_not_get_the_right_one():
    with pytest.raises(WrongAnswer) as caught:
        check("3.5", lambda run: "healthy")
    assert "you gave 'healthy', wanted another answer" in str(caught.value)


def test_an_answer_that_changes_its_arguments_disturbs_nobody(monkeypatch):
    from stn_course import exercises_01

    def spoils(x):
        return x.mul_(0)

    toy = exercises.Exercise(
        lambda x: x + 1, lambda: [(torch.ones(2),)], {"it adds two": lambda x: x + 2}, "add one"
    )
    monkeypatch.setitem(exercises_01.EXERCISES, "1.9", toy)
    with pytest.raises(WrongAnswer, match="off by up to 2"):
        check("1.9", spoils)


def test_a_list_of_numbers_may_be_an_array():
    reference = exercises.find("1.2").reference
    check("1.2", lambda *a: torch.tensor(reference(*a), dtype=torch.float64))


def test_show_prints_the_solution(capsys):
    exercises.show("1.3")
    assert "def smallest_angle(fooled, low, high, tolerance):" in capsys.readouterr().out


def test_ipython_shows_the_message_alone():
    assert WrongAnswer("1.1: no")._render_traceback_() == ["WrongAnswer: 1.1: no"]


def test_differences():
    assert exercises.difference([1, 2.0], [1, 2.5]) == 0.5
    assert exercises.difference([1], [1, 2]) == float("inf")
    assert exercises.difference(float("nan"), 1.0) == float("inf")
    assert exercises.difference({"a": 1}, {"b": 1}) == float("inf")
    assert exercises.difference("x", "x") == 0 and exercises.difference("x", "y") == float("inf")


def test_unknown_key_is_named():
    with pytest.raises(ValueError, match="key='9.9' is no exercise; wanted one of 1.1"):
        check("9.9", ...)
