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
import numpy as np
import torch
from course_lib.models.eccv16 import ECCV16
from course_lib.models.siggraph17 import SIGGRAPH17
from course_lib import parallel
from course_lib.training.classification import Classification, ClassificationSettings
from course_lib.training.loop import fit
from course_lib.training.regression import Regression, RegressionSettings

codes, run = np.load(sys.argv[1]), sys.argv[2]
torch.set_num_threads(1)
common = dict(steps=6, batch_size=8, warmup=2, zoom=1.5, precision="float32", device="cpu")
torch.manual_seed(0)
# Adam divides gradients by their size, so in float32 rounding alone soon shows in the losses.
network = (ECCV16(0.05) if sys.argv[3] == "eccv16" else SIGGRAPH17(0.05)).double()
with parallel.joined_processes():
    if sys.argv[3] == "eccv16":
        recipe = Classification(network, codes, codes[:8], ClassificationSettings(**common))
    else:
        recipe = Regression(network, codes, codes[:8], RegressionSettings(**common))
    fit(recipe, 6, run_dir=run, record_every=1, progress=False)
"""


def _run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **options)


@pytest.mark.parametrize("model", ["eccv16", "siggraph17"])
def test_two_processes_train_as_one_with_the_joined_batch(tiny_codes, tmp_path, model):
    np.save(tmp_path / "codes.npy", tiny_codes)
    script = tmp_path / "train.py"
    script.write_text(TRAINING)
    states = {}
    for count in (1, 2):
        run = tmp_path / f"run{count}"
        arguments = [script, tmp_path / "codes.npy", run, model]
        starter = [sys.executable] if count == 1 else [*TORCHRUN, str(count)]
        result = _run([*starter, *arguments])
        assert result.returncode == 0, result.stderr
        assert sorted(path.name for path in run.iterdir()) == ["checkpoint.pt", "history.csv"]
        states[count] = torch.load(run / "checkpoint.pt", weights_only=True)
    assert len(states[2]["rows"]) == 6
    for one, two in zip(states[1]["rows"], states[2]["rows"], strict=True):
        assert one["samples"] == two["samples"]
        for name in one.keys() - {"seconds"}:
            assert two[name] == pytest.approx(one[name], rel=1e-6), name
    for key, one in states[1]["recipe"]["average"].items():
        two = states[2]["recipe"]["average"][key]
        assert torch.allclose(one.float(), two.float(), rtol=1e-5, atol=1e-8), key


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
        assert parallel.distribute(parallel.synchronize_normalization(network)) is network


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
