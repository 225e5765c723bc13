"""Every command of the library and of the workshop prints any letter on any console."""

import importlib
import inspect
import io
from contextlib import suppress
from pathlib import Path

import pytest

import course_lib
from authoring import course
from course_lib import environment

ROOT = Path(course_lib.__file__).parents[1]
COMMANDS = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in sorted(ROOT.glob("course_lib/**/*.py"))
    if 'if __name__ == "__main__":' in path.read_text(encoding="utf-8")
]


def printed_after(call, monkeypatch):
    """What letters become on a console that has those of ASCII alone, after a call."""
    console = io.TextIOWrapper(shown := io.BytesIO(), "ascii")
    with monkeypatch.context() as patch:  # in the test itself: pytest sets it before each
        patch.setattr("sys.stdout", console)
        with suppress(SystemExit):
            call()
        print("写真", flush=True)
    return shown.getvalue().splitlines()[-1]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_prints_letters_that_the_console_lacks(monkeypatch, name):
    monkeypatch.setattr(environment, "check_environment", list)
    main = importlib.import_module(name).main
    arguments = [["--help"]][: len(inspect.signature(main).parameters)]
    assert printed_after(lambda: main(*arguments), monkeypatch) == b"\\u5199\\u771f"


def test_all_commands_were_tried():
    assert {"course_lib.__main__", "course_lib.evaluation.__main__", "course_lib.data.public"} < {
        *COMMANDS
    }


def test_scripts_of_the_workshop_do_so_too(monkeypatch):
    assert printed_after(lambda: course.command_line(""), monkeypatch) == b"\\u5199\\u771f"
