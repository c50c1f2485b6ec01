"""Every exercise: right, untouched and every known wrong answer, each with its message."""

import functools

import pytest
import torch

from stn_course.lessons import checking
from stn_course.lessons.checking import Exercise, WrongAnswer, check
from stn_course.lessons.invariance import exercises as first_lesson
from tests.keras_twin.support import MISSING

# Without TensorFlow 6.2 is left out here; the tests of its lesson say so loudly.
NEED_TENSORFLOW = {"6.2"} if MISSING else set()
KEYS = [key for key in checking.keys() if key not in NEED_TENSORFLOW]
BUGS = [(k, message, bug) for k in KEYS for message, bug in checking.find(k).bugs.items()]


def another(function):
    """The same, and yet not the object that the exercise knows: it is tried on the cases."""
    return functools.wraps(function)(lambda *arguments: function(*arguments))


def exercise_of_one(reference, argument, key="1.9"):
    """An exercise of one case, a copy of `argument`; it knows no bugs."""
    toy = Exercise(key, hint="what the reference does")
    toy.reference(reference)
    toy.cases(lambda: [(argument.clone(),)])
    return toy


@pytest.mark.parametrize("key", KEYS)
def test_the_reference_is_right(key, capsys):
    reference = checking.find(key).solution
    assert check(key, another(reference)) is not reference
    assert f"{key}: right." in capsys.readouterr().out


@pytest.mark.parametrize("key", KEYS)
def test_untouched_says_so_and_hands_back_the_reference(key, capsys):
    def stub(*arguments):
        """What to do."""
        ...

    assert check(key, stub) is checking.find(key).solution
    assert check(key, ...) is checking.find(key).solution
    assert capsys.readouterr().out.count(f"{key}: untouched.") == 2


@pytest.mark.parametrize("key, message, bug", BUGS, ids=[f"{k}: {m}" for k, m, _ in BUGS])
def test_each_known_bug_is_rejected_with_its_own_message(key, message, bug):
    assert not checking.is_untouched(bug)
    with pytest.raises(WrongAnswer) as caught:
        check(key, another(bug))
    assert str(caught.value) == f"{key}: {message}"


@pytest.mark.parametrize("key", checking.keys())
def test_a_reference_that_is_shown_needs_nothing_hidden(key):
    """`show` prints it alone: it may call only what the notebook has imported."""
    called = set(checking.find(key).solution.__code__.co_names)
    assert not [name for name in called if name.startswith("_")]


@pytest.mark.parametrize("key", KEYS)
def test_every_exercise_knows_wrong_answers_and_has_a_hint(key):
    exercise = checking.find(key)
    assert len(exercise.bugs) >= 2 and len(exercise.hint) > 20
    assert len(list(exercise.inputs())) >= 2


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
    assert checking.is_untouched(lambda x: None)
    assert not checking.is_untouched(lambda x: 0)
    assert not checking.is_untouched(lambda x: x)


def test_a_check_whose_wrong_answer_passes_would_be_caught(monkeypatch):
    """The suite's own check: a tolerance so wide that a bug passes makes check() return."""
    wide = checking.find("1.3")
    monkeypatch.setattr(wide, "tolerance", 1e9)
    bug = next(iter(wide.bugs.values()))
    assert check("1.3", bug) is bug  # so test_each_known_bug... would fail


def test_an_endless_loop_is_stopped():
    def stuck(fooled, low, high, tolerance):
        while high - low > tolerance:
            fooled((low + high) / 2)

    with pytest.raises(WrongAnswer, match="called 1000 times: the interval stays long"):
        check("1.3", stuck)


def test_right_numbers_of_another_kind_are_told(monkeypatch):
    toy = exercise_of_one(lambda x: x * 2, torch.ones(3, dtype=torch.float64))
    monkeypatch.setattr(first_lesson, "toy", toy, raising=False)
    assert check("1.9", lambda x: x + x)(torch.ones(1)) == 2
    for answer, message in (
        (lambda x: (x * 2).numpy(), "come as ndarray; wanted a torch tensor"),
        (lambda x: (x * 2).float(), "come as torch.float32; wanted torch.float64"),
        (lambda x: (x * 2).requires_grad_(), "still carries its graph"),
    ):
        with pytest.raises(WrongAnswer, match=message):
            check("1.9", answer)


def test_float32_where_float64_came_is_told_by_its_name():
    reference = checking.find("2.1").solution
    with pytest.raises(WrongAnswer, match="torch.float32; wanted torch.float64, as the input"):
        check("2.1", lambda theta, size: reference(theta.float(), size))


