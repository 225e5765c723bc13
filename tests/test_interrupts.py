"""Ctrl-C at any moment: a run goes on to the bytes of one that was never stopped."""

import _thread
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from course_lib.models.eccv16 import ECCV16
from course_lib.training import loop
from course_lib.training.__main__ import main
from course_lib.training.batches import LabBatches
from course_lib.training.classification import Classification, ClassificationSettings
from course_lib.training.finetune import FineTuning
from course_lib.training.loop import History, fit
from course_lib.training.optim import WeightAverage
from course_lib.training.supervised import BatchRecipe
from tests import tiny_runs

#: Where Ctrl-C is pressed: in the middle of data, step, bookkeeping, measurement and saving.
PLACES = {
    "data": (LabBatches, "__call__"),
    "optimizer": (torch.optim.AdamW, "step"),
    "average": (WeightAverage, "update_parameters"),
    "bookkeeping": (loop._Progress, "take_in"),
    "measurement": (BatchRecipe, "evaluate"),
    "best weights": (FineTuning, "_keep"),
    "row": (loop._Progress, "add_row"),
    "save": (torch, "save"),
    "history": (History, "save_csv"),
}


@pytest.fixture(autouse=True)
def ctrl_c():
    # a process started in the background may have been told to ignore interrupts
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, handler)


@contextmanager
def pressed(place, number):
    """Press Ctrl-C before and after call `number` of a place."""
    owner, name = PLACES[place]
    original, calls = getattr(owner, name), iter(range(number))

    def call(*arguments, **options):
        now = next(calls, None) == number - 1
        if now:
            signal.raise_signal(signal.SIGINT)
        result = original(*arguments, **options)
        if now:
            signal.raise_signal(signal.SIGINT)
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, call)
        yield


@pytest.fixture(scope="module")
def whole(tiny_codes, tmp_path_factory):
    """What each recipe ends in when nobody stops it."""
    found = {}

    def of(name):
        if name not in found:
            folder = tmp_path_factory.mktemp(name)
            tiny_runs.train(name, tiny_codes, folder)
            found[name] = tiny_runs.outcome(folder)
        return found[name]

    return of


@pytest.mark.parametrize(
    ("name", "place", "number"),
    [
        ("eccv16", "optimizer", 3),
        ("eccv16", "measurement", 2),  # the last one
        ("eccv16", "history", 1),
        ("siggraph17", "average", 2),
        ("l1", "data", 5),
        ("gan", "optimizer", 9),  # the game's discriminator
        ("gan", "measurement", 1),  # the last one of the first stage
        ("gan", "save", 1),
        ("finetune", "best weights", 2),
        ("finetune", "row", 2),
        ("stages", "row", 2),
    ],
)
def test_a_run_goes_on_as_if_nothing_had_happened(
    tiny_codes, tmp_path, whole, capfd, name, place, number
):
    with pressed(place, number):
        recipe, history = tiny_runs.train(name, tiny_codes, tmp_path)
    assert history.interrupted
    step = tiny_runs.outcome(tmp_path)["step"]
    printed = capfd.readouterr()
    assert f"interrupted after step {step}: " in printed.out
    assert "the step is finished first" in printed.err
    for network in (part for part in recipe.parts.values() if isinstance(part, torch.nn.Module)):
        assert all(p.grad is None or not p.grad.any() for p in network.parameters())
    _, history = tiny_runs.train(name, tiny_codes, tmp_path)
    assert not history.interrupted
    assert tiny_runs.outcome(tmp_path) == whole(name)


# Python swallows, with a warning, what comes into the callback of a weak reference
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_interrupts_at_random_moments(tiny_codes, tmp_path, whole):
    rng = np.random.default_rng()
    for _ in range(3):
        timer = threading.Timer(rng.uniform(0, 0.3), _thread.interrupt_main)
        timer.start()
        try:
            tiny_runs.train("gan", tiny_codes, tmp_path, checkpoint_seconds=0)
            timer.join()
        except KeyboardInterrupt:  # before the first step, or after the last
            pass
    tiny_runs.train("gan", tiny_codes, tmp_path)
    assert tiny_runs.outcome(tmp_path) == whole("gan")


def test_an_interrupt_leaves_a_usable_model_and_history(tiny_codes):
    settings = ClassificationSettings(steps=12, batch_size=8, warmup=2, precision="float32")
    recipe = Classification(ECCV16(0.05), tiny_codes, tiny_codes[:8], settings)
    with pressed("bookkeeping", 7):
        history = fit(recipe, 12, record_every=5, progress=False)
    assert [row["step"] for row in history.rows] == [5] and history.interrupted
    assert all(p.grad is None for p in recipe.network.parameters())
    # what waits is not lost on whoever comes next
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("name", ["eccv16", "gan"])
def test_nothing_half_taken_is_saved_where_an_interrupt_cannot_wait(
    tiny_codes, tmp_path, whole, monkeypatch, capsys, name
):
    tiny_runs.train(name, tiny_codes, tmp_path / "begun")
    original, calls = torch.optim.AdamW.step, iter(range(5))

    def step(optimizer):
        original(optimizer)
        if next(calls, None) is None:
            raise KeyboardInterrupt

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    recipe, history = tiny_runs.train(name, tiny_codes, tmp_path / "run", checkpoint_seconds=0)
    monkeypatch.undo()
    assert history.interrupted
    assert "go on from what was saved last" in capsys.readouterr().out
    assert all(p.grad is None for p in recipe.average.network.parameters())
    tiny_runs.train(name, tiny_codes, tmp_path / "run")
    assert tiny_runs.outcome(tmp_path / "run") == whole(name)


def test_a_comparison_ends_with_the_run_that_was_interrupted(tiny_codes, tmp_path, capsys):
    np.save(tmp_path / "a.npy", tiny_codes)
    config = tmp_path / "config.json"
    config.write_text('{"model": "eccv16", "width": 0.05, "steps": 3, "batch_size": 4}')
    command = ["compare", "--train", tmp_path / "a.npy", "--validation", tmp_path / "a.npy"]
    command += ["--run", tmp_path / "trials", "--config", config, "--change", "width", "0.1"]
    command = [*map(str, command), "--count", "4", "--output", str(tmp_path / "trials.csv")]
    with pressed("optimizer", 2):
        assert main(command) == 130
    assert "interrupted; what was written is whole" in capsys.readouterr().err
    assert (
        not (tmp_path / "trials.csv").exists()
        and not (tmp_path / "trials/trial-width-0.1").exists()
    )
    assert main(command) == 0
    assert len((tmp_path / "trials.csv").read_text().splitlines()) == 4


TRAINER = """
import sys
from pathlib import Path
import numpy as np
sys.path.insert(0, sys.argv[1])
from tests import tiny_runs
tiny_runs.train("l1", np.load(sys.argv[2]), Path(sys.argv[3]), checkpoint_seconds=0)
"""


def test_two_processes_do_not_train_in_one_folder(tiny_codes, tmp_path, whole):
    np.save(tmp_path / "codes.npy", tiny_codes)
    with loop._alone_in(tmp_path / "run"):
        with pytest.raises(ValueError, match=r"run: another process is training there; wait"):
            tiny_runs.train("l1", tiny_codes, tmp_path / "run")
        command = [sys.executable, "-c", TRAINER, Path(tiny_runs.__file__).parents[1]]
        command += [tmp_path / "codes.npy", tmp_path / "run"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "another process is training there" in done.stderr
        assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]
    tiny_runs.train("l1", tiny_codes, tmp_path / "run")  # free again
    assert tiny_runs.outcome(tmp_path / "run") == whole("l1")
