"""What all commands say on a console."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress


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

    libtiff does so about damaged files. What Python prints in the meantime is lost, too.
    """
    with ExitStack() as stack:
        with suppress(OSError):  # a program without a console has no such descriptor
            before = os.dup(2)
            stack.callback(os.close, before)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            stack.callback(os.close, nowhere)
            os.dup2(nowhere, 2)
            stack.callback(os.dup2, before, 2)
        yield


def one_line(text: object) -> str:
    """A message in one line: what cannot be printed, such as a line break in a name, as a code."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in str(text)
    )
