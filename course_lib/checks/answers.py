"""What the checks share: to ask, to read an answer, to compare it, to recognise a mistake."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_lib.checks.report import TryAgain, expect

#: What to say to whoever has a wrong result, and that result.
Mistakes = Mapping[str, Any]


def ask(function: Callable, *arguments: Any, **options: Any) -> Any:
    """Call the learner's function with copies, so that it cannot change what it is asked about.

    Parameters
    ----------
    function : callable
        The learner's.
    *arguments, **options
        For the function.

    Returns
    -------
    object
        Whatever it returns.

    Raises
    ------
    TryAgain
        If it has changed an array or a tensor that it was given: the caller's would change too.
    """
    given = copy.deepcopy(arguments)
    answer = function(*given, **options)
    expect(
        all(map(_unchanged, arguments, given)),
        "the function changes what it is given, in place (as with += or x[...] = ...), and so the "
        "caller's own. Work on a copy, or make a new array.",
    )
    return answer


def _unchanged(before: Any, after: Any) -> bool:
    """Whether arrays and tensors, in lists too, are still the same; of other things, yes."""
    if isinstance(before, list | tuple):
        return len(before) == len(after) and all(map(_unchanged, before, after))
    if isinstance(before, Tensor):
        return before.shape == after.shape and bool(
            torch.equal(before.nan_to_num(), after.nan_to_num())
        )
    if isinstance(before, np.ndarray):
        return np.array_equal(before, after, equal_nan=before.dtype.kind in "fc")
    return True


def quoted(choices: Sequence, last: str = "or") -> str:
    """Choices as a sentence has them: ``"A", "B" or "C"``."""
    words = [f'"{choice}"' if isinstance(choice, str) else str(choice) for choice in choices]
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def choose(answer: Any, choices: Sequence) -> Any:
    """Which of the choices an answer is; of texts, case and outer spaces do not matter.

    Parameters
    ----------
    answer : object
        The learner's.
    choices : sequence of str or int
        Two or more.

    Returns
    -------
    str or int
        One of the choices.

    Raises
    ------
    TryAgain
        If it is none of them; the message names them.
    """
    plain = answer.strip().lower() if isinstance(answer, str) else answer
    for choice in choices:
        if plain == (choice.lower() if isinstance(choice, str) else choice):
            return choice
    raise TryAgain(f"answer with one of {quoted(choices)}; got {answer!r}.")


def expect_order(answer: Any, right: str, what: str, why: Mapping[str, str] | None = None) -> None:
    """Raise `TryAgain` unless lettered lines have been put into the right order.

    Parameters
    ----------
    answer : object
        The learner's: letters such as ``"DBAC"``; case, spaces and commas do not matter.
    right : str
        The letters in order, each once.
    what : str
        What the lines do together, for the message.
    why : mapping of str to str, optional
        By letter, why that line belongs where it does: said of the first line that is wrong.
    """
    expect(isinstance(answer, str), f'{what}: answer with letters, such as "{min(right)}..."')
    letters = "".join(letter for letter in answer.upper() if letter.isalnum())
    expect(
        sorted(letters) == sorted(right),
        f"{what}: use each of the letters {', '.join(sorted(right))} once; got {answer!r}.",
    )
    for place, (given, true) in enumerate(zip(letters, right, strict=True), 1):
        reason = (why or {}).get(true, "")
        expect(given == true, f"{what}: line {place} cannot be {given}. {reason}".rstrip())


def expect_returned(got: Any, what: str) -> None:
    """Raise `TryAgain` if the learner's function has returned nothing."""
    expect(got is not None, f"{what} is None: does your function end in return?")


def expect_two(got: Any, what: str) -> tuple[Any, Any]:
    """The two parts of an answer; `what` goes on after "expected", such as "two tensors"."""
    expect_returned(got, "the answer")
    expect(
        isinstance(got, tuple | list) and len(got) == 2,
        f"expected {what}; got {type(got).__name__}.",
    )
    return got[0], got[1]


