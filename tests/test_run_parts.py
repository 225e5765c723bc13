"""`make test`: what it says at its end, and its exit status, with a stand-in for make."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("run_parts.py")


#: Commands that the parts need.
TOOLS = ("chromium", "npm")


def run(tmp_path, *failing, tools=TOOLS, leave_out=""):
    for tool in tools:
        (tmp_path / tool).touch(mode=0o755)
        (tmp_path / f"{tool}.exe").touch()  # what Windows looks for
    make = tmp_path / "make.py"
    make.write_text(
        "import sys\n"
        'print("output of", sys.argv[1])\n'
        f'if sys.argv[1] in {failing}: sys.exit("something is wrong")\n',
        encoding="utf-8",
    )
    command = [sys.executable, SCRIPT, sys.executable, make]
    environment = {**os.environ, "PATH": str(tmp_path), "COURSE_LEAVE_OUT": leave_out}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def table(done):
    """Part to result, from the last lines."""
    lines = done.stdout.split("result\n")[1].splitlines()
    return {line.split()[0]: line[25:] for line in lines}


def test_every_part_is_run_and_listed(tmp_path):
    done = run(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    parts = ["lint", "unit", "test-lessons", "test-solved", "test-site", "test-browser"]
    parts.append("test-teaching")
    assert table(done) == dict.fromkeys(parts, "passed")
    assert all(done.stdout.count(f"output of {part}\n") == 1 for part in parts)


def test_a_slow_part_that_fails_is_named_and_the_others_are_run(tmp_path):
    done = run(tmp_path, "test-solved")
    assert done.returncode == 1 and done.stderr == "failed: test-solved\n"
    assert table(done).pop("test-solved") == "FAILED"
    assert list(table(done).values()).count("passed") == 6
    assert "something is wrong" in done.stdout


@pytest.mark.parametrize("failing", ["lint", "unit"])
def test_while_a_quick_part_fails_the_slow_ones_wait(tmp_path, failing):
    done = run(tmp_path, failing)
    assert done.returncode == 1 and done.stderr.endswith(f"failed: {failing}\n")
    results = table(done)
    assert results[failing] == "FAILED" and list(results.values()).count("passed") == 1
    assert results["test-lessons"] == results["test-teaching"] == "not run"


@pytest.mark.parametrize("missing", TOOLS)
def test_what_this_machine_cannot_run_is_skipped_and_the_table_says_why(tmp_path, missing):
    done = run(tmp_path, tools=[tool for tool in TOOLS if tool != missing])
    assert (done.returncode, done.stderr) == (0, "")
    assert table(done)["test-browser"].startswith(f"skipped: no {missing} here")
    assert "output of test-browser" not in done.stdout


def test_a_part_may_be_left_out(tmp_path):
    done = run(tmp_path, leave_out="test-browser")
    assert (done.returncode, done.stderr) == (0, "")
    assert table(done)["test-browser"] == "skipped: left out by COURSE_LEAVE_OUT"
