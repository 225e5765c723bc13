import base64
import copy
import io
import json
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import course_lib as cl
from course_lib.data.arrays import decode_lab, hold_out
from course_lib.models.eccv16 import ECCV16
from course_lib.models.siggraph17 import SIGGRAPH17
from course_lib.models.weights import save_weights
from course_lib.training.__main__ import main
from course_lib.training.classification import Classification, ClassificationSettings
from course_lib.training.finetune import (
    TRUNK,
    FineTuning,
    freeze,
    keep_still,
    thaw,
)
from course_lib.training.loop import fit
from course_lib.training.optim import initialize
from course_lib.training.regression import Regression, RegressionSettings
from course_lib.training.report import write_report
from course_lib.training.runs import CONFIGS, build_network, build_recipe, read_config

SETTINGS = ClassificationSettings(
    steps=12, batch_size=8, rate=3e-3, warmup=1, weight_decay=0, precision="float32", average=0.5
)


def trained():
    torch.manual_seed(0)
    network = ECCV16(0.05)
    initialize(network)
    with torch.no_grad():  # as if other pictures had been seen before
        for name, buffer in network.named_buffers():
            if name.endswith("running_mean"):
                buffer += 0.1
    return network


def fine_tuning(codes, frozen=TRUNK, settings=SETTINGS, **options):
    network = trained()
    freeze(network, frozen)
    return FineTuning(Classification(network, codes, codes[:8], settings), **options)


AUC = {"monitor": "auc_balanced", "higher_is_better": True}


def scripted(recipe, values):
    """Let the recipe measure these numbers, one after the other."""
    answers = iter(values)
    recipe.recipe.evaluate = lambda: {"auc_balanced": next(answers)}
    recipe.best_value = 1.0  # as if the start had measured that
    return recipe


def moved(one, other):
    """Blocks in which anything differs: weights, running averages, counts."""
    other = other.state_dict()
    pairs = ((key, value, other[key]) for key, value in one.state_dict().items())
    return {key.split(".")[0] for key, a, b in pairs if not torch.equal(a, b)}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_frozen_blocks_do_not_move_at_all(tiny_codes, precision):
    settings = replace(SETTINGS, precision=precision)
    recipe = fine_tuning(tiny_codes, settings=settings)
    fit(recipe, 2, progress=False)
    # colouring with the network in training calls its train() afterwards
    cl.colorize(np.full((16, 16, 3), 90, np.uint8), recipe.recipe.network, size=16)
    fit(recipe, 4, progress=False)
    for network in (recipe.recipe.network, recipe.recipe.average.network):
        assert moved(trained(), network) == {"model8"}


def test_without_the_wrapper_running_averages_of_frozen_blocks_drift(tiny_codes):
    network = trained()
    freeze(network, TRUNK)
    fit(Classification(network, tiny_codes, tiny_codes[:8], SETTINGS), 2, progress=False)
    assert moved(trained(), network) == {*TRUNK, "model8"}


@pytest.mark.parametrize(("still", "drift"), [("all", False), ("frozen", True)])
def test_running_averages_of_thawed_blocks_stay_or_go_along(tiny_codes, still, drift):
    recipe = fine_tuning(tiny_codes, TRUNK[:4], still=still)
    fit(recipe, 2, progress=False)
    before, after = trained(), recipe.recipe.network
    assert moved(before, after) == {"model5", "model6", "model7", "model8"}
    same = torch.equal(before.model6[-1].running_mean, after.model6[-1].running_mean)
    assert same is not drift
    assert torch.equal(before.model2[-1].running_mean, after.model2[-1].running_mean)


