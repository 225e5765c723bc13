import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import course_lib as cl
from course_lib.bins import (
    annealed_mean,
    nearest_bins,
    rebalancing_weights,
    smooth_prior,
    soft_encode,
)
from course_lib.checks import lesson_03 as check
from course_lib.models.eccv16 import ECCV16
from course_lib.training import rebalanced_cross_entropy
from course_lib.training.classification import Classification, ClassificationSettings
from tests.lesson import defined_in

#: Exercise to wrong answers, and what the check says to each: see test_checks.py.
WRONG = {}

CENTRES = torch.from_numpy(cl.ab_bins())


@pytest.fixture(scope="module")
def solved():
    return defined_in("03_eccv16")


# What learners write is what the library does, on random input.

seeds = st.integers(0, 2**32 - 1)


def random_ab(seed, shape=(2, 2, 3, 4)):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64) * 140 - 70


@settings(max_examples=20, deadline=None)
@given(seed=seeds, k=st.integers(1, 12), sigma=st.floats(2, 12))
def test_the_lessons_soft_encoding_is_the_librarys(solved, seed, k, sigma):
    ab = random_ab(seed)
    mine = solved["encode"](ab, CENTRES.double(), k, sigma)
    assert torch.allclose(mine, soft_encode(ab, k, sigma), atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, sigma=st.floats(2, 30))
def test_the_lessons_prior_is_the_librarys(solved, seed, sigma):
    counts = np.random.default_rng(seed).gamma(0.1, 50, 313)
    assert np.allclose(solved["smooth"](counts, cl.ab_bins(), sigma), smooth_prior(counts, sigma))


@settings(max_examples=20, deadline=None)
@given(seed=seeds, lam=st.floats(0.01, 1))
def test_the_lessons_weights_are_the_librarys(solved, seed, lam):
    prior = np.random.default_rng(seed).dirichlet(np.full(313, 0.5))
    assert np.allclose(solved["rarity"](prior, lam), rebalancing_weights(prior, lam))


@settings(max_examples=20, deadline=None)
@given(seed=seeds, temperature=st.floats(0.1, 5))
def test_the_lessons_annealed_mean_is_the_librarys(solved, seed, temperature):
    logits = torch.randn(2, 313, 3, 4, generator=torch.Generator().manual_seed(seed)) * 2
    mine = solved["annealed"](logits, CENTRES, temperature)
    assert torch.allclose(mine, annealed_mean(logits, temperature), atol=1e-3)


def test_the_lessons_loss_is_that_of_the_librarys_recipe(solved):
    codes = np.random.default_rng(0).integers(90, 170, (4, 3, 16, 16), dtype=np.uint8)
    torch.manual_seed(0)
    options = ClassificationSettings(steps=1, batch_size=4, precision="float32")
    recipe = Classification(ECCV16(width=0.05), codes, codes, options)
    L, ab = recipe.batches(0)
    logits = recipe.network.eval().logits(L)
    # the recipe's own codes: it rounds ab, where two bins may be equally near
    index, weight = (
        values.reshape(4, 4, 4, -1).permute(0, 3, 1, 2)
        for values in recipe.table(F.avg_pool2d(ab, 4))
    )
    # the nearest bin comes first; a little more weight on it settles ties
    weight = weight * torch.tensor([1 + 1e-6] + [1] * 9).view(1, 10, 1, 1)
    target = torch.zeros_like(logits).scatter(1, index, weight)
    mine = solved["rebalanced_loss"](logits, target, recipe.rarity)
    theirs = recipe.losses(recipe.network, L, ab, 0)["loss"]
    assert mine.item() == pytest.approx(theirs.item(), rel=1e-4)


def encoded(ab, bins, k=10, sigma=5.0, *, largest=False, weigh=None, normalize=True):
    distance = (ab[:, None] - bins[None, :, :, None, None]).norm(dim=2)
    nearest = distance.topk(k, dim=1, largest=largest)
    weigh = weigh or (lambda d, s: torch.exp(-(d**2) / (2 * s**2)))
    weight = weigh(nearest.values, sigma)
    if normalize:
        weight = weight / weight.sum(1, keepdim=True)
    return torch.zeros_like(distance).scatter(1, nearest.indices, weight)


def all_bins(ab, bins, k=10, sigma=5.0):
    distance = (ab[:, None] - bins[None, :, :, None, None]).norm(dim=2)
    return F.softmax(-(distance**2) / (2 * sigma**2), dim=1)


