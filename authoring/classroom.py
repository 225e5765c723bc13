"""Make a course folder for nbgrader: an assignment of each lesson, with points and hidden tests.

    python -m authoring.classroom FOLDER

FOLDER/source/NN_name/NN_name.ipynb is the solved lesson, with the answers' folds left out:

- An exercise becomes a solution cell. The stub that learners get in the solution's place is
  written out after ``### STUB``, so that the teacher sees it too.
- Its check becomes a test cell, which fails unless the answer is right. Its points follow from
  the difficulty that the exercise states.
- Hidden tests go into the same cell, and nbgrader takes them out of what learners get. They are
  in `hidden/lesson_NN.py`: for the check NAME a function ``test_NAME`` of the learner's functions,
  which raises if one is wrong. Each goes into a notebook by itself, so it imports what it needs,
  and draws its input at random, so that no answer can be made to fit it. An exercise without
  hidden tests is graded by its check.
- `marking` runs hidden tests away from the learner's process, and calls the function there: with
  plain data (`plain`), which plain data come back from. Where an answer takes or returns more, a
  network or a loader, ``ask_NAME(function, ...)`` before the test is called with the function, in
  the learner's process, and makes the one from the other. The test calls what it is given in the
  same way, and compares.

FOLDER/nbgrader_config.py is a copy of `class_config.py`. From there on it is nbgrader's work:
generate_assignment, autograde, generate_feedback.
"""

import ast
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbformat import NotebookNode

from authoring import build, course
from authoring.course import tagged, tags

CONFIG = Path(__file__).with_name("class_config.py")
HIDDEN = Path(__file__).with_name("hidden")

#: What an exercise is worth, by its difficulty.
POINTS = {"Easy": 1, "Medium": 2, "Hard": 3, "Open": 3}

EXERCISE = re.compile(r"^### ((?:Exercise \d+|Challenge): .+)\n+\*(\w+), \d+ minutes\.\*", re.M)
LINK = re.compile(r"\]\((\d\d_\w+)\.ipynb")

TEST = '''\
from course_lib.checks import {lesson} as check

check.{name}({answers})
{hidden}assert check.{name}.grade({answers}).status == "ok"'''

#: Where a test cell has its hidden tests.
HIDDEN_TESTS = re.compile(r"^### BEGIN HIDDEN TESTS\n(.*?)^### END HIDDEN TESTS\n", re.M | re.S)


@dataclass(frozen=True)
class Exercise:
    """An exercise as it is graded.

    Attributes
    ----------
    title : str
        "Exercise 1: keep the lightness".
    name : str
        Of its check, and so of its cells: NAME and test_NAME.
    points : int
    hidden : bool
        Whether there are hidden tests.
    """

    title: str
    name: str
    points: int
    hidden: bool


def write_out_stubs(code: str) -> str:
    """A solved exercise's code with the stub of each solution after ``### STUB``, commented out.

    Parameters
    ----------
    code : str
        As in a lesson's source; `build.clear_solution` gives the same for it as for the result.

    Returns
    -------
    str
    """

    def region(match: re.Match) -> str:
        indent, body = match.groups()
        if not build.STUB.search(body):
            commented = re.sub(r"^([ \t]*)(?=\S)", r"\1# ", build.stub(match), flags=re.M)
            body += f"{indent}### STUB\n{commented}"
        return f"{indent}### BEGIN SOLUTION\n{body}{indent}### END SOLUTION\n"

    return build.SOLUTION.sub(region, code + "\n").rstrip("\n")


def hidden_tests(lesson: str) -> dict[str, str]:
    """Hidden tests of a lesson: source by name, with what asks for them.

    Parameters
    ----------
    lesson : str
        Such as "lesson_05".

    Returns
    -------
    dict of str to str
        Empty if there are none.
    """
    path = HIDDEN / f"{lesson}.py"
    if not path.exists():
        return {}
    text = path.read_text(encoding="utf-8")
    sources = _functions(text)
    return {
        name: "\n\n\n".join(filter(None, [sources.get(name.replace("test_", "ask_", 1)), source]))
        for name, source in sources.items()
        if name.startswith("test_")
    }


def _functions(text: str) -> dict[str, str]:
    functions = [n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef)]
    return {function.name: ast.get_source_segment(text, function) for function in functions}


def hidden_test(source: str) -> tuple[str | None, Callable[..., None]]:
    """A hidden test ready to run.

    Parameters
    ----------
    source : str
        As `hidden_tests` gives it.

    Returns
    -------
    ask : str or None
        The source of ``ask_NAME``, if there is one.
    test : callable
        ``test_NAME``.
    """
    sources = _functions(source)
    scope: dict[str, Any] = {}
    exec(source, scope)
    (name,) = (name for name in sources if name.startswith("test_"))
    return sources.get(name.replace("test_", "ask_", 1)), scope[name]


