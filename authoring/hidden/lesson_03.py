"""Hidden tests of lesson 03, "Choose colours instead of averaging them".

The form of these files is described in `authoring/classroom.py`.
"""


def test_encode(function):
    """Random colours, k and sigma, with the bins in another order."""
    import numpy as np
    import torch

    from course_lib.bins import ab_bins, soft_encode

    rng = np.random.default_rng()
    order = rng.permutation(len(ab_bins()))
    ab = torch.from_numpy(rng.uniform(-60, 60, (2, 2, 3, 2))).float()
    k, sigma = int(rng.integers(2, 9)), float(rng.uniform(3, 9))
    got = function(ab.clone(), torch.from_numpy(ab_bins()[order]), k=k, sigma=sigma)
    expected = soft_encode(ab, k, sigma=sigma)[:, order]
    np.testing.assert_allclose(got.numpy(), expected.numpy(), atol=1e-3)


def test_smooth(function):
    """Random counts and sigma, with the bins in another order."""
    import numpy as np

    from course_lib.bins import ab_bins, smooth_prior

    rng = np.random.default_rng()
    counts = rng.gamma(0.2, 100, 313)
    order, sigma = rng.permutation(313), rng.uniform(3, 9)
    got = function(counts[order], ab_bins()[order], sigma=sigma)
    np.testing.assert_allclose(got, smooth_prior(counts, sigma)[order], atol=1e-5)


def test_rarity(function):
    """Random priors and shares of the uniform distribution."""
    import numpy as np

    from course_lib.bins import rebalancing_weights

    rng = np.random.default_rng()
    for lam in rng.uniform(0.1, 1, 3):
        prior = rng.dirichlet(np.full(313, rng.uniform(0.3, 3)))
        np.testing.assert_allclose(
            function(prior.copy(), lam), rebalancing_weights(prior, lam), rtol=1e-3
        )


def test_rebalanced_loss(function):
    """Random logits, codes and weights, pixel by pixel."""
    import numpy as np
    import torch

    rng = np.random.default_rng()
    shape = (2, int(rng.integers(5, 30)), 3, 4)
    logits = torch.from_numpy(rng.normal(0, 3, shape))
    target = torch.from_numpy(rng.dirichlet(np.full(shape[1], 0.3), (2, 3, 4)))
    weights = torch.from_numpy(rng.gamma(1, 1, shape[1]))
    losses = []
    for n, row, column in np.ndindex(2, 3, 4):
        score, code = logits[n, :, row, column], target[n, row, column]
        entropy = torch.logsumexp(score, 0) - (code * score).sum()
        losses.append(float(entropy * weights[code.argmax()]))
    got = function(logits, target.permute(0, 3, 1, 2), weights)
    np.testing.assert_allclose(float(got), np.mean(losses), rtol=1e-4)


def test_annealed(function):
    """Random logits and temperatures, with the bins in another order."""
    import numpy as np
    import torch

    from course_lib.bins import ab_bins, annealed_mean

    rng = np.random.default_rng()
    order = rng.permutation(313)
    for temperature in rng.uniform(0.2, 2, 3):
        logits = torch.from_numpy(rng.normal(0, 3, (2, 313, 3, 4))).float()
        got = function(logits[:, order], torch.from_numpy(ab_bins()[order]), float(temperature))
        np.testing.assert_allclose(
            got.numpy(), annealed_mean(logits, float(temperature)).numpy(), atol=0.02
        )


def ask_one_epoch(function, points, rate, slope):
    """A line that is fitted by an epoch of single points: mean loss, weight and bias after it."""
    import torch

    weight, bias = (torch.tensor(v, requires_grad=True) for v in (slope, 0.5))
    optimizer = torch.optim.SGD([weight, bias], rate)
    batches = [(torch.tensor(x), torch.tensor(y)) for x, y in points]
    mean = function(
        lambda x: weight * x + bias, iter(batches), lambda a, b: (a - b) ** 2, optimizer
    )
    return float(mean), float(weight.detach()), float(bias.detach())


def test_one_epoch(function):
    """Random points, against the sums done by hand."""
    import numpy as np

    rng = np.random.default_rng()
    points = rng.normal(size=(int(rng.integers(3, 9)), 2)).tolist()
    rate, weight = float(rng.uniform(0.02, 0.1)), float(rng.normal())
    got = function(points, rate, weight)
    bias, losses = 0.5, []
    for x, y in points:
        error = weight * x + bias - y
        losses.append(error**2)
        weight, bias = weight - rate * 2 * error * x, bias - rate * 2 * error
    np.testing.assert_allclose(got, (np.mean(losses), weight, bias), atol=1e-4)


def test_my_palette(function):
    """Random colours in heaps: nearer to them than evenly spread bins are."""
    import numpy as np

    from course_lib.bins import ab_bins

    rng = np.random.default_rng()
    heaps = rng.normal(0, 25, (40, 2))
    colours = np.concatenate([heap + rng.normal(0, 5, (200, 2)) for heap in heaps])
    rng.shuffle(colours)
    palette = np.asarray(function(colours.copy()), dtype=float)
    assert palette.shape == (20, 2)

    def off(centres):
        return np.linalg.norm(colours[:, None] - centres, axis=-1).min(axis=1).mean()

    assert off(palette) < off(ab_bins()[8::16])
