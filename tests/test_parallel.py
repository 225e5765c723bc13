"""Training and colouring on two processes, started by torchrun as a user would."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from course_lib import parallel

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]

TRAINING = """
import sys
from pathlib import Path

import numpy as np
import torch
from course_lib import parallel
from course_lib.models import load_network
from course_lib.training import Classification, ClassificationSettings, fit
from course_lib.training.batches import Labelled
from course_lib.training import Regression, RegressionSettings

codes, run, model, normalized = np.load(sys.argv[1]), *sys.argv[2:5]
torch.set_num_threads(1)
common = dict(steps=6, batch_size=8, warmup=2, zoom=1.5, precision="float32", device="cpu")
torch.manual_seed(0)
# Adam divides gradients by their size, so in float32 rounding alone soon shows in the losses.
network = load_network(model, None, width=0.05).double()
if normalized == "plain":
    for block in network.children():
        for name, module in block.named_children():
            if isinstance(module, torch.nn.BatchNorm2d):
                setattr(block, name, torch.nn.Identity())
with parallel.joined_processes():
    if model == "eccv16":
        mixture = [(Labelled(codes, np.arange(len(codes)) % 3), 1), (codes[::2], 2)]
        settings = ClassificationSettings(**common, featureless=0.2, label_weight=0.5)
        recipe = Classification(network, mixture, codes[:8], settings)
    else:
        recipe = Regression(network, codes, codes[:8], RegressionSettings(**common))
    fit(recipe, 6, run_dir=run, record_every=1, progress=False)
    number = parallel.rank()
torch.save(recipe.network.state_dict(), f"{run}/of-process-{number}.pt")
# What outlives the process group may still be at work when the interpreter ends.
for task in Path("/proc/self/task").glob("*/comm"):
    assert "gloo" not in task.read_text(), "a thread of the process group is left"
"""


def _run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **options)


def _train(tmp_path, codes, count, model, normalized):
    np.save(tmp_path / "codes.npy", codes)
    script, run = tmp_path / "train.py", tmp_path / f"run{count}"
    script.write_text(TRAINING)
    starter = [sys.executable] if count == 1 else [*TORCHRUN, str(count)]
    result = _run([*starter, script, tmp_path / "codes.npy", run, model, normalized])
    assert result.returncode == 0, result.stderr
    names = [
        ".lock",
        "checkpoint.pt",
        "history.csv",
        *(f"of-process-{i}.pt" for i in range(count)),
    ]
    assert sorted(path.name for path in run.iterdir()) == names
    return torch.load(run / "checkpoint.pt", weights_only=True)


@pytest.mark.parametrize("model", ["eccv16", "siggraph17"])
def test_two_processes_train_as_one_with_the_joined_batch(tiny_codes, tmp_path, model):
    states = {n: _train(tmp_path, tiny_codes, n, model, "plain") for n in (1, 2)}
    assert len(states[2]["rows"]) == 6
    for one, two in zip(states[1]["rows"], states[2]["rows"], strict=True):
        assert one["samples"] == two["samples"]
        for name in one.keys() - {"seconds"}:
            assert two[name] == pytest.approx(one[name], rel=1e-6), name
    for key, one in states[1]["recipe"]["average"].items():
        two = states[2]["recipe"]["average"][key]
        assert torch.allclose(one.float(), two.float(), rtol=1e-5, atol=1e-8), key


def test_with_normalization_too_all_processes_have_the_same_weights(tiny_codes, tmp_path):
    state = _train(tmp_path, tiny_codes, 2, "eccv16", "normalized")
    one, two = (
        torch.load(tmp_path / "run2" / f"of-process-{i}.pt", weights_only=True) for i in (0, 1)
    )
    weights = [key for key in one if key.endswith((".weight", ".bias"))]
    assert len(weights) > 40 and all(torch.equal(one[key], two[key]) for key in weights)
    # each normalized its own pictures; what counts is what the first process has
    assert not torch.equal(one["model1.4.running_mean"], two["model1.4.running_mean"])
    saved = state["recipe"]["network"]
    assert all(torch.equal(saved[key], value) for key, value in one.items())
    assert one["model1.4.num_batches_tracked"] == 6


SHARES = """
import sys
from course_lib import parallel

def say(*words):
    # in one piece: torchrun's processes write to one pipe, unbuffered
    sys.stdout.write(" ".join(map(str, words)) + "\\n")

with parallel.joined_processes():
    say(parallel.share_of_batch(8), parallel.share_of_files(5))
    try:
        parallel.share_of_batch(7)
    except ValueError as error:
        say(error)
    try:
        parallel.check_same_everywhere(parallel.rank(), "the step")
    except ValueError as error:
        say(error)
"""


def test_shares_cover_everything_once_and_mistakes_are_named(tmp_path):
    script = tmp_path / "shares.py"
    script.write_text(SHARES)
    result = _run([*TORCHRUN, "2", script])
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert "slice(0, 4, None) slice(0, 5, 2)" in lines
    assert "slice(4, 8, None) slice(1, 5, 2)" in lines
    assert sum("7 cannot be divided among 2 processes" in line for line in lines) == 2
    assert sum("the step differs between processes: [0, 1]" in line for line in lines) == 2


def test_alone_a_process_does_everything():
    with parallel.joined_processes():
        assert parallel.process_count() == 1
        assert parallel.share_of_batch(7) == slice(0, 7)
        assert list(range(5))[parallel.share_of_files(5)] == [0, 1, 2, 3, 4]
        assert parallel.mean_over_processes({"loss": 2.0}) == {"loss": 2.0}
        network = torch.nn.Sequential(torch.nn.BatchNorm2d(2))
        assert parallel.synchronize_normalization(network) is network
        x = torch.rand(1, 2, 3, 3)
        assert torch.equal(parallel.Distributed(network.eval())(x), network(x))


def test_two_processes_share_a_folder_of_photographs(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png", "c.png"):
        Image.fromarray(rng.integers(0, 255, (24, 24), dtype=np.uint8)).save(photos / name)
    (photos / "d.png").write_text("not a picture")
    command = [*TORCHRUN, "2", "-m", "course_lib", photos, "--output", tmp_path / "out"]
    result = _run([*command, "--size", "16"])
    assert result.stdout.splitlines() == [f"3 written to {tmp_path / 'out'}, 1 failed"]
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["a-eccv16.png", "b-eccv16.png", "c-eccv16.png"]
    assert result.stderr.count("colorize: ") == 1
    again = _run([*command, "--size", "16"])
    assert "3 already there" in again.stdout
