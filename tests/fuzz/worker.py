"""A process that tries the cases whose numbers come in, a line each."""

import os
import sys
import warnings

from tests.fuzz import frame


def _answers():
    """The stream that is read, for the outcomes alone: what a trial itself prints is none."""
    answers = os.fdopen(os.dup(1), "w", 1, encoding="utf-8", errors="replace")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return answers


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    answers = _answers()
    frame.begin(sys.argv[1])
    print("ready", file=answers)
    for line in sys.stdin:
        try:
            print("outcome", frame.one(sys.argv[1], int(line)), file=answers)
        except BaseException as error:
            text = f"{type(error).__name__}: {error}".replace("\n", " ")
            print("fault", text[:300], file=answers)
