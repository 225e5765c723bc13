"""The course folder for nbgrader: what it holds, and what submissions score.

`make test-teaching` makes an environment with nbgrader, in which the tests marked "environments"
release assignments and grade submissions, as a teacher would.
"""

import contextlib
import copy
import json
import random
import re
import subprocess
import sys
import time
from functools import cache, partial
from pathlib import Path

import jupytext
import nbformat
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from authoring import build, classroom, course, plain
from authoring.course import ROOT, tagged, tags
from course_lib.lab import XYZ_FROM_RGB, rgb_to_lab
from course_lib.models.eccv16 import ECCV16
from tests.lesson import defined_in

BIN = ROOT / ".venv-class" / "bin"
SOURCES = course.lessons()

each_lesson = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)


def graded(notebook):
    return [cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade")]


def checks_with_hidden_tests():
    """Lesson, name and answers of each."""
    found = []
    for source in SOURCES:
        hidden = classroom.hidden_tests(f"lesson_{source.stem[:2]}")
        for cell in tagged(jupytext.read(source), "check"):
            name, answers = classroom.called(cell.source)
            if f"test_{name}" in hidden:
                found.append(pytest.param(source.stem, name, answers, id=name))
    return found


each_hidden_test = pytest.mark.parametrize(
    ("lesson", "name", "answers"), checks_with_hidden_tests()
)


@each_lesson
def test_run_all_goes_on_past_an_exercise_that_is_not_solved(source):
    notebook, _ = classroom.make_assignment(source)
    assert all("raises-exception" in tags(cell) for cell in graded(notebook))


@each_lesson
def test_every_exercise_is_worth_what_its_difficulty_says(source):
    notebook, exercises = classroom.make_assignment(source)
    said = re.findall(
        r"^# \*(Easy|Medium|Hard|Open), \d+ minutes", source.read_text("utf-8"), re.M
    )
    worth = {"Easy": 1, "Medium": 2, "Hard": 3, "Open": 3}
    assert [e.points for e in exercises] == [worth[difficulty] for difficulty in said]
    assert [c.metadata.nbgrader.points for c in graded(notebook)] == [e.points for e in exercises]
    assert len(exercises) == len(tagged(notebook, "exercise"))


@each_lesson
def test_stubs_are_those_of_the_lesson_and_answers_are_left_out(source):
    notebook, _ = classroom.make_assignment(source)
    for cell, solved in zip(
        tagged(notebook, "exercise"), tagged(jupytext.read(source), "exercise"), strict=True
    ):
        assert cell.source.count("### STUB") == cell.source.count("### BEGIN SOLUTION") > 0
        assert build.clear_solution(cell.source) == build.clear_solution(solved.source)
        assert build.show_solution(cell.source) == build.show_solution(solved.source)
    assert not tagged(notebook, "answer")
    assert tagged(notebook, "hint")


@cache
def defined(lesson, *, solved):
    names = defined_in(lesson, solved=solved)
    if lesson.startswith("01"):  # the challenge's mean colour, which defined_in leaves out
        names["mean_ab"] = np.array([0.0, 14.7])
    if lesson.startswith("02"):  # exercise 3's matrix, likewise
        names["M"] = np.array(XYZ_FROM_RGB)
    if lesson.startswith("06"):  # what the lesson plays with until exercise 1 is right
        names["both_losses"] = names["library_losses"]
    return names


def hidden_test(lesson, name):
    """A hidden test, which gets at answers as it does when it marks: through plain data."""
    source = classroom.hidden_tests(f"lesson_{lesson[:2]}")[f"test_{name}"]
    ask, test = classroom.hidden_test(source)

    def call(function, *arguments, **options):
        question = {"answer": "function", "call": True, "through": ask}
        question |= {"arguments": arguments, "options": options}
        reply = plain.loads(plain.answer({"function": function}, plain.dumps(question)))
        assert "error" not in reply, reply["error"]
        return reply["value"]

    return lambda *functions: test(*(partial(call, function) for function in functions))


def check_of(lesson, name):
    module = __import__(f"course_lib.checks.lesson_{lesson[:2]}", fromlist=[name])
    return getattr(module, name)


@each_hidden_test
def test_hidden_tests_pass_the_solution_whatever_they_draw(lesson, name, answers):
    names = defined(lesson, solved=True)
    for _ in range(10):
        hidden_test(lesson, name)(*(names[answer] for answer in answers))


def asked(arguments, options):
    """What a function was called with, to the bit; networks, functions, files by kind and name."""

    def content(value):
        if isinstance(value, list | tuple):
            return tuple(map(content, value))
        if isinstance(value, np.ndarray | torch.Tensor):
            array = np.asarray(value.detach() if isinstance(value, torch.Tensor) else value)
            return array.shape, array.dtype.str, array.tobytes()
        if isinstance(value, torch.nn.Module | torch.optim.Optimizer):
            return type(value)
        if hasattr(value, "__next__"):
            return type(value)
        if callable(value):
            return value.__qualname__
        return value.name if isinstance(value, Path) else value

    return content(arguments), tuple((k, content(v)) for k, v in options.items())


@each_hidden_test
def test_hidden_tests_find_an_answer_that_knows_the_check_by_heart(lesson, name, answers):
    (answer,) = answers
    function, stub = (defined(lesson, solved=solved)[answer] for solved in (True, False))
    known = set()

    def learn(*arguments, **options):
        known.add(asked(arguments, options))
        return function(*arguments, **options)

    def parrot(*arguments, **options):
        knows = asked(arguments, options) in known
        return (function if knows else stub)(*arguments, **options)

    check = check_of(lesson, name)
    assert check.grade(learn).status == check.grade(parrot).status == "ok"
    with pytest.raises((AssertionError, NotImplementedError)):
        hidden_test(lesson, name)(parrot)


# Wrong answers, most of which are right on the check's own input.


def in_batch_mode(function):
    """The decoder with running averages that follow the maps."""

    def decode(net, *maps):
        return function(copy.deepcopy(net).train(), *maps)

    return decode


def corner_of_the_pixel(function):
    def to_tensors(hints, *sizes):
        moved = [(row - 0.5, column - 0.5, colour) for row, column, colour in hints]
        return function(moved, *sizes)

    return to_tensors


def gray_but_not_black(function):
    """Takes what is black for no paint."""

    def from_layer(layer):
        return function(np.where(layer[..., :3].any(axis=2, keepdims=True), layer, 0))

    return from_layer


def over_all_pictures(function):
    """Takes the gain of the mean error for the mean of the gains."""

    def gain_curve(pictures, hints, counts, colour):
        def level(n):
            errors = [
                (colour(truth, given[:n]).astype(float) - truth) ** 2
                for truth, given in zip(pictures, hints, strict=True)
            ]
            return 10 * np.log10(255**2 / np.mean([error.mean() for error in errors]))

        return np.array([level(n) - level(0) for n in counts])

    return gain_curve


def probability_first(function):
    def losses_of_both(real, fake):
        real, fake, entropy = real.sigmoid(), fake.sigmoid(), F.binary_cross_entropy
        one, zero = torch.ones_like(real), torch.zeros_like(real)
        return (entropy(real, one) + entropy(fake, zero)) / 2, entropy(fake, one)

    return losses_of_both


def strides_of_two(function):
    return lambda layers: function([(kernel, min(stride, 2)) for kernel, stride in layers])


def generator_stopped(function):
    def discriminator_turn(generator, *rest):
        return function(generator.requires_grad_(False), *rest)

    return discriminator_turn


def shares_of_one_size(function):
    """Divides the second set's counts by the first one's pixels in a picture."""

    def histogram_distance(predicted, true, step=10.0):
        edges, pixels = np.arange(-115.0, 115.0 + step, step), predicted[0, 0].size
        shares = []
        for ab in (predicted, true):
            a, b = np.moveaxis(ab, 1, 0).reshape(2, -1)
            shares.append(np.histogram2d(a, b, bins=(edges, edges))[0] / len(ab) / pixels)
        return np.abs(shares[0] - shares[1]).sum() / 2

    return histogram_distance


def biases_may_be_lacking(function):
    def load_backbone(path, width, temperature):
        network = ECCV16(width, temperature)
        state = torch.load(path, weights_only=True)
        state = {name.removeprefix("module."): value for name, value in state.items()}
        lacking = network.load_state_dict(state, strict=False).missing_keys
        if any(not name.endswith("bias") for name in lacking):
            raise KeyError(lacking)
        return network.eval()

    return load_backbone


def names_that_begin_alike(function):
    def freeze_blocks(network, names):
        children = [name for name, _ in network.named_children()]
        function(network, [child for child in children if child.startswith(tuple(names))])

    return freeze_blocks


def at_most_a_hundred(function):
    def best_and_stop(losses, patience):
        index, lowest = 0, 100.0
        for i, loss in enumerate(losses):
            if loss < lowest:
                index, lowest = i, loss
        return index, len(losses) - 1 - index >= patience

    return best_and_stop


def along_one_axis(function):
    def reach(before, after, limit=20):
        gap = (rgb_to_lab(after) - rgb_to_lab(before))[..., 1:]
        return (np.abs(gap).max(axis=-1) > limit).mean()

    return reach


def rounded_down(function):
    def split_files(paths, share, seed):
        order = np.random.default_rng(seed).permutation(len(paths))
        count = min(len(paths) - 1, max(1, int(share * len(paths))))
        return [paths[i] for i in order[count:]], [paths[i] for i in order[:count]]

    return split_files


def one_piece(function):
    def split_files(paths, share, seed):
        start = int(np.random.default_rng(seed).integers(len(paths)))
        turned = paths[start:] + paths[:start]
        count = min(len(paths) - 1, max(1, round(share * len(paths))))
        return turned[count:], turned[:count]

    return split_files


@pytest.mark.parametrize(
    ("lesson", "name", "spoil", "message"),
    [
        ("04_siggraph17", "reach", along_one_axis, "beyond"),
        ("04_siggraph17", "decode", in_batch_mode, "the network's own answer"),
        ("04_siggraph17", "to_tensors", corner_of_the_pixel, "photograph .* input .* patch"),
        ("04_siggraph17", "from_layer", gray_but_not_black, "the mask"),
        ("04_siggraph17", "gain_curve", over_all_pictures, "pictures, counts"),
        ("06_gan_training", "losses_of_both", probability_first, "standard deviation of"),
        ("06_gan_training", "patch_side", strides_of_two, "pixels a side are seen"),
        ("06_gan_training", "discriminator_turn", generator_stopped, "cannot learn any more"),
        ("06_gan_training", "histogram_distance", shares_of_one_size, "sets of shapes"),
        ("07_transfer_learning", "load_backbone", biases_may_be_lacking, "taken without an error"),
        ("07_transfer_learning", "freeze_blocks", names_that_begin_alike, "was not named"),
        ("07_transfer_learning", "best_and_stop", at_most_a_hundred, "expected .* got"),
        ("07_transfer_learning", "split_files", rounded_down, "held out, got"),
        ("07_transfer_learning", "split_files", one_piece, "60 seeds give"),
    ],
)
def test_hidden_tests_say_what_an_answer_gets_wrong(lesson, name, spoil, message):
    wrong = spoil(defined(lesson, solved=True)[name])
    with pytest.raises(AssertionError, match=message):
        hidden_test(lesson, name)(wrong)


def one_look(generator, discriminator, optimizer, L, ab):
    """Both kinds of colours in one batch, and gradients cleared before and after."""
    optimizer.zero_grad()
    with torch.no_grad():
        made = generator(L)
    real, fake = discriminator(torch.cat([L, L]), torch.cat([ab, made])).chunk(2)
    loss = (F.softplus(-real).mean() + F.softplus(fake).mean()) / 2
    loss.backward()
    optimizer.step()
    generator.zero_grad()
    return loss.item()


def checked_by_name(path, width, temperature):
    network = ECCV16(width, temperature)
    state = torch.load(path, weights_only=True)
    if any(name.startswith("module.") for name in state):
        state = {name[len("module.") :]: value for name, value in state.items()}
    if network.load_state_dict(state, strict=False).missing_keys:
        raise ValueError("not every entry was loaded")
    return network.eval()


def counted(losses, patience):
    best, waited = 0, 0
    for i in range(1, len(losses)):
        best, waited = (i, 0) if losses[i] < losses[best] else (best, waited + 1)
    return np.int64(best), np.bool_(waited >= patience)


def drawn_from_a_set(paths, share, seed):
    count = min(len(paths) - 1, max(1, round(share * len(paths))))
    held_out = random.Random(seed).sample(paths, count)
    return tuple(path for path in paths if path not in held_out), tuple(held_out)


@pytest.mark.parametrize(
    ("lesson", "name", "answer"),
    [
        ("06_gan_training", "discriminator_turn", one_look),
        ("07_transfer_learning", "load_backbone", checked_by_name),
        ("07_transfer_learning", "best_and_stop", counted),
        ("07_transfer_learning", "split_files", drawn_from_a_set),
    ],
)
def test_hidden_tests_let_other_right_answers_pass(lesson, name, answer):
    hidden_test(lesson, name)(answer)


@each_lesson
def test_every_function_that_is_asked_for_has_hidden_tests(source):
    hidden = classroom.hidden_tests(f"lesson_{source.stem[:2]}")
    names = defined(source.stem, solved=True)
    for cell in tagged(jupytext.read(source), "check"):
        name, answers = classroom.called(cell.source)
        asks = any(callable(names[answer]) for answer in answers)
        assert asks == (f"test_{name}" in hidden), name


@pytest.mark.parametrize(
    "value",
    [
        [None, True, 3, -1.5, float("inf"), "é", b"\0", (), {1, 2}, {"a": [1], 2: ("b",)}],
        [np.arange(6, dtype=np.uint8).reshape(1, 2, 3), np.float32(2), np.zeros((0, 3))],
        [torch.rand(2, 3), torch.tensor(1), Path("a/b.png")],
    ],
)
def test_plain_data_come_through_as_they_are(value):
    for one, other in zip(value, plain.loads(plain.dumps(value)), strict=True):
        assert type(one) is type(other) or isinstance(one, np.generic)
        assert np.array_equal(one, other) and getattr(one, "dtype", 0) == getattr(
            other, "dtype", 0
        )


class Chameleon(str):
    def __eq__(self, other):
        return True

    __hash__ = str.__hash__


@pytest.mark.parametrize("value", [object(), print, np.array([object()]), [{"a": range(3)}]])
def test_nothing_else_comes_through(value):
    with pytest.raises(TypeError):
        plain.dumps(value)
    assert type(plain.loads(plain.dumps(Chameleon("x")))) is str


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '["array", "|O", [1], "AAAAAAAAAAA="]',
        '["array", "<f8", [9], "AAAAAAAAAAA="]',
        '["array", "<f8", [-1], "AAAAAAAAAAA="]',
        '["array", "<f8", [1e99], ""]',
        '["array", "zz", [], ""]',
        '["array", "(99999999,)f8", [], ""]',
        '["tensor", 3]',
        '["tensor", ["array", "<u8", [1], "AAAAAAAAAAA="]]',
        '["dict", 1]',
        '["dict", [["list"], 1]]',
        '["exec", "x"]',
        '["bytes", "x"]',
        "[" * 5000,
        '["list",' * 5000,
    ],
)
def test_a_text_that_is_not_plain_data_is_one_error(text):
    with contextlib.suppress(ValueError):
        assert isinstance(plain.loads(text), torch.Tensor)  # newer versions have unsigned ones


