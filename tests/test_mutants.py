"""The program that changes solutions: what it changes, and which changes it counts as mistakes."""

import mutants
import numpy as np
import pytest
import torch

CODE = '''\
def scaled(x, factor=2.0):
    """Docs."""
    y = x * factor
    return y.mean(axis=0)
'''


def made_of(code, name, **options):
    """Every mutant's change and function."""
    for mutant in mutants.mutants(code, loss=options.get("loss", False)):
        names = {"np": np, "torch": torch, **mutants.HELPERS}
        exec(compile(mutant.tree, "<mutant>", "exec"), names)
        yield mutant.change, names[name]


def solution(code, name):
    names = {"np": np, "torch": torch}
    exec(code, names)
    return names[name]


def test_operators_constants_axes_lines_and_arguments_are_changed_one_at_a_time():
    changes = [change for change, _ in made_of(CODE, "scaled")]
    for part in (
        "x * factor -> x / factor",
        "factor -> 2.0",
        "y.mean -> y.sum",
        "0 -> 1",
        "without: y = x * factor",
        "changes x in place",
        "rounded",
    ):
        assert any(part in change for change in changes), part
    assert not any("Docs" in change for change in changes)


@pytest.mark.parametrize(
    ("change", "mistake"),
    [
        ("x * factor -> x / factor", True),
        ("y.mean -> y.sum", True),
        ("changes x in place", True),
        ("factor -> 2.0", True),
        ("changes factor in place", False),  # a number cannot be
    ],
)
def test_what_does_the_same_on_all_inputs_is_no_mistake(change, mistake):
    calls = [((np.random.default_rng(1).random((4, 3)), 3.0), {})]
    (found,) = [function for text, function in made_of(CODE, "scaled") if change in text]
    assert mutants.is_mistake(solution(CODE, "scaled"), found, calls, loss=False) == mistake


def test_a_loss_that_is_cut_off_is_a_mistake():
    code = "def loss(x):\n    return (x**2).sum()\n"
    (cut,) = [f for text, f in made_of(code, "loss", loss=True) if "cut off" in text]
    calls = [((torch.tensor([1.0, 2.0]),), {})]
    assert mutants.is_mistake(solution(code, "loss"), cut, calls, loss=True)


def test_what_never_ends_is_broken_off():
    def endless(x):
        while True:
            pass

    with pytest.raises(mutants.Endless), mutants.at_most(1):
        endless(1)
