"""What each lesson costs, run from top to bottom as it ships.

    python -m tests.benchmarks.lessons [NAME ...] [--write]

CPU seconds are those of every process and thread together. They are measured without bfloat16 and
AVX-512, which a learner's laptop seldom has. ``--write`` puts the table into
tests/benchmarks/README.md; without it, it is printed.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from authoring.markers import replace_between
from course_lib.evaluation.summary import markdown_table
from tests.benchmarks.ratios import PAGE, ROOT, machine

LESSONS = ROOT / "notebooks"


def cost(notebook: Path) -> tuple[float, float]:
    """CPU seconds and seconds that running a notebook takes."""
    command = [sys.executable, "-m", "nbconvert", "--execute", "--to", "notebook", "--stdout"]
    start = time.perf_counter()
    process = subprocess.Popen(
        [*command, notebook.name],
        cwd=notebook.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    )
    _, status, usage = os.wait4(process.pid, 0)  # its kernel's seconds are in it
    if status:
        raise RuntimeError(f"{notebook.name} does not run to its end")
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - start


def main() -> None:
    """Measure, and print or write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = sorted(path.stem for path in LESSONS.glob("0*.ipynb"))
    parser.add_argument("names", nargs="*", metavar="NAME", help="all of them if none is named")
    parser.add_argument("--write", action="store_true", help="write README.md")
    options = parser.parse_args()
    if unknown := set(options.names) - set(names):
        parser.error(f"no lesson: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    where, rows = machine(), [["lesson", "CPU seconds", "seconds"]]
    for name in options.names or names:
        cpu, wall = cost(LESSONS / f"{name}.ipynb")
        rows.append([name, f"{cpu:.0f}", f"{wall:.0f}"])
        print(*rows[-1], file=sys.stderr, flush=True)
    text = f"{markdown_table(rows)}\n\n{where} Without bfloat16 and AVX-512."
    print(text)
    if options.write:
        PAGE.write_text(
            replace_between(PAGE.read_text(encoding="utf-8"), "lessons", text), encoding="utf-8"
        )


if __name__ == "__main__":
    main()
