import csv
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from skimage import data
from skimage.color import rgb2lab

from course_lib.bins import ab_bins, nearest_bins, rebalancing_weights
from course_lib.data.arrays import build_array, decode_lab, encode_lab, square
from course_lib.data.prior import ab_prior, load_prior, save_prior
from course_lib.models.eccv16 import ECCV16
from course_lib.models.siggraph17 import SIGGRAPH17
from course_lib.training.__main__ import main
from course_lib.training.choices import sweep
from course_lib.training.classification import (
    Classification,
    ClassificationSettings,
    EncodingTable,
    soften_rebalancing,
    training_prior,
)
from course_lib.training.loop import History, fit
from course_lib.training.optim import MasterWeights, WeightAverage, cosine_rate, initialize
from course_lib.training.regression import Regression, RegressionSettings, start_from_eccv16
from course_lib.training.supervised import LabBatches, Settings

SETTINGS = ClassificationSettings(
    steps=12, batch_size=8, rate=3e-3, warmup=2, precision="float32", average=0.5
)


def classification(codes, settings=SETTINGS):
    torch.manual_seed(0)
    network = ECCV16(0.05)
    initialize(network)
    return Classification(network, codes, codes[:8], settings)


def same_state(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_training_learns(tiny_codes):
    recipe = classification(tiny_codes, replace(SETTINGS, steps=60))
    history = fit(recipe, 60, record_every=10, progress=False)
    losses = history.column("loss")[1]
    assert losses[-1] < 0.8 * losses[0]
    assert 0 <= history.rows[-1]["auc_raw"] <= 100


def test_the_bins_layer_is_not_trained(tiny_codes):
    recipe = classification(tiny_codes)
    fit(recipe, 3, progress=False)
    centres = recipe.network.model_out.weight[:, :, 0, 0].T * 110
    assert np.allclose(centres.detach(), ab_bins(), atol=1e-4)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_resumed_run_ends_with_the_same_numbers(tiny_codes, tmp_path, precision):
    settings = replace(SETTINGS, precision=precision)
    whole = classification(tiny_codes, settings)
    expected = fit(whole, 12, record_every=5, progress=False)
    fit(classification(tiny_codes, settings), 10, run_dir=tmp_path, record_every=5, progress=False)
    resumed = classification(tiny_codes, settings)
    history = fit(resumed, 12, run_dir=tmp_path, record_every=5, progress=False)
    assert same_state(resumed.network, whole.network)
    assert same_state(resumed.average.network, whole.average.network)
    assert history.column("loss") == expected.column("loss")


KILLED = """
import sys
import numpy as np
import torch
from course_lib.models.eccv16 import ECCV16
from course_lib.training.classification import Classification, ClassificationSettings
from course_lib.training.loop import fit

torch.set_num_threads(1)
codes = np.load(sys.argv[1])
torch.manual_seed(0)
settings = ClassificationSettings(steps=40, batch_size=8, warmup=2, precision="float32")
recipe = Classification(ECCV16(0.05), codes, codes[:8], settings)
history = fit(
    recipe, 40, run_dir=sys.argv[2], record_every=5, checkpoint_seconds=0, progress=False
)
torch.save([recipe.network.state_dict(), history.column("loss")], sys.argv[3])
"""


def test_a_killed_run_goes_on_as_if_nothing_had_happened(tiny_codes, tmp_path):
    np.save(tmp_path / "codes.npy", tiny_codes)

    def command(run, result):
        return [sys.executable, "-c", KILLED, tmp_path / "codes.npy", tmp_path / run, result]

    subprocess.run(command("whole", tmp_path / "whole.pt"), check=True)
    process = subprocess.Popen(command("killed", tmp_path / "killed.pt"))
    checkpoint = tmp_path / "killed" / "checkpoint.pt"
    deadline = time.monotonic() + 180
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert checkpoint.exists()
    assert not (tmp_path / "killed.pt").exists(), "the run ended before it could be killed"
    subprocess.run(command("killed", tmp_path / "killed.pt"), check=True)
    one, losses = torch.load(tmp_path / "whole.pt", weights_only=True)
    other, other_losses = torch.load(tmp_path / "killed.pt", weights_only=True)
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert losses == other_losses


def test_an_interrupt_leaves_a_usable_model_and_history(tiny_codes, tmp_path):
    recipe = classification(tiny_codes)
    step_once = recipe.train_step

    def interrupted(step):
        if step == 6:
            signal.raise_signal(signal.SIGINT)
        return step_once(step)

    recipe.train_step = interrupted
    # a process started in the background may have been told to ignore interrupts
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        history = fit(recipe, 12, run_dir=tmp_path, record_every=5, progress=False)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert [row["step"] for row in history.rows] == [5]
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 6


def test_a_checkpoint_of_other_settings_is_refused(tiny_codes, tmp_path):
    fit(classification(tiny_codes), 2, run_dir=tmp_path, progress=False)
    other = classification(tiny_codes, replace(SETTINGS, lam=0.9))
    with pytest.raises(ValueError, match="lam"):
        fit(other, 4, run_dir=tmp_path, progress=False)


def test_history_survives_csv(tmp_path):
    rows = [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25, "auc": 80.0}]
    History(rows).save_csv(tmp_path / "history.csv")
    again = History.load_csv(tmp_path / "history.csv")
    assert again.column("loss") == ([1, 2], [0.5, 0.25])
    assert again.column("auc") == ([2], [80.0])


