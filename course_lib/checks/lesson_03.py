"""Checks of lesson 03, "Choose colours instead of averaging them"."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.bins import (
    ab_bins,
    annealed_mean,
    expected_ab,
    rebalancing_weights,
    smooth_prior,
    soft_encode,
)
from course_lib.checks.answers import (
    ask,
    choose,
    expect_array,
    expect_close,
    expect_number,
    expect_tensor,
)
from course_lib.checks.report import Todo, TryAgain, check, expect
from course_lib.data.arrays import square
from course_lib.data.photos import photos
from course_lib.lab import rgb_to_lab


def _centres() -> Tensor:
    return torch.from_numpy(ab_bins())


def _colours() -> Tensor:
    """(2, 2, 4, 5): ab of two small pictures."""
    generator = torch.Generator().manual_seed(3)
    return torch.rand(2, 2, 4, 5, generator=generator) * 100 - 50


def _logits() -> Tensor:
    return torch.randn(2, 313, 4, 5, generator=torch.Generator().manual_seed(7)) * 3


@check
def encode(function):
    """Whether each colour is shared among its k nearest bins by a normalized Gaussian."""
    ab, centres = _colours(), _centres()
    squared = ((ab[:, None] - centres[None, :, :, None, None]) ** 2).sum(2)
    for k in (10, 5):
        truth = soft_encode(ab, k).numpy()
        what = f"the code with k={k}"
        out = expect_tensor(ask(function, ab, centres, k=k), what)
        expect(
            not bool(out.isnan().any()),
            f"{what} holds nan: all weights of a pixel were 0, and 0 / 0 is nan. Did you take the "
            "farthest bins? topk takes the largest distances unless largest=False.",
        )
        values = expect_array(out, truth.shape, what)
        expect(values.min() >= 0, f"{what} has negative values; a Gaussian has none.")
        held = (values > 0).sum(1)
        expect(
            held.max() > 1,
            f"{what} is one-hot: each pixel has a single bin. Share it among its {k} nearest.",
        )
        expect(
            held.max() <= k,
            f"{what} shares a pixel among {held.max()} bins, where k={k} was asked for. Keep the "
            "k nearest only: distance.topk.",
        )
        sums = values.sum(1)
        expect(
            np.allclose(sums, 1, atol=1e-4),
            f"{what}: the values of a pixel must sum to 1, yours sum to {sums.flat[0]:.3g}. "
            "Divide by the sum over the bins, axis 1.",
        )
        near = squared.topk(k, dim=1, largest=False)

        def coded(exponent, near=near):
            weight = F.softmax(-exponent, dim=1)
            return torch.zeros_like(squared).scatter(1, near.indices, weight).numpy()

        no_variance, not_squared = coded(near.values / 10), coded(near.values.sqrt() / 50)
        mistakes = {
            "divide by 2 sigma^2, the variance; yours divides by 2 sigma.": no_variance,
            "the distance must be squared in the exponent: exp(-d^2 / (2 sigma^2)).": not_squared,
        }
        hint = "The weights are exp(-d^2 / (2 sigma^2)) with d in Lab units, over their sum."
        expect_close(values, truth, what, 2e-4, hint, mistakes)
    expect_close(
        ask(function, ab, centres, k=5, sigma=10.0),
        soft_encode(ab, 5, sigma=10.0).numpy(),
        "the code with sigma=10",
        2e-4,
        "Use the argument sigma, not the number 5.",
    )
    return "softly shared among k bins, and the sum is 1."


@check
def smooth(function):
    """Whether counts are spread by a Gaussian whose shares sum to 1 for each bin."""
    bins = ab_bins()
    counts = np.random.default_rng(3).gamma(0.2, 100, 313)
    counts[::3] = 0
    values = expect_array(ask(function, counts, bins), (313,), "the prior").astype(np.float64)
    expect(values.min() >= 0, "the prior holds negative values; counts and shares have none.")
    expect(
        np.isclose(values.sum(), 1, atol=1e-4),
        f"a prior is a distribution: its sum must be 1, yours is {values.sum():.4g}. "
        "Divide by the sum at the end.",
    )
    expect(
        (values > 0).all(),
        "the counts are normalized, but not smoothed: bins that never occur are still at 0.",
    )
    squared = ((bins[:, None] - bins[None]).astype(np.float64) ** 2).sum(-1)
    kernel, narrow = np.exp(-squared / (2 * 5.0**2)), np.exp(-squared / (2 * 5.0))

    def spread(matrix):
        return matrix @ counts / (matrix @ counts).sum()

    mistakes = {
        "the shares that a bin hands out must sum to 1. Without that, bins at the rim, which "
        "have fewer neighbours, lose mass. Divide each column of the matrix by its "
        "sum.": spread(kernel),
        "your matrix is normalized along the wrong axis: what a bin hands out must sum to 1, "
        "not what it receives. With `matrix @ counts` those are the columns, axis "
        "0.": spread(kernel / kernel.sum(1, keepdims=True)),
        "divide by 2 sigma^2, the variance; yours divides by 2 sigma.": spread(
            narrow / narrow.sum(0)
        ),
    }
    hint = "Column j of the matrix holds exp(-d^2 / (2 sigma^2)) to bin j, over the column's sum."
    expect_close(values, smooth_prior(counts), "the prior", 1e-6, hint, mistakes)
    expect_close(
        ask(function, counts, bins, sigma=8.0),
        smooth_prior(counts, 8.0),
        "the prior with sigma=8",
        1e-6,
        "Use the argument sigma, not the number 5.",
    )
    return "smoothed, and not a pixel lost."


@check
def rarity(function):
    """Whether weights are one over the mixed prior, with mean 1 under the prior."""
    prior = np.random.default_rng(5).dirichlet(np.full(313, 0.3))

    def sized(weights):
        return weights / (prior * weights).sum()

    for lam in (0.5, 0.2, 1.0):
        truth = rebalancing_weights(prior, lam)
        what = f"the weights at lam={lam}"
        values = expect_array(ask(function, prior, lam), (313,), what).astype(np.float64)
        expect(values.min() > 0, f"{what} must be above 0.")
        linear, swapped = (1 - lam) * prior + lam / 313, lam * prior + (1 - lam) / 313
        mistakes = {
            "that is 1 / prior: mix first, (1 - lam) * prior + lam / Q, and invert then. "
            "Without that the rarest colours count absurdly much.": sized(1 / prior),
            "lam is the share of the uniform distribution; you gave it to the prior.": sized(
                1 / swapped
            ),
            "they grow with the prior; they must grow with rarity. Take 1 / (...).": sized(linear),
        }
        hint = "The formula is 1 / ((1 - lam) * prior + lam / Q), then scaled."
        tolerance = 2e-4 * truth.max()
        expect_close(sized(values), truth, f"{what} (once scaled)", tolerance, hint, mistakes)
        mean = (prior * values).sum()
        expect(
            np.isclose(mean, 1, rtol=1e-3),
            f"{what} have the right shape but not the right size: their mean under the prior, "
            f"(prior * weights).sum(), must be 1, yours is {mean:.3g}.",
        )
    return "rare colours count more, and the mean weight of a pixel is 1."


@check
def rebalanced_loss(function):
    """Whether the weight is looked up at the true colour's bin."""
    logits, target = _logits(), soft_encode(_colours())
    prior = np.random.default_rng(5).dirichlet(np.full(313, 0.3))
    weights = torch.from_numpy(rebalancing_weights(prior)).float()

    def entropy(axis=1):
        return -(target * F.log_softmax(logits, dim=axis)).sum(1)

    at_truth = weights[target.argmax(1)]
    every_bin = -(weights.view(1, -1, 1, 1) * target * F.log_softmax(logits, dim=1)).sum(1)
    mistakes = {
        "that is the cross entropy without any weights; now gray rules again. Look the weight "
        "up at the true colour's bin.": entropy().mean(),
        "that is the sum over pixels; the loss is their mean.": (at_truth * entropy()).sum(),
        "you weigh each bin of the code by itself. In the paper a pixel has one weight, that "
        "of the likeliest bin of its true code.": every_bin.mean(),
        "argmin finds a bin that the code does not hold; take the likeliest.": (
            weights[target.argmin(1)] * entropy()
        ).mean(),
        "the softmax runs along axis 2, the rows of the picture; the bins are axis 1.": (
            at_truth * entropy(axis=2)
        ).mean(),
    }
    out = expect_tensor(ask(function, logits, target, weights), "the loss")
    value = expect_number(out, "the loss")
    if np.isclose(value, float((weights[logits.argmax(1)] * entropy()).mean()), rtol=1e-4):
        raise Todo("the bug is still there: whose likeliest bin sets the weight?")
    hint = (
        "Only one line needs a change: the weight of a pixel is that of its true code's likeliest "
        "bin, along axis 1."
    )
    expect_close(value, (at_truth * entropy()).mean(), "the loss", 1e-3, hint, mistakes)
    scores = logits.clone().requires_grad_()
    loss = function(scores, target.clone(), weights.clone())
    expect(
        loss.requires_grad,
        "the number is right, but no gradient flows through it: nothing would be learned. Leave "
        "out .detach(), .item() and torch.no_grad().",
    )
    (got,) = torch.autograd.grad(loss, scores)
    wanted = (at_truth[:, None] * (F.softmax(logits, dim=1) - target)) / at_truth.numel()
    expect_close(
        got,
        wanted,
        "the gradient of the loss",
        1e-4,
        "Some of it is cut off.",
    )
    return "the truth sets the weight, and the network cannot choose a cheap mistake."


