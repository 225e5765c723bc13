import csv
import json
import subprocess
import sys
import time
from copy import deepcopy
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from skimage import data
from skimage.color import rgb2lab

from course_lib.bins import EncodingTable, ab_bins, nearest_bins, rebalancing_weights
from course_lib.data.arrays import decode_lab, encode_lab, square
from course_lib.data.prepare import build_array
from course_lib.data.prior import ab_prior, load_prior, save_prior, training_prior
from course_lib.models import NETWORKS, Network, load_network
from course_lib.models.eccv16 import ECCV16
from course_lib.models.siggraph17 import SIGGRAPH17
from course_lib.training.__main__ import main
from course_lib.training.batches import LabBatches, Labelled, Settings
from course_lib.training.choices import sweep
from course_lib.training.classification import (
    Classification,
    ClassificationSettings,
    soften_rebalancing,
)
from course_lib.training.loop import History, fit
from course_lib.training.optim import (
    WeightAverage,
    autocast,
    constant_rate,
    cosine_rate,
    initialize,
)
from course_lib.training.regression import Regression, RegressionSettings, start_from_eccv16
from course_lib.training.runs import build_network, load_arrays, load_run, stages_of, train_run

SETTINGS = ClassificationSettings(
    steps=12, batch_size=8, rate=3e-3, warmup=2, precision="float32", average=0.5
)


def classification(codes, settings=SETTINGS, validation=None):
    torch.manual_seed(0)
    network = ECCV16(0.05)
    initialize(network)
    validation = codes[:8] if validation is None else validation
    return Classification(network, codes, validation, settings)


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


def test_arrays_that_do_not_fit_are_refused(tiny_codes):
    for codes, options, message in (
        (tiny_codes[:3], {}, "3 pictures do not fill a batch of 4"),
        (tiny_codes, {"size": 24}, "wants pictures of 24 px, the array has 16"),
        ([(tiny_codes, 0)], {}, "weight in a mixture must be above 0"),
    ):
        with pytest.raises(ValueError, match=message):
            LabBatches(codes, Settings(batch_size=4, **options))


def test_a_mixture_takes_from_each_array_as_often_as_its_weight_says():
    # the first pixel's a tells which array a picture is from, its b which picture it is
    arrays = []
    for number, (count, size) in enumerate([(16, 8), (24, 12)]):
        codes = np.zeros((count, 3, size, size), np.uint8)
        codes[:, 1], codes[:, 2] = number, np.arange(count)[:, None, None]
        arrays.append(codes)
    settings = Settings(batch_size=8, size=8, seed=3)
    mixture = list(zip(arrays, (1, 3), strict=True))
    batches = LabBatches(mixture, settings)
    drawn = [(batches(step)[1][:, :, 0, 0] + 128).round().int() for step in range(400)]
    shown = torch.cat(drawn)
    assert 0.72 < shown[:, 0].float().mean() < 0.78
    assert max(len(ab[:, 0].unique()) for ab in drawn) == 2  # a batch is mixed, too
    for number in (0, 1):
        # none comes again before all of its array were shown
        times = shown[shown[:, 0] == number, 1].bincount()
        assert len(times) == len(arrays[number]) and times.max() - times.min() <= 1
    # a batch follows from its step, whatever was asked for before
    again = LabBatches(mixture, settings)(399)[1]
    assert torch.equal((again[:, :, 0, 0] + 128).round().int(), drawn[399])


def test_labels_stay_with_their_pictures():
    # b tells which picture of its array it is; an array without labels has -1
    codes = np.zeros((24, 3, 8, 8), np.uint8)
    codes[:, 2] = np.arange(24)[:, None, None]
    labels = np.arange(24) * 10
    mixture = [(Labelled(codes, labels), 1), (codes, 1)]
    for settings in (Settings(batch_size=8), Settings(batch_size=8, featureless=0.5)):
        batches = LabBatches(mixture, settings)
        for step in range(3):
            ab, (known, arrays) = batches(step)[1], batches.kinds(step)
            picture = (ab[:, 1, 0, 0] + 128).round().long()
            blank = ab.abs().amax((1, 2, 3)) == 0
            assert torch.equal(known, torch.where(blank | (arrays == 1), -1, picture * 10))
    with pytest.raises(ValueError, match="24 pictures have 23 labels"):
        LabBatches(Labelled(codes, labels[1:]), settings)


