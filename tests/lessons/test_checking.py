"""Every exercise: right, untouched and every known wrong answer, each with its message."""

import functools
import inspect
import itertools

import numpy as np
import pytest
import torch
from torch import nn

from stn_course.lessons import checking
from stn_course.lessons.checking import Exercise, WrongAnswer, check
from stn_course.lessons.invariance import exercises as first_lesson
from tests.keras_twin.support import MISSING
from tests.support import rejection

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
    # A copy, so that being right is found by computing, not by being the same object.
    assert check(key, lambda *a: reference(*a)) is not reference
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


@pytest.mark.parametrize("key", KEYS)
def test_no_two_known_bugs_are_taken_for_each_other(key):
    """Else an answer would be told of one that it has not."""
    exercise = checking.find(key)
    found = {message: exercise.outcomes(bug) for message, bug in exercise.bugs.items()}
    right = exercise.outcomes(exercise.solution)
    for one, other in itertools.permutations(found, 2):
        worst = max(map(checking.difference, found[one], right))
        assert worst > exercise.tolerance
        near = exercise.tolerance if worst <= checking.FLOAT32 else checking.FLOAT32
        pairs = zip(found[one], found[other], strict=True)
        assert not all(checking._agrees(*pair, max(near, exercise.tolerance)) for pair in pairs), (
            f"{one} / {other}"
        )


# ---------------------------------------------------------------- what any answer is told
def mapped(change, made):
    """Every tensor, array and number of what a reference gives, changed."""
    if isinstance(made, dict):
        return {key: mapped(change, part) for key, part in made.items()}
    if isinstance(made, tuple | list):
        return type(made)(mapped(change, part) for part in made)
    return made if isinstance(made, str) or made is None else change(made)


def from_reference(key, change):
    solution = checking.find(key).solution
    return lambda *case: mapped(change, solution(*case))


# 5.2 and 5.5 ask what holds of an answer, 3.5 and 6.3 are words, 1.4 is made of dicts.
NUMBERS = [key for key in KEYS if key not in ("1.4", "3.5", "5.2", "5.5", "6.3", "7.4")]


@pytest.mark.parametrize("key", KEYS)
def test_none_is_named(key):
    assert "your function returns None, whatever comes" in rejection(key, lambda *case: None)


@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.parametrize("value", [0, 1])
def test_constants_are_named(key, value):
    def constant(x):
        return torch.full_like(x, value).detach() if torch.is_tensor(x) else 0 * x + value

    def quad(src, dst):  # 5.4 is to refuse some
        checking.find("5.4").solution(src, dst)
        return src.new_full((3, 3), value)

    answer = quad if key == "5.4" else from_reference(key, constant)
    assert f"every number that you gave is {value}, whatever came" in rejection(key, answer)


@pytest.mark.parametrize("key", ["3.5", "6.3"])
def test_one_word_for_all_is_named(key):
    for word in ("rate too high", "flatten", "conv"):
        told = rejection(key, lambda _, word=word: word)
        assert f"you gave {word!r}, wanted another answer where something else comes" in told


@pytest.mark.parametrize("key", NUMBERS)
def test_not_a_number_is_named(key):
    told = rejection(key, from_reference(key, lambda x: x * float("nan")))
    assert "nan" in told.lower() and told.partition(": ")[2] not in checking.find(key).bugs


@pytest.mark.parametrize("key", [key for key in NUMBERS if key != "3.1"])
def test_an_argument_handed_back_is_named(key):
    exercise = checking.find(key)
    for k, name in enumerate(inspect.signature(exercise.solution).parameters):
        if callable(next(iter(exercise.inputs()))[k]):
            continue
        told = rejection(key, lambda *case, k=k: case[k])
        same = f"this is `{name}` as it came, unchanged"
        assert same in told or "every number that you gave" in told or "you gave" in told
        assert told.partition(": ")[2] not in exercise.bugs