def test_thawing_undoes_freezing():
    network = trained()
    freeze(network, ["model1", "model8.6"])
    assert not network.model1[0].weight.requires_grad and not network.model1[-1].training
    assert not network.model8[6].bias.requires_grad and network.model8[4].bias.requires_grad
    thaw(network, "model1")
    assert network.model1[0].weight.requires_grad and network.model1[-1].training
    keep_still(network, "all")
    assert not any(m.training for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d))
    with pytest.raises(ValueError, match=r"'model9'.*ECCV16 has model1, .*model8"):
        freeze(network, ["model1", "model9"])
    with pytest.raises(ValueError, match="all, frozen"):
        keep_still(network, "everything")


def test_learning_rates_by_block(tiny_codes):
    before = trained()
    after = {}
    for rates in ({}, {"model1": 0.1, "model8": 2.0, "model8.6": 0.5}):
        recipe = fine_tuning(tiny_codes, ["model2"], rates=rates)
        recipe.train_step(0)
        after[bool(rates)] = recipe.recipe.network
    # Adam's first step is proportional to the learning rate
    for part, rate in (("model1.0", 0.1), ("model3.0", 1), ("model8.4", 2), ("model8.6", 0.5)):
        start, plain, scaled = (
            network.get_submodule(part).weight for network in (before, after[False], after[True])
        )
        assert (plain - start).abs().max() > 1e-3, part
        assert torch.allclose(scaled - start, rate * (plain - start), atol=1e-6), part
    assert torch.equal(before.model2[0].weight, after[True].model2[0].weight)


def test_the_best_weights_are_kept_and_patience_ends_the_run(tiny_codes):
    recipe = scripted(fine_tuning(tiny_codes, patience=3, **AUC), [0.9, 60, 55, 60, 59, 99])
    averages = []
    step_once = recipe.recipe.train_step

    def watched(step):
        losses = step_once(step)
        averages.append(copy.deepcopy(recipe.recipe.average.network))
        return losses

    recipe.recipe.train_step = watched
    history = fit(recipe, 12, record_every=2, evaluate_every=2, progress=False)
    # a value as good as the best is no better: measurements 3, 4 and 5 use up the patience
    assert history.column("auc_balanced") == ([2, 4, 6, 8, 10], [0.9, 60, 55, 60, 59])
    assert recipe.finished and (recipe.best_step, recipe.best_value) == (4, 60)
    assert not moved(recipe.best, averages[3]) and moved(recipe.best, averages[4])
    assert not recipe.best.training


def test_a_fine_tuning_that_helps_nothing_gives_back_the_start(tiny_codes):
    recipe = scripted(fine_tuning(tiny_codes, **AUC), [0.0, float("nan")])
    fit(recipe, 4, record_every=2, evaluate_every=2, progress=False)
    assert not moved(trained(), recipe.best) and recipe.best_step == 0
    assert moved(trained(), recipe.recipe.network) == {"model8"}


def test_a_loss_that_is_not_finite_ends_the_run(tiny_codes, tmp_path):
    # weights of 1e30 and more soon multiply to what float32 cannot hold
    recipe = fine_tuning(tiny_codes, (), replace(SETTINGS, rate=1e30))
    with pytest.raises(FloatingPointError, match=r"step \d: the loss on the validation pictures"):
        fit(recipe, 12, run_dir=tmp_path, record_every=1, evaluate_every=1, progress=False)
    assert not moved(trained(), recipe.best) and recipe.best_step == 0
    assert not (tmp_path / "checkpoint.pt").exists()


def test_an_error_is_best_when_it_is_low(tiny_codes):
    torch.manual_seed(0)
    network = SIGGRAPH17(0.05)
    freeze(network, TRUNK)
    settings = RegressionSettings(steps=6, batch_size=8, warmup=1, precision="float32")
    inner = Regression(network, tiny_codes, tiny_codes[:8], settings)
    recipe = FineTuning(inner, monitor="error", higher_is_better=False)
    errors = iter([recipe.start["error"] + 1, 2.0, 3.0])
    inner.evaluate = lambda: {"error": next(errors)}
    fit(recipe, 6, record_every=2, evaluate_every=2, progress=False)
    assert (recipe.best_step, recipe.best_value) == (4, 2.0)


