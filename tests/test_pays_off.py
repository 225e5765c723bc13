"""What learners write is what their lesson goes on with, and its main result comes out of it.

A lesson has its main result in functions that call what ``check.NAME.choose`` has returned. A row
of `ROWS` says for one exercise how to ask these functions for a result, in seconds, and gives a
wrong answer. The test takes three answers to the exercise: the solution, the stub, and the wrong
one as if its check had let it pass. A further lesson joins by adding rows.
"""

import ast
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import jupytext
import numpy as np
import pytest
import torch

import course_lib as cl
from authoring import course
from tests.lesson import defined_in
from tests.test_checks import checks_of, table_of


class Row(NamedTuple):
    """An exercise whose answer a lesson's main result comes from.

    Attributes
    ----------
    lesson : str
        For example "05_inference".
    exercise : str
        The check's name; the answer's too, unless `answer` says otherwise.
    wrong : callable
        An answer that is not right, and runs.
    result : callable
        From the lesson's names, as it goes on with them, to an array.
    """

    lesson: str
    exercise: str
    wrong: Callable
    result: Callable[[dict], Any]


def going_on_with(
    lesson: str, exercise: str, answer: Any = None, *, trusted: bool = False
) -> dict:
    """A lesson's names, with what it has chosen for each exercise.

    Parameters
    ----------
    lesson, exercise : str
        As in `Row`.
    answer : object, optional
        The learner's, instead of the solution; all other exercises are untouched.
    trusted : bool
        Take the answer for right, whatever the check would say.
    """
    names = defined_in(lesson, solved=False)  # updated in place: its functions look into it
    names.update(table_of(lesson, "GIVEN"))
    solved = defined_in(lesson, solved=True)
    names[exercise] = solved[exercise] if answer is None else answer
    check = SimpleNamespace(**vars(checks_of(lesson)))
    if trusted:
        setattr(check, exercise, SimpleNamespace(choose=lambda mine, library: mine))
    names["check"] = check
    for cell in jupytext.read(course.LESSONS / f"{lesson}.py").cells:
        if cell.cell_type != "code":
            continue
        for node in ast.parse(cell.source).body:
            if isinstance(node, ast.Assign) and ".choose(" in ast.unparse(node.value):
                exec(compile(ast.Module([node], []), lesson, "exec"), names)
    return names


def trained(names: dict) -> np.ndarray:
    """Lesson 03: two epochs on four photographs at 16 pixels, and a colour from the network."""
    names |= {"bins": cl.ab_bins(), "centres": torch.from_numpy(cl.ab_bins())}
    photographs = [photo.load() for photo in cl.photos(split="train", kind="scene")[:4]]
    torch.manual_seed(0)
    data = names["pairs"](photographs, size=16)
    network, losses = names["train_eccv16"](data, data, epochs=2, width=0.05)
    return np.append(losses.ravel(), names["colour"](photographs[0][:64, :64], network, size=16))


def in_a_file(tmp_path, names: dict) -> np.ndarray:
    """Lesson 05: a file through the pipeline into another."""

    class Red(torch.nn.Module):
        input_size = 16

        def forward(self, L):
            return torch.cat([L / 3, L / 9], dim=1)

    rgb = cl.load_photo("scenes/fig")[:96:2, :128:2]
    source, target = tmp_path / "in.png", tmp_path / "out.png"
    cl.save_image(source, rgb)
    names["colour_file"](source, target, Red(), factor=0.5)
    return cl.load_image(target).astype(float)


#: Lesson 04: a photograph, and a hint on it.
CAMERA, DOT = cl.load_photo("gray/camera")[::4, ::4], [(40, 40, (200, 30, 30))]


def painted(names: dict) -> np.ndarray:
    """Lesson 04: a photograph coloured with a hint."""
    names["net"] = cl.siggraph17()
    return names["colour"](CAMERA, DOT).astype(float)


def gained(names: dict) -> np.ndarray:
    """Lesson 04: what that hint brings, in dB."""
    plain, told = (cl.colorize(CAMERA, "siggraph17", hints=hints) for hints in ([], DOT))
    by_library = cl.psnr(told, CAMERA) - cl.psnr(plain, CAMERA)
    names |= {"net": cl.siggraph17(), "gains": {7: np.array([[0, by_library]])}}
    return names["curve_of"]([CAMERA], [DOT], [0, 1], names["colour"])


def reached(names: dict) -> np.ndarray:
    """Lesson 04: how much of the photograph it moves."""
    return names["reach_of"](CAMERA, painted(names).astype(np.uint8))


ROWS = [
    Row("04_siggraph17", "to_tensors", lambda h, *sizes: cl.hint_tensors([], *sizes), painted),
    Row(
        "04_siggraph17",
        "decode",
        lambda net, first, *others: torch.zeros(1, 2, *first.shape[-2:]),
        painted,
    ),
    Row("04_siggraph17", "gain_curve", lambda p, h, counts, colour: np.ones(len(counts)), gained),
    Row("04_siggraph17", "reach", lambda before, after, limit=20: 0.0, reached),
    Row("03_eccv16", "encode", lambda ab, bins, k=10, sigma=5.0: cl.soft_encode(-ab, k), trained),
    Row("03_eccv16", "smooth", lambda counts, bins, sigma=5.0: np.full(313, 1 / 313), trained),
    Row("03_eccv16", "rarity", lambda prior, lam=0.5: np.ones(313), trained),
    Row("03_eccv16", "rebalanced_loss", lambda z, t, w: z.square().mean(), trained),
    Row("03_eccv16", "one_epoch", lambda forward, batches, loss_of, optimizer: 1.0, trained),
    Row("03_eccv16", "annealed", lambda z, bins, t=0.38: cl.annealed_mean(z, 3.0) + 9, trained),
    Row("05_inference", "keep_lightness", lambda rgb, ab: rgb, in_a_file),
    Row("05_inference", "stronger_colours", lambda rgb, factor: rgb, in_a_file),
    Row(
        "05_inference",
        "network_input",
        lambda rgb: 50 + torch.zeros(1, 1, *rgb.shape[:2]),
        in_a_file,
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.lesson[:2]}-{row.exercise}" for row in ROWS])
def test_the_result_comes_out_of_what_the_learner_has_written(row, tmp_path, capsys):
    def result(answer: Any = None, *, trusted: bool = False) -> tuple[np.ndarray, str]:
        names = going_on_with(row.lesson, row.exercise, answer, trusted=trusted)
        said = [line for line in capsys.readouterr().out.splitlines() if row.exercise in line]
        place = (tmp_path,) if row.result is in_a_file else ()
        return np.asarray(row.result(*place, names), dtype=float), "".join(said)

    stub = defined_in(row.lesson, solved=False)[row.exercise]
    library, said_of_stub = result(stub)
    refused, said_of_wrong = result(row.wrong)
    mine, said_of_mine = result()
    wrong, _ = result(row.wrong, trusted=True)

    assert "the library's, until yours is [ok]" in said_of_stub and said_of_stub == said_of_wrong
    assert said_of_mine == f"{row.exercise}: yours"
    assert np.array_equal(refused, library)
    assert np.abs(mine - library).mean() < 0.02 * np.abs(library).mean()
    assert np.abs(wrong - library).mean() > 10 * np.abs(mine - library).mean() + 1e-3


def test_each_lesson_from_03_on_has_three_rows():
    counts = {row.lesson: sum(other.lesson == row.lesson for other in ROWS) for row in ROWS}
    assert {"03_eccv16", "05_inference"} <= set(counts) and min(counts.values()) >= 3