ARGUMENTS = [
    (key, k, name)
    for key in KEYS
    for k, name in enumerate(inspect.signature(checking.find(key).solution).parameters)
    if k < len(case := next(iter(checking.find(key).inputs())))
    and isinstance(case[k], torch.Tensor | np.ndarray | list | dict | nn.Module)
    and (key, name) not in (("3.1", "linear"), ("6.2", "images"), ("6.2", "grid"))
]


@pytest.mark.parametrize("key, k, name", ARGUMENTS, ids=[f"{a} {c}" for a, _, c in ARGUMENTS])
def test_an_argument_that_is_changed_after_use_is_named(key, k, name):
    def spoil(x):
        if isinstance(x, nn.Module):
            spoil(next(x.parameters(), None))
        elif isinstance(x, torch.Tensor):
            x.data.zero_()
        elif isinstance(x, np.ndarray):
            x[...] = 0
        elif isinstance(x, dict):
            x.popitem()
        elif isinstance(x, list):
            x.pop()

    solution = checking.find(key).solution

    def answer(*case):
        made = solution(*case)
        spoil(case[k])
        return made

    assert f"{key}: your function changes `{name}`" in rejection(key, answer)


SLOPES = [key for key in KEYS if checking.find(key).slopes]


def test_every_answer_that_a_network_learns_through_is_asked_for_its_gradient():
    """The others give numbers, pictures to look at, or gradients themselves; 3.1, 5.5 and 6.2
    ask for theirs on their own."""
    first_seven = ["2.1", "2.2", "2.3", "3.2", "3.4", "4.3", "4.5", "5.1", "5.3"]
    assert SLOPES == [*first_seven, "8.1", "8.3", "8.4"]


@pytest.mark.parametrize("key", SLOPES)
def test_a_gradient_that_is_cut_off_is_named(key):
    solution = checking.find(key).solution

    def no_grad(*case):
        with torch.no_grad():
            return solution(*case)

    def through(change):
        return lambda *case: solution(*(change(x) if torch.is_tensor(x) else x for x in case))

    for answer in (
        no_grad,
        through(torch.Tensor.detach),
        through(lambda x: x.data),
        through(lambda x: torch.tensor(x.tolist(), dtype=x.dtype)),
    ):
        told = rejection(key, answer)
        assert "the numbers are right, but no gradient can flow back" in told
    told = rejection(key, through(lambda x: torch.from_numpy(x.numpy().copy())))
    assert "no gradient" in told or (
        "where a gradient is wanted" in told and "Stay in torch" in told
    )


@pytest.mark.parametrize("key", SLOPES)
def test_a_gradient_of_the_wrong_size_is_named(key):
    exercise = checking.find(key)
    for name in exercise.slopes(*gradients_of(exercise)):
        k = list(inspect.signature(exercise.solution).parameters).index(name)

        def answer(*case, k=k):
            case = list(case)
            case[k] = 2 * case[k] - case[k].detach()
            return exercise.solution(*case)

        told = rejection(key, answer)
        assert f"the numbers are right, but the gradient at `{name}` is off by up to" in told


def gradients_of(exercise):
    *_, case = exercise.inputs()
    return checking.gradients_at(exercise.solution, case)


@pytest.mark.parametrize("key", SLOPES)
def test_one_argument_that_gets_no_gradient_is_named(key):
    exercise = checking.find(key)
    for name in exercise.slopes(*gradients_of(exercise)):
        k = list(inspect.signature(exercise.solution).parameters).index(name)
        told = rejection(
            key, lambda *case, k=k: exercise.solution(*case[:k], case[k].detach(), *case[k + 1 :])
        )
        assert f"no gradient can flow back to `{name}`" in told or "through the tensor" in told


def test_a_gradient_that_fails_where_something_was_written_in_place_is_told_so():
    solution = checking.find("2.2").solution

    def answer(a, b):
        a[:, 2] = a[:, 2]  # which changes nothing, and autograd refuses it
        return solution(a, b)

    told = rejection("2.2", answer)
    assert "where a gradient is wanted your function raised" in told
    assert "work on a copy, clone()" in told and "Stay in torch" not in told