@check
def annealed(function):
    """Whether logits are divided by T, softmax runs over the bins, and the mean is taken."""
    logits, centres = _logits(), _centres()

    def mean(scaled, axis=1, factor=1.0):
        return expected_ab(F.softmax(scaled, dim=axis) * factor)

    mode = ab_bins()[logits.argmax(1).numpy()].transpose(0, 3, 1, 2)
    for temperature in (0.38, 1.0, 2.0):
        truth = annealed_mean(logits, temperature).numpy()
        what = f"the annealed mean at T={temperature}"
        cold, warm = logits / temperature, logits * temperature
        mistakes = {
            "you multiply by T; divide, so that a small T makes peaks sharper.": mean(warm),
            "the temperature changes nothing. Divide the logits by it.": mean(logits),
            "you divide the probabilities by T, and they do not sum to 1 any more. Divide the "
            "logits, before the softmax.": mean(logits, factor=1 / temperature),
            f"the temperature is applied twice; that is T = {temperature**2:.2g}.": mean(
                cold / temperature
            ),
            "expected Lab units, yours are divided by 110.": truth / 110,
            "a and b have changed places: a comes first, then b.": truth[:, ::-1],
            "that is the likeliest bin, the mode; take the mean.": mode,
        }
        mistakes |= {
            f"your softmax sums to 1 along axis {axis}. The bins are axis 1.": mean(cold, axis)
            for axis in (0, 2, 3)
        }
        out = expect_tensor(ask(function, logits, centres, temperature), what)
        hint = "It is the sum over the bins of softmax(logits / T) times the bin's a and b."
        expect_close(out, truth, what, 1e-2, hint, mistakes)
    return "between mean and mode, along the right axis."


