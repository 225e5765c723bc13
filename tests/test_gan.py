"""The U-Net generator, the patch discriminator, and the game between them."""

import copy
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import course_lib as cl
from course_lib import PatchDiscriminator, UNetGenerator
from course_lib.lab import normalize_lab
from course_lib.metrics import ab_histogram_distance
from course_lib.models import load_network
from course_lib.training.__main__ import main
from course_lib.training.batches import Settings
from course_lib.training.gan import (
    Gan,
    GanSettings,
    Reconstruction,
    measure_colouring,
)
from course_lib.training.loop import History, fit
from course_lib.training.losses import GAMES, adversarial_loss, discriminator_loss, l1_loss
from course_lib.training.runs import CONFIGS, stages_of, train_gan

# The networks


def lightness(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 100


def test_the_published_generator_has_the_published_channels():
    with torch.device("meta"):
        network = UNetGenerator()
    down = [block[0 if i == 0 else 1] for i, block in enumerate(network.down)]
    assert [conv.out_channels for conv in down] == [64, 128, 256, 512, 512, 512, 512, 512]
    assert [conv.in_channels for conv in down] == [1, 64, 128, 256, 512, 512, 512, 512]
    # appendix 6.1.1: with shortcuts, each block of the decoder sees twice the channels
    up = [block[1] for block in network.up]
    assert [conv.in_channels for conv in up] == [512, 1024, 1024, 1024, 1024, 512, 256]
    assert [conv.out_channels for conv in up] == [512, 512, 512, 512, 256, 128, 64]
    assert (network.out[1].in_channels, network.out[1].out_channels) == (128, 2)
    dropping = [any(isinstance(m, torch.nn.Dropout) for m in block) for block in network.up]
    assert dropping == [True] * 3 + [False] * 4
    convolutions = [*down, *up, network.out[1]]
    assert all(c.kernel_size == (4, 4) and c.stride == (2, 2) for c in convolutions)
    normalized = [isinstance(block[-1], torch.nn.BatchNorm2d) for block in network.down]
    assert normalized == [False] + [True] * 6 + [False]


@pytest.mark.parametrize("size", [(16, 16), (17, 30), (1, 5), (64, 40)])
def test_the_generator_takes_any_size(size):
    network = UNetGenerator(width=0.05, depth=4).eval()
    L = lightness(2, 1, *size)
    ab = network(L)
    assert ab.shape == (2, 2, *size) and ab.dtype == torch.float32
    assert ab.abs().max() <= 110
    with pytest.raises(ValueError, match=r"expected lightness L of shape \(N, 1, H, W\)"):
        network(L[:, 0])


def test_a_multiple_of_the_stride_is_not_padded():
    network = UNetGenerator(width=0.05, depth=3).eval()
    L = lightness(1, 1, 21, 13)
    padded = F.pad(L, (0, 3, 0, 3), mode="replicate")
    assert network.stride == 8
    assert torch.equal(network(L), network(padded)[..., :21, :13])


def test_colours_reach_the_whole_range():
    network = UNetGenerator(width=0.05, depth=3).eval()
    with torch.no_grad():
        network.out[1].bias.copy_(torch.tensor([50.0, -50.0]))
    ab = network(lightness(1, 1, 8, 8))
    assert torch.allclose(ab[:, 0], torch.tensor(110.0))
    assert torch.allclose(ab[:, 1], torch.tensor(-110.0))


def test_inside_the_networks_is_pix2pixs_scale():
    seen = {}

    def keep(name):
        return lambda _, inputs: seen.__setitem__(name, inputs[0])

    generator = UNetGenerator(width=0.05, depth=3).eval()
    discriminator = PatchDiscriminator(width=0.05, layers=1).eval()
    generator.down[0].register_forward_pre_hook(keep("generator"))
    discriminator.blocks.register_forward_pre_hook(keep("discriminator"))
    L = lightness(2, 1, 16, 16)
    ab = torch.rand(2, 2, 16, 16) * 200 - 100
    generator(L)
    discriminator(L, ab)
    scaled = normalize_lab(torch.cat([L, ab], dim=1), "pix2pix")
    assert torch.allclose(seen["generator"], scaled[:, :1], atol=1e-6)
    assert torch.allclose(seen["discriminator"], scaled, atol=1e-6)


def test_edges_cross_the_u_and_shapes_go_through_its_bottom():
    network = UNetGenerator(width=0.1, depth=3).eval()
    L = lightness(1, 1, 32, 32)
    whole = network(L)
    cut_below, cut_across = copy.deepcopy(network), copy.deepcopy(network)
    with torch.no_grad():
        cut_below.up[0][1].weight.zero_()
        cut_across.out[1].weight[network.up[-1][1].out_channels :] = 0
    for cut in (cut_below, cut_across):
        assert not torch.allclose(cut(L), whole)
        assert cut(L).std() > 0  # what is left of the U still sees the picture


def test_chance_is_for_training_only():
    network = UNetGenerator(width=0.1, depth=4)
    L = lightness(2, 1, 32, 32)
    assert not torch.equal(network(L), network(L))
    network.eval()
    assert torch.equal(network(L), network(L))
    # a picture's colours do not depend on its neighbours in the batch
    assert torch.allclose(network(L)[:1], network(L[:1]), atol=1e-4)
    still = UNetGenerator(width=0.1, depth=4, dropout=0)
    assert torch.equal(still(L), still(L))


@pytest.mark.parametrize(("layers", "side"), [(1, 16), (2, 34), (3, 70)])
def test_a_logit_judges_a_patch(layers, side):
    """The published discriminator's patches have 70 pixels a side: gradients prove it."""
    network = PatchDiscriminator(width=1.0 if layers == 3 else 0.1, layers=layers)
    if layers == 3:
        outputs = [m.out_channels for m in network.blocks if isinstance(m, torch.nn.Conv2d)]
        assert outputs == [64, 128, 256, 512, 1]
    L = lightness(1, 1, 128, 128)
    ab = torch.rand(1, 2, 128, 128, requires_grad=True)
    logits = network(L, ab)
    row = column = logits.shape[-1] // 2
    logits[0, 0, row, column].backward()
    touched = ab.grad[0].abs().sum(0) > 0
    rows, columns = touched.any(1).nonzero(), touched.any(0).nonzero()
    assert rows.max() - rows.min() + 1 == columns.max() - columns.min() + 1 == side
    assert network.receptive_field == side
    # and the rest of the picture may be anything
    elsewhere = torch.where(touched, ab.detach(), torch.tensor(99.0))
    assert torch.allclose(
        network.eval()(L, elsewhere)[0, 0, row, column], logits[0, 0, row, column]
    )


def test_the_discriminator_looks_at_the_gray_picture_too():
    network = PatchDiscriminator(width=0.1, layers=2).eval()
    L, ab = lightness(2, 1, 32, 32), torch.zeros(2, 2, 32, 32)
    assert not torch.allclose(network(L, ab), network(L.flip(-1), ab))
    # a judgement does not depend on what else is in the batch
    assert torch.allclose(network(L, ab)[:1], network(L[:1], ab[:1]), atol=1e-5)
    for wrong in (ab[:1], ab[:, :1], ab[..., 1:]):
        with pytest.raises(ValueError, match="to go with L of shape"):
            network(L, wrong)


def test_the_discriminator_cannot_be_steeper_than_its_norm_allows():
    network = PatchDiscriminator(width=0.1, layers=2)
    for _ in range(50):  # each pass in training brings the estimate of the norm closer
        network(lightness(1, 1, 32, 32), torch.zeros(1, 2, 32, 32))
    for module in network.eval().modules():
        if isinstance(module, torch.nn.Conv2d):
            largest = torch.linalg.matrix_norm(module.weight.flatten(1), 2)
            assert largest.item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: UNetGenerator(width=0), "width must be above 0"),
        (lambda: UNetGenerator(depth=9), r"depth must be in 2\.\.8, got 9"),
        (lambda: UNetGenerator(dropout=1), "dropout must be"),
        (lambda: PatchDiscriminator(width=-1), "width must be above 0"),
        (lambda: PatchDiscriminator(layers=0), "layers must be at least 1"),
    ],
)
def test_impossible_networks_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_trained_generator_is_a_network_like_the_others():
    network = UNetGenerator(width=0.05, depth=5).eval()
    network.input_size = 32
    rgb = np.random.default_rng(0).integers(0, 255, (50, 70, 3), dtype=np.uint8)
    assert cl.colorize(rgb, network).shape == rgb.shape


