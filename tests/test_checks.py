"""Every exercise of every lesson: its solution, its stub, and wrong answers to it.

The exercises are found by their check cells in the lessons' sources. Wrong answers are in
``test_checks_NN.py`` of each lesson, in WRONG: exercise to pairs of an answer and of a text that
the check's message must hold. Where a check takes several answers, an answer is a tuple of them.
"""

import ast
import importlib
from functools import cache

import jupytext
import pytest

from authoring import course
from tests.lesson import defined_in

#: Wrong answers that each exercise has at least.
LEAST = 3


def exercises():
    """Of each check cell: the lesson, the check's name, and the names of the answers."""
    found = []
    for source in course.lessons():
        for cell in course.tagged(jupytext.read(source), "check"):
            (call,) = [
                node
                for node in ast.walk(ast.parse(cell.source))
                if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("check.")
            ]
            answers = [argument.id for argument in call.args]
            found.append((source.stem, call.func.attr, answers))
    return found


def wrong_answers():
    return [
        pytest.param(
            lesson, name, answer if len(names) > 1 else (answer,), advice, id=f"{name}-{advice}"
        )
        for lesson, name, names in EXERCISES
        for answer, advice in table_of(lesson, "WRONG").get(name, [])
    ]


def table_of(lesson, table):
    """A table of the lesson's own tests; empty if it has none."""
    module = f"tests.test_checks_{lesson[:2]}"
    if importlib.util.find_spec(module) is None:
        return {}
    return getattr(importlib.import_module(module), table, {})


@cache
def bound(lesson, solved):
    """What a lesson's cells bind, and what its tests give beside that."""
    names = defined_in(lesson, solved=solved)
    names.update(table_of(lesson, "GIVEN"))
    return names


def checks_of(lesson):
    return importlib.import_module(f"course_lib.checks.lesson_{lesson[:2]}")


EXERCISES = exercises()
each = pytest.mark.parametrize(
    ("lesson", "name", "answers"), EXERCISES, ids=[name for _, name, _ in EXERCISES]
)


@each
@pytest.mark.parametrize(("solved", "status"), [(True, "ok"), (False, "todo")])
def test_the_solution_passes_and_the_stub_is_to_do(lesson, name, answers, solved, status):
    given = [bound(lesson, solved)[answer] for answer in answers]
    result = getattr(checks_of(lesson), name).grade(*given)
    assert result.status == status, result


@each
def test_the_exercise_has_wrong_answers(lesson, name, answers):
    assert len(table_of(lesson, "WRONG").get(name, [])) >= LEAST, (
        f'add wrong answers to WRONG["{name}"] in tests/test_checks_{lesson[:2]}.py'
    )


@pytest.mark.parametrize(("lesson", "name", "answers", "advice"), wrong_answers())
def test_a_wrong_answer_is_told_why(lesson, name, answers, advice):
    result = getattr(checks_of(lesson), name).grade(*answers)
    assert result.status == "try again" and advice in result.message, result


@pytest.mark.parametrize("lesson", [source.stem for source in course.lessons()])
def test_every_check_and_every_wrong_answer_is_that_of_an_exercise(lesson):
    asked = {name for of, name, _ in EXERCISES if of == lesson}
    written = {name for name, thing in vars(checks_of(lesson)).items() if hasattr(thing, "grade")}
    assert written == asked and set(table_of(lesson, "WRONG")) == asked