def test_every_epoch_shows_every_picture_once_in_another_order(tiny_codes):
    codes = np.zeros((16, 3, 8, 8), np.uint8)
    codes[:, 0] = np.arange(16)[:, None, None] * 10
    batches = LabBatches(codes, Settings(batch_size=4, brightness=0, contrast=0))
    epochs = [torch.cat([batches(e * 4 + i)[0][:, 0, 0, 0] for i in range(4)]) for e in (0, 1)]
    for epoch in epochs:
        assert np.allclose(epoch.sort().values, np.arange(16) * 10 / 2.55, atol=1e-4)
    assert not torch.equal(*epochs)


def test_jitter_changes_lightness_only(tiny_codes):
    plain = LabBatches(tiny_codes, Settings(batch_size=8, brightness=0, contrast=0))(0)
    jittered = LabBatches(tiny_codes, Settings(batch_size=8, brightness=9, contrast=0.3))(0)
    assert torch.equal(plain[1], jittered[1])
    assert not torch.equal(plain[0], jittered[0])
    assert jittered[0].min() >= 0 and jittered[0].max() <= 100


def test_zoom_shows_a_part_of_each_picture_larger():
    # L and a rise from left to right, b from top to bottom: a part of them rises less
    ramp = torch.arange(32).expand(32, 32) * 4
    codes = torch.stack([ramp, ramp, ramp.T]).to(torch.uint8).expand(8, 3, 32, 32).numpy()
    still = Settings(batch_size=8, brightness=0, contrast=0)
    L, ab = LabBatches(codes, replace(still, zoom=2.0))(0)
    whole_l, _ = LabBatches(codes, still)(0)
    assert L.shape == whole_l.shape and ab.shape == (8, 2, 32, 32)
    rise = (L[..., -1] - L[..., 0]).abs().mean(-1) / (whole_l[..., -1] - whole_l[..., 0])[0].abs()
    assert (rise >= 0.45).all() and (rise < 1).all() and rise.max() - rise.min() > 0.1
    # colours stay with the pixels they belong to
    assert torch.allclose(L[:, 0] * 2.55, ab[:, 0] + 128, atol=1e-3)