# Losses


@pytest.mark.parametrize(("game", "undecided"), [("bce", np.log(2)), ("hinge", 1.0)])
def test_a_discriminator_without_an_idea(game, undecided):
    zeros = torch.zeros(2, 1, 3, 3)
    assert discriminator_loss(zeros, zeros, game).item() == pytest.approx(undecided)


def test_least_squares_without_an_idea():
    half = torch.full((2, 1, 3, 3), 0.5)
    assert discriminator_loss(half, half, "least_squares").item() == pytest.approx(0.25)


def test_cross_entropy_is_that_of_the_library():
    real, fake = torch.randn(2, 4, 1, 3, 3, generator=torch.Generator().manual_seed(0)) * 3
    entropy = F.binary_cross_entropy_with_logits
    halves = entropy(real, torch.ones_like(real)) + entropy(fake, torch.zeros_like(fake))
    assert torch.allclose(discriminator_loss(real, fake), halves / 2)
    assert torch.allclose(adversarial_loss(fake), entropy(fake, torch.ones_like(fake)))
    far = torch.tensor([-500.0, 500.0])
    assert torch.isfinite(discriminator_loss(far, far)) and torch.isfinite(adversarial_loss(far))


@pytest.mark.parametrize("game", GAMES)
def test_the_players_want_opposite_things(game):
    real = torch.zeros(5, requires_grad=True)
    fake = torch.zeros(5, requires_grad=True)
    discriminator_loss(real, fake + 0.5, game).backward()
    assert (real.grad < 0).all() and (fake.grad > 0).all()
    fake.grad = None
    adversarial_loss(fake + 0.5, game).backward()
    assert (fake.grad < 0).all()


