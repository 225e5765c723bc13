"""What all checks share: how they speak, what they note, and what a lesson goes on with."""

import json
import linecache
import types

import pytest
import torch

from course_lib.checks import progress
from course_lib.checks.answers import expect_order
from course_lib.checks.prose import as_written
from course_lib.checks.report import TryAgain, check, expect


@check
def double(function):
    """Whether the answer doubles a number."""
    expect(function(3) == 6, "three doubled is six")
    return "doubled."


def library(x):
    return 2 * x


def stub(x):
    raise NotImplementedError


def test_the_learners_answer_is_used_once_it_is_right(capsys):
    def mine(x):
        return x + x

    assert double.choose(mine, library) is mine
    assert "double: yours" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [stub, ..., lambda x: x])
def test_the_librarys_is_used_until_then(wrong, capsys):
    assert double.choose(wrong, library) is library
    assert "double: the library's, until yours is [ok]" in capsys.readouterr().out


def test_an_order_may_be_written_with_spaces_and_in_small_letters():
    expect_order("d, b a c", "DBAC", "the loop")


@pytest.mark.parametrize(
    ("answer", "advice"),
    [("DABC", "line 2 cannot be A. B first."), ("DBA", "each of the letters"), (3, "letters")],
)
def test_a_wrong_order_is_told_at_its_first_wrong_line(answer, advice):
    with pytest.raises(TryAgain, match=advice.replace(".", r"\.")):
        expect_order(answer, "DBAC", "the loop", {"B": "B first."})


def cell(code, name="/tmp/ipykernel_1/2.py"):
    """What a notebook's cell defines, with its source at hand as in a notebook."""
    names = {"torch": torch, "as_written": as_written}
    linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
    exec(compile(code, name, "exec"), names)
    return types.SimpleNamespace(**names)


def test_the_line_is_shown_where_the_learners_code_stopped():
    code = "def double(x):\n    y = torch.ones(2)\n    return y.view(3) * x\n"
    message = double.grade(cell(code).double).message
    assert message.startswith(
        "your code stopped in line 3, `return y.view(3) * x`, with RuntimeError: shape"
    )


def test_a_long_message_is_cut():
    def talks(x):
        raise ValueError("key " * 1000)

    assert len(double.grade(talks).message) < 500


def test_a_function_of_a_library_that_is_not_implemented_is_no_untouched_stub():
    code = "def double(x):\n    return torch.nn.Module()(x)\n"
    result = double.grade(cell(code).double)
    assert result.status == "try again" and "line 2" in result.message


def test_the_librarys_own_function_in_the_place_of_the_learners_is_not_called_ok():
    def covered(x):
        return 2 * x

    covered.__name__, covered.__module__ = "double", "course_lib.arithmetic"
    result = double.grade(covered)
    assert result.status == "try again" and "library's own double" in result.message
    covered.__name__ = "twice"
    assert double.grade(covered).status == "ok"


@pytest.fixture
def noted(tmp_path, monkeypatch):
    """The file in which progress is kept."""
    path = tmp_path / "done.json"
    monkeypatch.setenv("COURSE_PROGRESS", str(path))
    return path


def test_an_exercise_that_was_ok_once_stays_done(noted, capsys):
    for answer in (..., lambda x: x, lambda x: 2 * x, lambda x: 2 * x, ...):
        double(answer)
    assert list(progress.done().values()) == [["double"]]
    assert "[todo]" in capsys.readouterr().out.splitlines()[-1]


def test_marking_and_the_choice_of_a_function_note_nothing(noted):
    double.grade(lambda x: 2 * x)
    double.choose(lambda x: 2 * x, library)
    assert not noted.exists()


def test_how_much_is_done_is_shown_for_a_lesson_and_for_all(noted, capsys):
    noted.write_text(json.dumps({"00": ["from_colour", "an old name"]}))
    progress.show_progress("00")
    assert capsys.readouterr().out == (
        "Lesson 00: 1 of 3 exercises are [ok]; open: my_photo, mean_difference\n"
    )
    progress.show_progress()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Lesson 00: 1 of 3 exercises are [ok]" and len(lines) == 8


@pytest.mark.parametrize("content", ["", "[1]", "null", '{"00": 3}', "\x00"])
def test_a_file_that_cannot_be_read_is_a_fresh_start(noted, content):
    noted.write_text(content)
    assert progress.done() == {}
    progress.note("00", "my_photo")
    assert progress.done() == {"00": ["my_photo"]}


def test_where_nothing_may_be_kept_or_written_nothing_happens(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "not" / "there.json"))
    progress.note("00", "my_photo")
    monkeypatch.setenv("COURSE_PROGRESS", "")
    progress.note("00", "my_photo")
    assert progress.done() == {} and not list(tmp_path.iterdir())


CLAIMS = "x = 3\nwith as_written():\n    assert x > 0\n    assert x < 2\nafter = True\n"


def test_a_claim_that_does_not_hold_any_more_is_told_and_stops_nothing(monkeypatch, capsys):
    monkeypatch.delenv("COURSE_STRICT")
    assert cell(CLAIMS).after
    said = capsys.readouterr().out
    assert said.startswith("[note] The text here was written for the lesson's original values.")
    assert said.endswith("\n       x < 2\n")


def test_a_claim_is_held_where_lessons_are_built_and_silent_where_it_holds(monkeypatch, capsys):
    with pytest.raises(AssertionError):
        cell(CLAIMS)
    cell(CLAIMS.replace("x < 2", "x < 9"))
    assert capsys.readouterr().out == ""
