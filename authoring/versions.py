"""The versions of libraries that the tests run with.

    python -m authoring.versions lock                 write constraints.txt anew
    python -m authoring.versions oldest > oldest.txt  pin what pyproject.toml admits at its oldest

"lock" takes the newest versions that pyproject.toml admits, torch as it is. It needs uv, which it
installs into the running environment: pip alone cannot resolve for other systems and Pythons than
its own. "oldest" prints constraints for `pip install -c oldest.txt -e '.[lab,test]'`, and needs
nothing but Python, since it runs before anything is installed.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = """\
# The exact versions that the tests run with, for every system and Python from 3.10 on.
# Made by `make lock` from pyproject.toml; the graphics card libraries that torch pins itself
# are left out. Used as: pip install -c constraints.txt -e '.[lab,test]'
"""


def oldest(pyproject: str) -> list[str]:
    """Constraints for the requirements in a pyproject.toml's text, those of extras included."""
    # A regular expression, since tomllib is missing from Python 3.10, the oldest of all.
    whole = re.search(r"^dependencies = .*?^\[(?!project\.opt)", pyproject, re.M | re.S).group()
    block = "".join(re.findall(r"\[[^\[\]]*\]", whole))
    pairs = re.findall(r'"([A-Za-z0-9-]+)>=([0-9.]+)"', block)
    if len(pairs) != block.count('"') // 2:
        raise SystemExit("a requirement is not of the form name>=version")
    return [f"{name}=={version}" for name, version in pairs]


def lock() -> None:
    """Write constraints.txt."""
    from course_lib.files import write_text  # here: "oldest" runs where nothing is installed

    path = ROOT / "constraints.txt"
    torch = re.search(r"^torch==\S+", path.read_text(encoding="utf-8"), re.M).group()
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "uv"], check=True)
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "kept.txt"
        kept.write_text(torch + "\n", encoding="utf-8")
        command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--universal"]
        for extra in ("lab", "test", "teach", "fast", "browser"):
            command += ["--extra", extra]
        command += ["--python-version", "3.10"]
        command += ["--no-annotate", "--no-header", "--quiet", "-c", str(kept)]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    lines = [
        line
        for line in done.stdout.splitlines()
        if line and not re.match(r"nvidia|cuda-|triton", line)
    ]
    write_text(path, HEADER + "\n".join(lines) + "\n")


def main() -> None:
    """Do what the command line asks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("lock", "oldest"))
    if parser.parse_args().what == "lock":
        lock()
    else:
        print("\n".join(oldest((ROOT / "pyproject.toml").read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
