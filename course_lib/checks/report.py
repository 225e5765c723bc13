"""How a check speaks: [todo] for an untouched stub, [ok], or [try again] with the reason."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from course_lib.checks.places import ends_in_learners_code, line_of
from course_lib.checks.progress import note

#: Characters of an error's message that are shown: torch names every key of a network.
_LONGEST = 300


class TryAgain(Exception):  # noqa: N818, it is no error of the program
    """An answer is not right; the message says what was expected and what came."""


class Todo(Exception):  # noqa: N818, likewise
    """An exercise is untouched: the bug that is to be found is still there."""


@dataclass(frozen=True)
class Result:
    """What a check finds.

    Attributes
    ----------
    status : {"todo", "ok", "try again"}
        Untouched stub, right, or not yet right.
    message : str
        For the learner: one or two sentences.
    """

    status: str
    message: str

    def __str__(self) -> str:
        return f"[{self.status}] {self.message}"


class Check(Protocol):
    """A check as `check` makes it: call it to print the result, or ask for it with `grade`."""

    def __call__(self, *answers: Any) -> None:
        """Print the result."""

    def grade(self, *answers: Any) -> Result:
        """Return the result: for tests and for marking."""

    def choose(self, mine: Any, library: Any) -> Any:
        """Return the learner's answer if it is right, else the library's, and print which."""


def check(judge: Callable[..., str]) -> Check:
    """Turn a judge of answers into a check.

    Parameters
    ----------
    judge : callable
        Takes the learner's answers (functions or values). Returns what to say of a right
        answer; raises `TryAgain` for a wrong one, `Todo` for a bug that nobody has touched. The
        random numbers that it draws from torch are not missing afterwards.

    Returns
    -------
    Check
        An answer that is still ``...``, or a function that raises NotImplementedError, is to
        do. Any other exception out of the learner's code makes it "try again" too, and the line
        where it stopped is shown. Called, it notes an answer that is right (`progress`).
    """

    def grade(*answers: Any) -> Result:
        if any(answer is ... for answer in answers):
            return Result("todo", "replace the three dots by your answer, then run this again.")
        if any(_is_librarys(answer) for answer in answers):
            return Result(
                "try again",
                f"that is the library's own {judge.__name__}: a cell further down has imported "
                "it. Run the cell with yours again, then this one.",
            )
        try:
            with torch.random.fork_rng(devices=[]):
                return Result("ok", judge(*answers))
        except Todo as reason:
            return Result("todo", str(reason))
        except TryAgain as reason:
            return Result("try again", str(reason))
        except Exception as error:  # whatever the learner's code raises is for the learner
            if isinstance(error, NotImplementedError) and ends_in_learners_code(
                error.__traceback__
            ):
                return Result(
                    "todo", "write your code where the cell above says so, then run both."
                )
            return Result("try again", _stopped(error))

    def _is_librarys(answer: Any) -> bool:
        return getattr(answer, "__name__", "") == judge.__name__ and str(
            getattr(answer, "__module__", "")
        ).startswith("course_lib.")

    @functools.wraps(judge)
    def run(*answers: Any) -> None:
        result = grade(*answers)
        if result.status == "ok":
            note(judge.__module__[-2:], judge.__name__)
        print(result)

    def choose(mine: Any, library: Any) -> Any:
        right = grade(mine).status == "ok"
        which = "yours" if right else "the library's, until yours is [ok]"
        print(f"{judge.__name__}: {which}")
        return mine if right else library

    run.grade = grade
    run.choose = choose
    return run


def _stopped(error: Exception) -> str:
    """What is said of an exception out of the learner's code."""
    message = " ".join(str(error).split())
    if len(message) > _LONGEST:
        message = message[:_LONGEST].rsplit(maxsplit=1)[0] + " ..."
    what = f"{type(error).__name__}: {message}".removesuffix(": ")
    where = line_of(error.__traceback__)
    if where is None:
        return f"your code stopped with {what}"
    number, text = where
    shown = f", `{text}`," if text else ""
    return f"your code stopped in line {number}{shown} with {what}"


def expect(condition: bool, message: str) -> None:
    """Raise `TryAgain` with the message unless the condition holds."""
    if not condition:
        raise TryAgain(message)
