"""Guards over the lessons that nbval does not stand: form, freshness, solved notebooks."""

import ast
import re
import symtable
from itertools import pairwise
from pathlib import Path

import jupytext
import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

from authoring import build, course
from authoring.course import LESSONS, NOTEBOOKS, ROOT, figures, read, tagged

SOURCES = course.lessons()
TAGS = {"setup", "navigation", "exercise", "check", "hint", "answer", "assertion", "progress"} | {
    "nbval-ignore-output",
    "nbval-check-output",
    "nbval-skip",
    "pictures-vary",
    "raises-exception",
}
MEGABYTES = 2

each_lesson = pytest.mark.parametrize("name", [path.stem for path in SOURCES])


def printed(cell):
    return "".join(o.text for o in cell.outputs if o.output_type == "stream")


def html(output):
    return output.get("data", {}).get("text/html", "")


def prose(notebook):
    text = "\n\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    return re.sub(r"```.*?```", "", text, flags=re.S)


def test_every_source_has_its_notebook_and_no_notebook_is_left_over():
    assert {p.stem for p in SOURCES} == {p.stem for p in NOTEBOOKS.glob("*.ipynb")}
    assert SOURCES


@each_lesson
def test_the_committed_notebook_is_fresh(name):
    assert build.staleness(LESSONS / f"{name}.py") == "", "run: make notebooks"