def test_the_validation_loss_is_the_loss_on_validation_pictures(tiny_codes):
    recipe = fine_tuning(tiny_codes)
    history = fit(recipe, 3, progress=False)
    L, ab = decode_lab(torch.from_numpy(tiny_codes[:8]))
    for network, found in ((trained().eval(), recipe.start), (recipe.best, history.rows[-1])):
        expected = recipe.recipe.losses(network, L, ab, 0)["loss"].item()
        assert found["validation_loss"] == pytest.approx(expected, rel=1e-5)
    assert recipe.best_step == 3 and 0 < history.rows[-1]["auc_raw"] < 100


@contextmanager
def interrupt_at(recipe, number):
    """Press Ctrl-C at a step of a recipe."""
    step_once = recipe.train_step

    def interrupted(step):
        if step == number:
            signal.raise_signal(signal.SIGINT)
        return step_once(step)

    recipe.train_step = interrupted
    # a process started in the background may have been told to ignore interrupts
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def test_an_interrupt_leaves_the_best_network(tiny_codes, tmp_path):
    recipe = scripted(fine_tuning(tiny_codes, patience=5, **AUC), [2.0, 1.5, 9.0])
    with interrupt_at(recipe, 5):
        fit(recipe, 12, run_dir=tmp_path, record_every=2, evaluate_every=2, progress=False)
    assert (recipe.best_step, recipe.best_value) == (2, 2.0)
    picture = np.full((16, 24, 3), 120, np.uint8)
    assert cl.colorize(picture, recipe.best, size=16).shape == picture.shape
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["recipe"]
    assert all(torch.equal(saved["best"][k], v) for k, v in recipe.best.state_dict().items())


def test_a_resumed_run_stops_where_a_whole_one_does_with_the_same_best(tiny_codes, tmp_path):
    values = [7.0, 80.0, 6.0, 5.0, 4.0, 90.0]
    options = {"record_every": 2, "evaluate_every": 2, "progress": False}

    def new(measured):
        plan = {"patience": 3, "rates": {"model7": 0.3}, **AUC}
        return scripted(fine_tuning(tiny_codes, TRUNK[:6], **plan), measured)

    whole = new(values)
    expected = fit(whole, 12, **options)
    stopped = new(values)
    with interrupt_at(stopped, 7):
        fit(stopped, 12, run_dir=tmp_path, **options)
    resumed = new(values[3:])
    history = fit(resumed, 12, run_dir=tmp_path, **options)
    assert [row["step"] for row in history.rows] == [2, 4, 6, 8, 10]
    assert history.column("loss") == expected.column("loss")
    for mine, theirs in (
        (resumed.best, whole.best),
        (resumed.recipe.network, whole.recipe.network),
        (resumed.recipe.average.network, whole.recipe.average.network),
    ):
        assert not moved(mine, theirs)
    for recipe in (whole, resumed):
        assert (recipe.best_step, recipe.best_value) == (4, 80)
    # a finished run takes no further step
    again = new([])
    assert fit(again, 12, run_dir=tmp_path, **options).rows == history.rows
    assert again.finished and not moved(again.best, whole.best)
    assert again.start == stopped.start


def test_a_checkpoint_of_another_plan_is_refused(tiny_codes, tmp_path):
    fit(fine_tuning(tiny_codes), 2, run_dir=tmp_path / "a", progress=False)
    for other, name in (
        (fine_tuning(tiny_codes, rates={"model8": 0.5}), "rates"),
        (fine_tuning(tiny_codes, TRUNK[:3]), "frozen"),
    ):
        with pytest.raises(ValueError, match=rf"other settings \({name}\)"):
            fit(other, 4, run_dir=tmp_path / "a", progress=False)
    inner = Classification(trained(), tiny_codes, tiny_codes[:8], SETTINGS)
    fit(inner, 2, run_dir=tmp_path / "b", progress=False)
    with pytest.raises(ValueError, match="one of Classification, not of FineTuning"):
        fit(fine_tuning(tiny_codes), 4, run_dir=tmp_path / "b", progress=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rates": {"model9": 0.1}}, "no block called 'model9'"),
        ({"rates": {"model1": 0.1}}, "model1 is frozen"),
        ({"rates": {"model8": 0.0}}, "above 0"),
        ({"monitor": "beauty"}, "measures 'beauty' to monitor; there are validation_loss, auc"),
        ({"patience": 0}, "at least 1"),
        ({"still": "some"}, "all, frozen"),
    ],
)
def test_mistakes_are_named(tiny_codes, options, message):
    with pytest.raises(ValueError, match=message):
        fine_tuning(tiny_codes, **options)


