"""Hidden tests of lesson 06, "Train two networks against each other".

The form of these files is described in `authoring/classroom.py`. Exercise 5 asks for an order and
exercise 7 for a prediction; they have none.
"""


def test_losses_of_both(function):
    """Random logits, also of a discriminator that is very sure of itself."""
    import numpy as np
    import torch

    rng = np.random.default_rng()
    for scale in (*rng.uniform(0.3, 5, 2), 300):
        real, fake = rng.normal(0, scale, (2, int(rng.integers(2, 5)), 1, *rng.integers(3, 9, 2)))
        # -log(sigmoid(x)) = log(1 + exp(-x)), and 1 - sigmoid(x) = sigmoid(-x)
        judge = np.logaddexp(0, -real).mean() / 2 + np.logaddexp(0, fake).mean() / 2
        deceive = np.logaddexp(0, -fake).mean()
        got = function(*(torch.from_numpy(x).float() for x in (real, fake)))
        names = ("the discriminator's loss", "the generator's loss")
        for name, mine, expected in zip(names, got, (judge, deceive), strict=True):
            np.testing.assert_allclose(
                float(mine),
                expected,
                rtol=1e-3,
                err_msg=f"{name} for logits with a standard deviation of {scale:.3g}",
            )


def test_patch_side(function):
    """Random chains of layers, pixel by pixel of a line."""
    import numpy as np

    rng = np.random.default_rng()
    for _ in range(20):
        strides = rng.integers(1, 4, int(rng.integers(1, 6))).tolist()
        layers = [(stride + int(rng.integers(0, 4)), stride) for stride in strides]
        seen = {0}
        for kernel, stride in reversed(layers):
            seen = {place * stride + i for place in seen for i in range(kernel)}
        got = function(list(layers))
        assert got == len(seen), f"{layers}: {len(seen)} pixels a side are seen, got {got}"


def ask_discriminator_turn(function, generating, judging, gradients, rate, L, ab):
    """Two turns of networks with these weights, and what is there after each."""
    import torch
    from torch import nn

    class Discriminator(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution = nn.Conv2d(3, 1, 3)

        def forward(self, L, ab):
            return self.convolution(torch.cat([L / 100, ab / 110], dim=1))

    generator = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 2, 1))
    discriminator = Discriminator()
    generator.load_state_dict(generating)
    discriminator.load_state_dict(judging)
    for parameter, gradient in zip(generator.parameters(), gradients, strict=True):
        parameter.grad = gradient  # as if its own turn had begun
    optimizer = torch.optim.SGD(discriminator.parameters(), lr=rate)
    turns = []
    for _ in range(2):
        loss = function(generator, discriminator, optimizer, L.clone(), ab.clone())
        turns.append(
            {
                "loss": float(loss),
                "discriminator": [p.detach().clone() for p in discriminator.parameters()],
                "generator": [p.detach().clone() for p in generator.parameters()],
                "gradients": [
                    None if p.grad is None else p.grad.clone() for p in generator.parameters()
                ],
                "learns": [p.requires_grad for p in generator.parameters()],
                "training": generator.training,
            }
        )
    return turns


def test_discriminator_turn(function):
    """Two turns of random networks, step by step, after which the generator learns as before."""
    import numpy as np
    import torch
    import torch.nn.functional as F
    from torch import nn

    rng = np.random.default_rng()
    n, height, width = (int(rng.integers(*ends)) for ends in ((1, 5), (6, 13), (6, 13)))
    rate = float(rng.uniform(0.05, 0.5))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**31)))
        generator = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 2, 1))
        convolution = nn.Conv2d(3, 1, 3)
        L = torch.rand(n, 1, height, width) * 100
        ab = torch.randn(n, 2, height, width) * 40
        gradients = [torch.randn_like(p) for p in generator.parameters()]
    judging = {f"convolution.{name}": value for name, value in convolution.state_dict().items()}
    turns = function(generator.state_dict(), judging, gradients, rate, L, ab)
    own = [parameter.detach() for parameter in generator.parameters()]

    def judge(ab):
        return convolution(torch.cat([L / 100, ab / 110], dim=1))

    assert len(turns) == 2
    for name, got in zip(("first", "second"), turns, strict=True):
        real, fake = judge(ab), judge(generator(L).detach())
        loss = (F.softplus(-real).mean() + F.softplus(fake).mean()) / 2
        slopes = torch.autograd.grad(loss, list(convolution.parameters()))
        np.testing.assert_allclose(
            got["loss"], loss.item(), rtol=1e-3, err_msg=f"the loss of the {name} turn"
        )
        with torch.no_grad():
            for mine, theirs, slope in zip(
                got["discriminator"], convolution.parameters(), slopes, strict=True
            ):
                theirs -= rate * slope
                np.testing.assert_allclose(
                    mine.numpy(),
                    theirs.numpy(),
                    atol=1e-4,
                    err_msg=f"the discriminator's weights after the {name} turn",
                )
        for mine, value in zip(got["generator"], own, strict=True):
            assert torch.equal(mine, value), "the generator's weights have changed"
        for mine, gradient in zip(got["gradients"], gradients, strict=True):
            cleared = mine is None or not mine.any()
            assert cleared or torch.equal(mine, gradient), (
                "the discriminator's turn added to the generator's gradients"
            )
        assert got["learns"] == [True] * len(own), "the generator cannot learn any more"
        assert got["training"] is True, "the generator is left in evaluation mode"