WRONG["encode"] = [
    (lambda ab, bins, k=10, sigma=5.0: encoded(ab, bins, 1), "one-hot"),
    (all_bins, "k nearest only"),
    (lambda *a, **o: encoded(*a, **o, normalize=False), "must sum to 1"),
    (lambda *a, **o: encoded(*a, **o, largest=True), "farthest"),
    (lambda *a, **o: encoded(*a, **o, weigh=lambda d, s: (-(d**2) / 2 / s).exp()), "variance"),
    (lambda *a, **o: encoded(*a, **o, weigh=lambda d, s: (-d / 2 / s**2).exp()), "squared"),
    (lambda *a, **o: encoded(*a, **o, weigh=lambda d, s: 1 / d), "exp(-d^2"),
    (lambda ab, bins, k=10, sigma=5.0: encoded(ab, bins, k), "argument sigma"),
    (lambda *a, **o: encoded(*a, **o).permute(0, 2, 3, 1), "expected shape"),
    (lambda *a, **o: nearest_bins(a[0], **o)[1], "expected shape"),
    (lambda *a, **o: encoded(*a, **o).numpy(), "torch tensor"),
    (lambda *a, **o: None, "return"),
]


def smoothed(counts, bins, sigma=5.0, *, axis=0, power=2, scale=True):
    squared = ((bins[:, None] - bins[None]).astype(float) ** 2).sum(-1)
    share = np.exp(-squared / (2 * sigma**power))
    if axis is not None:
        share = share / share.sum(axis=axis, keepdims=True)
    out = share @ counts
    return out / out.sum() if scale else out


WRONG["smooth"] = [
    (lambda *a, **o: smoothed(*a, **o, axis=1), "wrong axis"),
    (lambda *a, **o: smoothed(*a, **o, axis=None), "at the rim"),
    (lambda *a, **o: smoothed(*a, **o, power=1), "variance"),
    (lambda *a, **o: smoothed(*a, **o, scale=False), "sum must be 1"),
    (lambda counts, bins, sigma=5.0: counts / counts.sum(), "not smoothed"),
    (lambda counts, bins, sigma=5.0: smoothed(counts, bins), "argument sigma"),
    (lambda counts, bins, sigma=5.0: np.full(313, 1 / 313), "Column j"),
    (lambda *a, **o: smoothed(*a, **o)[:, None], "expected shape"),
]


def weighed(prior, lam, *, scale="prior"):
    w = 1 / ((1 - lam) * prior + lam / len(prior))
    return w / {"prior": (prior * w).sum(), "sum": w.sum(), "mean": w.mean(), "none": 1}[scale]


WRONG["rarity"] = [
    (lambda p, lam: 1 / p / len(p), "mix first"),
    (lambda p, lam: weighed(p, 1 - lam), "share of the uniform"),
    (lambda p, lam: weighed(p, lam, scale="none"), "right size"),
    (lambda p, lam: weighed(p, lam, scale="sum"), "mean under the prior"),
    (lambda p, lam: weighed(p, lam, scale="mean"), "mean under the prior"),
    (lambda p, lam: (1 - lam) * p + lam / len(p), "grow with rarity"),
    (lambda p, lam: weighed(p, 0.5), "lam=0.2"),
    (lambda p, lam: 1 / ((1 - lam) * p + lam), "The formula is"),
]


def loss_of(logits, target, weights, *, pick=None, axis=1, reduce=torch.mean):
    entropy = -(target * F.log_softmax(logits, dim=axis)).sum(1)
    likeliest = target.argmax(1) if pick is None else pick(logits, target)
    return reduce(weights[likeliest] * entropy)


def per_bin(logits, target, weights):
    return -(weights.view(1, -1, 1, 1) * target * F.log_softmax(logits, 1)).sum(1).mean()


WRONG["rebalanced_loss"] = [
    (lambda z, t, w: loss_of(z, t, torch.ones_like(w)), "without any weights"),
    (lambda z, t, w: loss_of(z, t, w, reduce=torch.sum), "their mean"),
    (per_bin, "each bin of the code by itself"),
    (lambda z, t, w: loss_of(z, t, w, pick=lambda z, t: t.argmin(1)), "argmin"),
    (lambda z, t, w: loss_of(z, t, w, axis=2), "axis 2"),
    (lambda z, t, w: loss_of(z, t, w, pick=lambda z, t: t.argmax(0)), "your code stopped"),
    (lambda z, t, w: loss_of(z, t, w) * 2, "Only one line"),
    (lambda z, t, w: loss_of(z, t, w, reduce=lambda x: x), "single number"),
    (lambda z, t, w: loss_of(z, t, w).detach(), "no gradient flows"),
    (lambda z, t, w: loss_of(z.detach(), t, w) + 0 * z.sum(), "the gradient of the loss"),
]