@given(st.integers(2, 200), st.floats(0.01, 0.99), st.integers(0, 2**31))
def test_held_out_pictures_are_none_of_the_training_pictures(count, share, seed):
    train, held_out = hold_out(count, share, seed)
    assert sorted(train + held_out) == list(range(count))
    assert train and held_out
    assert abs(len(held_out) - count * share) <= 1
    assert (train, held_out) == hold_out(count, share, seed)


def test_holding_out_is_at_random_and_refuses_nonsense():
    assert len({tuple(hold_out(12, 0.25, seed)[1]) for seed in range(5)}) == 5
    with pytest.raises(ValueError, match="at least 2"):
        hold_out(1)
    with pytest.raises(ValueError, match="between 0 and 1"):
        hold_out(10, 1.0)


def test_the_command_fine_tunes_and_export_takes_the_best(tiny_codes, tmp_path, capsys):
    array, run, weights = tmp_path / "a.npy", tmp_path / "run", tmp_path / "w.safetensors"
    np.save(array, tiny_codes)
    network = trained()
    network.temperature = 0.38
    save_weights(tmp_path / "start.safetensors", network)
    config = {"model": "eccv16", "freeze": list(TRUNK), "rates": {"model8": 0.5}, "patience": 2}
    config |= {"steps": 4, "batch_size": 8, "rate": 1e-3, "warmup": 1, "seed": 0, "lam": 0.5}
    config["temperature"] = 0.38
    (tmp_path / "config.json").write_text(json.dumps(config))
    command = ["finetune", "--train", array, "--validation", array, "--run", run]
    command += ["--start", tmp_path / "start.safetensors", "--config", tmp_path / "config.json"]
    assert main([*map(str, command), "--evaluate-every", "2"]) == 0
    assert "best after 4 steps: validation_loss" in capsys.readouterr().out
    export = ["export", "--run", run, "--validation", array, "--output", weights]
    assert main(list(map(str, export))) == 0
    saved = torch.load(run / "checkpoint.pt", weights_only=True)["recipe"]["best"]
    exported = cl.eccv16(weights)
    assert exported.input_size == 16
    for key, value in exported.state_dict().items():
        assert torch.allclose(value.float(), saved[key].float(), atol=1e-3), key
    (tmp_path / "config.json").write_text(json.dumps(config | {"speed": 3}))
    assert main(list(map(str, command))) == 2
    assert "no settings called speed" in capsys.readouterr().err


def test_the_courses_config_fine_tunes(tiny_codes):
    config = read_config(CONFIGS / "finetune.json")
    network = build_network(config, "course")
    recipe = build_recipe(config, network, tiny_codes, tiny_codes[:8])
    assert recipe.patience == 8 and recipe.best.input_size
    parameters = recipe.recipe.network.named_parameters()
    assert {name.split(".")[0] for name, p in parameters if p.requires_grad} == {"model8"}
    with pytest.raises(ValueError, match="no network called 'vgg'"):
        build_network(config | {"model": "vgg"})
    with pytest.raises(ValueError, match=r"unet cannot be trained by classification.*no logits"):
        build_network({"model": "unet", "recipe": "classification", "width": 0.05, "depth": 3})