def test_a_game_that_nobody_knows():
    with pytest.raises(ValueError, match="game must be one of bce, least_squares, hinge"):
        adversarial_loss(torch.zeros(1), "wgan")


def test_l1_is_on_pix2pixs_scale():
    ab, truth = torch.zeros(1, 2, 2, 2), torch.full((1, 2, 2, 2), 55.0)
    assert l1_loss(ab, truth).item() == pytest.approx(0.5)


def test_the_histogram_distance_counts_colours_wherever_they_are():
    ab = np.random.default_rng(0).uniform(-80, 80, (4, 2, 8, 8))
    assert ab_histogram_distance(ab, ab) == 0
    assert ab_histogram_distance(ab[..., ::-1, :], ab) == 0
    assert ab_histogram_distance(ab * 0 + 60, ab * 0 - 60) == 1
    half = ab * 0
    half[..., :4] = 60
    assert ab_histogram_distance(half, ab * 0) == pytest.approx(0.5)
    assert ab_histogram_distance(ab * 0 + 110, ab * 0 + 110) == 0


# The recipes

SETTINGS = GanSettings(
    steps=12,
    batch_size=8,
    rate=2e-3,
    discriminator_rate=2e-3,
    l1_weight=10,
    average=0.5,
    sample_every=4,
    sample_count=2,
    zoom=1.3,
    precision="float32",
)


def game(codes, settings=SETTINGS, dropout=0.5):
    torch.manual_seed(0)
    generator = UNetGenerator(width=0.1, depth=4, dropout=dropout)
    return Gan(generator, PatchDiscriminator(0.1, layers=1), codes, codes[:8], settings)


