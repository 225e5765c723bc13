from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.checks import lesson_07 as check
from course_lib.data.arrays import hold_out
from course_lib.models.eccv16 import ECCV16
from course_lib.training.classification import Classification, ClassificationSettings
from course_lib.training.finetune import TRUNK, FineTuning, best_and_stop, freeze, keep_still
from tests.lesson import defined_in

#: Exercise to wrong answers, and what the check says to each: see test_checks.py.
WRONG = {}


@pytest.fixture(scope="module")
def solved():
    return defined_in("07_transfer_learning")


# What learners write is what the library does.


def test_the_lessons_freezing_is_the_librarys(solved):
    mine, theirs = ECCV16(0.05).train(), ECCV16(0.05).train()
    solved["freeze_blocks"](mine, TRUNK[2:5])
    freeze(theirs, TRUNK[2:5])
    pairs = zip(mine.parameters(), theirs.parameters(), strict=True)
    assert all(one.requires_grad == two.requires_grad for one, two in pairs)
    modes = zip(mine.modules(), theirs.modules(), strict=True)
    assert all(one.training == two.training for one, two in modes)


@pytest.fixture(scope="module")
def recipe():
    codes = np.random.default_rng(0).integers(90, 170, (4, 3, 16, 16), dtype=np.uint8)
    torch.manual_seed(0)
    options = ClassificationSettings(steps=1, batch_size=4, precision="float32")
    return Classification(ECCV16(0.05), codes, codes, options)


@settings(max_examples=30, deadline=None)
@given(
    losses=st.lists(st.sampled_from([1.0, 2.0, 3.0, 4.0]), min_size=1, max_size=9),
    patience=st.integers(1, 4),
)
def test_the_lessons_rule_is_the_librarys(solved, recipe, losses, patience):
    measured = iter(losses)
    recipe.evaluate = lambda: {"mine": next(measured)}
    tuning = FineTuning(recipe, monitor="mine", patience=patience)
    for step, count in enumerate(range(2, len(losses) + 1), 1):
        if tuning.finished:
            break
        tuning._step = step
        tuning.evaluate()
        best, stop = solved["best_and_stop"](losses[:count], patience)
        assert (best, stop) == best_and_stop(losses[:count], patience)
        assert (tuning.best_step, tuning.finished) == (best, stop)


@given(count=st.integers(2, 60), share=st.floats(0.05, 0.95), seed=st.integers(0, 1000))
def test_the_lessons_split_has_the_sizes_of_the_librarys(solved, count, share, seed):
    train, held_out = solved["split_files"](list(range(count)), share, seed)
    theirs = hold_out(count, share, seed)
    assert (len(train), len(held_out)) == (len(theirs[0]), len(theirs[1]))
    assert sorted(train + held_out) == list(range(count))


# What learners write makes the lesson's result.


@pytest.fixture(scope="module")
def small_world(solved, tmp_path_factory):
    """The lesson's names, with a small network and few pictures in the place of its own."""
    torch.manual_seed(1)
    base = ECCV16(0.05, 0.4).eval()
    path = tmp_path_factory.mktemp("lesson")
    state = {f"module.{name}": value for name, value in base.state_dict().items()}
    torch.save(state, path / "backbone.pth")
    codes = np.random.default_rng(0).integers(90, 170, (6, 3, 16, 16), dtype=np.uint8)
    names = {"base": base, "out": path, "train": codes, "validation": codes[:3]}
    names |= {"STEPS": 4, "EVERY": 1, "RATE": 1e-2, "tqdm": lambda steps, **_: steps}
    return names


def tuned(solved, world, load, freeze_now, rule):
    """Weights and averages of a network fine-tuned by the lesson's loop, and its losses."""
    fine_tune = solved["fine_tune"]
    names = world | {"load": load, "freeze_now": freeze_now, "rule": rule}
    fine_tune.__globals__.update(names)
    network, losses = fine_tune("frozen")
    return torch.cat([x.float().flatten() for x in network.state_dict().values()]), losses


