"""Exercises that check themselves: `answer = check("1.1", answer)`.

Untouched, an exercise says so and hands back the reference, so that Run All reaches the
end. A right answer is told how close it is. A wrong one raises `WrongAnswer`, and the
message names the bug when it is one of the known ones.
"""

import dis
import importlib
import inspect
import itertools
import linecache
import math
import textwrap
import traceback
import types
from collections.abc import Callable, Iterable

import numpy as np
import torch

FLOAT32 = 1e-5  # differences up to here are rounding: say which dtype came, not by how much
LESSONS = {
    "1": "invariance",
    "2": "grid_sampling",
    "3": "look_straight",
    "4": "digit_sequences",
    "5": "place_and_tilt",
    "6": "keras",
    "7": "fast",
}  # number of the notebook -> folder of its lesson
KEPT_AS = {"reference": "solution", "cases": "inputs", "ask": "outcome"}  # decorator -> attribute


class WrongAnswer(AssertionError):
    """The answer is not right; the message says how, and the hint where to look."""

    def _render_traceback_(self) -> list[str]:
        """What IPython prints: the message alone, the way to it helps nobody."""
        return [f"WrongAnswer: {self}"]


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

    Every function gets its own cases: one that changes its arguments disturbs nobody. An answer
    has a bug if it agrees with it on all cases; the bugs are tried in the order in which they
    stand. What is compared is what a function returns, unless `@grid.ask` decorates another
    `(function, case) -> what is compared`: of many right answers that is what holds of them.
    """

    solution: Callable
    inputs: Callable[[], Iterable[tuple]]

    def __init__(self, key: str, *, hint: str, tolerance: float = 1e-5):
        self.key, self.hint, self.tolerance = key, hint, tolerance
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
        """The `outcome` of `function` on each of the cases."""
        return [self.outcome(function, case) for case in self.inputs()]

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
    worst = _compare(answer, exercise, key)
    print(f"{key}: right. Largest difference from the reference: {_rounded(worst)}")
    return answer


def show(key: str) -> None:
    """Print the reference solution of exercise `key`."""
    lines = textwrap.dedent(inspect.getsource(find(key).solution)).rstrip().splitlines()
    print("\n".join(itertools.dropwhile(lambda line: line.startswith("@"), lines)))


def is_untouched(answer) -> bool:
    """Whether `answer` is still the stub: `...` or a function whose body does nothing."""
    if answer is ... or answer is None:
        return True
    if not isinstance(answer, types.FunctionType):
        return False
    steps = [i for i in dis.get_instructions(answer) if i.opname not in ("RESUME", "NOP")]
    names = [i.opname for i in steps]
    if names not in (["LOAD_CONST", "RETURN_VALUE"], ["RETURN_CONST"]):
        return False
    return steps[0].argval is None


def _rounded(difference: float) -> str:
    # One digit: the last bits differ from machine to machine, the message should not.
    return "0" if difference < 1e-12 else f"at most 1e{math.ceil(math.log10(difference))}"


def _compare(answer: Callable, exercise: Exercise, key: str) -> float:
    """The largest difference over all cases; WrongAnswer if it is too large."""
    wanted = exercise.outcomes(exercise.solution)
    try:
        got = exercise.outcomes(answer)
    except Exception as error:
        raised = f"{type(error).__name__}: {error}{_line_of(error, answer)}"
        raise WrongAnswer(f"{key}: your function raised {raised}. Hint: {exercise.hint}") from error
    differences = [difference(g, w) for g, w in zip(got, wanted, strict=True)]
    worst = max(differences)
    if worst <= max(exercise.tolerance, FLOAT32):
        for g, w in zip(got, wanted, strict=True):
            if problem := other_kind(g, w):
                raise WrongAnswer(f"{key}: the numbers are right, but {problem}")
    if worst <= exercise.tolerance:
        _try_float32(answer, exercise, key)
        return worst
    for message, bug in exercise.bugs.items():
        known = exercise.outcomes(bug)
        if all(difference(g, k) <= exercise.tolerance for g, k in zip(got, known, strict=True)):
            raise WrongAnswer(f"{key}: {message}")
    case = differences.index(worst)
    told = f"you are off by up to {worst:.3g}"
    if math.isinf(worst):
        # Of two words the right one is not told: it would be the solution.
        words = isinstance(got[case], str) and isinstance(wanted[case], str)
        gave, right = entries_that_differ(got[case], wanted[case])
        told = f"you gave {shape_of(gave)}, wanted "
        told += "another answer" if words else shape_of(right)
    raise WrongAnswer(f"{key}: on case {case + 1} of {len(got)} {told}. Hint: {exercise.hint}")


def _line_of(error: Exception, answer: Callable) -> str:
    """Where in the reader's own code it happened: the last line of it that was running."""
    own = getattr(getattr(answer, "__code__", None), "co_filename", None)
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        if frame.f_code.co_filename == own:
            source = linecache.getline(own, line).strip()
            return f" (line {line}: {source})" if source else ""
    return ""