@pytest.mark.parametrize("key", SLOPES)
def test_a_graph_of_its_own_is_not_told_to_detach(key):
    solution = checking.find(key).solution

    def leaf(x):
        double = torch.is_tensor(x) and x.dtype == torch.float64
        return x.detach().requires_grad_() if double else x

    told = rejection(key, lambda *case: solution(*map(leaf, case)))
    assert "a graph that does not begin at what came" in told and "x.detach()" not in told


@pytest.mark.parametrize("key", [key for key in KEYS if checking.find(key).tolerance < 1e-7])
def test_what_passed_through_half_precision_is_told(key):
    exercise = checking.find(key)
    if not any(torch.is_tensor(x) for x in next(iter(exercise.inputs()))):
        return
    as_half = from_reference(key, lambda x: x.half())
    told = rejection(key, as_half)
    assert "torch.float16; wanted torch.float64, as the input has it" in told
    told = rejection(key, from_reference(key, lambda x: x.half().double()))
    assert "about as much as float16 rounds (is something in float16 on the way?)" in told


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
    def says_none(x):
        """Nothing is wrong."""
        return None

    def passes(x):
        pass

    assert checking.is_untouched(passes)
    for touched in (says_none, lambda x: None, lambda x: 0, lambda x: x, None):
        assert not checking.is_untouched(touched)


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


@pytest.mark.parametrize("key", ["1.3", "2.1", "2.2", "3.1", "4.4"])
def test_what_cannot_be_compared_is_a_wrong_answer_and_no_error(key):
    graph = torch.ones(2, 3, requires_grad=True) * 2
    for odd in ([graph, graph], torch.eye(3).to_sparse(), torch.ones(2, device="meta"), 10**400):
        assert "Hint: " in rejection(key, lambda *case, odd=odd: odd)


def test_a_wrong_word_does_not_get_the_right_one():
    with pytest.raises(WrongAnswer) as caught:
        check("3.5", lambda run: "sound")
    assert "you gave 'sound', wanted another answer" in str(caught.value)


def test_an_answer_that_changes_its_arguments_disturbs_nobody(monkeypatch):
    def spoils(x):
        return x.mul_(0)

    toy = exercise_of_one(lambda x: x + 1, torch.ones(2))
    toy.bug("it adds two")(lambda x: x + 2)
    monkeypatch.setattr(first_lesson, "toy", toy, raising=False)
    with pytest.raises(WrongAnswer, match="changes `x`, and whoever called it needs that again"):
        check("1.9", spoils)


def test_an_error_is_a_known_mistake_where_it_comes_and_what_else_comes(monkeypatch):
    toy = Exercise("1.9", hint="what the reference does")
    toy.reference(lambda x, n: x[n:].sum())
    toy.cases(lambda: [(torch.arange(1.0, 4), 1), (torch.arange(1.0, 4), 0)])

    @toy.bug("-0 is 0")
    def _(x, n):
        return x[n:].sum() if n else torch.stack([])

    monkeypatch.setattr(first_lesson, "toy", toy, raising=False)
    with pytest.raises(WrongAnswer, match="1.9: -0 is 0"):
        check("1.9", lambda x, n: x[1:].sum() if n else torch.zeros(2).view(3))
    with pytest.raises(WrongAnswer, match="raised RuntimeError: .*Hint"):  # wrong elsewhere
        check("1.9", lambda x, n: x.sum() if n else torch.zeros(2).view(3))
    with pytest.raises(WrongAnswer, match="raised ValueError: .*Hint"):  # another error
        check("1.9", lambda x, n: x[1:].sum() if n else int("one"))
    with pytest.raises(WrongAnswer, match="raised RuntimeError: .*Hint"):  # everywhere
        check("1.9", lambda x, n: torch.zeros(2).view(3))


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