def reconstruction(codes, settings=None):
    torch.manual_seed(0)
    settings = settings or Settings(
        steps=12, batch_size=8, rate=3e-3, warmup=2, average=0.5, precision="float32"
    )
    return Reconstruction(UNetGenerator(width=0.1, depth=4), codes, codes[:8], settings)


def state_of(recipe):
    return {name: part.state_dict() for name, part in recipe.parts.items()}


def same(one, other):
    """Whether two state dicts are equal, down to the last bit and in every depth."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def test_l1_alone_learns(tiny_codes):
    settings = Settings(
        steps=30, batch_size=8, rate=5e-3, warmup=2, average=0.9, precision="float32"
    )
    recipe = reconstruction(tiny_codes, settings)
    history = fit(recipe, 30, record_every=5, progress=False)
    losses = history.column("l1")[1]
    assert losses[-1] < 0.8 * losses[0]
    assert history.rows[-1]["loss"] == pytest.approx(history.rows[-1]["l1"] / 110)


def test_the_game_is_recorded_in_full(tiny_codes):
    recipe = game(tiny_codes)
    history = fit(recipe, 12, record_every=4, progress=False)
    for name in ("generator", "l1", "adversarial", "discriminator", "real_right", "fake_right"):
        steps, values = history.column(name)
        assert steps == [4, 8, 12] and np.isfinite(values).all(), name
    row = history.rows[-1]
    assert row["generator"] == pytest.approx(10 * row["l1"] / 110 + row["adversarial"], rel=1e-4)
    assert all(0 <= row[name] <= 1 for name in ("real_right", "fake_right", "histogram"))
    assert row["chroma"] > 0 and 0 < row["auc"] <= 100 and row["psnr"] > 5


@pytest.mark.parametrize("kind", GAMES)
def test_a_discriminator_of_its_own_learns_to_tell(tiny_codes, kind):
    """Against a generator that stands still, the discriminator must win."""
    settings = replace(
        SETTINGS, steps=40, rate=0.0, discriminator_rate=1e-2, game=kind, sample_every=100
    )
    recipe = game(tiny_codes, settings)
    before = copy.deepcopy(recipe.generator.state_dict())
    history = fit(recipe, 40, record_every=10, progress=False)
    first, last = history.rows[0], history.rows[-1]
    assert last["discriminator"] < 0.8 * first["discriminator"]
    assert last["real_right"] + last["fake_right"] > 1.6
    weights = {k: v for k, v in before.items() if k.endswith(("weight", "bias"))}
    assert all(torch.equal(recipe.generator.state_dict()[k], v) for k, v in weights.items())


def test_the_generator_learns_to_deceive(tiny_codes):
    """Without L1 and against a discriminator that stands still, it must be taken for real."""
    settings = replace(SETTINGS, steps=40, discriminator_rate=0.0, l1_weight=0.0, sample_every=100)
    history = fit(game(tiny_codes, settings), 40, record_every=10, progress=False)
    assert history.rows[-1]["adversarial"] < history.rows[0]["adversarial"] - 0.05


def test_each_player_gets_the_gradients_of_its_own_loss(tiny_codes):
    recipe = game(tiny_codes, dropout=0)
    generator = copy.deepcopy(recipe.generator)
    discriminator = copy.deepcopy(recipe.discriminator)
    L, ab = recipe.batches(0)
    # By hand: a pass for each loss, and gradients asked for one network at a time.
    made = generator(L)
    real, fake = discriminator(torch.cat([L, L]), torch.cat([ab, made.detach()])).chunk(2)
    of_discriminator = torch.autograd.grad(
        discriminator_loss(real, fake), list(discriminator.parameters())
    )
    loss = 10 * l1_loss(made, ab) + adversarial_loss(discriminator(L, made))
    of_generator = torch.autograd.grad(loss, list(generator.parameters()))

    taken = {}

    def keep(optimizer, name):
        def gradients(*_):
            taken[name] = [p.grad.clone() for p in optimizer.param_groups[0]["params"]]

        optimizer.register_step_pre_hook(gradients)

    keep(recipe.generator_optimizer, "generator")
    keep(recipe.discriminator_optimizer, "discriminator")
    recipe.train_step(0)
    for expected, name in ((of_generator, "generator"), (of_discriminator, "discriminator")):
        for one, other in zip(expected, taken[name], strict=True):
            assert torch.allclose(one, other, rtol=1e-4, atol=1e-7), name
    own = {id(p) for p in recipe.generator.parameters()}
    held = {id(p) for p in recipe.generator_optimizer.param_groups[0]["params"]}
    assert own == held


def test_a_game_begins_with_averaged_weights(tiny_codes):
    averaged = reconstruction(tiny_codes).average.network
    before = averaged.out[1].weight.clone()
    recipe = Gan(averaged, PatchDiscriminator(0.1, 1), tiny_codes, tiny_codes[:8], SETTINGS)
    recipe.train_step(0)
    assert not torch.equal(averaged.out[1].weight, before)


def test_samples_show_the_same_pictures_at_fixed_steps(tiny_codes, tmp_path):
    recipe = game(tiny_codes)
    fit(recipe, 6, run_dir=tmp_path, progress=False)
    assert list(recipe.samples) == [0, 4]
    assert recipe.samples[4].shape == (2, 16, 16, 3) and recipe.samples[4].dtype == np.uint8
    assert not np.array_equal(recipe.samples[0], recipe.samples[4])
    first = measure_colouring(recipe.average.network, tiny_codes[:8])
    resumed = game(tiny_codes)
    fit(resumed, 12, run_dir=tmp_path, progress=False)
    assert list(resumed.samples) == [0, 4, 8, 12]
    assert np.array_equal(resumed.samples[4], recipe.samples[4])
    assert measure_colouring(recipe.average.network, tiny_codes[:8]) == first


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_resumed_game_ends_with_the_same_numbers(tiny_codes, tmp_path, precision):
    settings = replace(SETTINGS, precision=precision)
    whole = game(tiny_codes, settings)
    expected = fit(whole, 12, record_every=5, progress=False)
    fit(game(tiny_codes, settings), 10, run_dir=tmp_path, record_every=5, progress=False)
    torch.manual_seed(99)  # whatever was drawn in between
    resumed = game(tiny_codes, settings)
    history = fit(resumed, 12, run_dir=tmp_path, record_every=5, progress=False)
    assert same(state_of(resumed), state_of(whole))
    for name in ("generator", "discriminator", "real_right"):
        assert history.column(name) == expected.column(name), name


def test_a_resumed_reconstruction_ends_with_the_same_numbers(tiny_codes, tmp_path):
    whole = reconstruction(tiny_codes)
    fit(whole, 12, progress=False)
    fit(reconstruction(tiny_codes), 5, run_dir=tmp_path, progress=False)
    resumed = reconstruction(tiny_codes)
    fit(resumed, 12, run_dir=tmp_path, progress=False)
    assert same(state_of(resumed), state_of(whole))


SCRIPT = """
import sys
import numpy as np
import torch
from course_lib import PatchDiscriminator, UNetGenerator
from course_lib import parallel
from course_lib.training import Gan, GanSettings, Reconstruction, Settings, fit