def expect_tensor(got: Any, what: str) -> Tensor:
    """The answer, if it is a tensor; else `TryAgain` with its name, `what`."""
    expect_returned(got, what)
    expect(
        isinstance(got, Tensor),
        f"{what}: expected a tensor, got {type(got).__name__}. Return a torch tensor.",
    )
    return got


def expect_array(got: Any, shape: tuple[int, ...], what: str) -> np.ndarray:
    """The answer as an array of finite numbers in the expected shape.

    Parameters
    ----------
    got : array or torch.Tensor
        The learner's result.
    shape : tuple of int
        What its shape must be.
    what : str
        What to call it in the message.

    Returns
    -------
    numpy.ndarray

    Raises
    ------
    TryAgain
        If it is something else; the message says what came.
    """
    expect_returned(got, what)
    if hasattr(got, "detach"):
        got = got.detach().cpu().numpy()
    values = np.asarray(got)
    if values.dtype == object or not (
        np.issubdtype(values.dtype, np.number) or values.dtype == bool
    ):
        raise TryAgain(f"{what}: expected an array of numbers, got {type(got).__name__}")
    if values.shape != shape:
        raise TryAgain(f"{what}: expected shape {shape}, got {values.shape}")
    if not np.isfinite(values).all():
        raise TryAgain(f"{what} holds values that are not finite (nan or infinity)")
    return values


def expect_number(got: Any, what: str) -> float:
    """The answer as a single finite number; else `TryAgain` with its name, `what`."""
    expect_returned(got, what)
    return float(expect_array(got, (), f"{what}, a single number"))


def recognise(got: Any, mistakes: Mistakes, tolerance: float) -> str:
    """What to say to a wrong answer that equals what a well-known mistake gives.

    Parameters
    ----------
    got : number or array
        The learner's result, which is not right.
    mistakes : mapping of str to number or array
        What to say of each mistake, and what it gives; the first that fits counts.
    tolerance : float
        Largest absolute difference; a thousandth of the value is allowed beside it.

    Returns
    -------
    str
        Empty if no mistake fits.
    """
    values = np.asarray(got, dtype=np.float64)
    for sentence, wrong in mistakes.items():
        other = np.asarray(wrong, dtype=np.float64)
        if other.shape == values.shape and np.allclose(values, other, rtol=1e-3, atol=tolerance):
            return sentence
    return ""


def _apart(expected: float, got: float) -> str:
    """Two numbers with as many digits as it takes to see that they differ."""
    for digits in (4, 6, 9, 17):
        texts = f"{expected:.{digits}g}", f"{got:.{digits}g}"
        if texts[0] != texts[1]:
            break
    return f"{texts[0]}, got {texts[1]}"


def expect_close(
    got: Any,
    expected: Any,
    what: str,
    tolerance: float,
    hint: str = "",
    mistakes: Mistakes | None = None,
) -> None:
    """Raise `TryAgain` unless all values agree within a tolerance.

    The message says where they differ most, what was expected there and what came, and which
    mistake gives just that.

    Parameters
    ----------
    got, expected : number or array
        The learner's result, and the truth; of one shape.
    what : str
        What to call it in the message.
    tolerance : float
        Largest absolute difference.
    hint : str
        For those whose mistake is none of these.
    mistakes : mapping of str to number or array, optional
        As for `recognise`.
    """
    truth = np.asarray(expected, dtype=np.float64)
    values = expect_array(got, truth.shape, what).astype(np.float64)
    error = np.abs(values - truth)
    if not error.size or error.max() <= tolerance:
        return
    place = np.unravel_index(error.argmax(), error.shape)
    where = f" at {tuple(int(i) for i in place)}" if place else ""
    sentence = recognise(values, mistakes or {}, tolerance)
    raise TryAgain(
        f"{what}{where}: expected {_apart(truth[place], values[place])}"
        + (f": {sentence}" if sentence else f". {hint}".rstrip())
    )
