"""Which exercises are done: a small file on the learner's own machine, and how it is shown.

It is `.colorization-course.json` in the user's home folder; ``COURSE_PROGRESS`` names another
file, and if that is empty, nothing is kept. Nothing is sent anywhere. To begin afresh, delete it.
"""

import importlib
import json
import os
from contextlib import suppress
from pathlib import Path

from course_lib.files import whole_file

_CHECKS = Path(__file__).parent


def progress_file() -> Path | None:
    """The file, which may not be there yet; None if nothing is to be kept."""
    chosen = os.environ.get("COURSE_PROGRESS")
    if chosen is not None:
        return Path(chosen).expanduser() if chosen else None
    try:
        return Path.home() / ".colorization-course.json"
    except RuntimeError:  # a user without a home
        return None


def done() -> dict[str, list[str]]:
    """Names of the checks that have said [ok], by the lesson's number, such as "05".

    Returns
    -------
    dict of str to list of str
        Empty if there is no file, or none that can be read.
    """
    path = progress_file()
    try:
        noted = json.loads(path.read_text(encoding="utf-8")) if path else {}
        return {str(lesson): [str(name) for name in names] for lesson, names in noted.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def note(lesson: str, name: str) -> None:
    """Note that a check has said [ok]; where the file cannot be written, nothing happens."""
    path, noted = progress_file(), done()
    if path is None or name in noted.get(lesson, []):
        return
    noted.setdefault(lesson, []).append(name)
    with suppress(OSError), whole_file(path) as file:
        file.write(json.dumps(noted, indent=1, sort_keys=True).encode())


def _exercises(lesson: str) -> list[str]:
    """Names of a lesson's checks, in its order."""
    module = importlib.import_module(f"course_lib.checks.lesson_{lesson}")
    return [name for name, thing in vars(module).items() if hasattr(thing, "grade")]


def show_progress(lesson: str | None = None) -> None:
    """Print which exercises have been [ok] on this machine.

    Parameters
    ----------
    lesson : str, optional
        The lesson's number, such as "05"; all lessons, a line each, unless given.
    """
    noted = done()
    lessons = [lesson] if lesson else sorted(p.stem[-2:] for p in _CHECKS.glob("lesson_*.py"))
    for number in lessons:
        names = _exercises(number)
        open_ones = [name for name in names if name not in noted.get(number, [])]
        line = f"Lesson {number}: {len(names) - len(open_ones)} of {len(names)} exercises are [ok]"
        print(f"{line}; open: {', '.join(open_ones)}" if lesson and open_ones else line)