torch.set_num_threads(1)
codes, run = np.load(sys.argv[1]), sys.argv[2]
kind, steps, every, dropout = sys.argv[3], int(sys.argv[4]), float(sys.argv[5]), float(sys.argv[6])
common = dict(steps=steps, batch_size=8, zoom=1.3, precision="float32", device="cpu")
torch.manual_seed(0)
generator = UNetGenerator(0.1, 4, dropout)
discriminator = PatchDiscriminator(0.1, 1)
if dropout == 0:
    # On CPUs each process normalizes its own share, which no single process does.
    for block in (*generator.down, *generator.up):
        for name, module in block.named_children():
            if isinstance(module, torch.nn.BatchNorm2d):
                setattr(block, name, torch.nn.Identity())
    # Adam divides gradients by their size, so in float32 rounding alone soon shows in losses.
    generator, discriminator = generator.double(), discriminator.double()
with parallel.joined_processes():
    if kind == "gan":
        settings = GanSettings(l1_weight=10, rate=1e-3, sample_every=4, sample_count=2, **common)
        recipe = Gan(generator, discriminator, codes, codes[:8], settings)
    else:
        recipe = Reconstruction(generator, codes, codes[:8], Settings(**common))
    fit(recipe, steps, run_dir=run, record_every=1, checkpoint_seconds=every, progress=False)
    if parallel.rank() == 0:
        open(run + "/finished", "w").close()