def test_featureless_pictures_are_gray_and_take_the_place_of_their_share(tiny_codes):
    settings = Settings(batch_size=40, featureless=0.25, brightness=0, contrast=0)
    count = 0
    for step in range(20):
        (L, ab), (plain, colours) = (
            LabBatches(tiny_codes, s)(step) for s in (settings, replace(settings, featureless=0.0))
        )
        blank = ab.abs().amax((1, 2, 3)) == 0
        count += int(blank.sum())
        assert torch.equal(L[~blank], plain[~blank]) and torch.equal(ab[~blank], colours[~blank])
        assert L.min() >= 0 and L.max() <= 100
        # next to nothing happens from one pixel to the next
        assert L[blank].diff(dim=-1).abs().mean() < 5
    assert 0.2 < count / 800 < 0.3


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


def test_bfloat16_is_computed_in_while_the_weights_stay_in_float32(tiny_codes):
    recipe = classification(tiny_codes, replace(SETTINGS, precision="bfloat16"))
    seen = []
    recipe.network.model3[0].register_forward_hook(lambda *args: seen.append(args[-1].dtype))
    weight = recipe.network.model3[0].weight
    before = weight.detach().clone()
    recipe.optimizer.register_step_pre_hook(lambda *_: seen.append(weight.grad.dtype))
    recipe.train_step(0)
    assert seen == [torch.bfloat16, torch.float32]
    assert weight.dtype == torch.float32 and not torch.equal(weight, before)
    # steps that bfloat16 could not tell apart
    assert not torch.equal(weight, weight.bfloat16().float())
    with pytest.raises(ValueError, match="precision"):
        autocast("float16", torch.device("cpu"))


def test_the_average_follows_the_weights():
    network = torch.nn.Linear(1, 1)
    average = WeightAverage(network, decay=0.9)
    with torch.no_grad():
        network.weight.fill_(3.0)
    for _ in range(200):
        average.update_parameters(network)
    assert average.network.weight.item() == pytest.approx(3.0, abs=1e-3)
    assert not average.network.weight.requires_grad


def test_learning_rate_may_stay_and_fall_at_the_end():
    rates = [constant_rate(step, 100, 1.0, warmup=10, decay=20) for step in range(101)]
    assert rates[0] == pytest.approx(0.1) and rates[10:81] == [1.0] * 71
    assert rates[90] == pytest.approx(0.5) and rates[100] == 0
    assert constant_rate(99, 100, 1.0, warmup=0, decay=0) == 1.0


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


def test_hints_mend_what_the_network_gets_wrong_without_any(tiny_codes):
    network = SIGGRAPH17(0.05)
    settings = RegressionSettings(batch_size=8, warmup=0, precision="float32", mending=1.0)
    recipes = [
        Regression(deepcopy(network), tiny_codes, tiny_codes[:8], replace(settings, mending=share))
        for share in (0.0, 0.5, 1.0)
    ]
    L, ab = recipes[0].batches(0)
    random, some, all_ = (r._hints(r.network, L, ab, 0)[0] for r in recipes)
    as_random = [torch.equal(one, other) for one, other in zip(random, some, strict=True)]
    as_mended = [torch.equal(one, other) for one, other in zip(all_, some, strict=True)]
    assert any(as_mended) and not all(as_mended) and not all(as_random)
    # the question what is wrong leaves no trace in the network
    for key, value in recipes[2].network.state_dict().items():
        assert torch.equal(value, network.state_dict()[key]), key
    assert recipes[2].network.training
    losses = [recipe.train_step(0)["loss"] for recipe in recipes]
    assert len({*losses}) == 3 and np.isfinite(losses).all()


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


