"""Exercises that check themselves: ``answer = check("1.1", answer)``.

Untouched, an exercise says so and hands back the reference, so that Run All reaches the
end.  A right answer is told how close it is.  A wrong one raises ``WrongAnswer``, and the
message names the bug when it is one of the known ones.
"""

import dis
import importlib
import inspect
import math
import textwrap
import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass


class WrongAnswer(AssertionError):
    """The answer is not right; the message says how, and the hint where to look."""

    def _render_traceback_(self) -> list[str]:
        """What IPython prints: the message alone, the way to it helps nobody."""
        return [f"WrongAnswer: {self}"]


@dataclass(frozen=True)
class Exercise:
    """One exercise: the reference, the inputs it is tried on, and the bugs it knows.

    ``cases()`` gives tuples of arguments, the same at every call, and every function gets
    its own: one that changes its arguments disturbs nobody.  ``reference`` and the answer
    are called with each.  ``wrong`` maps a message to an answer that has that bug:
    an answer that agrees with it on all cases is told so.  ``ask(function, case)`` calls any
    of them and gives what is compared: by default what the function returns; an exercise with
    many right answers compares what holds of them.
    """

    reference: Callable
    cases: Callable[[], Iterable[tuple]]
    wrong: dict[str, Callable]
    hint: str
    tolerance: float = 1e-5
    ask: Callable[[Callable, tuple], object] = lambda function, case: function(*case)


FLOAT32 = 1e-5  # differences up to here are rounding: say which dtype came, not by how much
CHAPTERS = {
    "1": "stn_course.exercises_01",
    "2": "stn_course.exercises_02",
    "3": "stn_course.exercises_03",
    "4": "stn_course.exercises_04",
    "5": "stn_course.exercises_05",
    "6": "stn_course.exercises_06",
    "7": "stn_course.exercises_07",
}


def find(key: str) -> Exercise:
    """The exercise called ``key`` (``"1.2"``); ValueError where there is none."""
    chapter = CHAPTERS.get(str(key).split(".")[0])
    table = importlib.import_module(chapter).EXERCISES if chapter else {}
    if key not in table:
        raise ValueError(f"key={key!r} is no exercise; wanted one of {', '.join(keys())}")
    return table[key]


def keys() -> list[str]:
    """The keys of all exercises, in order."""
    return [k for module in CHAPTERS.values() for k in importlib.import_module(module).EXERCISES]


def check(key: str, answer: Callable) -> Callable:
    """Hold ``answer`` against the reference of exercise ``key``.

    Returns ``answer`` if it is right and the reference if it is untouched; raises
    WrongAnswer otherwise.
    """
    exercise = find(key)
    if is_untouched(answer):
        print(f'{key}: untouched. The reference stands in; show("{key}") prints it.')
        return exercise.reference
    if not callable(answer):
        raise WrongAnswer(f"{key}: got {type(answer).__name__}, wanted a function")
    worst = _compare(answer, exercise, key)
    print(f"{key}: right. Largest difference from the reference: {_rounded(worst)}")
    return answer


def show(key: str) -> None:
    """Print the reference solution of exercise ``key``."""
    print(textwrap.dedent(inspect.getsource(find(key).reference)).rstrip())


def is_untouched(answer) -> bool:
    """Whether ``answer`` is still the stub: ``...`` or a function whose body does nothing."""
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
    wanted = [exercise.ask(exercise.reference, case) for case in exercise.cases()]
    try:
        got = [exercise.ask(answer, case) for case in exercise.cases()]
    except Exception as error:
        raise WrongAnswer(
            f"{key}: your function raised {type(error).__name__}: {error}. Hint: {exercise.hint}"
        ) from error
    differences = [difference(g, w) for g, w in zip(got, wanted, strict=True)]
    worst = max(differences)
    if worst <= max(exercise.tolerance, FLOAT32):
        for g, w in zip(got, wanted, strict=True):
            if problem := other_kind(g, w):
                raise WrongAnswer(f"{key}: the numbers are right, but {problem}")
    if worst <= exercise.tolerance:
        return worst
    for message, bug in exercise.wrong.items():
        known = [exercise.ask(bug, case) for case in exercise.cases()]
        if all(difference(g, k) <= exercise.tolerance for g, k in zip(got, known, strict=True)):
            raise WrongAnswer(f"{key}: {message}")
    case = differences.index(worst)
    told = f"you are off by up to {worst:.3g}"
    if math.isinf(worst):
        told = f"you gave {_shape(got[case])}, wanted {_shape(wanted[case])}"
    raise WrongAnswer(f"{key}: on case {case + 1} of {len(got)} {told}. Hint: {exercise.hint}")


def other_kind(got, wanted) -> str | None:
    """Why later cells could not go on with ``got`` though its numbers are right, if so."""
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


def _shape(value) -> str:
    if hasattr(value, "shape"):
        return f"an array of shape {tuple(value.shape)}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k!r}: {_shape(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple) and len(value) <= 4:
        return f"{type(value).__name__} of ({', '.join(map(_shape, value))})"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__} of {len(value)}"
    return repr(value)[:80]


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
    import numpy as np

    try:
        a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    except (TypeError, ValueError):
        return math.inf
    if a.shape != b.shape or not np.isfinite(a).all():
        return math.inf
    return float(np.abs(a - b).max(initial=0.0))
