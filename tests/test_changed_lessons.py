"""A lesson goes on whatever a learner changes: cells run twice, other numbers, photographs, seeds.

`make test-changes` runs them; they take as long as all lessons do, four times over.
"""

import ast
import os

import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell

from authoring import build, course
from authoring.course import tags

pytestmark = [pytest.mark.notebooks, pytest.mark.changes]

each_lesson = pytest.mark.parametrize(
    "source", course.lessons(), ids=[path.stem for path in course.lessons()]
)

#: What no learner changes, or what has to fit to something else: how figures are laid out, axes.
LAYOUT = {"axis", "columns", "dim", "fontsize", "height", "markersize", "s", "size", "width"}
#: Numbers that are changed in a lesson.
NUMBERS = 5


def lesson(source):
    """A learner's notebook, and its cells that they may change: not the course's own."""
    notebook = build.make_notebook(source)
    own = {"setup", "exercise", "check", "assertion", "progress"}
    cells = [c for c in notebook.cells if c.cell_type == "code" and not own & set(tags(c))]
    return notebook, cells


def run(notebook, folder, *, strict):
    """Run all, as JupyterLab does: what raises where it should not stops it."""
    environment = {**os.environ, **build.STRICT, "COURSE_STRICT": "1" if strict else ""}
    client = NotebookClient(
        notebook, resources={"metadata": {"path": str(folder)}}, **build.PATIENCE
    )
    client.execute(env=environment)


def numbers(code):
    """Places of the numbers that a learner would change, in order: (line, column, text, value)."""
    found = []
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Assign(targets=[ast.Name()], value=ast.Constant() as constant):
                found.append(constant)
            case ast.keyword(arg=str(name), value=ast.Constant() as constant) if (
                name not in LAYOUT and "seed" not in name
            ):
                found.append(constant)
            case ast.Compare(comparators=[ast.Constant() as constant]):
                found.append(constant)
    return [c for c in found if type(c.value) in (int, float) and c.value > 1]


def replaced(code, constant, text):
    """Code with another text in a constant's place; ast counts columns in bytes."""
    lines = code.split("\n")
    line = lines[constant.lineno - 1].encode()
    line = line[: constant.col_offset] + text.encode() + line[constant.end_col_offset :]
    lines[constant.lineno - 1] = line.decode()
    return "\n".join(lines)


def parsed(cells):
    """Cells with nothing but Python in them."""
    return [cell for cell in cells if not any(x in cell.source for x in ("\n!", "\n%", "raises"))]


def other_number(value):
    return str(round(value * 1.2) + (value < 3) if isinstance(value, int) else value * 1.2)


@each_lesson
def test_every_cell_can_be_run_twice(source, tmp_path):
    notebook, _ = lesson(source)
    cells = []
    for cell in notebook.cells:
        cells.append(cell)
        if cell.cell_type == "code":
            cells.append(new_code_cell(cell.source, metadata=cell.metadata))
    notebook.cells = cells
    run(notebook, tmp_path, strict=True)  # what the text says still holds


@each_lesson
def test_other_numbers_stop_nothing(source, tmp_path):
    notebook, cells = lesson(source)
    places = [(cell, number) for cell in parsed(cells) for number in numbers(cell.source)]
    chosen = places[:: max(1, len(places) // NUMBERS)][:NUMBERS]
    assert chosen
    for cell, number in reversed(chosen):  # from the last, so that places before stay
        cell.source = replaced(cell.source, number, other_number(number.value))
        print(ast.unparse(number), "->", other_number(number.value))
    run(notebook, tmp_path, strict=False)


@each_lesson
def test_another_photograph_stops_nothing(source, tmp_path):
    notebook, cells = lesson(source)
    texts = [
        node.value
        for cell in parsed(cells)
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Constant) and str(node.value).startswith("scenes/")
    ]
    if not texts:
        pytest.skip("no photograph is named")
    first = texts[0]
    other = "scenes/kite" if first != "scenes/kite" else "scenes/dune"
    for cell in cells:
        cell.source = cell.source.replace(f'"{first}"', f'"{other}"')
    run(notebook, tmp_path, strict=False)


@each_lesson
def test_another_seed_stops_nothing(source, tmp_path):
    notebook, cells = lesson(source)
    changed = 0
    for cell in parsed(cells):
        seeds = []
        for node in ast.walk(ast.parse(cell.source)):
            match node:
                case ast.keyword(arg="seed", value=ast.Constant(int()) as constant):
                    seeds.append(constant)
                case ast.Call(
                    func=ast.Attribute(attr="manual_seed" | "default_rng" | "RandomState"),
                    args=[ast.Constant(int()) as constant],
                ):
                    seeds.append(constant)
        for constant in sorted(seeds, key=lambda c: (c.lineno, c.col_offset), reverse=True):
            cell.source = replaced(cell.source, constant, str(constant.value + 11))
            changed += 1
    if not changed:
        pytest.skip("nothing is drawn at random")
    run(notebook, tmp_path, strict=False)