def test_near_copies_of_held_out_pictures_and_of_each_other_are_passed_over(tmp_path, capsys):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    shown = {"a": data.astronaut(), "b": data.coffee()[:400, :400], "c": data.chelsea()[:, :300]}
    for name, picture in shown.items():
        Image.fromarray(picture).save(pictures / f"{name}.png")
    # held out: the astronaut, mirrored and smaller; and among the others the cat a second time
    Image.fromarray(data.astronaut()[::2, ::-2]).save(tmp_path / "held-out.png")
    Image.fromarray(data.chelsea()[:, :300]).save(pictures / "d.jpg", quality=60)
    build_array([tmp_path / "held-out.png"], tmp_path / "held.npy", 64, progress=False)
    counts = build_array(
        sorted(pictures.iterdir()),
        tmp_path / "some.npy",
        32,
        unlike=[np.load(tmp_path / "held.npy")],
        progress=False,
    )
    assert counts == {"kept": 2, "gray": 0, "unreadable": 0, "copies": 2}
    kept = [np.array(Image.fromarray(square(shown[name], 32))) for name in "bc"]
    wanted = np.stack([encode_lab(rgb2lab(picture)).transpose(2, 0, 1) for picture in kept])
    off = np.abs(np.load(tmp_path / "some.npy").astype(int) - wanted)  # by tables: see fast_lab
    assert off.max() <= 1 and off.mean() < 0.02
    command = ["prepare", str(pictures), "--size", "32", "--output", str(tmp_path / "b.npy")]
    assert main([*command, "--unlike", str(tmp_path / "held.npy")]) == 0
    assert "2 kept, 0 gray, 0 unreadable, 2 copies" in capsys.readouterr().out
    assert main([*command, "--unlike"]) == 0  # of each other alone
    assert "3 kept, 0 gray, 0 unreadable, 1 copies" in capsys.readouterr().out


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
    assert (plain["size"], plain["softening"], plain["temperature"]) == ("16", 0, 1)
    assert 0 < gray["auc_pooled"] < gray["auc_balanced"]
    soften_rebalancing(network, rebalancing_weights(ab_prior(), 0.5), 1)
    (_, again) = sweep(network, tiny_codes[:4], 0.5, (16,), (0,), (1,))
    assert again["psnr"] == pytest.approx(softened["psnr"], abs=1e-3)
    assert again["colourfulness"] == pytest.approx(softened["colourfulness"], abs=1e-3)
    assert plain["colourfulness"] > softened["colourfulness"]  # rare colours, so strong ones


def test_the_sweep_takes_means_over_views(tiny_codes):
    torch.manual_seed(0)
    network = ECCV16(0.05).eval()
    with torch.no_grad():
        network.model8[-1].weight.mul_(100)  # so that it is sure of something

    def psnr(codes, size, **options):
        (_, row) = sweep(network, codes[:4], 0.5, (size,), (0,), (1,), **options)
        return row["psnr"]

    flipped = tiny_codes[..., ::-1]
    assert psnr(tiny_codes, 16) != pytest.approx(psnr(flipped, 16), abs=1e-3)
    with_mirror = psnr(tiny_codes, 16, mirrored=True)
    assert with_mirror == pytest.approx(psnr(flipped, 16, mirrored=True), abs=1e-3)
    assert psnr(tiny_codes, (16, 16)) == pytest.approx(psnr(tiny_codes, 16), abs=1e-3)
    assert psnr(tiny_codes, (8, 16)) != pytest.approx(psnr(tiny_codes, 16), abs=1e-3)


STAGES = {
    "model": "eccv16",
    "width": 0.05,
    "temperature": 0.38,
    "batch_size": 4,
    "average": 0.5,
    "precision": "float32",
    "stages": [
        {"train": "small", "steps": 3, "seed": 0},
        {"train": {"small": 1, "large": 2}, "size": 8, "steps": 4, "rate": 0.01, "seed": 1},
        {"train": "large", "size": 24, "batch_size": 2, "steps": 2, "seed": 2, "goes_on": True},
    ],
}


def test_the_stages_of_a_config_are_one_run(tiny_codes, tmp_path):
    large = np.repeat(np.repeat(tiny_codes, 2, axis=-1), 2, axis=-2)
    arrays = {"small": tiny_codes, "large": large}
    options = {"record_every": 2, "progress": False}
    recipe, history = train_run(STAGES, arrays, tiny_codes[:4], tmp_path / "whole", **options)
    # a stage ends with a row and its measurements
    assert [row["step"] for row in history.rows] == [2, 3, 4, 6, 7, 8, 9]
    assert history.column("auc_raw")[0] == [3, 7, 9]
    assert history.column("samples")[1][-1] == 7 * 4 + 2 * 2
    assert recipe.settings.rate == 1e-3 and recipe.settings.size == 24
    network, config, story = load_run(tmp_path / "whole")
    assert config["seed"] == 2 and not network.training
    assert story.startswith("3 steps of 4 pictures, seed 0, then 4 steps of 4 pictures, seed 1")
    assert same_state(network, recipe.average.network)

    # stopped anywhere, also at a border, it goes on to the same numbers
    step_once = Classification.train_step
    for steps in (2, 3, 5, 7, 8):
        run, taken = tmp_path / f"stopped-{steps}", iter(range(steps))

        def until(recipe, step, taken=taken):
            if next(taken, None) is None:
                raise KeyboardInterrupt
            return step_once(recipe, step)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Classification, "train_step", until)
            train_run(STAGES, arrays, tiny_codes[:4], run, **options)
        resumed, rows = train_run(STAGES, arrays, tiny_codes[:4], run, **options)
        assert same_state(resumed.average.network, recipe.average.network), steps
        assert rows.column("loss") == history.column("loss"), steps


