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
from course_lib.checks.report import Todo, TryAgain, check, expect, expect_array, expect_close


def _centres() -> Tensor:
    return torch.from_numpy(ab_bins())


def _colours() -> Tensor:
    """(2, 2, 4, 5): ab of two small pictures."""
    generator = torch.Generator().manual_seed(3)
    return torch.rand(2, 2, 4, 5, generator=generator) * 100 - 50


def _logits() -> Tensor:
    return torch.randn(2, 313, 4, 5, generator=torch.Generator().manual_seed(7)) * 3


def _expect_tensor(got, what: str) -> None:
    expect(got is not None, f"{what} is None: does your function end in return?")
    expect(
        isinstance(got, Tensor),
        f"{what}: expected a torch tensor, got {type(got).__name__}.",
    )


def _near(values: np.ndarray, other) -> bool:
    other = np.asarray(other, dtype=np.float64)
    return bool(np.allclose(values, other, rtol=1e-3, atol=1e-7 + 1e-4 * np.abs(other).max()))


@check
def encode(function):
    """Whether each colour is shared among its k nearest bins by a normalized Gaussian."""
    ab, centres = _colours(), _centres()
    squared = ((ab[:, None] - centres[None, :, :, None, None]) ** 2).sum(2)
    for k in (10, 5):
        truth = soft_encode(ab, k).numpy()
        what = f"the code with k={k}"
        out = function(ab.clone(), centres.clone(), k=k)
        _expect_tensor(out, what)
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

        def coded(weight, near=near):
            weight = weight / weight.sum(1, keepdim=True)
            return torch.zeros_like(squared).scatter(1, near.indices, weight).numpy()

        distance = near.values.sqrt()
        expect(
            not _near(values, coded(torch.exp(-near.values / (2 * 5)))),
            f"{what}: divide by 2 sigma^2, the variance; yours divides by 2 sigma.",
        )
        expect(
            not _near(values, coded(torch.exp(-distance / (2 * 25)))),
            f"{what}: the distance must be squared in the exponent: exp(-d^2 / (2 sigma^2)).",
        )
        expect_close(
            values,
            truth,
            what,
            2e-4,
            "The weights are exp(-d^2 / (2 sigma^2)) with d in Lab units, over their sum.",
        )
    wide = function(ab.clone(), centres.clone(), k=5, sigma=10.0)
    expect_close(
        wide,
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
    truth = smooth_prior(counts)
    values = expect_array(function(counts.copy(), bins.copy()), (313,), "the prior")
    values = values.astype(np.float64)
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
    kernel = np.exp(-squared / (2 * 5.0**2))

    def alike(matrix):
        result = matrix @ counts
        return _near(values, result / result.sum())

    expect(
        not alike(kernel),
        "the shares that a bin hands out must sum to 1. Without that, bins at the rim, which have "
        "fewer neighbours, lose mass. Divide each column of the matrix by its sum.",
    )
    expect(
        not alike(kernel / kernel.sum(1, keepdims=True)),
        "your matrix is normalized along the wrong axis: what a bin hands out must sum to 1, not "
        "what it receives. With `matrix @ counts` those are the columns, axis 0.",
    )
    wrong = np.exp(-squared / (2 * 5.0))
    expect(
        not alike(wrong / wrong.sum(0)),
        "divide by 2 sigma^2, the variance; yours divides by 2 sigma.",
    )
    expect_close(
        values,
        truth,
        "the prior",
        1e-6,
        "Column j of the matrix holds exp(-d^2 / (2 sigma^2)) to bin j, over the column's sum.",
    )
    expect_close(
        function(counts.copy(), bins.copy(), sigma=8.0),
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
    for lam in (0.5, 0.2, 1.0):
        truth = rebalancing_weights(prior, lam)
        what = f"the weights at lam={lam}"
        values = expect_array(function(prior.copy(), lam), (313,), what).astype(np.float64)
        expect(values.min() > 0, f"{what} must be above 0.")
        raw = 1 / ((1 - lam) * prior + lam / 313)
        swapped = 1 / (lam * prior + (1 - lam) / 313)
        only_prior = 1 / np.maximum(prior, 1e-300)
        ratio = values / values[0]
        if lam < 1:
            expect(
                not np.allclose(ratio * only_prior[0], only_prior, rtol=1e-3),
                f"{what} are 1 / prior: mix first, (1 - lam) * prior + lam / Q, and invert then. "
                "Without that the rarest colours count absurdly much.",
            )
            expect(
                lam == 0.5 or not np.allclose(ratio * swapped[0], swapped, rtol=1e-3),
                f"{what}: lam is the share of the uniform distribution; you gave it to the prior.",
            )
            linear = (1 - lam) * prior + lam / 313
            expect(
                not np.allclose(ratio * linear[0], linear, rtol=1e-3),
                f"{what} grow with the prior; they must grow with rarity. Take 1 / (...).",
            )
        if np.allclose(ratio * raw[0], raw, rtol=1e-3):
            mean = (prior * values).sum()
            expect(
                np.isclose(mean, 1, rtol=1e-3),
                f"{what} have the right shape but not the right size: their mean under the prior, "
                f"(prior * weights).sum(), must be 1, yours is {mean:.3g}.",
            )
        expect_close(
            values,
            truth,
            what,
            2e-4 * truth.max(),
            "The formula is 1 / ((1 - lam) * prior + lam / Q), then scaled.",
        )
    return "rare colours count more, and the mean weight of a pixel is 1."


@check
def rebalanced_loss(function):
    """Whether the weight is looked up at the true colour's bin."""
    logits, target = _logits(), soft_encode(_colours())
    prior = np.random.default_rng(5).dirichlet(np.full(313, 0.3))
    weights = torch.from_numpy(rebalancing_weights(prior)).float()
    entropy = -(target * F.log_softmax(logits, dim=1)).sum(1)
    at_truth = weights[target.argmax(1)]
    out = function(logits.clone(), target.clone(), weights.clone())
    _expect_tensor(out, "the loss")
    value = float(expect_array(out, (), "the loss, a single number"))

    def alike(loss):
        return np.isclose(value, float(loss), rtol=1e-4)

    if alike((weights[logits.argmax(1)] * entropy).mean()):
        raise Todo("the bug is still there: whose likeliest bin sets the weight?")
    expect(
        not alike(entropy.mean()),
        "that is the cross entropy without any weights; now gray rules again. Look the weight up "
        "at the true colour's bin.",
    )
    expect(
        not alike((at_truth * entropy).sum()),
        "that is the sum over pixels; the loss is their mean.",
    )
    every_bin = -(weights.view(1, -1, 1, 1) * target * F.log_softmax(logits, dim=1)).sum(1)
    expect(
        not alike(every_bin.mean()),
        "you weigh each bin of the code by itself. In the paper a pixel has one weight, that of "
        "the likeliest bin of its true code.",
    )
    expect(
        not alike((weights[target.argmin(1)] * entropy).mean()),
        "argmin finds a bin that the code does not hold; take the likeliest.",
    )
    expect(
        not alike((at_truth * -(target * F.log_softmax(logits, dim=2)).sum(1)).mean()),
        "the softmax runs along axis 2, the rows of the picture; the bins are axis 1.",
    )
    expect_close(
        value,
        float((at_truth * entropy).mean()),
        "the loss",
        1e-3,
        "Only one line needs a change: the weight of a pixel is that of its true code's likeliest "
        "bin, along axis 1.",
    )
    return "the truth sets the weight, and the network cannot choose a cheap mistake."


@check
def annealed(function):
    """Whether logits are divided by T, softmax runs over the bins, and the mean is taken."""
    logits, centres = _logits(), _centres()
    for temperature in (0.38, 1.0, 2.0):
        truth = annealed_mean(logits, temperature).numpy()
        what = f"the annealed mean at T={temperature}"
        out = function(logits.clone(), centres.clone(), temperature)
        _expect_tensor(out, what)
        values = expect_array(out, truth.shape, what)

        def alike(distribution, values=values):
            return np.allclose(values, expected_ab(distribution), atol=1e-2)

        if temperature != 1:
            expect(
                not alike(F.softmax(logits * temperature, dim=1)),
                f"{what}: you multiply by T; divide, so that a small T makes peaks sharper.",
            )
            expect(
                not alike(F.softmax(logits, dim=1)),
                f"{what}: the temperature changes nothing. Divide the logits by it.",
            )
            expect(
                not alike(F.softmax(logits, dim=1) / temperature),
                f"{what}: you divide the probabilities by T, and they do not sum to 1 any more. "
                "Divide the logits, before the softmax.",
            )
            expect(
                not alike(F.softmax(logits / temperature**2, dim=1)),
                f"{what}: the temperature is applied twice; that is T = {temperature**2:.2g}.",
            )
        for axis in (0, 2, 3):
            expect(
                not alike(F.softmax(logits / temperature, dim=axis)),
                f"{what}: your softmax sums to 1 along axis {axis}. The bins are axis 1.",
            )
        expect(
            not np.allclose(values * 110, truth, atol=1e-2),
            f"{what}: expected Lab units, yours are divided by 110.",
        )
        expect(
            not np.allclose(values[:, ::-1], truth, atol=1e-2),
            f"{what}: a and b have changed places: a comes first, then b.",
        )
        mode = ab_bins()[logits.argmax(1).numpy()].transpose(0, 3, 1, 2)
        if np.allclose(values, mode, atol=1e-2):
            raise TryAgain(f"{what}: that is the likeliest bin, the mode; take the mean.")
        expect_close(
            values,
            truth,
            what,
            1e-2,
            "It is the sum over the bins of softmax(logits / T) times the bin's a and b.",
        )
    return "between mean and mode, along the right axis."