def test_what_the_learner_wrote_makes_the_fine_tuning_once_it_is_right(
    solved, small_world, capsys
):
    def theirs(path, width, temperature):
        return backbone(path, width, temperature)

    library = {"load": theirs, "freeze_now": freeze, "rule": best_and_stop}
    expected, losses = tuned(solved, small_world, **library)
    exercises = {"load": "load_backbone", "freeze_now": "freeze_blocks", "rule": "best_and_stop"}

    def untrained(path, width, temperature):
        torch.manual_seed(5)
        return ECCV16(width, temperature).eval()

    def no_freezing(network, names):
        keep_still(network, "all")

    def at_once(losses, patience):
        return 0, True

    wrong = {"load": untrained, "freeze_now": no_freezing, "rule": at_once}
    for part, exercise in exercises.items():
        choose = getattr(check, exercise).choose
        mine = solved[exercise]
        assert choose(mine, library[part]) is mine
        assert choose(wrong[part], library[part]) is library[part]
        right, _ = tuned(solved, small_world, **library | {part: mine})
        assert torch.allclose(right, expected, atol=1e-6)
        if part == "freeze_now":
            continue  # the head alone is in the optimizer, so the averages must tell
        other, of_other = tuned(solved, small_world, **library | {part: wrong[part]})
        assert not torch.allclose(other, expected, atol=1e-6) or of_other != losses

    def gradients_stop(network, names):
        for name in names:
            network.get_submodule(name).requires_grad_(False)

    assert check.freeze_blocks.choose(gradients_stop, freeze) is freeze
    drifting, _ = tuned(solved, small_world, **library | {"freeze_now": gradients_stop})
    assert not torch.allclose(drifting, expected, atol=1e-6)
    assert "load_backbone: yours" in capsys.readouterr().out


def backbone(path, width, temperature, *, strict=True, strip="module.", mode="eval"):
    network = ECCV16(width, temperature)
    state = torch.load(path, weights_only=True)
    state = {key.removeprefix(strip): value for key, value in state.items()}
    network.load_state_dict(state, strict=strict)
    return network.eval() if mode == "eval" else network


def cut_always(path, width, temperature):
    network = ECCV16(width, temperature)
    state = torch.load(path, weights_only=True)
    network.load_state_dict({key[7:]: value for key, value in state.items()}, strict=False)
    return network.eval()


def but_for(kind):
    """Strict about all entries but those of one kind."""

    def answer(path, width, temperature):
        network = ECCV16(width, temperature)
        state = torch.load(path, weights_only=True)
        state = {key.removeprefix("module."): value for key, value in state.items()}
        missing = network.load_state_dict(state, strict=False).missing_keys
        if [name for name in missing if not name.endswith(kind)]:
            raise KeyError(missing)
        return network.eval()

    return answer


def no_bias(path, width, temperature):
    network = backbone(path, width, temperature)
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            parameter.data.zero_()
    return network


def only_weights(path, width, temperature):
    network = ECCV16(width, temperature)
    state = torch.load(path, weights_only=True)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(state.get(name, state.get(f"module.{name}")))
    return network.eval()


def trusting(path, width, temperature):
    network = ECCV16(width, temperature)
    state = torch.load(path, weights_only=False)
    network.load_state_dict({k.removeprefix("module."): v for k, v in state.items()})
    return network.eval()