def _line() -> tuple[torch.nn.Linear, list[tuple[Tensor, Tensor]]]:
    """A network of two numbers, and four batches of points on a line."""
    network = torch.nn.Linear(1, 1)
    with torch.no_grad():
        network.weight.fill_(0.5)
        network.bias.fill_(-1.0)
    x = torch.tensor([[0.2], [1.0], [-0.7], [1.5]])
    return network, [(part, 3 * part + 1) for part in x.split(1)]


@check
def one_epoch(function):
    """Whether each batch moves the weights by its own gradient, and the mean loss is told."""

    def trained(rate: float, batches: int = 4) -> tuple[object, list[float], torch.nn.Linear]:
        network, data = _line()
        optimizer = torch.optim.SGD(network.parameters(), rate)
        losses: list[float] = []

        def loss_of(guess, answer):
            loss = F.mse_loss(guess, answer)
            losses.append(float(loss.detach()))
            return loss

        return function(network, iter(data[:batches]), loss_of, optimizer), losses, network

    def library(rate: float) -> torch.nn.Linear:
        network, data = _line()
        optimizer = torch.optim.SGD(network.parameters(), rate)
        for question, answer in data:
            optimizer.zero_grad()
            F.mse_loss(network(question), answer).backward()
            optimizer.step()
        return network

    mean, losses, network = trained(0.1)
    if mean is not None and len(losses) < 4:
        raise TryAgain(
            f"{len(losses)} of 4 batches were seen: return after the loop, not inside of it."
        )
    start = _line()[0]
    weight, bias = (float(parameter.detach()) for parameter in network.parameters())
    right = library(0.1)
    still = tuple(float(parameter.detach()) for parameter in start.parameters())
    expect(
        network.weight.grad is not None,
        "there are no gradients: loss.backward() works them out, between the loss and the step.",
    )
    expect(
        (weight, bias) != still,
        "the weights have not moved: optimizer.step() moves them, after the gradients.",
    )
    first = trained(0.1, 1)[2]
    expect_close(
        [float(parameter.detach()) for parameter in first.parameters()],
        _after_one(0.1),
        "the weights after one batch",
        1e-5,
        "One backward() and one step() for each batch, in this order.",
    )
    expect_close(
        [weight, bias],
        [float(parameter.detach()) for parameter in right.parameters()],
        "the weights after four batches",
        1e-5,
        "One backward() and one step() for each batch; line 1 forgets the old gradients.",
    )
    expect(
        not isinstance(mean, Tensor) or not mean.requires_grad,
        "the losses are noted with all that led to them, which fills memory. Note loss.item().",
    )
    value = expect_number(mean, "the mean loss")
    mistakes = {
        "that is the loss of the last batch; note every one.": losses[-1],
        "that is the sum of the losses; their mean is asked for.": sum(losses),
    }
    hint = "After each step append loss.item() to the list."
    expect_close(value, np.mean(losses), "the mean loss", 1e-4, hint, mistakes)
    return "forget, guess and compare, gradients, move, note: that is all there is to training."


