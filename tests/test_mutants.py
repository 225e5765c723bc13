"""The program that changes solutions: what it changes, and which changes it counts as mistakes."""

import copy

import numpy as np
import pytest
import torch

from tests import mutants

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


@pytest.fixture
def few_inputs(monkeypatch):
    """Enough to tell these short functions apart, and quick where they do the same."""
    monkeypatch.setattr(mutants, "INPUTS", 40)


LOADER = """\
def loader(data, size=2):
    chosen = DataLoader(data, size, shuffle=True)
    return chosen
"""


@pytest.mark.parametrize(
    ("change", "mistake"),
    [
        ("size -> 2", True),
        ("True -> False", True),
        ("changes data in place", True),
        ("changes size in place", False),
        ("rounded", False),
    ],
)
def test_loaders_are_compared_by_the_batches_that_they_give(change, mistake, few_inputs):
    code = "from torch.utils.data import DataLoader\n" + LOADER
    calls = [(([torch.tensor([float(n)]) for n in range(9)], 3), {})]
    (found,) = [function for text, function in made_of(code, "loader") if change in text]
    assert mutants.is_mistake(solution(code, "loader"), found, calls, loss=False) == mistake


READER = """\
def read(path, width):
    data = torch.load(path, weights_only=True)
    if data["width"] != width:
        raise ValueError(width)
    return data["weight"]
"""


def test_a_file_is_kept_for_as_long_as_mutants_are_compared(tmp_path, few_inputs):
    given, folder = tmp_path / "some.pth", tmp_path / "kept"
    folder.mkdir()
    torch.save({"width": 3, "weight": torch.ones(2)}, given)
    kept = mutants.kept(given, folder)
    given.unlink()
    right = solution(READER, "read")
    calls = [((kept, 3), {}), ((kept, 4), {})]
    found = dict(made_of(READER, "read"))
    for change, mistake in {
        "weights_only=True) -> torch.load(path)": False,  # that is the default
        "changes width in place": False,
        "without: if": True,  # the second call is to fail
    }.items():
        (mutant,) = [function for text, function in found.items() if change in text]
        assert mutants.is_mistake(right, mutant, calls, loss=False) == mistake, change


def test_networks_in_another_mode_or_of_another_temperature_are_not_the_same():
    from course_lib.models.eccv16 import ECCV16

    network = ECCV16(0.02, 0.4).eval()
    assert mutants.same(network, copy.deepcopy(network))
    assert not mutants.same(network, copy.deepcopy(network).train())
    other = copy.deepcopy(network)
    other.temperature = 0.5
    assert not mutants.same(network, other)


def test_challenges_that_are_judged_by_a_score_are_exercises():
    assert mutants.BY_SCORE.keys() <= {name for _, name, _ in mutants.EXERCISES}


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