def test_learners_see_lessons_and_their_pages_and_nothing_else():
    made_by_use = {"out", ".ipynb_checkpoints"}
    pages = {course.notebook_of(path.stem).name for path in SOURCES}
    assert {p.name for p in NOTEBOOKS.iterdir()} - made_by_use == pages | {
        "README.md",
        "common_errors.md",
        "glossary.md",
    }


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A course of one lesson that has just been built, whose parts a test may change."""
    for name in ("authoring/lessons", "notebooks", "data/photos", "data/weights"):
        (tmp_path / name).mkdir(parents=True)
    source = tmp_path / "authoring" / "lessons" / SOURCES[0].name
    source.write_bytes(SOURCES[0].read_bytes())
    (tmp_path / "data" / "photos" / "photos.csv").write_text("file,sha256\n", encoding="utf-8")
    (tmp_path / "data" / "weights" / "eccv16-course.safetensors").write_bytes(b"trained")
    places = {
        "ROOT": tmp_path,
        "NOTEBOOKS": tmp_path / "notebooks",
        "LESSONS": source.parent,
        "DATA": tmp_path / "data",
    }
    for name, place in places.items():
        monkeypatch.setattr(course, name, place)
    notebook = build.make_notebook(source)
    notebook.metadata[course.RECORD] = build.built_from(source)
    nbformat.write(notebook, course.notebook_of(source.stem))
    assert build.staleness(source) == ""
    return source


@pytest.mark.parametrize(
    ("file", "addition"),
    [
        ("data/weights/eccv16-course.safetensors", " further"),
        ("data/photos/photos.csv", "moss.jpg,1f\n"),
    ],
)
def test_a_notebook_is_stale_when_what_it_shows_was_made_from_something_else(copy, file, addition):
    with (course.ROOT / file).open("a", encoding="utf-8") as changed:
        changed.write(addition)
    assert build.staleness(copy) == f"{copy.stem} is stale: {file}"


def test_a_notebook_is_stale_when_the_source_or_the_library_is_another(copy, monkeypatch):
    monkeypatch.setattr(build, "__version__", "99.0")
    assert build.staleness(copy) == f"{copy.stem} is stale: course_lib"
    with copy.open("a", encoding="utf-8") as source:
        source.write("\n# One word more.\n")
    said = f"{copy.stem} is stale: authoring/lessons/{copy.name}, course_lib, its cells"
    assert build.staleness(copy) == said


def test_weights_of_a_network_that_is_new_make_nothing_stale(copy):
    (course.DATA / "weights" / "another-course.safetensors").write_bytes(b"new")
    assert build.staleness(copy) == ""


def test_a_notebook_that_was_edited_by_hand_or_never_built_is_stale(copy):
    notebook = course.read(copy.stem)
    notebook.cells[-1].source += "!"
    nbformat.write(notebook, course.notebook_of(copy.stem))
    assert build.staleness(copy) == f"{copy.stem} is stale: its cells"
    del notebook.metadata[course.RECORD]
    nbformat.write(notebook, course.notebook_of(copy.stem))
    assert "no record of what it was built from" in build.staleness(copy)
    course.notebook_of(copy.stem).unlink()
    assert build.staleness(copy) == f"{copy.stem} has no notebook"


@each_lesson
def test_it_was_run_in_order_without_an_error(name):
    code = [c for c in read(name).cells if c.cell_type == "code"]
    assert [c.execution_count for c in code] == list(range(1, len(code) + 1))
    for cell in code:
        if "raises-exception" not in cell.metadata.get("tags", []):
            assert all(o.output_type != "error" for o in cell.outputs), cell.source
    # nbval passes on a notebook that was stripped; a lesson shows something in most cells
    assert sum(bool(c.outputs) for c in code) > len(code) / 3


@each_lesson
def test_it_is_small_and_holds_nothing_that_changes_from_run_to_run(name):
    path = course.notebook_of(name)
    assert path.stat().st_size <= MEGABYTES * 1e6
    notebook = read(name)
    assert "widgets" not in notebook.metadata
    assert set(notebook.metadata) == {"kernelspec", "language_info", "title", course.RECORD}
    for cell in notebook.cells:
        assert set(cell.metadata.get("tags", [])) <= TAGS, cell.metadata
        assert "execution" not in cell.metadata
    ids = [cell.id for cell in notebook.cells]
    assert len(ids) == len(set(ids))


@each_lesson
def test_no_output_shows_a_warning_or_a_path_of_the_machine_it_was_built_on(name):
    for cell in read(name).cells:
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":  # a command's own error message may be shown
                assert "Warning" not in output.text and "it/s" not in output.text, output.text
            data = output.get("data", {})
            text = output.get("text", "") + data.get("text/plain", "") + data.get("text/html", "")
            assert str(ROOT) not in text and str(Path.home()) not in text, text


def test_the_first_code_cell_is_the_same_in_every_lesson_and_shows_nothing():
    for notebook in (read(path.stem) for path in SOURCES):
        first = next(cell for cell in notebook.cells if cell.cell_type == "code")
        assert tagged(notebook, "setup") == [first]
        assert first.source == build.setup(course.published())
        assert first.outputs == []


@each_lesson
def test_headings_are_in_order(name):
    levels = [len(m) for m in re.findall(r"^(#+) ", prose(read(name)), re.M)]
    assert levels[0] == 1 and levels.count(1) == 1
    for above, below in pairwise(levels):
        assert below <= above + 1


@each_lesson
def test_it_says_what_it_is_and_how_long_it_takes(name):
    text = prose(read(name))
    for part in ("You will do", "You will learn", "You need", "minutes", "## Summary"):
        assert part in text, part
    assert "## Further reading" in text or name.startswith("00")


@each_lesson
def test_every_picture_can_be_read_aloud(name):
    for cell in read(name).cells:
        for output in cell.get("outputs", []):
            # a picture stands in HTML, which holds its description; nbval would compare SVG
            assert not any(kind.startswith("image/") for kind in output.get("data", {}))
        said = [o.data["text/plain"] for o in cell.get("outputs", []) if "<img" in html(o)]
        assert said == [f"[figure] {alt}" for _, alt in figures(cell)]
        assert all(len(alt.split()) >= 5 for _, alt in figures(cell))
    for alt in re.findall(r"!\[(.*?)\]\(", prose(read(name))):
        assert len(alt.split()) >= 5, alt
    assert "<img" not in prose(read(name))


@each_lesson
def test_figures_are_followed_or_led_by_words(name):
    cells = [c for c in read(name).cells if "assertion" not in c.metadata.get("tags", [])]
    for i, cell in enumerate(cells):
        if figures(cell):
            around = cells[max(0, i - 1) : i] + cells[i + 1 : i + 2]
            assert any(c.cell_type == "markdown" for c in around), cell.source


@each_lesson
def test_exercises_come_with_check_hint_and_answer(name):
    notebook = read(name)
    count = len(tagged(notebook, "exercise"))
    assert count >= (0 if name.startswith("00") else 3)
    for tag in ("check", "hint", "answer"):
        assert len(tagged(notebook, tag)) == count, tag
    source = jupytext.read(LESSONS / f"{name}.py")
    for cell, solved in zip(tagged(notebook, "exercise"), tagged(source, "exercise"), strict=True):
        assert "### " not in cell.source
        assert cell.source == build.clear_solution(solved.source)
        assert cell.source != build.show_solution(solved.source)
        if "### STUB" not in solved.source:  # else the stub is the bug that is to be found
            assert "NotImplementedError" in cell.source or "= ..." in cell.source


@each_lesson
def test_code_cells_are_short(name):
    for cell in read(name).cells:
        if cell.cell_type == "code" and not set(cell.metadata.get("tags", [])) & {
            "exercise",
            "assertion",
            "setup",
        }:
            lines = [line for line in cell.source.splitlines() if line.strip()]
            assert len(lines) <= 14, cell.source


@each_lesson
def test_no_progress_bar_is_stored(name):
    for cell in read(name).cells:
        for output in cell.get("outputs", []):
            shown = output.get("text", "") + output.get("data", {}).get("text/plain", "")
            assert "it/s]" not in shown and "?it" not in shown, cell.source


@each_lesson
def test_internal_links_lead_somewhere(name):
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", prose(read(name))):
        assert (NOTEBOOKS / target).exists(), target


@each_lesson
def test_every_check_is_still_to_do_for_a_learner(name):
    for cell in tagged(read(name), "check"):
        assert printed(cell).startswith("[todo]"), cell.source


@pytest.mark.notebooks
@each_lesson
def test_the_solved_lesson_passes_every_check_in_any_folder(name, tmp_path):
    notebook = build.make_notebook(LESSONS / f"{name}.py", solved=True)
    build.execute(notebook, tmp_path)
    checks = tagged(notebook, "check")
    assert len(checks) == len(tagged(notebook, "exercise"))
    for cell in checks:
        assert printed(cell).startswith("[ok]"), cell.source + "\n" + printed(cell)


def test_a_solution_in_a_function_becomes_a_stub():
    solved = (
        'def f(x):\n    """Docs."""\n    ### BEGIN SOLUTION\n    return x\n    ### END SOLUTION'
    )
    assert build.clear_solution(solved) == (
        'def f(x):\n    """Docs."""\n    # YOUR CODE HERE\n    raise NotImplementedError'
    )
    assert build.show_solution(solved) == 'def f(x):\n    """Docs."""\n    return x'


def test_a_solution_outside_a_function_becomes_an_open_answer():
    solved = "### BEGIN SOLUTION\nguess = 3\nwhy = 'so'\n### END SOLUTION"
    cleared = build.clear_solution(solved)
    assert cleared.splitlines() == [
        "guess = ...  # YOUR ANSWER HERE",
        "why = ...  # YOUR ANSWER HERE",
    ]


@pytest.mark.parametrize(
    "code",
    ["x = 1", "### BEGIN SOLUTION\nx = 1", "### BEGIN SOLUTION\nprint(1)\n### END SOLUTION"],
)
def test_an_exercise_without_a_whole_solution_is_refused(code):
    with pytest.raises(ValueError, match=r"solution"):
        build.clear_solution(code)


LESSON = "03_eccv16"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Lesson 01 says why.", "[Lesson 01](01_the_problem.ipynb) says why."),
        (
            "as lessons 01 and 05 do",
            "as lessons [01](01_the_problem.ipynb) and [05](05_inference.ipynb) do",
        ),
        ("in lesson\n05, too", "in [lesson\n05](05_inference.ipynb), too"),
        ("this is lesson 03", "this is lesson 03"),
        ("lessons 03 and 05", "lessons 03 and [05](05_inference.ipynb)"),
        ("lesson 42", "lesson 42"),
        ("`lesson 05`", "`lesson 05`"),
        ("```\nlesson 05\n```", "```\nlesson 05\n```"),
        ("## Since lesson 01\n\nText", "## Since lesson 01\n\nText"),
        ("[lesson 05](05_inference.ipynb)", "[lesson 05](05_inference.ipynb)"),
        ("2016, arXiv:1603.08511.", "2016, [arXiv:1603.08511](https://arxiv.org/abs/1603.08511)."),
    ],
)
def test_what_names_a_lesson_or_a_paper_leads_there(text, expected):
    assert build.linked(text, LESSON) == expected
    assert build.linked(expected, LESSON) == expected


ADAS = {"repository": "ada/colour", "tag": "v1"}


def test_each_lesson_leads_to_the_one_before_and_after_and_to_the_help_pages():
    names = course.names()
    assert list(names) == [path.stem for path in SOURCES]
    walked, lesson = [], next(iter(names))
    while lesson:
        walked.append(lesson)
        text = build.navigation(lesson, None)
        targets = re.findall(r"\]\(([^)#]+)", text)
        assert all((NOTEBOOKS / target).exists() for target in targets)
        assert {"common_errors.md", "glossary.md"} < set(targets)
        onward = re.search(r"\[([^]]+) →\]\((\w+)\.ipynb\)", text)
        assert onward is None or onward[1] == names[onward[2]]
        lesson = onward and onward[2]
    assert walked == list(names)


def test_the_map_is_a_heading_of_the_first_lesson():
    (anchor,) = re.findall(
        r"\[map\]\(00_start_here\.ipynb#([^)]+)\)", build.navigation(LESSON, None)
    )
    headings = re.findall(r"^## (.+)$", prose(build.make_notebook(SOURCES[0])), re.M)
    assert anchor.replace("-", " ") in headings


def test_on_colab_the_way_on_has_colabs_own_addresses():
    line = build.navigation(LESSON, ADAS).splitlines()[-1]
    there = "https://colab.research.google.com/github/ada/colour/blob/v1/notebooks/"
    assert f"({there}02_lab_color_spaces.ipynb)" in line
    assert f"({there}04_siggraph17.ipynb)" in line
    assert "(https://github.com/ada/colour/blob/v1/notebooks/common_errors.md)" in line


def test_a_published_lesson_opens_on_three_hosts():
    title = build.make_notebook(LESSONS / f"{LESSON}.py", where=ADAS).cells[0].source
    assert (
        "(https://mybinder.org/v2/gh/ada/colour/v1?urlpath=lab/tree/notebooks/03_eccv16.ipynb)"
        in title
    )
    assert (
        "(https://kaggle.com/kernels/welcome?src="
        "https://github.com/ada/colour/blob/v1/notebooks/03_eccv16.ipynb)" in title
    )
    assert "(https://colab.research.google.com/github/ada/colour/blob/v1/notebooks/" in title


@each_lesson
def test_a_lesson_has_one_name(name):
    notebook = build.make_notebook(LESSONS / f"{name}.py")
    named = course.names()[name]
    assert notebook.cells[0].source.splitlines()[0] == f"# {named}"
    assert notebook.metadata.title == named
    assert f"[{named}](notebooks/{name}.ipynb)" in (ROOT / "README.md").read_text("utf-8")
    assert f"### {named}\n" in (ROOT / "TEACHING.md").read_text("utf-8")
    if name[:2] != "00":
        assert f"[{named}]({name}.ipynb)" in prose(build.make_notebook(SOURCES[0]))


def globals_of(code):
    """Names that a cell binds, and names that it takes from the cells before it."""
    whole = symtable.symtable(code, "cell", "exec")
    bound = {s.get_name() for s in whole.get_symbols() if s.is_assigned() or s.is_imported()}
    taken, tables = {s.get_name() for s in whole.get_symbols() if s.is_referenced()}, [whole]
    while tables:
        children = tables.pop().get_children()
        tables += children
        taken |= {s.get_name() for t in children for s in t.get_symbols() if s.is_global()}
    return bound, taken - bound


@each_lesson
def test_nothing_that_a_claim_binds_is_used_after_it(name):
    # a claim that does not hold stops its cell, and the lesson is to go on
    claimed = set()
    for cell in build.make_notebook(LESSONS / f"{name}.py").cells:
        if cell.cell_type == "code" and "setup" not in course.tags(cell):
            bound, taken = globals_of(TransformerManager().transform_cell(cell.source))
            if "assertion" in course.tags(cell):
                claimed |= bound - {"as_written"}
            else:
                assert not claimed & taken, cell.source
                claimed -= bound


def test_a_claim_keeps_its_code():
    code = "total = sum(\n    [1, 2]\n)\nassert total == 3"
    claim = build.as_claim(code)
    assert ast.unparse(ast.parse(claim).body[-1].body) == ast.unparse(ast.parse(code))
    with pytest.raises(ValueError, match="several lines"):
        build.as_claim('assert text == """a\nb"""')


def test_building_twice_gives_the_same_notebook():
    for source in SOURCES:
        assert build.make_notebook(source) == build.make_notebook(source)