def _after_one(rate: float) -> list[float]:
    """Weight and bias after the first of the batches."""
    network, data = _line()
    F.mse_loss(network(data[0][0]), data[0][1]).backward()
    return [float((p - rate * p.grad).detach()) for p in network.parameters()]


@check
def curves(prediction):
    """Whether the learner expects the losses to part."""
    answer = choose(prediction, ("A", "B", "C"))
    expect(
        answer == "B",
        f"{answer} is not what happens. Run the next cells and look where the curves part; then "
        "ask what 104 photographs can teach about others.",
    )
    return "B: what is learned by heart helps with nothing else."


@check
def my_palette(function):
    """Whether twenty colours are nearer to those of the test scenes than the baselines'."""
    train, test = (
        np.concatenate(
            [
                rgb_to_lab(square(photo.load(), 64))[..., 1:].reshape(-1, 2)
                for photo in photos(split=split, kind="scene")
            ]
        )
        for split in ("train", "test")
    )
    bins = ab_bins()
    nearest = ((train[::4, None] - bins) ** 2).sum(axis=-1).argmin(axis=1)
    likeliest = np.argsort(-np.bincount(nearest, minlength=len(bins)), kind="stable")[:20]
    got = ask(function, train.astype(np.float64))
    if np.shape(got)[-1:] == (2,) and np.shape(got) != (20, 2):
        raise TryAgain(f"twenty colours are asked for, an array (20, 2); got {np.shape(got)}.")
    palettes = {
        "yours": expect_array(got, (20, 2), "the palette"),
        "the 20 likeliest bins": bins[likeliest],
        "20 bins spread evenly": bins[8::16],
    }
    off = {
        name: float(np.linalg.norm(test[::4, None] - palette, axis=-1).min(axis=1).mean())
        for name, palette in palettes.items()
    }
    ranked = sorted(off, key=lambda name: off[name])
    table = ", ".join(f"{place}. {name} {off[name]:.2f}" for place, name in enumerate(ranked, 1))
    expect(
        ranked[0] == "yours",
        f"not yet: {table} Lab units from a pixel to the nearest colour, on the test scenes.",
    )
    return f"{table} Lab units from a pixel to the nearest colour, on the test scenes."