def test_a_hidden_test_without_its_check_is_refused(monkeypatch):
    monkeypatch.setattr(classroom, "hidden_tests", lambda lesson: {"test_my_foto": "..."})
    with pytest.raises(ValueError, match="no check for the hidden test_my_foto"):
        classroom.make_assignment(SOURCES[0])


@pytest.mark.parametrize("said", ["*Eazy, 2 minutes.*", "*Easy*"])
def test_an_exercise_that_does_not_say_how_hard_it_is_is_refused(tmp_path, said):
    text = SOURCES[0].read_text("utf-8").replace("*Easy, 2 minutes.*", said, 1)
    source = tmp_path / SOURCES[0].name
    source.write_text(text, "utf-8")
    with pytest.raises(ValueError, match=r"my_photo needs a title.*Easy, Medium, Hard"):
        classroom.make_assignment(source)


def test_a_class_that_has_begun_is_left_alone(tmp_path):
    (tmp_path / "gradebook.db").touch()
    command = [sys.executable, "-m", "authoring.classroom", tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"{tmp_path} is not empty; name a new folder\n"
    assert [path.name for path in tmp_path.iterdir()] == ["gradebook.db"]


# From here on nbgrader is at work.

SCORES = """
import json, sys
from nbgrader.api import Gradebook
with Gradebook("sqlite:///gradebook.db") as book:
    print(json.dumps({
        submission.student.id: {
            grade.name: [grade.score, grade.needs_manual_grade]
            for notebook in submission.notebooks for grade in notebook.grades
        }
        for submission in book.assignment_submissions(sys.argv[1])
    }))
"""


class Course:
    """A class: a course folder with everything released."""

    def __init__(self, folder):
        self.folder = folder
        self.graded = classroom.make_class(folder)
        self.nbgrader("generate_assignment", "*")

    def run(self, *command):
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def nbgrader(self, *arguments):
        self.run(BIN / "nbgrader", *arguments)

    def read(self, step, lesson):
        return nbformat.read(self.folder / step / lesson / f"{lesson}.ipynb", as_version=4)

    def solved(self, lesson):
        """The released notebook with every answer in."""
        notebook = self.read("release", lesson)
        source = self.read("source", lesson)
        for cell, solution in zip(
            tagged(notebook, "exercise"), tagged(source, "exercise"), strict=True
        ):
            cell.source = build.show_solution(solution.source)
        return notebook

    def grade(self, lesson, **submissions):
        """Points of each exercise, by student."""
        for student, notebook in submissions.items():
            folder = self.folder / "submitted" / student / lesson
            folder.mkdir(parents=True)
            nbformat.write(notebook, folder / f"{lesson}.ipynb")
        self.nbgrader("autograde", lesson)
        scores = self.scores(lesson)
        return {student: scores[student] for student in submissions}

    def scores(self, lesson):
        """Points as the gradebook has them."""
        scores = json.loads(self.run(BIN / "python", "-c", SCORES, lesson))
        for student, of_one in scores.items():
            assert not any(by_hand for _, by_hand in of_one.values()), student
        return {
            student: {name.removeprefix("test_"): points for name, (points, _) in of_one.items()}
            for student, of_one in scores.items()
        }


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    assert BIN.exists(), "the environment is missing; run: make test-teaching"
    return Course(tmp_path_factory.mktemp("class") / "colour")


def cell_of(notebook, grade_id):
    (cell,) = (
        c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == grade_id
    )
    return cell


@pytest.mark.environments
@each_lesson
def test_what_is_released_has_the_learners_exercises_and_no_hidden_tests(course, source):
    lesson = source.stem
    released = course.read("release", lesson)
    learners = build.make_notebook(source)
    assert [cell.source for cell in tagged(released, "exercise")] == [
        cell.source for cell in tagged(learners, "exercise")
    ]
    for cell in tagged(released, "check"):
        name = cell.metadata.nbgrader.grade_id.removeprefix("test_")
        _, answers = classroom.called(
            next(c.source for c in tagged(learners, "check") if f"check.{name}(" in c.source)
        )
        given = ", ".join(answers)
        assert cell.source == (
            f"from course_lib.checks import lesson_{lesson[:2]} as check\n\n"
            f"check.{name}({given})\n"
            f'assert check.{name}.grade({given}).status == "ok"'
        )
    text = nbformat.writes(released)
    for marker in ("HIDDEN TESTS", "### BEGIN", "### END", "### STUB"):
        assert marker not in text


def full(course, lesson):
    return {exercise.name: exercise.points for exercise in course.graded[lesson]}


@pytest.mark.environments
def test_submissions_of_lesson_00_score_what_they_are_worth(course):
    lesson = "00_start_here"
    everything = full(course, lesson)
    assert set(everything) == {"my_photo", "from_colour", "mean_difference"}

    wrong = course.solved(lesson)  # right for pictures of the check's sizes alone
    cell_of(wrong, "mean_difference").source = (
        "def mean_difference(one, other):\n"
        "    known = one.shape in ((4, 5, 3), (6, 7, 3))\n"
        "    return np.abs(one.astype(int) - other).mean() if known else 0\n"
        "from IPython.display import HTML, display\n"
        "display(HTML('<script>stolen()</script><b>bold</b>'))"
    )

    tampered = course.solved(lesson)
    cell_of(tampered, "my_photo").source = 'my_photo = "nothing/such"'
    cell_of(tampered, "test_my_photo").source = "pass"
    cell_of(tampered, "from_colour").source = (
        'prediction = "A"\n'
        "from types import SimpleNamespace\n"
        "from course_lib.checks import lesson_00, report\n"
        'report.Result = lambda *a: SimpleNamespace(status="ok")\n'
        "lesson_00.from_colour = lambda *a: None\n"
        "lesson_00.from_colour.grade = report.Result\n"
        "check = lesson_00"
    )

    vandal = course.solved(lesson)
    cell_of(vandal, "my_photo").source += (
        "\nimport course_lib.checks.lesson_00\n"
        "course_lib.checks.lesson_00.from_colour = check = None"
    )
    copy = nbformat.from_dict(cell_of(vandal, "test_from_colour"))
    copy.id, copy.source = "another", "pass"
    vandal.cells.append(copy)
    vandal.cells.remove(cell_of(vandal, "mean_difference"))
    vandal.cells.remove(cell_of(vandal, "test_mean_difference"))

    careless = course.solved(lesson)
    careless.cells.remove(cell_of(careless, "test_mean_difference"))
    cell_of(careless, "test_my_photo").metadata.nbgrader.points = 100
    cell_of(careless, "test_from_colour").metadata.nbgrader.grade_id = "mine"

    assert course.grade(
        lesson,
        perfect=course.solved(lesson),
        empty=course.read("release", lesson),
        wrong=wrong,
        tampered=tampered,
        vandal=vandal,
        careless=careless,
    ) == {
        "perfect": everything,
        "empty": dict.fromkeys(everything, 0),
        "wrong": everything | {"mean_difference": 0},
        "tampered": everything | {"my_photo": 0, "from_colour": 0},
        "vandal": everything | {"mean_difference": 0},
        "careless": everything,
    }
    lesson_as_run = course.read("autograded/perfect", lesson)
    errors = [o for c in lesson_as_run.cells for o in c.get("outputs", []) if "ename" in o]
    assert errors == []
    course.nbgrader("generate_feedback", lesson)
    page = course.folder / "feedback" / "wrong" / lesson / f"{lesson}.html"
    shown = page.read_text("utf-8")
    assert "(Score: 2.0 / 4.0)" in shown
    assert "<b>bold</b>" in shown and "<script>stolen" not in shown


@pytest.mark.environments
def test_submissions_of_lesson_02_score_what_they_are_worth(course):
    lesson = "02_lab_color_spaces"
    everything = full(course, lesson)
    mixed = course.solved(lesson)
    cell_of(mixed, "linear_light").source = "def linear_light(rgb):\n    return rgb**2.2"
    cell_of(mixed, "near_hull").source = "check = near_hull = lambda *a: True"
    cell_of(mixed, "test_near_hull").source = "check.near_hull(near_hull)"
    assert course.grade(lesson, perfect=course.solved(lesson), mixed=mixed) == {
        "perfect": everything,
        "mixed": everything | {"linear_light": 0, "near_hull": 0},
    }


#: A submission of lesson 00 whose answers are wrong, and what it does to get points all the same.
#: Each has a name for what it goes for.
CUNNING = {
    "input transformer": """
def harmless(lines):
    return ["pass\\n"] if any("check" in line for line in lines) else lines
get_ipython().input_transformers_cleanup.append(harmless)
get_ipython().input_transformers_post.append(harmless)
""",
    "syntax tree": """
import ast
class NoAsserts(ast.NodeTransformer):
    def visit_Assert(self, node):
        return ast.Pass()
    def visit_Raise(self, node):
        return ast.Pass()
get_ipython().ast_transformers.append(NoAsserts())
""",
    "run_cell": """
from IPython.core.interactiveshell import InteractiveShell
true = InteractiveShell.run_cell_async
async def run_cell_async(shell, raw_cell, **options):
    return await true(shell, "pass", **options)
InteractiveShell.run_cell_async = run_cell_async
""",
    "frames": """
import sys
def mean_difference(one, other):
    frame = sys._getframe()
    while frame:
        for names in (frame.f_locals, frame.f_globals):
            if "expected" in names:
                return names["expected"]
        frame = frame.f_back
    return 0.0
""",
    "numpy": """
import numpy.testing
for name in ("assert_allclose", "assert_array_equal"):
    setattr(np.testing, name, lambda *a, **k: None)
np.allclose = lambda *a, **k: True
""",
    "import hook": """
import sys, types
class Hook:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("course_lib.checks"):
            for known in [n for n in sys.modules if n.startswith("course_lib.checks")]:
                del sys.modules[known]
        return None
sys.meta_path.insert(0, Hook())
import course_lib.checks.report as report
report.Result.status = "ok"
report.TryAgain = type("TryAgain", (BaseException,), {})
""",
    "a text that equals everything": """
class Anything(str):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return hash("A")
    def strip(self): return self
    def lower(self): return self
prediction = Anything("A")
my_photo = Anything("scene/kite")
""",
    "a number that equals everything": """
class Anything(float):
    def __sub__(self, other): return 0.0
    __rsub__ = __sub__
    def __eq__(self, other): return True
    def __array__(self, *a, **k): return np.array(0.0)
def mean_difference(one, other):
    return Anything(1.0)
""",
    "an array of its own kind": """
class Anything(np.ndarray):
    def __array_ufunc__(self, *a, **k): return np.array(True)
    def __array_function__(self, *a, **k): return np.array(True)
def mean_difference(one, other):
    return np.zeros(()).view(Anything)
""",
    "objects that unpickle": """
class Bomb:
    def __reduce__(self):
        return eval, ("__import__('os').system('touch /tmp/course-bomb')",)
def mean_difference(one, other):
    return Bomb()
""",
    "forged replies": """
kernel = get_ipython().kernel
true = kernel.do_execute
async def do_execute(*a, **k):
    reply = await true(*a, **k)
    reply["status"] = "ok"
    for answer in ("{'value': __import__('os').system('true')}", "[" * 9999):
        reply["user_expressions"] = {
            "answer": {"status": "ok", "data": {"text/plain": answer}, "metadata": {}}
        }
    return reply
kernel.do_execute = do_execute
""",
    "points as a result": """
from IPython.display import display
display({"text/plain": "100"}, raw=True, display_id="points")
import builtins
true = builtins.print
def print(*a, **k):
    display({"text/plain": "100"}, raw=True, display_id="points")
    get_ipython().displayhook(100.0)
builtins.print = print
import IPython.core.interactiveshell
IPython.core.interactiveshell.InteractiveShell.showtraceback = lambda *a, **k: None
IPython.core.interactiveshell.InteractiveShell._showtraceback = lambda *a, **k: None
""",
    "the gradebook": """
import os, sqlite3
from pathlib import Path
places = [*Path.cwd().parents, Path(os.environ.get("OLDPWD", "/")), Path("PLACE")]
for place in [*places, Path(f"/proc/{os.getppid()}/cwd")]:
    try:
        book = sqlite3.connect(f"file:{place}/gradebook.db?mode=rw", uri=True)
        book.execute("UPDATE grade SET auto_score = 99, manual_score = 99")
        book.commit()
        my_photo = "changed the gradebook"
    except Exception:
        pass
    try:
        (place / "gradebook.db").write_bytes(b"")
    except OSError:
        pass
""",
    "a process that stays": """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for _ in range(100):
            time.sleep(0.2)
            try:
                open("PLACE/gradebook.db", "wb").close()
            except OSError:
                pass
    os._exit(0)
""",
    "the sources": """
from pathlib import Path
found = []
places = ["PLACE/source", "PLACE/submitted", "PLACE/autograded", "ROOT/authoring", "ROOT/tests"]
for place in places:
    for folder, _, names in __import__("os").walk(place):
        for name in names:
            try:
                found.append(Path(folder, name).read_text())
            except OSError:
                pass
import subprocess
cat = subprocess.run(["cat", "PLACE/gradebook.db"], capture_output=True)
found.append(cat.stdout.decode("latin-1"))
print("FOUND", sum(map(len, found)))
""",
    "modules of its own": """
import sys
for name in ("json", "base64", "math", "ast"):
    sys.modules[name] = sys.modules["builtins"]
""",
    "the library's own": """
import course_lib.metrics
mean_difference = course_lib.metrics.psnr
mean_difference.__module__ = "__main__"
""",
}

WRONG = """
my_photo = "nothing/such"
prediction = "nothing"
def mean_difference(one, other):
    return 0.0
"""


@pytest.mark.environments
def test_cunning_submissions_gain_nothing(course, tmp_path):
    lesson = "00_start_here"
    honest = course.solved(lesson)
    submissions = {}
    for name, code in CUNNING.items():
        notebook = copy.deepcopy(honest)
        for exercise in ("my_photo", "from_colour"):
            cell_of(notebook, exercise).source = "pass"
        code = code.replace("PLACE", str(course.folder)).replace("ROOT", str(ROOT))
        cell_of(notebook, "mean_difference").source = "pass"
        first = next(cell for cell in notebook.cells if cell.cell_type == "code")
        first.source = "import numpy as np\nimport course_lib as cl\n" + WRONG + code
        notebook.cells = [c for c in notebook.cells if c is first or "nbgrader" in c.metadata]
        submissions[name.replace(" ", "-").replace("'", "")] = notebook
    others = course.folder / "submitted" / "another" / lesson
    others.mkdir(parents=True)
    nbformat.write(honest, others / f"{lesson}.ipynb")
    nothing = dict.fromkeys(full(course, lesson), 0)
    assert course.grade(lesson, **submissions) == dict.fromkeys(submissions, nothing)
    found = json.dumps(course.read("autograded/the-sources", lesson))
    assert "FOUND 0" in found
    # the others' grades are what they were, also after whatever still runs
    time.sleep(3)
    assert course.scores(lesson)["another"] == full(course, lesson)
    assert not Path("/tmp/course-bomb").exists()