def test_smaller_squares_are_the_whole_pictures_made_smaller(tiny_codes):
    still = Settings(batch_size=8, brightness=0, contrast=0)
    L, ab = LabBatches(tiny_codes, still)(0)
    small_l, small_ab = LabBatches(tiny_codes, replace(still, size=8))(0)
    assert torch.allclose(small_l, torch.nn.functional.avg_pool2d(L, 2), atol=1e-3)
    assert torch.allclose(small_ab, torch.nn.functional.avg_pool2d(ab, 2), atol=1e-3)


def test_too_few_pictures_for_a_batch(tiny_codes):
    with pytest.raises(ValueError, match="batch"):
        LabBatches(tiny_codes[:3], Settings(batch_size=4))


def test_the_encoding_table_is_the_soft_encoding(tiny_codes):
    _, ab = decode_lab(torch.from_numpy(tiny_codes))
    index, weight = EncodingTable(10)(ab)
    expected_index, expected_weight = nearest_bins(ab, 10)
    flat = expected_weight.permute(0, 2, 3, 1).reshape(-1, 10)
    assert torch.allclose(weight, flat, atol=1e-5)
    # bins at equal distance may come in either order; the nearest one's distance decides
    bins = torch.from_numpy(ab_bins())
    nearest = bins[index[:, 0]] - ab.permute(0, 2, 3, 1).reshape(-1, 2)
    truth = bins[expected_index[:, 0].flatten()] - ab.permute(0, 2, 3, 1).reshape(-1, 2)
    assert torch.allclose(nearest.norm(dim=1), truth.norm(dim=1), atol=1e-4)


def test_the_prior_counts_colours(tiny_codes, tmp_path):
    prior = training_prior(tiny_codes, EncodingTable())
    assert prior.shape == (313,) and prior.sum() == pytest.approx(1)
    gray = np.full_like(tiny_codes, 128)
    assert training_prior(gray, EncodingTable()).argmax() == 120
    save_prior(tmp_path / "prior.csv", prior)
    assert np.allclose(load_prior(tmp_path / "prior.csv"), prior, atol=1e-6)


def test_softening_takes_back_rebalancing():
    network = ECCV16(0.05).eval()
    weights = np.linspace(0.2, 5, 313)
    L = torch.rand(1, 1, 16, 16) * 100
    with torch.no_grad():
        before = network.logits(L).softmax(1)
        soften_rebalancing(network, weights, 0.4)
        after = network.logits(L).softmax(1)
    expected = before / torch.from_numpy(weights**0.4).float()[None, :, None, None]
    expected /= expected.sum(1, keepdim=True)
    assert torch.allclose(after, expected, atol=1e-6)
    with pytest.raises(ValueError, match="share"):
        soften_rebalancing(network, weights, 1.5)


def test_bfloat16_keeps_float32_master_weights(tiny_codes):
    network = ECCV16(0.05)
    master = MasterWeights(network, "bfloat16")
    assert master.running.model1[0].weight.dtype == torch.bfloat16
    assert master.running.model1[4].weight.dtype == torch.float32
    L, _ = decode_lab(torch.from_numpy(tiny_codes[:4]))
    master.running(L).square().mean().backward()
    mean_before = network.model1[4].running_mean.clone()
    master.collect()
    assert network.model1[0].weight.grad.dtype == torch.float32
    assert network.model1[0].weight.grad.abs().sum() > 0
    assert master.running.model1[0].weight.grad is None
    assert not torch.equal(network.model1[4].running_mean, mean_before)
    # a step too small for bfloat16 counts all the same
    before = network.model1[0].weight.detach().clone()
    with torch.no_grad():
        network.model1[0].weight += 1e-6
    assert not torch.equal(network.model1[0].weight, before)
    with pytest.raises(ValueError, match="precision"):
        MasterWeights(network, "float16")


def test_the_average_follows_the_weights():
    network = torch.nn.Linear(1, 1)
    average = WeightAverage(network, decay=0.9)
    with torch.no_grad():
        network.weight.fill_(3.0)
    for step in range(200):
        average.update(network, step)
    assert average.network.weight.item() == pytest.approx(3.0, abs=1e-3)
    assert not average.network.weight.requires_grad


