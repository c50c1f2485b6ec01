"""Exercises that check themselves: `answer = check("1.1", answer)`.

Untouched, an exercise says so and hands back the reference, so that Run All reaches the
end. A right answer is told how close it is. A wrong one raises `WrongAnswer`, and the
message names the bug when it is one of the known ones.
"""

import ast
import dis
import functools
import importlib
import inspect
import itertools
import linecache
import math
import textwrap
import traceback
import types
from collections.abc import Callable, Iterable

import torch

from stn_course.lessons.comparing import (
    constant_of,
    difference,
    entries_that_differ,
    gradients_at,
    is_double,
    other_dtype,
    other_kind,
    rounding,
    shape_of,
    shape_to_compare,
    state_of,
)

FLOAT32 = 1e-5  # differences up to here are rounding: say which dtype came, not by how much
CUT = "detach(), no_grad(), .data, .item(), .tolist(), .numpy() and torch.tensor() cut it off"
LESSONS = {
    "1": "invariance",
    "2": "grid_sampling",
    "3": "look_straight",
    "4": "digit_sequences",
    "5": "place_and_tilt",
    "6": "keras",
    "7": "fast",
    "8": "bent_words",
}  # number of the notebook -> folder of its lesson
# decorator -> attribute
KEPT_AS = {"reference": "solution", "cases": "inputs", "ask": "outcome", "gradients": "slopes"}


class WrongAnswer(AssertionError):
    """The answer is not right; the message says how, and the hint where to look."""

    def _render_traceback_(self) -> list[str]:
        """What IPython prints: the message alone, the way to it helps nobody."""
        return [f"WrongAnswer: {self}"]


class Raised(Exception):
    """What a call gives that raised: its error stands for the outcome.

    `own`: the function raised it, and not who looked at what it gave.
    """

    def __init__(self, error: Exception, own: bool = True):
        super().__init__(str(error))
        self.error, self.own = error, own


def uniform(seed: int, *shape: int) -> torch.Tensor:
    """Numbers in [0, 1), the same on every machine.  # float64 [*shape]"""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


class Exercise:
    """One exercise: the reference, the inputs it is tried on, and the bugs it knows.

    A lesson fills it in with decorators, which give back the function as it is:

        grid = Exercise("2.1", hint="where to look", tolerance=1e-9)

        @grid.reference                   # the right answer, which `show` prints
        def affine_grid(theta, size): ...

        @grid.cases                       # tuples of arguments, the same at every call
        def _():
            yield theta, (2, 3)

        @grid.bug("x and y are swapped") # what an answer with this bug is told
        def _(theta, size):
            return affine_grid(theta, size).flip(-1)

    Every function gets its own cases, and an answer that changes its arguments is told so, but
    for those named in `changes`. An answer has a bug if it agrees with it on all cases, where
    raising the same kind of error agrees too; no two bugs may agree. What is compared is what a
    function returns, unless `@grid.ask` decorates another `(function, case) -> what is compared`:
    of many right answers that is what holds of them. And where the answer is to be differentiable,
    `@grid.gradients` decorates what names those gradients that have to agree, of all of them:

        @grid.gradients
        def _(theta, size):
            return {"theta": theta}
    """

    solution: Callable
    inputs: Callable[[], Iterable[tuple]]
    slopes: Callable[..., dict] | None = None

    def __init__(
        self, key: str, *, hint: str, tolerance: float = 1e-5, changes: tuple[str, ...] = ()
    ):
        self.key, self.hint, self.tolerance, self.changes = key, hint, tolerance, changes
        self.bugs: dict[str, Callable] = {}  # message -> an answer that has this bug

    def reference(self, function: Callable) -> Callable:
        """Decorate the right answer."""
        return self._keep("reference", function)

    def cases(self, function: Callable) -> Callable:
        """Decorate what gives the arguments, one tuple a case."""
        return self._keep("cases", function)

    def ask(self, function: Callable) -> Callable:
        """Decorate how a function is called and what of it is compared."""
        return self._keep("ask", function)

    def gradients(self, function: Callable) -> Callable:
        """Decorate what picks gradients to compare; it is called with one in each argument's place.

        They are taken on the last case, which therefore has no place where a slope jumps.
        """
        return self._keep("gradients", function)

    def bug(self, message: str) -> Callable:
        """Decorate a wrong answer; one that agrees with it is told `message`."""
        if message in self.bugs:
            raise ValueError(f"exercise {self.key} has two bugs with one message: {message}")

        def keep(function: Callable) -> Callable:
            self.bugs[message] = function
            return function

        return keep

    def outcome(self, function: Callable, case: tuple) -> object:
        """What of `function`, called with `case`, is compared."""
        return function(*case)

    def outcomes(self, function: Callable) -> list:
        """The outcome of each case; WrongAnswer if an argument is not left as it came."""
        found, names = [], inspect.signature(self.solution).parameters
        raised = []

        @functools.wraps(function)
        def called(*arguments):
            try:
                return function(*arguments)
            except Exception as error:
                raised.append(error)
                raise

        for case in self.inputs():
            before = [state_of(x) for x in case]
            try:
                with torch.enable_grad():  # and as before after it, whatever the function leaves
                    found.append(self.outcome(called, case))
            except WrongAnswer:  # by what the exercise asks, not by the function
                raise
            except Exception as error:
                found.append(Raised(error, own=any(error is each for each in raised)))
            for name, x, state in zip(names, case, before, strict=False):
                if name not in self.changes and state_of(x) != state:
                    keep = "work on a copy of it (clone() or copy())"
                    if hasattr(x, "parameters"):
                        keep = "that is its weights, and whether it is in train() or in eval()"
                    raise WrongAnswer(
                        f"your function changes `{name}`, and whoever called it needs that again: "
                        f"leave it as it came; {keep}"
                    )
        return found

    def _keep(self, decorator: str, function: Callable) -> Callable:
        name = KEPT_AS[decorator]
        if name in vars(self):
            raise ValueError(f"exercise {self.key} has two @{decorator} functions; wanted one")
        setattr(self, name, function)
        return function


