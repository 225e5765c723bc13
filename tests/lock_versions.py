"""Write constraints.txt anew: the newest versions that pyproject.toml admits, torch as it is.

Needs uv, which it installs into the running environment: pip alone cannot resolve for other
systems and Pythons than its own.
"""

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


def main() -> None:
    lock = ROOT / "constraints.txt"
    torch = re.search(r"^torch==\S+", lock.read_text(encoding="utf-8"), re.M).group()
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "uv"], check=True)
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "kept.txt"
        kept.write_text(torch + "\n", encoding="utf-8")
        command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--universal"]
        command += ["--extra", "lab", "--extra", "test", "--extra", "teach"]
        command += ["--python-version", "3.10"]
        command += ["--no-annotate", "--no-header", "--quiet", "-c", str(kept)]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    lines = [
        line
        for line in done.stdout.splitlines()
        if line and not re.match(r"nvidia|cuda-|triton", line)
    ]
    lock.write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
