import numpy as np
import pytest
from lesson import defined_in

from course_lib.checks import lesson_00 as check

EXERCISES = {
    "my_photo": check.my_photo,
    "prediction": check.from_colour,
    "mean_difference": check.mean_difference,
}


@pytest.mark.parametrize(("solved", "status"), [(True, "ok"), (False, "todo")])
def test_solutions_pass_and_stubs_are_to_do(solved, status):
    names = defined_in("00_start_here", solved=solved)
    for name, grade in EXERCISES.items():
        assert grade.grade(names[name]).status == status, name


@pytest.mark.parametrize(
    ("answer", "advice"),
    [("dune", "scenes/"), ("scenes/moon", "no scene called"), (7, "in quotes"), (None, "quotes")],
)
def test_wrong_names(answer, advice):
    result = check.my_photo.grade(answer)
    assert result.status == "try again" and advice in result.message


@pytest.mark.parametrize(
    ("answer", "advice"),
    [("A", "Run the cell below"), ("c", "Run the cell below"), ("D", '"A", "B" or "C"'), (1, "B")],
)
def test_wrong_predictions(answer, advice):
    result = check.from_colour.grade(answer)
    assert result.status == "try again" and advice in result.message


def in_place(one, other):
    one[:] = 0
    return 200.0


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (lambda a, b: np.abs(a.astype(float) - b).sum(), "mean"),
        (lambda a, b: abs((a.astype(float) - b).mean()), "absolute value before the mean"),
        (lambda a, b: np.maximum(a - b, b - a).mean(), "absolute value"),
        (lambda a, b: (a.astype(float) - b).mean(), "expected 200, got -200"),
        (lambda a, b: np.abs(a.astype(float) - b).mean(axis=-1), "expected shape"),
        (lambda a, b: None, "return"),
        (in_place, "random pictures"),
    ],
)
def test_wrong_differences(answer, advice):
    result = check.mean_difference.grade(answer)
    assert result.status == "try again" and advice in result.message
