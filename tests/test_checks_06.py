import copy
import json

import jupytext
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import course_lib as cl
from authoring import course
from course_lib import PatchDiscriminator, UNetGenerator
from course_lib.checks import lesson_06 as check
from course_lib.metrics import ab_histogram_distance
from course_lib.training import gan
from course_lib.training.gan import Gan, GanSettings
from course_lib.training.losses import adversarial_loss, discriminator_loss
from tests.lesson import defined_in

#: Exercise to wrong answers, and what the check says to each: see test_checks.py.
WRONG = {}

LESSON = "06_gan_training"


def library_losses(real, fake):
    return discriminator_loss(real, fake), adversarial_loss(fake)


#: What the lesson has chosen before its exercises ask for it.
GIVEN = {"both_losses": library_losses}


@pytest.fixture(scope="module")
def solved():
    names = defined_in(LESSON)
    names.update(GIVEN)  # in place: these are what the lesson's functions look names up in
    return names


# What learners write makes the lesson's result.


def game(names, judge_turn, maker_turn):
    """The generator's weights after three steps of the lesson's own game, in a small world."""
    codes = np.random.default_rng(0).integers(90, 170, (8, 3, 24, 24), dtype=np.uint8)
    torch.manual_seed(0)
    generator = UNetGenerator(0.1, 3, dropout=0)
    critic = PatchDiscriminator(0.1, 1)
    play = names["play"]
    play.__globals__.update(names | {"judge_turn": judge_turn, "maker_turn": maker_turn})
    played, _, _ = play(
        generator, names["dealer"](codes, 16, batch_size=4), 3, 1e-2, critic, judge_rate=1e-2
    )
    return torch.cat([p.flatten() for p in played.parameters()])


def test_the_learners_turns_make_the_game_once_they_are_right(solved, capsys):
    library = gan.discriminator_turn, gan.generator_turn
    expected = game(solved, *library)
    for mine, theirs, choose in (
        (solved["discriminator_turn"], library[0], check.discriminator_turn.choose),
        (solved["generator_turn"], library[1], check.generator_turn.choose),
    ):
        assert choose(mine, theirs) is mine
    right = game(solved, solved["discriminator_turn"], solved["generator_turn"])
    assert torch.allclose(right, expected, atol=1e-5)

    def idle(*_, **__):
        return 0.0

    def without_game(generator, discriminator, optimizer, L, ab, l1_weight=10.0):
        return solved["l1_step"](generator, optimizer, L, ab), 0.0

    assert check.discriminator_turn.choose(idle, library[0]) is library[0]
    assert check.generator_turn.choose(without_game, library[1]) is library[1]
    for wrong in (game(solved, idle, library[1]), game(solved, library[0], without_game)):
        assert not torch.allclose(wrong, expected, atol=1e-5)
    assert capsys.readouterr().out.splitlines() == [
        "discriminator_turn: yours",
        "generator_turn: yours",
        "discriminator_turn: the library's, until yours is [ok]",
        "generator_turn: the library's, until yours is [ok]",
    ]


def test_the_learners_losses_make_the_game_once_they_are_right(solved):
    def swapped(real, fake):
        return discriminator_loss(fake, real), adversarial_loss(fake)

    def played_with(losses):
        chosen = check.losses_of_both.choose(losses, library_losses)
        return chosen, turns(losses)

    def turns(losses):
        solved["discriminator_turn"].__globals__["both_losses"] = losses
        try:
            return game(
                solved | {"both_losses": losses},
                solved["discriminator_turn"],
                solved["generator_turn"],
            )
        finally:
            solved["discriminator_turn"].__globals__["both_losses"] = library_losses

    expected = turns(library_losses)
    chosen, result = played_with(solved["losses_of_both"])
    assert chosen is solved["losses_of_both"] and torch.allclose(result, expected, atol=1e-5)
    chosen, result = played_with(swapped)
    assert chosen is library_losses and not torch.allclose(result, expected, atol=1e-5)


