"""What all commands say on a console."""

import sys


def accept_any_letter() -> None:
    """Print letters that the console does not have as codes, instead of failing over them.

    A console of Windows may have two hundred letters, and the name of a file any.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def one_line(text: object) -> str:
    """A message in one line: what cannot be printed, such as a line break in a name, as a code."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in str(text)
    )