TRAINING = """
import sys
import numpy as np
import torch
from course_lib.models.eccv16 import ECCV16
from course_lib import parallel
from course_lib.training.classification import Classification, ClassificationSettings
from course_lib.training.finetune import TRUNK, FineTuning, freeze
from course_lib.training.loop import fit

codes, run = np.load(sys.argv[1]), sys.argv[2]
torch.set_num_threads(1)
torch.manual_seed(0)
network = ECCV16(0.05).double()
freeze(network, TRUNK[:5])
settings = ClassificationSettings(
    steps=6, batch_size=8, warmup=2, zoom=1.5, precision="float32", device="cpu"
)
with parallel.joined_processes():
    recipe = Classification(network, codes, codes[:8], settings)
    plan = {"monitor": "auc_raw", "higher_is_better": True, "patience": 2}
    tuning = FineTuning(recipe, rates={"model6": 0.3}, still="all", **plan)
    fit(tuning, 6, run_dir=run, record_every=1, evaluate_every=2, progress=False)
"""


def test_two_processes_fine_tune_as_one_with_the_joined_batch(tiny_codes, tmp_path):
    np.save(tmp_path / "codes.npy", tiny_codes)
    script = tmp_path / "tune.py"
    script.write_text(TRAINING)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    states = {}
    for count in (1, 2):
        run = tmp_path / f"run{count}"
        starter = [sys.executable] if count == 1 else [*torchrun, "--nproc-per-node", "2"]
        command = [*starter, script, tmp_path / "codes.npy", run]
        result = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert result.returncode == 0, result.stderr
        states[count] = torch.load(run / "checkpoint.pt", weights_only=True)
    assert len(states[2]["rows"]) == len(states[1]["rows"]) >= 4
    for one, two in zip(states[1]["rows"], states[2]["rows"], strict=True):
        for name in one.keys() - {"seconds"}:
            assert two[name] == pytest.approx(one[name], rel=1e-6), name
    one, two = states[1]["recipe"], states[2]["recipe"]
    for name in ("best_step", "_waited"):
        assert one["fine_tuning"][name] == two["fine_tuning"][name], name
    for key, value in one["best"].items():
        assert torch.allclose(value.float(), two["best"][key].float(), rtol=1e-5, atol=1e-8), key
    network = two["network"]
    assert network["model3.6.num_batches_tracked"] == network["model7.6.num_batches_tracked"] == 0


REPORT = {
    "title": "Fruit & flowers",
    "question": "Is 3 < 4?",
    "protocol": {"seeds": "0, 1, 2", "budget": 30},
    "table": [["network", "loss"], ["start", 4.3], ["tuned", "<4"]],
    "caption": "lower is better",
    "picture": np.full((20, 60, 3), (200, 40, 40), np.uint8),
    "description": "A red bar.",
    "doubts": "All of it.",
}


class Reader(HTMLParser):
    """Text and pictures of a page, and its tags as they open and close."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.pictures = [], [], []

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.pictures.append(dict(attrs))
        elif tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_a_report_is_one_whole_page(tmp_path):
    path = write_report(tmp_path / "new" / "report.html", **REPORT)
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    assert not reader.open
    for said in (
        "Fruit & flowers",
        "Is 3 < 4?",
        "seeds",
        "0, 1, 2",
        "30",
        "4.3",
        "<4",
        "All of it.",
    ):
        assert said in reader.text, said
    (picture,) = reader.pictures
    assert picture["alt"] == "A red bar."
    kind, _, content = picture["src"].partition(",")
    assert kind == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        assert image.size == (60, 20)
        assert np.abs(np.asarray(image).astype(int) - (200, 40, 40)).max() < 6


def test_a_report_without_a_protocol_is_refused(tmp_path):
    with pytest.raises(ValueError, match="needs its doubts, protocol, table"):
        write_report(
            tmp_path / "r.html", **REPORT | {"protocol": {}, "doubts": " ", "table": [["loss"]]}
        )
    assert not list(tmp_path.iterdir())