def entry_by_entry(path, width, temperature):
    """Without load_state_dict: names are compared, and each entry is copied."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    if all(name.startswith("module.") for name in state):
        state = {name.split(".", 1)[1]: value for name, value in state.items()}
    network = ECCV16(width, temperature).train(False)
    own = network.state_dict()
    if own.keys() != state.keys():
        raise ValueError(f"entries that are not in both: {own.keys() ^ state.keys()}")
    for name, value in state.items():
        own[name].copy_(value)
    return network


def around_the_network(path, width, temperature):
    """The prefix is put where the file has it: around the network."""
    network = ECCV16(width, temperature)
    state = torch.load(path, weights_only=True)
    holder = torch.nn.ModuleDict({"module": network})
    (holder if next(iter(state)).startswith("module.") else network).load_state_dict(state)
    return network.eval()


@pytest.mark.parametrize("answer", [entry_by_entry, around_the_network])
def test_a_backbone_may_be_loaded_in_other_ways(answer):
    result = check.load_backbone.grade(answer)
    assert result.status == "ok", result


WRONG["load_backbone"] = [
    (lambda *a: backbone(*a, strict=False), "lacks an entry"),
    (but_for("bias"), "lacks an entry (model5.2.bias)"),
    (but_for("running_mean"), "lacks an entry (model5.6.running_mean)"),
    (no_bias, "with the prefix"),
    (lambda *a: backbone(*a, mode="train"), "training mode"),
    (lambda *a: backbone(*a, strip="nothing"), "names in the file begin"),
    (lambda path, width, temperature: backbone(path, width, 1.0), "temperature is 1.0"),
    (cut_always, "without the prefix"),
    (only_weights, "with the prefix"),
    (trusting, "weights_only=True"),
    (lambda *a: backbone(*a).state_dict(), "expected an ECCV16"),
    (lambda *a: None, "return"),
]


@pytest.mark.parametrize(
    "answer",
    [
        lambda path, width, temperature: ECCV16(width, temperature).eval(),
        lambda *a: backbone(*a, strip="nothing", strict=False),
    ],
)
def test_a_backbone_without_its_weights_is_still_to_do(answer):
    result = check.load_backbone.grade(answer)
    assert result.status == "todo" and "not one of its entries" in result.message


def parts(network, names):
    return [network.get_submodule(name) for name in names]


def attribute_only(network, names):
    for part in parts(network, names):
        part.requires_grad = False
        part.eval()


def gradients_only(network, names):
    for part in parts(network, names):
        part.requires_grad_(False)


def still_only(network, names):
    for part in parts(network, names):
        part.eval()


def everything(network, names):
    network.requires_grad_(False).eval()


def all_still(network, names):
    gradients_only(network, names)
    network.eval()


def first_only(network, names):
    network.get_submodule(names[0]).requires_grad_(False).eval()


def normalization_only(network, names):
    gradients_only(network, names)
    for part in parts(network, names):
        for module in part.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()


def by_beginning(network, names):
    for name, part in network.named_modules():
        if name.startswith(tuple(names)):
            part.requires_grad_(False).eval()


def asleep_by_beginning(network, names):
    gradients_only(network, names)
    for name, part in network.named_modules():
        if name.startswith(tuple(names)):
            part.eval()


def zeroed(network, names):
    for part in parts(network, names):
        for parameter in part.parameters():
            parameter.data.zero_()


WRONG["freeze_blocks"] = [
    (attribute_only, "gives the block an attribute"),
    (gradients_only, "running averages"),
    (still_only, "still ask for gradients"),
    (everything, "nothing would learn"),
    (all_still, "not named is in evaluation mode"),
    (first_only, "still ask for gradients"),
    (normalization_only, "dropout"),
    (by_beginning, "block10 is frozen too"),
    (asleep_by_beginning, "block10 is frozen too"),
    (zeroed, "changed values"),
    (lambda network, names: None, "still ask for gradients"),
]


WRONG["plan"] = [
    ("DGBEFAC", "before an optimizer takes hold"),
    ("GDEBFAC", "nothing to tune"),
    ("DGEBFCA", "chosen first"),
    ("DGEB", "each of the letters"),
    (7, "letters"),
]


def between(one, other):
    down = max(one[0], other[0]) - min(one[1], other[1])
    return down, max(one[2], other[2]) - min(one[3], other[3])


WRONG["regions_apart"] = [
    (lambda one, other, gap: min(between(one, other)) >= gap, "one direction"),
    (lambda one, other, gap: between(one, other)[0] >= gap, "one direction"),
    (lambda one, other, gap: max(between(one, other)) > gap, "one direction"),
    (lambda one, other, gap: max(between(one, other)) >= 0, "at least the gap"),
    (lambda one, other, gap: other[0] - one[1] >= gap or other[2] - one[3] >= gap, "direction"),
    (lambda one, other, gap: max(between(one, other)), "True or False"),
    (lambda one, other, gap: None, "return"),
]


WRONG["forgets_more"] = [
    ("frozen", "Run on"),
    ("both", "answer with one of"),
    (1, "answer with one of"),
]


def lowest(losses):
    return min(range(len(losses)), key=losses.__getitem__)


def after(losses, patience, best=lowest, extra=0):
    return best(losses), len(losses) - 1 - best(losses) >= patience + extra


def counted_in_all(losses, patience):
    worse = sum(loss >= min(losses[:i]) for i, loss in enumerate(losses) if i)
    return lowest(losses), worse >= patience


def rising(losses, patience):
    rises = 0
    for before, now in pairwise(losses):
        rises = rises + 1 if now >= before else 0
    return lowest(losses), rises >= patience


def counted(losses, patience, *, start=float("inf"), least=0.0):
    best, lowest, waited = 0, start, 0
    for i, loss in enumerate(losses):
        better = loss < lowest - least
        best, lowest, waited = (i, loss, 0) if better else (best, lowest, waited + 1)
    return best, waited >= patience


def test_a_rule_that_counts_passes():
    assert check.best_and_stop.grade(counted).status == "ok"


WRONG["best_and_stop"] = [
    (lambda z, p: counted(z, p, start=100), "begin as the first loss"),
    (lambda z, p: counted(z, p, least=1e-4), "however little"),
    (lambda z, p: after(z, p, lambda x: int(np.argmax(x))), "better when lower"),
    (counted_in_all, "in a row"),
    (rising, "Compare with the best so far"),
    (lambda z, p: after(z, p, extra=1), "one measurement too late"),
    (lambda z, p: after(z, p, lambda x: len(x) - 1 - lowest(x[::-1])), "no progress"),
    (lambda z, p: after(z, p, extra=-1), "expected (0, False)"),
    (lambda z, p: (min(z), after(z, p)[1]), "by its index"),
    (lambda z, p: after(z, p)[::-1], "True or False"),
    (lambda z, p: after(z, p)[1], "two values"),
    (lambda z, p: None, "return"),
]


def split(paths, share, seed, *, rng=np.random.default_rng, least=1):
    order = rng(seed).permutation(len(paths))
    count = min(len(paths) - least, max(least, round(share * len(paths))))
    return [paths[i] for i in order[count:]], [paths[i] for i in order[:count]]


def two_draws(paths, share, seed):
    rng = np.random.default_rng(seed)
    count = round(share * len(paths))
    train = rng.choice(len(paths), len(paths) - count, replace=False)
    return [paths[i] for i in train], [paths[i] for i in rng.permutation(len(paths))[:count]]


def in_order(paths, share, seed):
    count = max(1, round(share * len(paths)))
    return paths[count:], paths[:count]


def a_piece(paths, share, seed):
    count = min(len(paths) - 1, max(1, round(share * len(paths))))
    begin = int(np.random.default_rng(seed).integers(len(paths)))
    turned = paths[begin:] + paths[:begin]
    return turned[count:], turned[:count]


def one_lost(paths, share, seed):
    train, held_out = split(paths, share, seed)
    return train[1:], held_out


def in_place(paths, share, seed):
    np.random.default_rng(seed).shuffle(paths)
    return in_order(paths, share, seed)


WRONG["best_and_stop"] += [
    (lambda z, p: (z.sort(), after(z, p))[1], "changes the list"),
]


def halfway_to_the_mean(L, known_L, known_ab):
    half = known_ab.mean((0, 2, 3))[:, None, None] * 0.8
    return np.broadcast_to(half, (len(L), 2, *L.shape[2:]))


def straight_line(L, known_L, known_ab):
    """For a and for b a straight line over lightness."""
    planes = [
        np.polyval(np.polyfit(known_L.ravel(), known_ab[:, c].ravel(), 1), L) for c in (0, 1)
    ]
    return np.concatenate(planes, axis=1)


def two_kinds(L, known_L, known_ab):
    """Two colours, one for what is dark and one for what is light."""
    dark = known_L[:, 0] < 70
    colours = np.moveaxis(known_ab, 1, -1)
    kinds = np.where(L < 70, 0, 1)[:, 0]
    means = np.stack([np.median(colours[dark], axis=0), np.median(colours[~dark], axis=0)])
    return torch.from_numpy(means)[torch.from_numpy(kinds)].permute(0, 3, 1, 2)


@pytest.mark.parametrize("answer", [straight_line, two_kinds])
def test_tissue_may_be_coloured_in_simpler_ways(answer):
    result = check.colour_tissue.grade(answer)
    assert result.status == "ok", result


WRONG["colour_tissue"] = [
    (lambda L, known_L, known_ab: known_ab.mean((0, 2, 3))[:, None, None], "expected shape"),
    (
        lambda L, known_L, known_ab: np.broadcast_to(
            known_ab.mean((0, 2, 3))[:, None, None], (len(L), 2, *L.shape[2:])
        ),
        "still ahead",
    ),
    (lambda L, known_L, known_ab: np.full((len(L), 2, *L.shape[2:]), 60.0), "still ahead"),
    (lambda L, known_L, known_ab: np.zeros((len(L), 2, *L.shape[2:])), "No colour at all"),
    (halfway_to_the_mean, "No colour at all"),
    (lambda L, known_L, known_ab: None, "return"),
]


WRONG["split_files"] = [
    (in_place, "changes the list"),
    (two_draws, "on both sides"),
    (lambda p, share, seed: (p, split(p, share, seed)[1]), "on both sides"),
    (in_order, "at one end"),
    (a_piece, "where to begin"),
    (lambda *a: split(*a, rng=lambda seed: np.random.default_rng()), "with one seed"),
    (lambda *a: split(*a, rng=lambda seed: np.random.default_rng(0)), "every seed"),
    (lambda *a: split(*a)[::-1], "exchanged"),
    (lambda *a: split(*a, least=0), "one side is empty"),
    (one_lost, "none may be lost"),
    (lambda p, share, seed: split(list(range(len(p))), share, seed), "paths themselves"),
    (lambda *a: split(*a)[0], "two lists"),
    (lambda *a: None, "return"),
]


def test_the_checks_read_no_files_of_the_learner(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert check.split_files.grade(split).status == "ok"
    assert check.load_backbone.grade(backbone).status == "ok"
    assert not list(Path().iterdir())