def test_a_stage_starts_from_the_average_with_a_new_optimizer(tiny_codes, tmp_path):
    config = {**STAGES, "stages": [STAGES["stages"][0], {"steps": 1, "rate": 0.0, "seed": 1}]}
    first, _ = train_run(
        STAGES | {"stages": config["stages"][:1]},
        {"train": tiny_codes},
        tiny_codes[:4],
        tmp_path / "first",
        progress=False,
    )
    second, _ = train_run(
        config, {"train": tiny_codes}, tiny_codes[:4], tmp_path / "second", progress=False
    )
    expected, found = first.average.network, second.network
    pairs = zip(expected.parameters(), found.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert second.optimizer.state_dict()["state"][0]["step"] == 1
    assert second.network.model3[0].weight.requires_grad


def test_a_stage_that_goes_on_keeps_optimizer_head_and_averages(tiny_codes, tmp_path):
    arrays = {"train": Labelled(tiny_codes, np.arange(len(tiny_codes)) // 10)}
    first = {"steps": 3, "seed": 0, "label_weight": 1.0, "decay": 0}
    stages = [first, first | {"goes_on": True, "seed": 1, "rate": 0.0, "warmup": 0}]
    recipe, _ = train_run(
        STAGES | {"stages": stages}, arrays, tiny_codes[:4], tmp_path / "both", progress=False
    )
    before, _ = train_run(
        STAGES | {"stages": stages[:1]}, arrays, tiny_codes[:4], tmp_path / "one", progress=False
    )
    assert {state["step"].item() for state in recipe.optimizer.state.values()} == {6}
    assert recipe.average.n_averaged.item() == 6
    # with a rate of 0 the weights, the head's among them, stay what they were
    for one, other in ((before.network, recipe.network), (before.head, recipe.head)):
        pairs = zip(one.parameters(), other.parameters(), strict=True)
        assert all(torch.equal(mine, others) for mine, others in pairs)
    assert not same_state(before.average, recipe.average)
    # with another class head that is told before the first step, not after hours of training
    arrays |= {"more": Labelled(tiny_codes, np.zeros(len(tiny_codes), int))}
    for change in ({"train": {"train": 1, "more": 1}}, {"label_weight": 0.0}):
        one, two = ({"train": "train"} | stage for stage in stages)
        other = STAGES | {"stages": [one, two | change]}
        with pytest.raises(ValueError, match="takes over the class head"):
            train_run(other, arrays, tiny_codes[:4], tmp_path / "other")
    assert not (tmp_path / "other").exists()
    with pytest.raises(ValueError, match="l1 cannot go on from one by classification"):
        stages_of(STAGES | {"stages": [{"steps": 1}, {"recipe": "l1", "goes_on": True}]})


def test_what_is_on_a_picture_is_learned_beside_its_colours(tiny_codes):
    labels = np.arange(len(tiny_codes)) // 10
    mixture = [(Labelled(tiny_codes, labels), 1), (Labelled(tiny_codes, labels), 1)]
    settings = replace(SETTINGS, steps=80, rate=0.01, label_weight=1.0)
    recipe = classification(mixture, settings, tiny_codes)
    history = fit(recipe, 80, record_every=10, progress=False)
    # told apart among the four of a picture's own array, not among eight
    label = history.column("label")[1]
    assert label[0] < 1.5 and label[-1] < label[0] - 0.1
    row = history.rows[-1]
    assert row["loss"] == pytest.approx(row["colour"] + row["label"], rel=1e-5)
    assert not any("head" in key for key in recipe.average.network.state_dict())
    with pytest.raises(ValueError, match="needs pictures with labels"):
        classification(tiny_codes, settings)


def test_labels_are_prepared_from_folders(folder, tmp_path, capsys):
    for kind in ("sea", "apples"):
        (tmp_path / "sorted" / kind).mkdir(parents=True)
    Image.fromarray(data.coffee()[:64, :64]).save(tmp_path / "sorted" / "sea" / "a.png")
    Image.fromarray(data.coffee()[:64, :64] // 9 * 0 + 99).save(
        tmp_path / "sorted/apples/gray.png"
    )
    Image.fromarray(data.astronaut()[:64, :64]).save(tmp_path / "sorted" / "apples" / "b.png")
    output = str(tmp_path / "array.npy")
    command = ["prepare", str(tmp_path / "sorted"), "--size", "32", "--output", output]
    assert main([*command, "--labels"]) == 0
    given = load_arrays([f"some={output}"])["some"]
    assert given.labels.tolist() == [0, 1] and len(given.codes) == 2
    labels = tmp_path / "array.labels.npy"
    for damaged in (b"", labels.read_bytes()[:90], labels.read_bytes()[:-8] + b"\xfe" * 8):
        labels.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"array\.labels\.npy: "):
            load_arrays([f"some={output}"])


def test_configs_that_do_not_fit_are_refused(tiny_codes, tmp_path, capsys):
    np.save(tmp_path / "a.npy", tiny_codes)
    path = tmp_path / "config.json"
    command = ["--train", f"small={tmp_path / 'a.npy'}", "--validation", str(tmp_path / "a.npy")]
    command += ["--run", str(tmp_path / "run"), "--config", str(path)]
    for name, config, message in (
        ("siggraph17", STAGES, "is for the model 'eccv16', not for 'siggraph17'"),
        ("l1", STAGES | {"recipe": "classification"}, "recipe 'classification', not for 'l1'"),
        ("eccv16", STAGES, "give large too, each as --train NAME=FILE"),
        ("eccv16", STAGES | {"speed": 3}, "no settings called speed"),
        ("eccv16", STAGES | {"stages": [{"steps": 1, "depth": 3}]}, "no settings called depth"),
        ("l1", {"model": "vgg", "steps": 1}, "no network called 'vgg'"),
        ("eccv16", [STAGES], "expected an object"),
    ):
        path.write_text(json.dumps(config))
        assert main([name, *command]) == 2
        assert message in capsys.readouterr().err
    path.write_text("{")
    assert main(["eccv16", *command]) == 2
    assert f"{path}: not a config in JSON" in capsys.readouterr().err


class Tinted(torch.nn.Module):
    """The smallest network that there is: a tint for each lightness."""

    def __init__(self, width=1.0, hidden=4):
        super().__init__()
        self.width, self.hidden = width, hidden
        channels = max(1, round(8 * width))
        self.tint = torch.nn.Sequential(
            torch.nn.Conv2d(1, channels, 1), torch.nn.ReLU(), torch.nn.Conv2d(channels, 2, 1)
        )

    def forward(self, L):
        return self.tint(L / 100) * 110


def test_another_network_is_trained_by_l1_and_exported(tiny_codes, tmp_path, monkeypatch):
    row = Network(Tinted, "a tint", landmark=("tint.0.weight", 8), settings={"hidden": int})
    monkeypatch.setitem(NETWORKS, "tinted", row)
    np.save(tmp_path / "a.npy", tiny_codes)
    config = {"model": "tinted", "width": 0.5, "hidden": 7, "steps": 30, "batch_size": 8}
    config |= {"rate": 0.01, "warmup": 1, "average": 0.5, "seed": 0}
    (tmp_path / "config.json").write_text(json.dumps(config))
    array, run, weights = tmp_path / "a.npy", tmp_path / "run", tmp_path / "w.safetensors"
    command = ["l1", "--train", array, "--validation", array, "--run", run]
    assert main(list(map(str, [*command, "--config", tmp_path / "config.json"]))) == 0
    command = ["export", "--run", run, "--validation", array, "--output", weights]
    assert main(list(map(str, command))) == 0
    network = load_network("tinted", weights)
    assert (network.width, network.hidden, network.input_size) == (0.5, 7, 16)
    # it has learned something: brown is nearer than gray
    L, ab = decode_lab(torch.from_numpy(tiny_codes))
    with torch.no_grad():
        assert (network(L) - ab).abs().mean() < 0.95 * ab.abs().mean()
    with pytest.raises(ValueError, match="tinted cannot be trained by regression"):
        build_network(config | {"recipe": "regression"})


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
    views = {"averaged, the mirror image too", "averaged, two sizes"}
    assert {row["weights"] for row in rows} == {"averaged", "last step"} | views
    assert all(row["size"] == "16" for row in rows if row["weights"] == "last step")
    assert {row["size"] for row in rows if "two sizes" in row["weights"]} == {"96 + 160"}
    compare = ["compare", *common, "--run", str(tmp_path / "trials"), "--config", str(config)]
    compare += ["--change", "width", "0.1", "--output", str(tmp_path / "trials.csv")]
    assert main(compare) == 0
    gray, *rows = csv.DictReader((tmp_path / "trials.csv").read_text().splitlines())
    assert gray["changed"] == "" and gray["colourfulness"] == "0.00"
    assert [row["changed"] for row in rows] == ["nothing", "width 0.1"]
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
