"""Run every part of the tests, and say at the end what ran, how it went and how long it took.

    python tests/run_parts.py make

Style and unit tests come first: while one of them fails, the slow parts are not run. Those go two
at a time, with a thread each: lessons take most of the time, and two of them are done sooner that
way than one after the other with two threads. Each one's output is shown when it has ended, so
that they do not mix. A part that cannot be run on this machine is skipped, and the table says why;
so are those that the environment variable COURSE_LEAVE_OUT names.
The exit status is 1 if a part failed.
"""

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import chain

FIRST = ("lint", "unit")
# What stands together builds the same site, so it runs one after the other.
THEN = (("test-lessons",), ("test-solved",), ("test-site", "test-browser"), ("test-teaching",))

#: What parts need that no Python package brings: any one of these commands, and how to get one.
NEEDS = {
    "test-browser": (
        (("chromium", "chromium-browser"), "no chromium here (Debian: apt-get install chromium)"),
        (("npm",), "no npm here (Debian: apt-get install npm)"),
    )
}


def lack(part: str) -> str:
    """Why a part cannot be run on this machine; empty if it can."""
    if part in os.environ.get("COURSE_LEAVE_OUT", "").split():
        return "left out by COURSE_LEAVE_OUT"
    reasons = [why for names, why in NEEDS.get(part, ()) if not any(map(shutil.which, names))]
    return "; ".join(reasons)


def run(command: list[str], part: str, **options) -> tuple[str, float, bool, str]:
    """Run a part: its name, how many seconds it took, whether it passed, and what it printed."""
    print(f"{part} begins", flush=True)
    start = time.monotonic()
    done = subprocess.run([*command, part], text=True, errors="replace", check=False, **options)
    return part, time.monotonic() - start, done.returncode == 0, done.stdout or ""


def run_chain(command: list[str], parts: tuple[str, ...], **options) -> list[tuple]:
    """Run parts one after the other, but for those that this machine lacks something for."""
    return [run(command, part, **options) for part in parts if not lack(part)]


def main() -> None:
    """Run the parts and print the table."""
    command, results = sys.argv[1:], {}
    for part in FIRST:
        _, seconds, passed, _ = run(command, part)
        results[part] = (seconds, passed)
    if all(passed for _, passed in results.values()):
        options = {
            "env": {**os.environ, "OMP_NUM_THREADS": "1"},
            "stdout": subprocess.PIPE,
            "stderr": subprocess.STDOUT,
        }
        with ThreadPoolExecutor(2) as pool:
            running = [pool.submit(run_chain, command, parts, **options) for parts in THEN]
            for future in as_completed(running):
                for part, seconds, passed, printed in future.result():
                    results[part] = (seconds, passed)
                    print(printed, end="", flush=True)
    print(f"\n{'part':14}{'seconds':>9}  result")
    for part in (*FIRST, *chain.from_iterable(THEN)):
        if part in results:
            seconds, passed = results[part]
            print(f"{part:14}{seconds:9.0f}  {'passed' if passed else 'FAILED'}")
        elif lack(part):
            print(f"{part:14}{'':9}  skipped: {lack(part)}")
        else:
            print(f"{part:14}{'':9}  not run")
    failed = [part for part, (_, passed) in results.items() if not passed]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