def test_a_loss_whose_weight_the_network_chooses_is_still_to_do():
    result = check.rebalanced_loss.grade(
        lambda z, t, w: loss_of(z, t, w, pick=lambda z, t: F.softmax(z, 1).argmax(1))
    )
    assert result.status == "todo" and "whose likeliest bin" in result.message


def mean_of(probability, bins):
    return torch.einsum("nqhw,qc->nchw", probability, bins)


WRONG["annealed"] = [
    (lambda z, b, t: mean_of(F.softmax(z * t, 1), b), "you multiply"),
    (lambda z, b, t: mean_of(F.softmax(z, 1), b), "changes nothing"),
    (lambda z, b, t: mean_of(F.softmax(z, 1) / t, b), "divide the probabilities"),
    (lambda z, b, t: mean_of(F.softmax(z / t / t, 1), b), "twice"),
    (lambda z, b, t: mean_of(F.softmax(z / t, 2), b), "along axis 2"),
    (lambda z, b, t: mean_of(F.softmax(z / t, 0), b), "along axis 0"),
    (lambda z, b, t: mean_of(F.softmax(z / t, 1), b / 110), "divided by 110"),
    (lambda z, b, t: mean_of(F.softmax(z / t, 1), b.flip(1)), "changed places"),
    (lambda z, b, t: b[z.argmax(1)].permute(0, 3, 1, 2), "the mode"),
    (lambda z, b, t: mean_of(z / t, b), "softmax(logits / T)"),
    (lambda z, b, t: F.softmax(z / t, 1), "expected shape"),
    (lambda z, b, t: F.softmax(z / t, 1).permute(0, 2, 3, 1) @ b, "expected shape"),
]


def epoch(
    *, forget=True, backward=True, move=True, note=torch.Tensor.item, tell=np.mean, first=False
):
    """A loop over the batches, with or without its parts."""

    def one_epoch(forward, batches, loss_of, optimizer):
        losses = []
        for question, answer in batches:
            if forget:
                optimizer.zero_grad()
            loss = loss_of(forward(question), answer)
            if move == "early":
                optimizer.step()
            if backward:
                loss.backward()
            if move is True:
                optimizer.step()
            losses.append(note(loss))
            if first:
                return tell(losses)
        return tell(losses)

    return one_epoch


WRONG["one_epoch"] = [
    (epoch(backward=False), "loss.backward() works them out"),
    (epoch(move=False), "optimizer.step() moves them"),
    (epoch(move="early"), "after the gradients"),
    (epoch(forget=False), "forgets the old gradients"),
    (epoch(tell=sum), "sum of the losses"),
    (epoch(tell=lambda losses: losses[-1]), "last batch"),
    (epoch(tell=min), "append loss.item()"),
    (epoch(note=lambda loss: loss, tell=lambda losses: sum(losses) / 4), "fills memory"),
    (epoch(first=True), "after the loop"),
    (epoch(tell=lambda losses: None), "return"),
]


def test_a_mean_as_a_tensor_is_a_right_answer_too():
    as_tensor = epoch(
        note=lambda loss: loss.detach().clone(), tell=lambda losses: torch.stack(losses).mean()
    )
    assert check.one_epoch.grade(as_tensor).status == "ok"


def test_the_lessons_loss_is_the_librarys(solved):
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 313, 3, 4, generator=generator)
    target, weights = soft_encode(random_ab(1).float()), torch.rand(313, generator=generator)
    assert torch.allclose(
        solved["rebalanced_loss"](logits, target, weights),
        rebalanced_cross_entropy(logits, target, weights),
    )


WRONG["curves"] = [
    ("A", "where the curves part"),
    ("c", "next cells"),
    ("D", "one of"),
    (2, "one of"),
]

WRONG["my_palette"] = [
    (lambda colours: cl.ab_bins()[8::16], "not yet"),
    (lambda colours: colours[:20], "not yet"),
    (lambda colours: np.zeros((20, 2)), "not yet"),
    (lambda colours: colours[:19], "twenty colours"),
    (lambda colours: cl.ab_bins()[:20].T, "expected shape"),
    (lambda colours: None, "return"),
]
