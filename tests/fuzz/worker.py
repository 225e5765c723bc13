"""A process that tries the cases whose numbers come in, a line each."""

import sys
import warnings

from tests.fuzz import frame

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    frame.module_of(sys.argv[1])
    print("ready", flush=True)
    for line in sys.stdin:
        try:
            print("outcome", frame.one(sys.argv[1], int(line)), flush=True)
        except BaseException as error:
            text = f"{type(error).__name__}: {error}".replace("\n", " ")
            print("fault", text[:300], flush=True)
