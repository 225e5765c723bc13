"""What a lesson's text claims, held against what has just run."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from course_lib.checks.places import line_of


@contextmanager
def as_written() -> Iterator[None]:
    """Hold the text of a lesson to what it says, and stop nothing.

    The assertions in the block are what the text around them claims. It was written for the
    lesson's own values: where a learner has changed a number, a photograph or a seed, an assertion
    that fails prints a line that says so, and the lesson goes on. With ``COURSE_STRICT=1`` in the
    environment, as when lessons are built and tested, it fails as usual.
    """
    try:
        yield
    except Exception as error:
        if os.environ.get("COURSE_STRICT", "") not in ("", "0"):
            raise
        _, text = line_of(error.__traceback__) or (0, "")
        what = f":\n       {text.removeprefix('assert ')}" if text else "."
        print(
            "[note] The text here was written for the lesson's original values. With what ran "
            f"now, something that it says does not hold{what}"
        )