def find(key: str) -> Exercise:
    """The exercise called `key` (`"1.2"`); ValueError where there is none."""
    lesson = LESSONS.get(str(key).split(".")[0])
    found = _defined_in(lesson) if lesson else {}
    if key not in found:
        raise ValueError(f"key={key!r} is no exercise; wanted one of {', '.join(keys())}")
    return found[key]


def keys() -> list[str]:
    """The keys of all exercises, in order."""
    return [key for lesson in LESSONS.values() for key in _defined_in(lesson)]


def _defined_in(lesson: str) -> dict[str, Exercise]:
    """The exercises in a lesson's `exercises.py` by their keys; ValueError if one is incomplete."""
    module = importlib.import_module(f"stn_course.lessons.{lesson}.exercises")
    found = {}
    for exercise in vars(module).values():
        if not isinstance(exercise, Exercise):
            continue
        key = exercise.key
        if key in found:
            raise ValueError(f"{module.__name__} defines exercise {key} twice")
        if LESSONS.get(key.split(".")[0]) != lesson:
            raise ValueError(f"{module.__name__} defines {key}, the key of another lesson")
        for decorator in ("reference", "cases"):
            if not hasattr(exercise, KEPT_AS[decorator]):
                raise ValueError(f"exercise {key} has no @{decorator} function; wanted one")
        found[key] = exercise
    return found


def check(key: str, answer: Callable) -> Callable:
    """Hold `answer` against the reference of exercise `key`.

    Returns `answer` if it is right and the reference if it is untouched; raises
    WrongAnswer otherwise.
    """
    exercise = find(key)
    if is_untouched(answer):
        print(f'{key}: untouched. The reference stands in; show("{key}") prints it.')
        return exercise.solution
    if not callable(answer):
        raise WrongAnswer(f"{key}: got {type(answer).__name__}, wanted a function")
    try:
        with torch.enable_grad():
            worst = _compare(answer, exercise)
    except WrongAnswer as wrong:
        raise WrongAnswer(f"{key}: {wrong}") from wrong.__cause__
    print(f"{key}: right. Largest difference from the reference: {_rounded(worst)}")
    return answer


def show(key: str) -> None:
    """Print the reference solution of exercise `key`."""
    lines = textwrap.dedent(inspect.getsource(find(key).solution)).rstrip().splitlines()
    print("\n".join(itertools.dropwhile(lambda line: line.startswith("@"), lines)))


