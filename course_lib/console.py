"""What all commands say on a console."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path


def accept_any_letter() -> None:
    """Print letters that the console does not have as codes, instead of failing over them.

    A console of Windows may have two hundred letters, and the name of a file any.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def silent_libraries() -> Iterator[None]:
    """Keep libraries written in C from printing errors of their own, for a with statement.

    libtiff does so about damaged files. What Python prints is still seen.
    """
    stderr = sys.stderr
    try:
        ours = stderr.fileno() == 2
        before = os.dup(2)
    except (AttributeError, OSError):  # a program without a console, or a notebook
        yield
        return
    with ExitStack() as stack:
        stack.callback(os.close, before)
        stack.callback(os.dup2, before, 2)
        if ours:
            stderr.flush()
            sys.stderr = os.fdopen(
                os.dup(before), "w", 1, encoding=stderr.encoding, errors=stderr.errors
            )
            stack.callback(setattr, sys, "stderr", stderr)
            stack.callback(sys.stderr.close)
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield


def one_line(text: object) -> str:
    """A message in one line: what cannot be printed, such as a line break in a name, as a code."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in str(text)
    )