def _try_float32(answer: Callable, exercise: Exercise, key: str) -> None:
    """WrongAnswer unless the first case's answer follows its arguments into float32.

    Cases are in float64, where a small mistake is not hidden by rounding; notebooks are not.
    """

    def is_double(x) -> bool:
        return torch.is_tensor(x) and x.dtype == torch.float64

    def in_float32() -> tuple:
        return tuple(x.float() if is_double(x) else x for x in next(iter(exercise.inputs())))

    case = next(iter(exercise.inputs()))
    if not any(map(is_double, case)) or any(hasattr(x, "parameters") for x in case):
        return
    wanted = exercise.outcome(exercise.solution, in_float32())
    try:
        got = exercise.outcome(answer, in_float32())
    except Exception as error:
        raised = f"{type(error).__name__}: {error}{_line_of(error, answer)}"
        raise WrongAnswer(
            f"{key}: right in float64, but of float32 input your function raised {raised}. Give "
            "what you make the dtype of the input"
        ) from error
    if problem := other_kind(got, wanted):
        raise WrongAnswer(f"{key}: right in float64, but of float32 input {problem}")
    if (off := difference(got, wanted)) > max(exercise.tolerance, 1e-3):
        told = f"off by {off:.3g}"
        if math.isinf(off):
            told = f"you gave {shape_of(got)}, wanted {shape_of(wanted)}"
        raise WrongAnswer(f"{key}: right in float64, but of float32 input {told}")


# ---------------------------------------------------------------- two answers side by side
def other_kind(got, wanted) -> str | None:
    """Why later cells could not go on with `got` though its numbers are right, if so."""
    if isinstance(wanted, dict):
        pairs = [(got[k], wanted[k]) for k in wanted]
    elif isinstance(wanted, list | tuple):
        pairs = list(zip(got, wanted, strict=True))
    else:
        pairs = []
    for g, w in pairs:
        if problem := other_kind(g, w):
            return problem
    if not hasattr(wanted, "requires_grad"):
        return None
    if not hasattr(got, "requires_grad"):
        return f"they come as {type(got).__name__}; wanted a torch tensor"
    if got.dtype != wanted.dtype:
        return f"they come as {got.dtype}; wanted {wanted.dtype}, as the input has it"
    if got.requires_grad and not wanted.requires_grad:
        return "the tensor still carries its graph; hand back x.detach()"
    if wanted.requires_grad and not got.requires_grad:
        return "no gradient can flow back through the tensor: it was detached on the way"
    return None


def shape_of(value) -> str:
    if hasattr(value, "shape"):
        return f"an array of shape {tuple(value.shape)}{_not_finite(value)}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k!r}: {shape_of(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple) and len(value) <= 4:
        return f"{type(value).__name__} of ({', '.join(map(shape_of, value))})"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__} of {len(value)}"
    return repr(value)[:80]


def entries_that_differ(got, wanted) -> tuple:
    """Two answers; of two dicts with the same keys only what is not the same in both."""
    if not (isinstance(got, dict) and isinstance(wanted, dict) and set(got) == set(wanted)):
        return got, wanted
    keys = [k for k in wanted if difference(got[k], wanted[k])]
    return {k: got[k] for k in keys}, {k: wanted[k] for k in keys}


def _not_finite(value) -> str:
    value = value.detach().cpu().numpy() if hasattr(value, "detach") else np.asarray(value)
    numbers = value.dtype.kind == "f"
    return " with NaN or infinity in it" if numbers and not np.isfinite(value).all() else ""


def difference(a, b) -> float:
    """Largest absolute difference of two answers; infinity if they are not of one kind.

    Numbers, tensors, arrays, and lists, tuples and dicts of them (where a list of numbers
    is wanted, an array of them will do); anything else is equal or not.
    """
    if hasattr(b, "detach"):
        b = b.detach().cpu().double().numpy()
    if hasattr(a, "detach"):
        a = a.detach().cpu().double().numpy()
    if isinstance(b, dict):
        if not isinstance(a, dict) or set(a) != set(b):
            return math.inf
        return max((difference(a[k], b[k]) for k in b), default=0.0)
    if isinstance(b, list | tuple):
        a = list(a) if getattr(a, "ndim", 0) else a
        if not isinstance(a, list | tuple) or len(a) != len(b):
            return math.inf
        return max((difference(x, y) for x, y in zip(a, b, strict=True)), default=0.0)
    if isinstance(b, str | bool) or b is None:
        return 0.0 if type(a) is type(b) and a == b else math.inf
    return _number_difference(a, b)


def _number_difference(a, b) -> float:
    try:
        a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    except (TypeError, ValueError):
        return math.inf
    if a.shape != b.shape or not np.isfinite(a).all():
        return math.inf
    return float(np.abs(a - b).max(initial=0.0))