def is_untouched(answer) -> bool:
    """Whether `answer` is still the stub: `...` or a `def` whose body does nothing.

    `return None` does something: in one exercise it is a part of the answer.
    """
    if answer is ...:
        return True
    if not isinstance(answer, types.FunctionType) or answer.__code__.co_name == "<lambda>":
        return False
    steps = [i for i in dis.get_instructions(answer) if i.opname not in ("RESUME", "NOP")]
    names = [i.opname for i in steps]
    if names not in (["LOAD_CONST", "RETURN_VALUE"], ["RETURN_CONST"]):
        return False
    return steps[0].argval is None and not _says_return(answer)


def _says_return(function: Callable) -> bool:
    """Whether a `return` is written in it; its bytes are those of a body without one."""
    try:
        written = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError):
        return False
    return any(isinstance(node, ast.Return) for node in ast.walk(written))


def _rounded(difference: float) -> str:
    # One digit: the last bits differ from machine to machine, the message should not.
    return "0" if difference < 1e-12 else f"at most 1e{math.ceil(math.log10(difference))}"


# ---------------------------------------------------------------- right or wrong
def _compare(answer: Callable, exercise: Exercise) -> float:
    """The largest difference over all cases; WrongAnswer if anything is not as it should be."""
    wanted, got = exercise.outcomes(exercise.solution), exercise.outcomes(answer)
    worst = max(map(difference, got, wanted))
    if worst <= max(exercise.tolerance, FLOAT32):
        for g, w in zip(got, wanted, strict=True):
            if problem := other_kind(g, w, learnt=exercise.slopes is not None):
                raise WrongAnswer(f"the numbers are right, but {problem}")
    if worst > exercise.tolerance:
        error = next((g.error for g in got if isinstance(g, Raised)), None)
        told = _plain_mistake(exercise, got, wanted, worst)
        told = f"{told}. Hint: {exercise.hint}" if told else _known_mistake(exercise, got, worst)
        raise WrongAnswer(told or _told_apart(answer, exercise, got, wanted)) from error
    _try_gradients(answer, exercise)
    _try_float32(answer, exercise)
    return worst


def _plain_mistake(exercise: Exercise, got: list, wanted: list, worst: float) -> str | None:
    """A mistake that can be told without knowing the exercise: no answer, or any answer's."""
    if any(isinstance(g, Raised) for g in got):
        return None
    if all(g is None for g in got):
        return "your function returns None, whatever comes; perhaps its `return` is missing"
    shapes = [list(map(shape_to_compare, some)) for some in (got, wanted)]
    if shapes[0] == shapes[1] and (value := constant_of(got)) not in (None, constant_of(wanted)):
        if not isinstance(value, str):
            return f"every number that you gave is {value:g}, whatever came"
        if all(isinstance(w, str | None) for w in wanted):
            return f"you gave {value!r}, wanted another answer where something else comes"
    names = inspect.signature(exercise.solution).parameters
    for name, *came in zip(names, *exercise.inputs(), strict=False):
        if not any(map(difference, got, came)):
            return f"this is `{name}` as it came, unchanged"
    problem = next(filter(None, map(other_dtype, got, wanted)), None)
    if problem and math.isfinite(worst):
        return f"the numbers are not right, and {problem}"
    return None


def _known_mistake(exercise: Exercise, got: list, worst: float) -> str | None:
    """What is said of the bug that gives the same outcomes, if one does."""
    if all(isinstance(g, Raised) for g in got):
        return None
    # Of what is far off, float32 and float64 have the same mistakes.
    near = exercise.tolerance if worst <= FLOAT32 else max(exercise.tolerance, FLOAT32)
    for message, bug in exercise.bugs.items():
        known = exercise.outcomes(bug)
        if all(_agrees(g, k, near) for g, k in zip(got, known, strict=True)):
            return message
    return None


def _agrees(g, k, near: float) -> bool:
    if isinstance(g, Raised) and isinstance(k, Raised):
        return type(g.error) is type(k.error)
    return difference(g, k) <= near


