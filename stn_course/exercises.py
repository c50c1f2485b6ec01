"""Exercises that check themselves: ``answer = check("1.1", answer)``.

Untouched, an exercise says so and hands back the reference, so that Run All reaches the
end.  A right answer is told how close it is.  A wrong one raises ``WrongAnswer``, and the
message names the bug when it is one of the known ones.
"""

import dis
import importlib
import inspect
import linecache
import math
import textwrap
import traceback
import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from stn_course.answers import difference, entries_that_differ, other_kind, shape_of


class WrongAnswer(AssertionError):
    """The answer is not right; the message says how, and the hint where to look."""

    def _render_traceback_(self) -> list[str]:
        """What IPython prints: the message alone, the way to it helps nobody."""
        return [f"WrongAnswer: {self}"]


def uniform(seed: int, *shape: int) -> torch.Tensor:
    """Numbers in [0, 1), the same on every machine.  # float64 [*shape]"""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


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
    for message, bug in exercise.wrong.items():
        known = [exercise.ask(bug, case) for case in exercise.cases()]
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
    import torch

    def is_double(x) -> bool:
        return torch.is_tensor(x) and x.dtype == torch.float64

    def in_float32() -> tuple:
        return tuple(x.float() if is_double(x) else x for x in next(iter(exercise.cases())))

    case = next(iter(exercise.cases()))
    if not any(map(is_double, case)) or any(hasattr(x, "parameters") for x in case):
        return
    wanted = exercise.ask(exercise.reference, in_float32())
    try:
        got = exercise.ask(answer, in_float32())
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
