"""Run tests many times, several at once, to find what fails by chance.

    OMP_NUM_THREADS=1 python tests/repeat.py 100 4 -k 'processes or shares' tests

runs pytest with these arguments a hundred times, four of them at any time: on a machine with fewer
cores than that they run under load. Run it from the repository's root.
"""

import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor


def _once(number: int, arguments: Sequence[str]) -> bool:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        print(f"run {number} failed:\n{result.stdout}{result.stderr}", flush=True)
    else:
        print(f"run {number}: {result.stdout.strip().splitlines()[-1]}", flush=True)
    return result.returncode == 0


def main(times: str, at_once: str, *arguments: str) -> int:
    """Run pytest; returns the exit status: 0 if no run failed."""
    with ThreadPoolExecutor(int(at_once)) as pool:
        passed = list(pool.map(lambda i: _once(i, arguments), range(1, int(times) + 1)))
    print(f"{passed.count(False)} of {len(passed)} runs failed")
    return int(not all(passed))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