def test_histogram_distance(function):
    """Random colours of sets that differ in number and size, counted one by one."""
    from collections import Counter

    import numpy as np

    rng = np.random.default_rng()
    for step in (10.0, *rng.uniform(4, 40, 2)):
        sets, shares = [], []
        for _ in range(2):
            shape = (int(rng.integers(1, 5)), 2, *rng.integers(6, 20, 2))
            ab = rng.normal(rng.uniform(-20, 20), rng.uniform(5, 40), shape).clip(-110, 110)
            a, b = np.floor((np.moveaxis(ab, 1, 0).reshape(2, -1) + 115) / step).astype(int)
            counts = Counter(zip(a.tolist(), b.tolist(), strict=True))
            sets.append(ab)
            shares.append({cell: count / counts.total() for cell, count in counts.items()})
        cells = shares[0].keys() | shares[1].keys()
        expected = sum(abs(shares[0].get(c, 0) - shares[1].get(c, 0)) for c in cells) / 2
        np.testing.assert_allclose(
            float(function(sets[0].copy(), sets[1].copy(), step=float(step))),
            expected,
            atol=1e-4,
            err_msg=f"sets of shapes {sets[0].shape} and {sets[1].shape}, step {step:.3g}",
        )


def ask_generator_turn(function, generating, judging, rate, L, ab, weight):
    """Two turns of networks with these weights, and what is there after each."""
    import torch
    from torch import nn

    class Discriminator(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution = nn.Conv2d(3, 1, 3)

        def forward(self, L, ab):
            return self.convolution(torch.cat([L / 100, ab / 110], dim=1))

    generator = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 2, 1))
    discriminator = Discriminator()
    generator.load_state_dict(generating)
    discriminator.load_state_dict(judging)
    optimizer = torch.optim.SGD(generator.parameters(), lr=rate)
    turns = []
    for _ in range(2):
        losses = function(generator, discriminator, optimizer, L.clone(), ab.clone(), weight)
        turns.append(
            {
                "losses": [float(x) for x in losses],
                "generator": [p.detach().clone() for p in generator.parameters()],
                "discriminator": [p.detach().clone() for p in discriminator.parameters()],
                "gradients": [
                    p.grad is not None and bool(p.grad.any()) for p in discriminator.parameters()
                ],
                "learns": [p.requires_grad for p in discriminator.parameters()],
            }
        )
    return turns


def test_generator_turn(function):
    """Two turns of random networks with a random weight, against what calculus says."""
    import numpy as np
    import torch
    import torch.nn.functional as F
    from torch import nn

    rng = np.random.default_rng()
    n, height, width = (int(rng.integers(*ends)) for ends in ((1, 5), (6, 13), (6, 13)))
    rate, weight = float(rng.uniform(0.02, 0.1)), float(rng.uniform(1, 30))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**31)))
        generator = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 2, 1))
        convolution = nn.Conv2d(3, 1, 3)
        L = torch.rand(n, 1, height, width) * 100
        ab = torch.randn(n, 2, height, width) * 40
    judging = {f"convolution.{name}": value for name, value in convolution.state_dict().items()}
    turns = function(dict(generator.state_dict()), judging, rate, L, ab, weight)
    assert len(turns) == 2
    for name, got in zip(("first", "second"), turns, strict=True):
        made = generator(L)
        judged = convolution(torch.cat([L / 100, made / 110], dim=1))
        l1, deceive = (made - ab).abs().mean(), F.softplus(-judged).mean()
        slopes = torch.autograd.grad(weight * l1 / 110 + deceive, list(generator.parameters()))
        np.testing.assert_allclose(
            got["losses"],
            [l1.item(), deceive.item()],
            rtol=1e-3,
            err_msg=f"L1 in Lab units and the loss in the game, {name} turn",
        )
        with torch.no_grad():
            for mine, theirs, slope in zip(
                got["generator"], generator.parameters(), slopes, strict=True
            ):
                theirs -= rate * slope
                np.testing.assert_allclose(
                    mine.numpy(),
                    theirs.numpy(),
                    atol=1e-4,
                    err_msg=f"the generator's weights after the {name} turn, weight {weight:.3g}",
                )
        for mine, theirs in zip(got["discriminator"], convolution.parameters(), strict=True):
            assert torch.equal(mine, theirs), "the discriminator's weights have changed"
        assert not any(got["gradients"]), "the discriminator got gradients"
        assert all(got["learns"]), "the discriminator cannot learn any more"


def test_enliven(function):
    """Random colours, made cautious: the answer's histogram is to be closer to the truth's."""
    import numpy as np

    rng = np.random.default_rng()

    def shares(ab):
        edges = np.arange(-115.0, 116.0, 10.0)
        a, b = np.moveaxis(ab, 1, 0).reshape(2, -1).clip(-114, 114)
        return np.histogram2d(a, b, bins=(edges, edges))[0] / a.size

    middle, spread = rng.uniform(-15, 15, (2, 1, 1)), float(rng.uniform(18, 30))
    true, examples = (
        (middle + rng.normal(0, spread, (n, 2, 24, 20))).clip(-105, 105) for n in (3, 4)
    )
    cautious = true * float(rng.uniform(0.15, 0.35))
    L = rng.uniform(20, 80, (3, 1, 24, 20))
    got = np.asarray(function(L.copy(), cautious.copy(), examples.copy()))
    assert got.shape == true.shape, f"expected shape {true.shape}, got {got.shape}"
    mine, nothing = (np.abs(shares(ab) - shares(true)).sum() / 2 for ab in (got, cautious))
    assert mine < nothing, f"distance {mine:.3f}, against {nothing:.3f} for doing nothing"