def _told_apart(answer: Callable, exercise: Exercise, got: list, wanted: list) -> str:
    """Where and by how much the answer is off, of an unknown mistake."""
    hint = f"Hint: {exercise.hint}"
    first = next((g for g in got if isinstance(g, Raised)), None)
    if first and not first.own:
        said = f"{type(first.error).__name__}: {first.error}".rstrip(".")
        return f"what your function gave cannot be used: {said}. {hint}"
    if first:
        return f"your function raised {_raised(first.error, answer)}. {hint}"
    differences = list(map(difference, got, wanted))
    worst = max(differences)
    case = differences.index(worst)
    told = f"you are off by up to {worst:.3g}"
    if math.isfinite(worst):
        told += _where(got[case], wanted[case], max(exercise.tolerance, 1e-3 * worst))
        told += rounding(got[case], wanted[case])
    else:
        # Of two words the right one is not told: it would be the solution.
        words = isinstance(got[case], str) and isinstance(wanted[case], str)
        gave, right = entries_that_differ(got[case], wanted[case])
        told = f"you gave {shape_of(gave)}, wanted "
        told += "another answer" if words else shape_of(right)
    return f"on case {case + 1} of {len(got)} {told}. {hint}"


def _where(got, wanted, least: float) -> str:
    """In which entries of a dict an answer is off by more than `least`, in words."""
    if not isinstance(wanted, dict):
        return ""
    off = [key for key in wanted if difference(got[key], wanted[key]) > least]
    return f" in {', '.join(off)}"


def _raised(error: Exception, answer: Callable) -> str:
    """The error, and the last line of the reader's own code that was running."""
    said = f"{type(error).__name__}: {error}".rstrip(".")
    own = getattr(getattr(answer, "__code__", None), "co_filename", None)
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        if frame.f_code.co_filename == own:
            source = linecache.getline(own, line).strip()
            return f"{said} (line {line}: {source})" if source else said
    return said


# ---------------------------------------------------------------- right, and of use?
def _try_gradients(answer: Callable, exercise: Exercise) -> None:
    """WrongAnswer unless the gradients that the exercise names are those of the reference."""
    if exercise.slopes is None:
        return
    *_, case = exercise.inputs()
    wanted = exercise.slopes(*gradients_at(exercise.solution, case))
    try:
        got = exercise.slopes(*gradients_at(answer, case))
    except Exception as error:
        raise WrongAnswer(
            "the numbers are right, but where a gradient is wanted your function raised "
            f"{_raised(error, answer)}. {_cure(error)}"
        ) from error
    for name, right in wanted.items():
        if right.any() and not got[name].any():
            raise WrongAnswer(
                f"the numbers are right, but no gradient can flow back to `{name}`: {CUT}"
            )
        off = difference(got[name], right)
        if off > 1e-6 * max(1, right.abs().max().item()):
            raise WrongAnswer(
                f"the numbers are right, but the gradient at `{name}` is off by up to {off:.3g}: "
                f"is a part of the way to it missing, or gone twice? {CUT}"
            )


def _cure(error: Exception) -> str:
    """What keeps a gradient from failing as this one did."""
    said = str(error)
    if "in-place" in said or "inplace" in said:
        return "Write into nothing that a gradient needs: work on a copy, clone()"
    return f"Stay in torch all the way: {CUT}"


def _try_float32(answer: Callable, exercise: Exercise) -> None:
    """WrongAnswer unless the first case's answer follows its arguments into float32.

    Cases are in float64, where a small mistake is not hidden by rounding; notebooks are not.
    """

    def in_float32() -> tuple:
        return tuple(x.float() if is_double(x) else x for x in next(iter(exercise.inputs())))

    case = next(iter(exercise.inputs()))
    if not any(map(is_double, case)) or any(hasattr(x, "parameters") for x in case):
        return
    wanted = exercise.outcome(exercise.solution, in_float32())
    try:
        got = exercise.outcome(answer, in_float32())
    except WrongAnswer as wrong:  # by what the exercise asks
        raise WrongAnswer(f"right in float64, but of float32 input {wrong}") from None
    except Exception as error:
        raise WrongAnswer(
            f"right in float64, but of float32 input your function raised {_raised(error, answer)}"
            ". Give what you make the dtype of the input"
        ) from error
    if problem := other_kind(got, wanted):
        raise WrongAnswer(f"right in float64, but of float32 input {problem}")
    if (off := difference(got, wanted)) > max(exercise.tolerance, 1e-3):
        told = f"off by {off:.3g}"
        if math.isinf(off):
            told = "you gave {}, wanted {}".format(*map(shape_of, entries_that_differ(got, wanted)))
        raise WrongAnswer(f"right in float64, but of float32 input {told}")