def test_the_lessons_turns_are_the_librarys(solved):
    L, ab = torch.rand(2, 1, 16, 16) * 100, torch.randn(2, 2, 16, 16) * 20
    for name in ("discriminator_turn", "generator_turn"):
        results = []
        for turn in (solved[name], getattr(gan, name)):
            torch.manual_seed(1)
            generator, critic = UNetGenerator(0.1, 2, dropout=0), PatchDiscriminator(0.1, 1)
            learner = critic if name == "discriminator_turn" else generator
            optimizer = torch.optim.SGD(learner.parameters(), 0.1)
            returned = turn(generator, critic, optimizer, L, ab)
            results.append((returned, [p.detach().clone() for p in learner.parameters()]))
        assert results[0][0] == pytest.approx(results[1][0], rel=1e-5)
        for mine, theirs in zip(results[0][1], results[1][1], strict=True):
            assert torch.allclose(mine, theirs, atol=1e-6)


# What learners write is what the library does, on random input.

seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_the_lessons_losses_are_the_librarys(solved, seed):
    real, fake = torch.randn(2, 2, 1, 3, 4, generator=torch.Generator().manual_seed(seed)) * 4
    judge, deceive = solved["losses_of_both"](real, fake)
    assert torch.allclose(judge, discriminator_loss(real, fake))
    assert torch.allclose(deceive, adversarial_loss(fake))


@settings(max_examples=8, deadline=None)
@given(layers=st.integers(1, 6))
def test_the_lessons_patch_side_is_the_librarys(solved, layers):
    chain = [(4, 2)] * layers + [(4, 1)] * 2
    assert solved["patch_side"](chain) == PatchDiscriminator(0.02, layers).receptive_field


@settings(max_examples=20, deadline=None)
@given(seed=seeds, step=st.sampled_from([5.0, 10.0, 23.0]))
def test_the_lessons_histogram_distance_is_the_librarys(solved, seed, step):
    generator = np.random.default_rng(seed)
    one, other = generator.uniform(-100, 100, (2, 3, 2, 5, 4))
    mine = solved["histogram_distance"](one, other, step)
    assert mine == pytest.approx(ab_histogram_distance(one, other, step))


def test_the_lessons_two_turns_are_a_step_of_the_librarys_recipe(solved):
    codes = np.random.default_rng(0).integers(90, 170, (4, 3, 16, 16), dtype=np.uint8)
    torch.manual_seed(0)
    options = GanSettings(
        steps=10, batch_size=4, rate=1e-3, discriminator_rate=1e-3, l1_weight=10.0
    )
    options.precision = "float32"
    generator = UNetGenerator(0.1, 3, dropout=0)
    recipe = Gan(generator, PatchDiscriminator(0.1, 1), codes, codes, options)
    one, other = copy.deepcopy(recipe.generator), copy.deepcopy(recipe.discriminator)
    L, ab = recipe.batches(0)
    # Both players of the recipe move at once: the lesson's generator meets the judge of before.
    judge = copy.deepcopy(other)
    optimizers = [
        torch.optim.AdamW(network.parameters(), lr=1e-3, betas=(0.5, 0.999), weight_decay=0.0)
        for network in (one, other)
    ]
    loss = solved["discriminator_turn"](copy.deepcopy(one), other, optimizers[1], L, ab)
    l1, deceive = solved["generator_turn"](one, judge, optimizers[0], L, ab)
    found = recipe.train_step(0)
    assert loss == pytest.approx(found["discriminator"], rel=1e-3)
    assert l1 == pytest.approx(found["l1"], rel=1e-3)
    assert deceive == pytest.approx(found["adversarial"], rel=1e-3)
    for mine, theirs in ((one, recipe.generator), (other, recipe.discriminator)):
        moved = [
            (p - q).abs().mean().item()
            for p, q in zip(mine.parameters(), theirs.parameters(), strict=True)
        ]
        assert max(moved) < 2e-4  # a step of AdamW moves a weight by 1e-3 at first