def test_an_answer_that_knows_float64_alone_is_told():
    """The cases are in float64, the notebooks are not."""

    def answer(theta, size):
        return checking.find("2.1").solution(theta.double(), size)

    with pytest.raises(WrongAnswer, match="of float32 input they come as torch.float64; wanted"):
        check("2.1", answer)

    def mixed(images):
        x = (2 * torch.arange(images.shape[3], dtype=torch.double) + 1) / images.shape[3] - 1
        out = checking.find("5.1").solution(images)
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
    def spoils(x):
        return x.mul_(0)

    toy = exercise_of_one(lambda x: x + 1, torch.ones(2))
    toy.bug("it adds two")(lambda x: x + 2)
    monkeypatch.setattr(first_lesson, "toy", toy, raising=False)
    with pytest.raises(WrongAnswer, match="off by up to 2"):
        check("1.9", spoils)


def test_a_list_of_numbers_may_be_an_array():
    reference = checking.find("1.2").solution
    check("1.2", lambda *a: torch.tensor(reference(*a), dtype=torch.float64))


def test_show_prints_the_solution(capsys):
    checking.show("1.3")
    assert "def smallest_angle(fooled, low, high, tolerance):" in capsys.readouterr().out


def test_show_leaves_out_the_decorator(capsys):
    for key in checking.keys():
        checking.show(key)
        assert capsys.readouterr().out.startswith(f"def {checking.find(key).solution.__name__}(")


def test_ipython_shows_the_message_alone():
    assert WrongAnswer("1.1: no")._render_traceback_() == ["WrongAnswer: 1.1: no"]


def test_differences():
    assert checking.difference([1, 2.0], [1, 2.5]) == 0.5
    assert checking.difference([1], [1, 2]) == float("inf")
    assert checking.difference(float("nan"), 1.0) == float("inf")
    assert checking.difference({"a": 1}, {"b": 1}) == float("inf")
    assert checking.difference("x", "x") == 0 and checking.difference("x", "y") == float("inf")


def test_unknown_key_is_named():
    with pytest.raises(ValueError, match="key='9.9' is no exercise; wanted one of 1.1"):
        check("9.9", ...)


# ---------------------------------------------------------------- how a lesson defines them
def test_decorators_give_back_what_they_decorate():
    toy = Exercise("1.9", hint="none")
    assert toy.outcome(abs, (-3,)) == 3  # what the function returns, unless told otherwise
    for decorate in (toy.reference, toy.cases, toy.ask, toy.bug("no"), toy.bug("never")):
        assert decorate(abs) is abs
    assert (toy.solution, toy.inputs, toy.outcome) == (abs, abs, abs)
    assert toy.bugs == {"no": abs, "never": abs}


@pytest.mark.parametrize("part", ["reference", "cases", "ask"])
def test_a_second_function_for_one_part_is_refused(part):
    toy = Exercise("1.9", hint="none")
    getattr(toy, part)(abs)
    with pytest.raises(ValueError, match=f"exercise 1.9 has two @{part} functions; wanted one"):
        getattr(toy, part)(abs)


def test_two_bugs_with_one_message_are_refused():
    toy = Exercise("1.9", hint="none")
    toy.bug("no")(abs)
    with pytest.raises(ValueError, match="exercise 1.9 has two bugs with one message: no"):
        toy.bug("no")


@pytest.mark.parametrize("part", ["reference", "cases"])
def test_an_exercise_without_reference_or_cases_is_refused(part, monkeypatch):
    toy = Exercise("1.9", hint="none")
    getattr(toy, {"reference": "cases", "cases": "reference"}[part])(abs)
    monkeypatch.setattr(first_lesson, "toy", toy, raising=False)
    with pytest.raises(ValueError, match=f"exercise 1.9 has no @{part} function; wanted one"):
        checking.find("1.1")


@pytest.mark.parametrize("key, words", [("1.1", "1.1 twice"), ("2.9", "the key of another lesson")])
def test_a_key_that_is_taken_or_belongs_elsewhere_is_refused(key, words, monkeypatch):
    toy = exercise_of_one(abs, torch.ones(1), key)
    monkeypatch.setattr(first_lesson, "toy", toy, raising=False)
    with pytest.raises(ValueError, match=f"lessons.invariance.exercises defines .*{words}"):
        checking.find("1.1")