def called(check: str) -> tuple[str, list[str]]:
    """What a check cell asks.

    Parameters
    ----------
    check : str
        Code that ends with ``check.NAME(answers)``.

    Returns
    -------
    name : str
    answers : list of str
        As they are written there.

    Raises
    ------
    ValueError
        If it ends in another way.
    """
    match ast.parse(check).body[-1]:
        case ast.Expr(ast.Call(ast.Attribute(ast.Name("check"), name), answers, [])):
            return name, [ast.unparse(answer) for answer in answers]
    raise ValueError(f"a check cell ends with check.NAME(answers):\n{check}")


def _test_cell(lesson: str, check: str, hidden: str) -> str:
    """Code of a test cell, given that of its check and its hidden tests."""
    name, answers = called(check)
    if hidden:
        hidden = f"### BEGIN HIDDEN TESTS\n{hidden}\n### END HIDDEN TESTS\n"
    return TEST.format(lesson=lesson, name=name, answers=", ".join(answers), hidden=hidden)


def _metadata(grade_id: str, **kind: bool | int) -> dict:
    plain = {
        "schema_version": 3,
        "grade": False,
        "solution": False,
        "locked": False,
        "task": False,
    }
    return {**plain, "grade_id": grade_id, **kind}


def make_assignment(source: Path) -> tuple[NotebookNode, list[Exercise]]:
    """A lesson as nbgrader's source of an assignment, and what it is worth.

    Parameters
    ----------
    source : pathlib.Path
        A py:percent file.

    Returns
    -------
    notebook : nbformat.NotebookNode
        Not executed.
    exercises : list of Exercise
        In the lesson's order.

    Raises
    ------
    ValueError
        If an exercise lacks title, difficulty or check, or a hidden test its exercise.
    """
    lesson = f"lesson_{source.stem[:2]}"
    tests = hidden_tests(lesson)
    solved = iter(tagged(jupytext.read(source), "exercise"))
    notebook = build.make_notebook(source)
    notebook.cells = [cell for cell in notebook.cells if "answer" not in tags(cell)]
    exercises, stated, exercise = [], None, None
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = LINK.sub(r"](../\1/\1.ipynb", cell.source)
            stated = EXERCISE.search(cell.source) or stated
        if "exercise" in tags(cell):
            exercise = cell
            exercise.source = write_out_stubs(next(solved).source)
        if "check" in tags(cell):
            name, _ = called(cell.source)
            if exercise is None or stated is None or stated[2] not in POINTS:
                raise ValueError(
                    f"{source.name}: check.{name} needs a title before it, "
                    '"### Exercise N: ...", a difficulty, "*Easy, 5 minutes.*" or '
                    f"another of {', '.join(POINTS)}, and an exercise cell"
                )
            test = tests.pop(f"test_{name}", "")
            exercises.append(Exercise(stated[1], name, POINTS[stated[2]], bool(test)))
            cell.source = _test_cell(lesson, cell.source, test)
            cell.metadata["nbgrader"] = _metadata(
                f"test_{name}", grade=True, locked=True, points=exercises[-1].points
            )
            # else "Run All" would stop at the first exercise that is not solved yet
            cell.metadata["tags"] = [*tags(cell), "raises-exception"]
            exercise.metadata["nbgrader"] = _metadata(name, solution=True)
            stated = exercise = None
    if tests:
        raise ValueError(f"{lesson}: no check for the hidden {', '.join(tests)}")
    return notebook, exercises


def make_class(folder: Path) -> dict[str, list[Exercise]]:
    """Write the course folder.

    Parameters
    ----------
    folder : pathlib.Path
        New or empty: a class that has begun is left alone.

    Returns
    -------
    dict of str to list of Exercise
        By lesson.

    Raises
    ------
    FileExistsError
        If there is something in the folder.
    """
    graded = {}
    with course.new_folder(folder) as made:
        for source in course.lessons():
            notebook, graded[source.stem] = make_assignment(source)
            assignment = made / "source" / source.stem
            assignment.mkdir(parents=True)
            nbformat.write(notebook, assignment / f"{source.stem}.ipynb")
            for page in course.help_pages():  # the lesson links to them
                shutil.copy(page, assignment)
        shutil.copy(CONFIG, made / "nbgrader_config.py")
    return graded


def table(graded: dict[str, list[Exercise]]) -> str:
    """What each exercise is worth, as text."""
    lines = []
    for lesson, exercises in graded.items():
        lines += ["", f"{lesson}: {sum(e.points for e in exercises)} points"]
        for exercise in exercises:
            hidden = "hidden tests" if exercise.hidden else ""
            lines.append(f"  {exercise.points}  {exercise.title:52}{hidden}".rstrip())
    return "\n".join(lines[1:])


def main() -> None:
    """Make the folder that the command line names."""
    parser = course.command_line(__doc__)
    parser.add_argument("folder", type=Path, help="where; a new or empty folder")
    folder = parser.parse_args().folder.expanduser()
    try:
        graded = make_class(folder)
    except FileExistsError as error:
        sys.exit(str(error))
    print(table(graded))
    print(f"\nIn {folder}, for each assignment: nbgrader generate_assignment NN_name")


if __name__ == "__main__":
    main()
