"""`make test`: what it says at its end, and its exit status, with a stand-in for make."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("run_parts.py")


def run(tmp_path, *failing):
    make = tmp_path / "make.py"
    make.write_text(
        "import sys\n"
        'print("output of", sys.argv[1])\n'
        f'if sys.argv[1] in {failing}: sys.exit("something is wrong")\n',
        encoding="utf-8",
    )
    command = [sys.executable, SCRIPT, sys.executable, make]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def table(done):
    """Part to result, from the last lines."""
    lines = done.stdout.split("result\n")[1].splitlines()
    return {line.split()[0]: line[25:] for line in lines}


def test_every_part_is_run_and_listed(tmp_path):
    done = run(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    parts = ["lint", "unit", "test-lessons", "test-solved", "test-site", "test-teaching"]
    assert table(done) == dict.fromkeys(parts, "passed")
    assert all(done.stdout.count(f"output of {part}\n") == 1 for part in parts)


def test_a_slow_part_that_fails_is_named_and_the_others_are_run(tmp_path):
    done = run(tmp_path, "test-solved")
    assert done.returncode == 1 and done.stderr == "failed: test-solved\n"
    assert table(done).pop("test-solved") == "FAILED"
    assert list(table(done).values()).count("passed") == 5
    assert "something is wrong" in done.stdout


@pytest.mark.parametrize("failing", ["lint", "unit"])
def test_while_a_quick_part_fails_the_slow_ones_wait(tmp_path, failing):
    done = run(tmp_path, failing)
    assert done.returncode == 1 and done.stderr.endswith(f"failed: {failing}\n")
    results = table(done)
    assert results[failing] == "FAILED" and list(results.values()).count("passed") == 1
    assert results["test-lessons"] == results["test-teaching"] == "not run"