def test_learning_rate_warms_up_and_ends_at_zero():
    rates = [cosine_rate(step, 100, 1.0, warmup=10) for step in range(101)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == pytest.approx(1)
    assert max(rates) == 1 and rates[100] == pytest.approx(0)
    assert all(a >= b for a, b in pairwise(rates[10:]))


def test_regression_starts_from_the_classifier_and_learns(tiny_codes):
    trunk, network = ECCV16(0.05).eval(), SIGGRAPH17(0.05).eval()
    start_from_eccv16(network, trunk)
    L = torch.rand(1, 1, 16, 16) * 100
    x = (L - 50) / 100
    assert torch.allclose(
        network.model1[0](torch.cat([x, x * 0, x * 0, x * 0], 1)), trunk.model1[0](x)
    )
    settings = RegressionSettings(steps=60, batch_size=8, rate=2e-3, warmup=2, precision="float32")
    recipe = Regression(network, tiny_codes, tiny_codes[:8], settings)
    history = fit(recipe, 60, record_every=10, progress=False)
    assert history.rows[-1]["loss"] < 0.9 * history.rows[0]["loss"]
    assert history.rows[-1]["error_hints"] > 0
    with pytest.raises(ValueError, match="width"):
        start_from_eccv16(SIGGRAPH17(0.05), ECCV16(0.1))


def test_lab_codes_are_close_to_lab():
    lab = rgb2lab(data.astronaut()[::8, ::8])
    L, ab = decode_lab(torch.from_numpy(encode_lab(lab).transpose(2, 0, 1))[None])
    assert np.abs(L[0, 0].numpy() - lab[..., 0]).max() <= 0.2
    assert np.abs(ab[0].permute(1, 2, 0).numpy() - lab[..., 1:]).max() <= 0.501


@pytest.fixture
def folder(tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i, picture in enumerate([data.astronaut(), data.coffee(), data.chelsea()] * 4):
        Image.fromarray(picture[i * 4 : i * 4 + 200, :260]).save(pictures / f"{i:02}.jpg")
    Image.fromarray(data.camera()).save(pictures / "gray.png")
    (pictures / "broken.jpg").write_bytes(b"no picture")
    return pictures


def test_building_an_array_leaves_out_gray_and_broken_pictures(folder, tmp_path):
    paths = sorted(folder.iterdir())
    counts = build_array(paths, tmp_path / "a.npy", 32, progress=False)
    assert counts == {"kept": 12, "gray": 1, "unreadable": 1}
    codes = np.load(tmp_path / "a.npy")
    assert codes.shape == (12, 3, 32, 32)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.npy", "pictures"]
    with Image.open(folder / "00.jpg") as first:
        lab = rgb2lab(square(np.asarray(first), 32))
    assert np.abs(codes[0].transpose(1, 2, 0) - encode_lab(lab).astype(int)).max() <= 1


def test_building_from_nothing_says_so(tmp_path, folder):
    with pytest.raises(ValueError, match="no pictures"):
        build_array([], tmp_path / "a.npy", 32)
    with pytest.raises(ValueError, match="none of 1"):
        build_array([folder / "gray.png"], tmp_path / "a.npy", 32, progress=False)
    assert not list(tmp_path.glob("a.npy*"))


def test_the_sweep_measures_what_each_choice_would_give(tiny_codes):
    network = ECCV16(0.05).eval()
    rows = sweep(network, tiny_codes[:4], 0.5, sizes=(16,), softenings=(0, 1), temperatures=(1,))
    gray, plain, softened = rows
    assert gray["colourfulness"] == 0 and gray["auc_balanced"] < gray["auc_raw"]
    assert (plain["size"], plain["softening"], plain["temperature"]) == (16, 0, 1)
    soften_rebalancing(network, rebalancing_weights(ab_prior(), 0.5), 1)
    (_, again) = sweep(network, tiny_codes[:4], 0.5, (16,), (0,), (1,))
    assert again["psnr"] == pytest.approx(softened["psnr"], abs=1e-3)
    assert again["colourfulness"] == pytest.approx(softened["colourfulness"], abs=1e-3)
    assert plain["colourfulness"] > softened["colourfulness"]  # rare colours, so strong ones


def test_the_commands_train_and_export_a_network(folder, tmp_path, capsys):
    array, run, weights = tmp_path / "a.npy", tmp_path / "run", tmp_path / "w.safetensors"
    config = tmp_path / "config.json"
    config.write_text(
        '{"model": "eccv16", "width": 0.05, "size": 16, "steps": 3, "batch_size": 4,'
        ' "temperature": 0.5, "lam": 0.5, "seed": 0}'
    )
    assert main(["prepare", str(folder), "--size", "16", "--output", str(array)]) == 0
    common = ["--train", str(array), "--validation", str(array)]
    assert main(["eccv16", *common, "--run", str(run), "--config", str(config)]) == 0
    assert (run / "history.csv").exists()
    choose = ["choose", "--run", str(run), "--validation", str(array), "--count", "2"]
    assert main([*choose, "--output", str(tmp_path / "choices.csv")]) == 0
    gray, *rows = csv.DictReader((tmp_path / "choices.csv").read_text().splitlines())
    assert gray["weights"] == "" and gray["colourfulness"] == "0.00"
    assert {row["weights"] for row in rows} == {"averaged", "last step"}
    assert all(row["size"] == "16" for row in rows if row["weights"] == "last step")
    compare = ["compare", *common, "--run", str(tmp_path / "trials"), "--config", str(config)]
    compare += ["--change", "width", "0.1", "--output", str(tmp_path / "trials.csv")]
    assert main(compare) == 0
    gray, *rows = csv.DictReader((tmp_path / "trials.csv").read_text().splitlines())
    assert gray["width"] == "" and gray["colourfulness"] == "0.00"
    assert [row["width"] for row in rows] == ["0.05", "0.1"]
    assert all(row["samples"] == "12" for row in rows)
    export = ["export", "--run", str(run), "--output", str(weights), "--data", "crops"]
    export += ["--validation", str(array), "--soften", "0.3", "--before", "a first stage"]
    assert main(export) == 0
    with safe_open(weights, framework="pt") as file:
        training, metrics = (file.metadata()[key] for key in ("training", "metrics"))
    assert 0 < json.loads(metrics)["auc_raw"] <= 100
    assert training.startswith("a first stage, then 3 steps") and "softened by 0.3" in training
    import course_lib as cl

    net = cl.eccv16(weights)
    assert (net.width, net.temperature, net.input_size) == (0.05, 0.5, 16)
    assert cl.colorize(data.coffee()[:40, :50], net).shape == (40, 50, 3)
    further = ["--start", str(weights), "--run", str(tmp_path / "more"), "--config", str(config)]
    assert main(["eccv16", *common, *further]) == 0
    config.write_text(config.read_text().replace("eccv16", "siggraph17"))
    guided = ["--trunk", str(weights), "--run", str(tmp_path / "guided"), "--config", str(config)]
    assert main(["siggraph17", *common, *guided]) == 2  # which knows other settings
    assert "temperature" in capsys.readouterr().err
    settings = json.loads(config.read_text())
    config.write_text(
        json.dumps({k: settings[k] for k in settings.keys() - {"temperature", "lam"}})
    )
    assert main(["siggraph17", *common, *guided]) == 0
    capsys.readouterr()
    assert main(["eccv16", *common, "--run", str(run)]) == 2  # the course's config wants 64 px
    assert "64 px" in capsys.readouterr().err
    assert main(["prior", "--train", str(config), "--output", str(tmp_path / "p.csv")]) == 2
