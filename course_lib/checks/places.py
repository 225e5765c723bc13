"""Where in a learner's cell something stopped: the line, as the learner sees it."""

import linecache
import sysconfig
import traceback
from pathlib import Path
from types import TracebackType

#: Folders of code that the learner has not written.
_OTHERS = tuple(
    str(Path(folder).resolve())
    for folder in (
        Path(__file__).parent.parent,
        *(sysconfig.get_path(kind) for kind in ("stdlib", "purelib", "platlib")),
    )
)


def _is_learners(frame: traceback.FrameSummary) -> bool:
    return not frame.filename.startswith(("<frozen", "<__array_function__")) and not str(
        Path(frame.filename).resolve()
    ).startswith(_OTHERS)


def line_of(stack: TracebackType | None) -> tuple[int, str] | None:
    """The last line of the learner's own that a traceback passes through.

    Parameters
    ----------
    stack : traceback
        An exception's ``__traceback__``.

    Returns
    -------
    (int, str) or None
        Its number, from 1, and its text, which is empty where the source is not at hand; None if
        no line is the learner's.
    """
    for frame in reversed(traceback.extract_tb(stack)):
        if _is_learners(frame):
            return frame.lineno, linecache.getline(frame.filename, frame.lineno).strip()
    return None


def ends_in_learners_code(stack: TracebackType | None) -> bool:
    """Whether the exception was raised by a line of the learner's, and not by what it called."""
    frames = traceback.extract_tb(stack)
    return bool(frames) and _is_learners(frames[-1])