"""


def test_a_killed_game_goes_on_as_if_nothing_had_happened(tiny_codes, tmp_path):
    np.save(tmp_path / "codes.npy", tiny_codes)

    def command(run):
        arguments = [tmp_path / "codes.npy", tmp_path / run, "gan", "40", "0", "0.5"]
        return [sys.executable, "-c", SCRIPT, *map(str, arguments)]

    subprocess.run(command("whole"), check=True)
    process = subprocess.Popen(command("killed"))
    checkpoint = tmp_path / "killed" / "checkpoint.pt"
    deadline = time.monotonic() + 180
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert checkpoint.exists()
    assert not (tmp_path / "killed" / "finished").exists(), "it ended before it could be killed"
    subprocess.run(command("killed"), check=True)
    one, other = (
        torch.load(tmp_path / run / "checkpoint.pt", weights_only=True)
        for run in ("whole", "killed")
    )
    assert one["step"] == other["step"] == 40
    assert same(one["recipe"], other["recipe"])
    for row in (*one["rows"], *other["rows"]):
        del row["seconds"]
    assert one["rows"] == other["rows"]


@pytest.mark.parametrize("kind", ["gan", "l1"])
def test_two_processes_play_as_one_with_the_joined_batch(tiny_codes, tmp_path, kind):
    np.save(tmp_path / "codes.npy", tiny_codes)
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    states = {}
    for count in (1, 2):
        run = tmp_path / f"run{count}"
        starter = [sys.executable] if count == 1 else [*torchrun, str(count)]
        arguments = [script, tmp_path / "codes.npy", run, kind, "6", "180", "0"]
        command = [*starter, *map(str, arguments)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert result.returncode == 0, result.stderr
        files = [".lock", "checkpoint.pt", "finished", "history.csv"]
        assert sorted(path.name for path in run.iterdir()) == files
        states[count] = torch.load(run / "checkpoint.pt", weights_only=True)
    assert len(states[2]["rows"]) == 6
    for one, two in zip(states[1]["rows"], states[2]["rows"], strict=True):
        for name in one.keys() - {"seconds"}:
            assert two[name] == pytest.approx(one[name], rel=1e-6), name
    for network in {"average", "generator", "discriminator"} & states[1]["recipe"].keys():
        for key, one in states[1]["recipe"][network].items():
            two = states[2]["recipe"][network][key]
            assert torch.allclose(one.double(), two.double(), rtol=1e-5, atol=1e-8), key


def test_an_interrupt_leaves_a_usable_generator_and_history(tiny_codes, tmp_path):
    recipe = game(tiny_codes)
    step_once = recipe.train_step

    def interrupted(step):
        if step == 6:
            signal.raise_signal(signal.SIGINT)
        return step_once(step)

    recipe.train_step = interrupted
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        history = fit(recipe, 12, run_dir=tmp_path, record_every=3, progress=False)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert [row["step"] for row in history.rows] == [3, 6]
    rgb = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    assert cl.colorize(rgb, recipe.average.network, size=16).shape == rgb.shape
    whole, resumed = game(tiny_codes), game(tiny_codes)
    fit(whole, 12, progress=False)
    fit(resumed, 12, run_dir=tmp_path, progress=False)
    assert same(state_of(resumed), state_of(whole))


def test_a_progress_bar_is_shown(tiny_codes, capfd):
    fit(game(tiny_codes), 3)
    assert "3/3" in capfd.readouterr().err


def test_a_checkpoint_of_another_game_is_refused(tiny_codes, tmp_path):
    fit(game(tiny_codes), 2, run_dir=tmp_path, progress=False)
    with pytest.raises(ValueError, match="l1_weight"):
        fit(game(tiny_codes, replace(SETTINGS, l1_weight=1)), 4, run_dir=tmp_path, progress=False)


CONFIG = {
    "width": 0.1,
    "depth": 4,
    "dropout": 0.5,
    "layers": 1,
    "size": 16,
    "seed": 0,
    "reconstruction": {"steps": 3, "batch_size": 8, "warmup": 1},
    "game": {"steps": 4, "batch_size": 8, "sample_every": 2, "sample_count": 3},
}


def test_the_command_trains_both_stages_and_goes_on(tiny_codes, tmp_path, capsys):
    np.save(tmp_path / "codes.npy", tiny_codes)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    run = tmp_path / "run"
    command = ["gan", "--train", str(tmp_path / "codes.npy"), "--run", str(run)]
    command += ["--validation", str(tmp_path / "codes.npy")]
    assert main([*command, "--config", str(tmp_path / "config.json")]) == 0
    assert 0 < json.loads(capsys.readouterr().out)["auc"] <= 100
    history = History.load_csv(run / "history.csv")
    assert history.column("loss")[0] == [3] and history.column("discriminator")[0] == [7]
    samples = sorted(path.name for path in run.glob("*.png"))
    assert samples == ["step-000000.png", "step-000002.png", "step-000004.png"]
    assert cl.load_image(run / samples[0]).shape == (16, 48, 3)
    network = load_network("unet", run / "generator.safetensors")
    trained = torch.load(run / "checkpoint.pt", weights_only=True)["recipe"]["average"]
    assert torch.allclose(network.out[1].weight, trained["module.out.1.weight"], atol=1e-3)
    # the run can be exported like any other, and what it gave is used by name
    export = ["export", "--run", run, "--validation", tmp_path / "codes.npy"]
    assert main(list(map(str, [*export, "--output", tmp_path / "u.safetensors"]))) == 0
    exported = load_network("unet", tmp_path / "u.safetensors")
    assert (exported.depth, exported.input_size) == (4, 16)
    assert torch.equal(exported.out[1].weight, network.out[1].weight)
    capsys.readouterr()
    # called again there is nothing left to do, and the same comes out
    before = (run / "generator.safetensors").read_bytes()
    assert main([*command, "--config", str(tmp_path / "config.json")]) == 0
    assert (run / "generator.safetensors").read_bytes() == before
    capsys.readouterr()
    assert main(command) == 2  # the course's config wants larger pictures
    assert "128 px" in capsys.readouterr().err


def test_an_interrupt_of_the_first_stage_does_not_begin_the_second(
    tiny_codes, tmp_path, monkeypatch
):
    step_once = Reconstruction.train_step

    def interrupted(recipe, step):
        if step == 2:
            raise KeyboardInterrupt
        return step_once(recipe, step)

    monkeypatch.setattr(Reconstruction, "train_step", interrupted)
    recipe, _ = train_gan(CONFIG, tiny_codes, tiny_codes[:8], tmp_path, progress=False)
    assert isinstance(recipe, Reconstruction)
    assert (tmp_path / "generator.safetensors").exists()
    monkeypatch.undo()
    recipe, history = train_gan(CONFIG, tiny_codes, tiny_codes[:8], tmp_path, progress=False)
    assert isinstance(recipe, Gan) and [row["step"] for row in history.rows] == [3, 7]


def test_the_shipped_config_has_the_published_networks():
    config = json.loads((CONFIGS / "gan.json").read_text())
    assert config["width"] == 1.0 and config["layers"] == 3
    first, second = stages_of(config)
    assert (first["recipe"], second["recipe"]) == ("l1", "gan")
    assert second["game"] == "bce" and first["size"] == second["size"] == config["size"]
    with torch.device("meta"):
        assert UNetGenerator(1.0, config["depth"]).stride <= config["size"]
