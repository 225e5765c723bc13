"""Run the fuzzers, and write down what happened.

    python -m tests.fuzz [KIND ...] [--share 0.1] [--no-table]

Exit status: 0 if nothing happened that should not, 1 otherwise.
"""

import argparse
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

from tqdm import tqdm

from tests.fuzz import frame

TABLE = Path(__file__).parent / "README.md"
HEAD = """# Fuzzing: what was tried, how often, what happened

Each trial is made from its number alone, so that every run tries the same, and a fault can be
looked at again: `python -c "from tests.fuzz import frame; print(frame.one('pictures', 17))"`. A
fault is an exception that the library does not document, a trial of more than {patience:g}
seconds, a crash, or a file under its final name that is not whole. `make fuzz` runs everything and
writes this page; the unit tests run the first few trials of each kind. `frame.py` says how another
kind joins.

| kind | what | trials | outcomes | faults | with |
|---|---|---|---|---|---|
"""


def row(name: str, result: frame.Result) -> str:
    """A kind's row of the table."""
    count = sum(result.outcomes.values()) + len(result.faults)
    outcomes = ", ".join(f"{outcome} {n:,}" for outcome, n in result.outcomes.most_common())
    with_ = f"Pillow {version('pillow')}, PyTorch {version('torch').partition('+')[0]}, "
    with_ += f"{platform.system()}, Python {platform.python_version()}"
    what = frame.module_of(name).WHAT
    return f"| {name} | {what} | {count:,} | {outcomes} | {len(result.faults):,} | {with_} |"


def main() -> int:
    """Run what the command line names; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Run the fuzzers.")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(frame.KINDS)}")
    parser.add_argument("--share", type=float, default=1.0, help="of the trials (default: all)")
    parser.add_argument("--no-table", action="store_true", help="leave the page as it is")
    options = parser.parse_args()
    if unknown := {*options.kinds} - {*frame.KINDS}:
        parser.error(f"no such kind: {', '.join(sorted(unknown))}")
    rows = {}
    if TABLE.exists():
        lines = TABLE.read_text(encoding="utf-8").splitlines()
        rows = {line.split(" ")[1]: line for line in lines if line.startswith("| ")}
    faults = []
    for name in options.kinds or frame.KINDS:
        count = max(1, round(frame.module_of(name).COUNT * options.share))
        with tqdm(total=count, desc=name, unit="trial") as bar:
            result = frame.run(
                name,
                count,
                workers=os.cpu_count() or 1,
                report=lambda done, bar=bar: bar.update(done - bar.n),
            )
        faults += result.faults
        rows[name] = row(name, result)
        print(rows[name], *result.faults, sep="\n", flush=True)
    if not options.no_table:
        table = "\n".join(rows[name] for name in frame.KINDS if name in rows)
        TABLE.write_text(HEAD.format(patience=frame.PATIENCE) + table + "\n", encoding="utf-8")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
