"""Exercises whose checker names the mistake: one file a chapter.

An exercise is a reference function, the arguments it is tried on, and its mistakes: functions of
the same arguments, by the sentence that names them.  Called with a reader's function it prints one
sentence.  A mistake is a function, so the tests prove each by trying it.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np

Function = Callable[..., Any]

#: What to try, by words of the errors that readers meet most.
HINTS = {
    "broadcast": " An axis may be missing: values[:, None] gives every row its own number.",
    "same number of dimensions": " A vector joins rows as a row of its own: vector[None].",
    "inhomogeneous": " It seems to return several things of different shapes: return one array.",
}


@dataclass(frozen=True)
class Family:
    """A mistake with free numbers of its own.

    Args:
        example: one of the family, a function like the others.
        nearest: from a result and the arguments to the nearest result that the family can give.
    """

    example: Function
    nearest: Function


Mistakes = dict[str, Function | Family | tuple[Function | Family, ...]]


@dataclass
class Exercise:
    """A reference and what there is to say about other functions; made by `exercise`.

    Args:
        reference: a right answer; its name is the exercise's.
        cases: tuples of arguments, tried one after the other.
        right: what to say when all are right.
        mistakes: by their sentence, the functions that make them; the first that gives the
            reader's result is named.
        judge: says what is wrong with a result, ``""`` for nothing, where there is more than one
            right answer; by default the result is compared with the reference's.
    """

    reference: Function
    cases: Sequence[tuple[Any, ...]]
    right: str
    mistakes: Mistakes
    judge: Function | None = None

    def __post_init__(self):
        self.__doc__ = self.reference.__doc__
        self.__name__ = getattr(self.reference, "__name__", "exercise")

    def __call__(self, function: Function) -> None:
        """Print one sentence: what is right with the function, or what is wrong."""
        wrong = next(filter(None, (self._try(function, case) for case in self.cases)), "")
        verdict = wrong or f"right. {self.right}"
        print(f"{self.__name__}: {verdict}")

    def _try(self, function: Function, case: tuple[Any, ...]) -> str:
        """What is wrong with the function on one case."""
        try:
            # a copy, since the function may write into what it is given
            returned = function(*deepcopy(case))
            result = np.asarray(np.nan if self.judge else returned, dtype=float)
        except Exception as error:
            reason = " ".join(str(error).split())
            hint = next((hint for words, hint in HINTS.items() if words in reason), "")
            return (
                f"your function raised {type(error).__name__}: {reason}; "
                f"expected it to return {self._wanted(case)}.{hint}"
            )
        if self.judge:
            wrong = self.judge(returned)
            return wrong and f"not yet. {wrong}"
        if returned is None:
            return f"not yet. It returned None, expected {self._wanted(case)}: is there a return?"
        expected = _evaluate(self.reference, result, case)
        if _equal(result, expected):
            return ""
        return f"not yet. {self._name(result, case) or _difference(result, expected, case)}"

    def _name(self, result: np.ndarray, case: tuple[Any, ...]) -> str:
        """The sentence of the first mistake that gives this result, if one does."""
        for sentence, functions in self.mistakes.items():
            for mistake in functions if isinstance(functions, tuple) else (functions,):
                if _equal(result, _evaluate(mistake, result, case)):
                    return sentence
        return ""

    def _wanted(self, case: tuple[Any, ...]) -> str:
        if self.judge:
            return "an answer"
        shape = np.shape(self.reference(*deepcopy(case)))
        return f"an array of shape {shape}" if shape else "a number"


def exercise(
    *cases: tuple[Any, ...], right: str, mistakes: Mistakes, judge: Function | None = None
) -> Callable[[Function], Exercise]:
    """Make an `Exercise` out of the reference below it."""
    return lambda reference: Exercise(reference, cases, right, mistakes, judge)


def _evaluate(function: Function | Family, result: np.ndarray, case: tuple[Any, ...]) -> np.ndarray:
    with np.errstate(all="ignore"):
        if not isinstance(function, Family):
            return np.asarray(function(*deepcopy(case)), dtype=float)
        comparable = result.shape == np.shape(function.example(*case)) and np.isfinite(result).all()
        return function.nearest(result, *case) if comparable else np.asarray(np.nan)


def _equal(result: np.ndarray, value: np.ndarray) -> bool:
    # whole numbers are counts: of millions, too, none may be missing
    rtol = 0 if np.array_equal(value, np.round(value)) else 1e-6
    return value.shape == result.shape and np.allclose(result, value, rtol=rtol, atol=1e-6)


def _difference(result: np.ndarray, expected: np.ndarray, case: tuple[Any, ...]) -> str:
    """What a result has wrong that no mistake explains."""
    plain = all(isinstance(argument, int | float) for argument in case)
    given = f" for the arguments {', '.join(map(str, case))}" if plain and case else ""
    if result.shape != expected.shape:
        shapes = ", ".join(str(np.shape(value)) for value in case if not isinstance(value, str))
        given = given or f" for inputs of shape {shapes}"
        return f"It returned shape {result.shape}, expected {expected.shape}{given}."
    if not np.isfinite(result).all():
        return (
            "The result holds NaN or infinite values: an exponential that overflows, a root or "
            "a logarithm of a negative number, a division by 0?"
        )
    worst = np.unravel_index(np.abs(result - expected).argmax(), expected.shape)
    place = f" at index {tuple(map(int, worst))}" if worst else ""
    return f"It returned {result[worst]:.4g}{place}{given}, expected {expected[worst]:.4g}."