def test_the_cell_for_a_gpu_trains_on_a_public_set(tmp_path, monkeypatch):
    """The lesson never runs it. Here it runs: small pictures, a small network, a few steps."""
    photos = tmp_path / "set" / "train"
    photos.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for i in range(60):
        picture = generator.integers(0, 255, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(picture).save(photos / f"{i}.png")
    config = {"width": 0.03, "depth": 3, "dropout": 0.5, "layers": 1, "seed": 0}
    config["reconstruction"] = {"steps": 1, "batch_size": 4, "size": 32}
    config["game"] = {"steps": 2, "batch_size": 4, "size": 32}
    (tmp_path / "gan.json").write_text(json.dumps(config))
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("course_lib.training.CONFIGS", tmp_path)
    monkeypatch.setattr("course_lib.data.public.fetch_dataset", lambda name: tmp_path / "set")
    cells = jupytext.read(course.LESSONS / f"{LESSON}.py").cells
    (cell,) = (c.source for c in cells if c.cell_type == "code" and "PROFILE =" in c.source)
    names = {"cl": cl, "np": np}
    exec(cell.replace('PROFILE = "laptop"', 'PROFILE = "gpu"'), names)
    assert names["history"].rows[-1]["step"] == 3  # one by L1 alone, two of the game
    assert names["parts"]["train"].shape[1:] == (3, 144, 144)
    assert (
        len(names["parts"]["train"]) + len(names["parts"]["validation"]) < 60
    )  # some are for tests
    assert (tmp_path / "out" / "gan-imagenette" / "generator.safetensors").exists()


entropy = F.binary_cross_entropy_with_logits


def ones(x):
    return torch.ones_like(x)


def zeros(x):
    return torch.zeros_like(x)


def judge_of(real, fake):
    return (entropy(real, ones(real)) + entropy(fake, zeros(fake))) / 2


def deceive_of(fake):
    return entropy(fake, ones(fake))


def through_sigmoid(real, fake):
    real, fake = real.sigmoid(), fake.sigmoid()
    return judge_of(real, fake), deceive_of(fake)


def own_sigmoid(real, fake):
    real, fake = real.sigmoid(), fake.sigmoid()
    plain = F.binary_cross_entropy
    judge = (plain(real, ones(real)) + plain(fake, zeros(fake))) / 2
    return judge, plain(fake, ones(fake))


WRONG["losses_of_both"] = [
    (through_sigmoid, "the logits themselves"),
    (own_sigmoid, "A sigmoid of its own"),
    (lambda r, f: (judge_of(r, f) * 2, deceive_of(f)), "Divide by 2"),
    (lambda r, f: (judge_of(f, r), deceive_of(f)), "targets are exchanged"),
    (lambda r, f: (deceive_of(f), judge_of(r, f)), "changed places"),
    (lambda r, f: (judge_of(r, f), entropy(f, zeros(f))), "found out"),
    (lambda r, f: (judge_of(r, f), -entropy(f, zeros(f))), "flat where"),
    (lambda r, f: (judge_of(r, f), entropy(r, ones(r))), "only sees its own"),
    (lambda r, f: (entropy(r, ones(r)), deceive_of(f)), "photographs ones only"),
    (lambda r, f: (entropy(f, zeros(f)) / 2, deceive_of(f)), "made-up ones only"),
    (lambda r, f: (judge_of(r, f), deceive_of(f) / 2), "not halved"),
    (lambda r, f: (judge_of(r, f), f), "single number"),
    (lambda r, f: judge_of(r, f), "two losses"),
    (lambda r, f: None, "return"),
]


def chain(layers, order=reversed, grow=lambda side, k, s: (side - 1) * s + k):
    side = 1
    for kernel, stride in order(layers):
        side = grow(side, kernel, stride)
    return side


WRONG["patch_side"] = [
    (lambda layers: chain(layers, order=list), "from the last to the first"),
    (lambda layers: chain(layers, grow=lambda n, k, s: n * s + k), "n - 1 strides"),
    (lambda layers: sum(k for k, _ in layers), "as if no layer had a stride"),
    (lambda layers: sum(k - 1 for k, _ in layers) + 1, "as if no layer had a stride"),
    (lambda layers: int(np.prod([s for _, s in layers])), "how far apart"),
    (lambda layers: 70, "expected 34"),
    (lambda layers: chain(layers) + 1, "side = (side - 1) * stride + kernel"),
    (lambda layers: None, "return"),
    (lambda layers: [chain(layers)], "expected shape"),
]


def turn(
    generator,
    discriminator,
    optimizer,
    L,
    ab,
    *,
    detach=True,
    swap=False,
    loss_of=discriminator_loss,
    blind=False,
    clear=True,
    step=True,
    detach_real=False,
    detach_logits=False,
):
    if clear:
        optimizer.zero_grad()
    made = generator(L)
    made = made.detach() if detach else made
    seen = L * 0 if blind else L
    real, fake = discriminator(seen, ab), discriminator(seen, made)
    real = real.detach() if detach_real else real
    fake = fake.detach() if detach_logits else fake
    loss = loss_of(fake, real) if swap else loss_of(real, fake)
    if loss.requires_grad:
        loss.backward()
    if step:
        optimizer.step()
    return loss.item()


def without_gradient(generator, discriminator, optimizer, L, ab):
    with torch.no_grad():
        made = generator(L)
        loss = discriminator_loss(discriminator(L, ab), discriminator(L, made))
    optimizer.zero_grad()
    optimizer.step()
    return loss.item()


def frozen_for_good(generator, *rest):
    generator.requires_grad_(False)
    return turn(generator, *rest)


def both_learn(generator, discriminator, optimizer, L, ab):
    everything = [*generator.parameters(), *discriminator.parameters()]
    optimizer = torch.optim.SGD(everything, lr=0.1)
    return turn(generator, discriminator, optimizer, L, ab, detach=False)


def turn_and_spoil(spoilt, *arguments):
    loss = turn(*arguments)
    spoilt /= 110
    return loss


def squashed(real, fake):
    return discriminator_loss(real.sigmoid(), fake.sigmoid())


WRONG["discriminator_turn"] = [
    (lambda *a: turn(*a, swap=True), "Photographs go first"),
    (lambda *a: turn(*a, loss_of=squashed), "only one line"),
    (lambda *a: turn(*a, blind=True), "not conditional"),
    (lambda *a: turn(*a, clear=False), "zero_grad"),
    (lambda *a: turn(*a, step=False), "did not move"),
    (lambda *a: turn(*a, detach_logits=True), "did not take the step"),
    (lambda *a: turn(*a, detach_real=True), "did not take the step"),
    (without_gradient, "did not move"),
    (both_learn, "weights have changed"),
    (frozen_for_good, "cannot learn"),
    (lambda *a: turn_and_spoil(a[3], *a), "changes its argument"),
    (lambda *a: turn_and_spoil(a[4], *a), "changes its argument"),
    (lambda *a: None, "return"),
]


def test_a_gradient_that_reaches_the_generator_is_still_to_do():
    result = check.discriminator_turn.grade(lambda *a: turn(*a, detach=False))
    assert result.status == "todo" and "generator's gradients" in result.message


def test_other_right_turns():
    def no_grad(generator, discriminator, optimizer, L, ab):
        with torch.no_grad():
            made = generator(L)
        logits = discriminator(torch.cat([L, L]), torch.cat([ab, made]))
        loss = discriminator_loss(*logits.chunk(2))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    def half_by_half(generator, discriminator, optimizer, L, ab):
        optimizer.zero_grad()
        real = discriminator(L, ab)
        first = entropy(real, ones(real)) / 2
        first.backward()
        fake = discriminator(L, generator(L).detach())
        second = entropy(fake, zeros(fake)) / 2
        second.backward()
        optimizer.step()
        return first.item() + second.item()

    for answer in (no_grad, half_by_half, turn):
        result = check.discriminator_turn.grade(answer)
        assert result.status == "ok", result


def test_the_check_leaves_random_numbers_alone(solved):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    check.discriminator_turn.grade(solved["discriminator_turn"])
    assert torch.equal(torch.rand(1), expected)


WRONG["higher_psnr"] = [
    ("L1 + GAN", "farther from the truth"),
    ("GAN", "answer with one of"),
    (1, "got 1"),
]


def shares_of(ab, step=10.0, normalize=True):
    edges = np.arange(-115.0, 115.0 + step, step)
    a, b = np.moveaxis(ab, 1, 0).reshape(2, -1)
    counts = np.histogram2d(a, b, bins=(edges, edges))[0]
    return counts / counts.sum() if normalize else counts


def distance(one, other, step=10.0, factor=0.5, normalize=True):
    return (
        np.abs(shares_of(one, step, normalize) - shares_of(other, step, normalize)).sum() * factor
    )


def marginal(one, other, step=10.0):
    apart = [np.abs(shares_of(one).sum(i) - shares_of(other).sum(i)).sum() for i in (0, 1)]
    return sum(apart) / 4


def blind_to_pairs(one, other, step=10.0):
    edges = np.arange(-115.0, 115.0 + step, step)
    counts = [np.histogram(ab, edges)[0] / ab.size for ab in (one, other)]
    return np.abs(counts[0] - counts[1]).sum() / 2


WRONG["histogram_distance"] = [
    (lambda *a, **o: distance(*a, **o, factor=1), "Take half of the sum"),
    (lambda *a, **o: distance(*a, **o, normalize=False), "in 0..1"),
    (lambda a, b, step=10.0: 1 - np.minimum(shares_of(a), shares_of(b)).sum(), "step=5"),
    (lambda a, b, step=10.0: np.abs(a - b).mean() / 255, "not pixel with pixel"),
    (lambda a, b, step=10.0: np.minimum(shares_of(a), shares_of(b)).sum(), "in common"),
    (blind_to_pairs, "counted in pairs"),
    (marginal, "counted in pairs"),
    (lambda *a, **o: distance(*a, **o) ** 0.5, "over all cells"),
    (lambda *a, **o: np.array([distance(*a, **o)]), "expected shape"),
    (lambda *a, **o: None, "return"),
]


WRONG["losses_of_both"] += [
    (lambda r, f: tuple(x.item() for x in (judge_of(r, f), deceive_of(f))), "no gradient"),
    (lambda r, f: (judge_of(r, f), deceive_of(f.detach())), "no gradient"),
    (lambda r, f: (judge_of(r.detach(), f), deceive_of(f)), "cut off"),
]


def maker(
    generator,
    discriminator,
    optimizer,
    L,
    ab,
    l1_weight=10.0,
    *,
    total=lambda l1, deceive, weight: weight * l1 + deceive,
    still=True,
    clear=True,
    step=True,
):
    made = generator(L)
    discriminator.requires_grad_(not still)
    deceive = adversarial_loss(discriminator(L, made))
    discriminator.requires_grad_(True)
    l1 = F.l1_loss(made, ab) / 110
    total(l1, deceive, l1_weight).backward()
    if step:
        optimizer.step()
    if clear:
        optimizer.zero_grad()
    return l1.item() * 110, deceive.item()


def maker_who_moves_both(generator, discriminator, optimizer, L, ab, l1_weight=10.0):
    both = torch.optim.SGD([*generator.parameters(), *discriminator.parameters()], lr=0.1)
    return maker(generator, discriminator, both, L, ab, l1_weight, still=False)


def discriminator_left_frozen(generator, discriminator, *rest, **options):
    result = maker(generator, discriminator, *rest, **options)
    discriminator.requires_grad_(False)
    return result


def discriminator_half_frozen(generator, discriminator, *rest, **options):
    result = maker(generator, discriminator, *rest, **options)
    next(discriminator.parameters()).requires_grad_(False)
    return result


def maker_who_spoils(number):
    def answer(*arguments, **options):
        result = maker(*arguments, **options)
        arguments[number].mul_(0.5)
        return result

    return answer


def maker_by_hand(generator, discriminator, optimizer, L, ab, l1_weight=10.0):
    """Without freezing: gradients are asked of the generator's parameters alone."""
    made = generator(L)
    l1, deceive = (made - ab).abs().mean(), adversarial_loss(discriminator(L, made))
    parameters = list(generator.parameters())
    slopes = torch.autograd.grad(l1_weight * l1 / 110 + deceive, parameters)
    for parameter, slope in zip(parameters, slopes, strict=True):
        parameter.grad = slope
    optimizer.step()
    return l1.item(), deceive.item()


def maker_who_cleans_up(generator, discriminator, optimizer, L, ab, l1_weight=10.0):
    """Without freezing: what collects in the discriminator is cleared afterwards."""
    result = maker(generator, discriminator, optimizer, L, ab, l1_weight, still=False)
    discriminator.zero_grad()
    return result


@pytest.mark.parametrize("answer", [maker, maker_by_hand, maker_who_cleans_up])
def test_the_discriminator_may_be_kept_still_in_other_ways(answer):
    result = check.generator_turn.grade(answer)
    assert result.status == "ok", result


WRONG["generator_turn"] = [
    (discriminator_left_frozen, "left frozen"),
    (discriminator_half_frozen, "1 of its"),
    (maker_who_spoils(3), "changes its argument"),
    (maker_who_spoils(4), "changes its argument"),
    (lambda *a, **o: maker(*a, **o, total=lambda l1, d, w: l1 + d), "without its weight"),
    (lambda *a, **o: maker(*a, **o, total=lambda l1, d, w: d), "game alone"),
    (lambda *a, **o: maker(*a, **o, total=lambda l1, d, w: w * l1 - d), "another step"),
    (lambda *a, **o: maker(*a, **o, total=lambda l1, d, w: 10 * l1 + d), "another step"),
    (lambda *a, **o: maker(*a, **o, clear=False), "zero_grad"),
    (lambda *a, **o: maker(*a, **o, step=False), "did not move"),
    (lambda *a, **o: maker(*a, **o, still=False), "collected in the discriminator"),
    (maker_who_moves_both, "discriminator's weights have changed"),
    (lambda *a, **o: maker(*a, **o)[0], "two numbers"),
    (lambda *a, **o: None, "return"),
]

WRONG["loop"] = [
    ("DBFACE", "along gradients"),
    ("BDFCAE", "batch"),
    ("DBFCEA", "Step before"),
    ("DBFCA", "each of the letters"),
    (3, "letters"),
]

WRONG["enliven"] = [
    (lambda L, ab, examples: ab, "Doing nothing"),
    (lambda L, ab, examples: ab * 0, "Doing nothing"),
    (lambda L, ab, examples: examples, "expected shape"),
    (lambda L, ab, examples: ab[:, 0], "expected shape"),
    (lambda L, ab, examples: None, "return"),
]


def test_one_factor_passes_the_challenge_and_ranks_below_matching(solved):
    def scaled(L, ab, examples):
        chroma = [np.hypot(x[:, 0], x[:, 1]).mean() for x in (examples, ab)]
        return ab * chroma[0] / chroma[1]

    for answer, place in ((scaled, "place"), (solved["enliven"], "place 1 of 3")):
        result = check.enliven.grade(answer)
        assert result.status == "ok" and result.message.startswith(place), result
