"""What the checks share: to ask, to read an answer, to compare it, to recognise a mistake."""

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_lib.checks.report import TryAgain, expect

#: What to say to whoever has a wrong result, and that result.
Mistakes = Mapping[str, Any]


def ask(function: Callable, *arguments: Any, **options: Any) -> Any:
    """Call the learner's function with copies, and see that it leaves them as they are.

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
        If it changes an array or a tensor that it was given: a picture that somebody still needs.
    """
    return ask_to_change((), function, *arguments, **options)


def ask_to_change(subjects: Sequence, function: Callable, *arguments: Any, **options: Any) -> Any:
    """Call a function that is to change some of its arguments, and see that it spares the others.

    Parameters
    ----------
    subjects : sequence
        The function's first arguments, such as a network and its optimizer: those it gets
        themselves.
    function : callable
        The learner's.
    *arguments, **options
        For the function, after the subjects: of those it gets copies.

    Returns
    -------
    object
        Whatever it returns.

    Raises
    ------
    TryAgain
        As for `ask`, if it changes an array or a tensor among the arguments and options.
    """
    given, named = copy.deepcopy((arguments, options))
    got = function(*subjects, *given, **named)
    before, after = (*arguments, *options.values()), (*given, *named.values())
    for number, (one, other) in enumerate(zip(before, after, strict=True)):
        if not _unchanged(one, other):
            if number < len(arguments):
                name = _name_of(function, len(subjects) + number)
            else:
                name = list(options)[number - len(arguments)]
            raise TryAgain(
                f"your function changes its argument {name} itself, which its caller may still "
                "need. Work on a copy, or compute something new."
            )
    return got


def _unchanged(before: Any, after: Any) -> bool:
    """Whether arrays and tensors, in lists and tables too, are as they were."""
    if isinstance(before, Tensor):
        same = before.shape == after.shape and before.dtype == after.dtype
        return same and torch.equal(before.nan_to_num(), after.nan_to_num())
    if isinstance(before, np.ndarray):
        numbers = before.dtype.kind in "fc"
        return before.dtype == after.dtype and np.array_equal(before, after, equal_nan=numbers)
    if isinstance(before, Mapping):
        return before.keys() == after.keys() and all(
            _unchanged(before[k], after[k]) for k in before
        )
    if isinstance(before, list | tuple):
        return len(before) == len(after) and all(map(_unchanged, before, after))
    return True  # of a network or a loader, that is for the check to say


def _name_of(function: Callable, place: int) -> str:
    """What a function calls an argument; its number where it does not say."""
    try:
        return list(inspect.signature(function).parameters)[place]
    except (TypeError, ValueError, IndexError):
        return f"number {place + 1}"


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
    values = np.asarray(_plain(got))
    if values.dtype == object or not (
        np.issubdtype(values.dtype, np.number) or values.dtype == bool
    ):
        raise TryAgain(f"{what}: expected an array of numbers, got {type(got).__name__}")
    if values.shape != shape:
        raise TryAgain(f"{what}: expected shape {shape}, got {values.shape}")
    if not np.isfinite(values).all():
        raise TryAgain(f"{what} holds values that are not finite (nan or infinity)")
    return values


def _plain(got: Any) -> Any:
    """A result with arrays in the place of tensors."""
    if isinstance(got, Tensor):
        got = got.detach().cpu()
        return (got.float() if got.dtype == torch.bfloat16 else got).numpy()  # NumPy lacks that
    return [_plain(part) for part in got] if isinstance(got, list | tuple) else got


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
    sentence = recognise(values, mistakes or {}, tolerance) or _too_narrow(got)
    expected, came = _told_apart(truth[place], values[place])
    raise TryAgain(
        f"{what}{where}: expected {expected}, got {came}"
        + (f": {sentence}" if sentence else f". {hint}".rstrip())
    )


def _told_apart(one: float, other: float) -> tuple[str, str]:
    """Two numbers that differ, each with as few digits as show it, four at least."""
    for digits in count(4):
        texts = f"{one:.{digits}g}", f"{other:.{digits}g}"
        if texts[0] != texts[1] or digits > 17:
            return texts


def _too_narrow(got: Any) -> str:
    """What to say of numbers of eight bits, which wrap around; empty if they are not."""
    kind = np.asarray(_plain(got)).dtype
    if kind not in (np.uint8, np.int8):
        return ""
    limits = np.iinfo(kind)
    return (
        f"your result is of type {kind}, which holds whole numbers from {limits.min} to "
        f"{limits.max} and starts over beyond them. Make it float first."
    )
