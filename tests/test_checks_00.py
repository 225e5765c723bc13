import numpy as np

#: Exercise to wrong answers, and what the check says to each: see test_checks.py.
WRONG = {}

WRONG["my_photo"] = [
    ("dune", "scenes/"),
    ("scenes/moon", "no scene called"),
    (7, "in quotes"),
    (None, "quotes"),
]


WRONG["from_colour"] = [
    ("A", "Run the cell below"),
    ("c", "Run the cell below"),
    ("D", '"A", "B" or "C"'),
    (1, "B"),
]


def in_place(one, other):
    one[:] = 0
    return 200.0


WRONG["mean_difference"] = [
    (lambda a, b: np.abs(a.astype(float) - b).sum(), "mean"),
    (lambda a, b: abs((a.astype(float) - b).mean()), "absolute value before the mean"),
    (lambda a, b: np.maximum(a - b, b - a).mean(), "absolute value"),
    (lambda a, b: (a.astype(float) - b).mean(), "expected 200, got -200"),
    (lambda a, b: np.abs(a.astype(float) - b).mean(axis=-1), "expected shape"),
    (lambda a, b: None, "return"),
    (in_place, "changes its argument"),
    (lambda a, b: np.abs(a.astype(np.int8).astype(int) - b.astype(np.int8)).mean(), "int8"),
]
