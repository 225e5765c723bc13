"""Checks of lesson 06, "Train two networks against each other"."""

import copy
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.checks.report import Todo, TryAgain, check, expect, expect_array, expect_close
from course_lib.metrics import ab_histogram_distance
from course_lib.models.patchgan import PatchDiscriminator
from course_lib.models.unet import UNetGenerator
from course_lib.training.losses import adversarial_loss, discriminator_loss


@check
def losses_of_both(function):
    """Whether both players' losses are cross entropies of logits with the right targets."""
    real, fake = torch.randn(2, 3, 1, 4, 5, generator=torch.Generator().manual_seed(3)) * 2
    out = function(real.clone(), fake.clone())
    expect(out is not None, "your function returns None: does it end in return?")
    expect(
        isinstance(out, tuple | list) and len(out) == 2,
        "expected two losses: return the discriminator's, then the generator's.",
    )
    names = ("the discriminator's loss", "the generator's loss")
    judge, deceive = (
        float(expect_array(value, (), f"{name}, a single number"))
        for value, name in zip(out, names, strict=True)
    )
    entropy = F.binary_cross_entropy_with_logits
    one, zero = torch.ones_like(real), torch.zeros_like(real)

    def near(value: float, other: Tensor) -> bool:
        return bool(np.isclose(value, float(other), rtol=1e-4))

    expect(
        not near(judge, adversarial_loss(fake)),
        "the two have changed places: the discriminator's loss comes first.",
    )
    expect(
        not near(judge, entropy(real, one) + entropy(fake, zero)),
        f"{names[0]} is the mean of its two halves; yours is their sum. Divide by 2.",
    )
    expect(
        not near(judge, (entropy(real, zero) + entropy(fake, one)) / 2),
        f"{names[0]}: the targets are exchanged. Photographs are ones, made-up colours zeros.",
    )
    twice = (entropy(real.sigmoid(), one) + entropy(fake.sigmoid(), zero)) / 2
    expect(
        not near(judge, twice) and not near(deceive, entropy(fake.sigmoid(), one)),
        "you take the sigmoid first, and binary_cross_entropy_with_logits takes it again: it "
        "wants the logits themselves.",
    )
    for half, what in ((entropy(real, one), "photographs"), (entropy(fake, zero), "made-up")):
        expect(
            not near(judge, half) and not near(judge, half / 2),
            f"{names[0]} has two halves; yours looks at the {what} ones only.",
        )
    expect_close(
        judge,
        float(discriminator_loss(real, fake)),
        names[0],
        1e-4,
        "It is the mean of entropy(real, ones) and entropy(fake, zeros).",
    )
    expect(
        not near(deceive, entropy(fake, zero)),
        f"{names[1]}: with zeros as targets the generator would learn to be found out. It wants "
        "its colours to be taken for photographs.",
    )
    expect(
        not near(deceive, -entropy(fake, zero)),
        f"{names[1]} is minus the discriminator's half: that is the formula of the game, but it "
        "is flat where the discriminator is sure. Take the entropy with ones as targets.",
    )
    expect(
        not near(deceive, entropy(real, one)),
        f"{names[1]} is computed from the photographs; the generator only sees its own colours.",
    )
    expect_close(
        deceive,
        float(adversarial_loss(fake)),
        names[1],
        1e-4,
        "It is entropy(fake, ones), not halved.",
    )
    sure = 300 * torch.ones_like(real)
    judge, deceive = (float(value) for value in function(-sure, -sure))
    expect(
        near(judge, discriminator_loss(-sure, -sure)) and near(deceive, adversarial_loss(-sure)),
        f"where the discriminator is very sure (logits of -300), expected "
        f"{float(discriminator_loss(-sure, -sure)):g} and {float(adversarial_loss(-sure)):g}, got "
        f"{judge:g} and {deceive:g}. A sigmoid of its own is rounded to 0 there; leave it to "
        "binary_cross_entropy_with_logits.",
    )
    return "one wants to be right, the other to be taken for a photograph."


@check
def patch_side(function):
    """Whether the receptive field of a chain of convolutions is computed, layer by layer."""
    published = [(4, 2), (4, 2), (4, 2), (4, 1), (4, 1)]
    chains = [published, published[1:], [(3, 1)] * 4, [(7, 3), (5, 1), (3, 2)]]
    for layers in chains:
        side = 1
        for kernel, stride in reversed(layers):
            side = (side - 1) * stride + kernel
        forward = 1
        for kernel, stride in layers:
            forward = (forward - 1) * stride + kernel
        what = f"the side for {layers}"
        got = float(expect_array(function(list(layers)), (), what))
        expect(
            got == side or got != forward,
            f"{what}: expected {side}, got {got:g}, which is what comes out if you go from the "
            "first layer to the last. Go from the last to the first.",
        )
        product = int(np.prod([stride for _, stride in layers]))
        expect(
            got == side or got != product,
            f"{what}: expected {side}, got {got:g}, the product of the strides: how far apart "
            "the patches are, not how large.",
        )
        kernels = sum(kernel for kernel, _ in layers)
        expect(
            got == side or got not in (kernels, kernels - len(layers) + 1),
            f"{what}: expected {side}, got {got:g}: the kernels are added as if no layer had a "
            "stride.",
        )
        grown = 1
        for kernel, stride in reversed(layers):
            grown = grown * stride + kernel
        expect(
            got == side or got != grown,
            f"{what}: expected {side}, got {got:g}. n neighbours begin only n - 1 strides after "
            "the first: (side - 1) * stride + kernel.",
        )
        expect(
            got == side,
            f"{what}: expected {side}, got {got:g}. From the last layer to the first: "
            "side = (side - 1) * stride + kernel.",
        )
    return "70 pixels for the published discriminator, and right for others too."


class _Watched(nn.Module):
    """A discriminator that notes what it is shown."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network
        self.shown: list[Tensor] = []

    def forward(self, L: Tensor, ab: Tensor) -> Tensor:
        self.shown.append(L.detach().clone())
        return self.network(L, ab)


def _steps_by_hand(
    generator: nn.Module, discriminator: nn.Module, L: Tensor, ab: Tensor
) -> tuple[float, list[list[Tensor]]]:
    """The first loss, and the discriminator's parameters after one and two steps of descent."""
    losses, after = [], []
    for _ in range(2):
        made = generator(L).detach()
        loss = discriminator_loss(discriminator(L, ab), discriminator(L, made))
        parameters = list(discriminator.parameters())
        slopes = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for parameter, slope in zip(parameters, slopes, strict=True):
                parameter -= 0.1 * slope
        losses.append(loss.item())
        after.append([p.detach().clone() for p in parameters])
    return losses[0], after


@check
def discriminator_turn(function: Callable):
    """Whether the discriminator learns from both kinds of colours, and the generator from none."""
    random = torch.random.get_rng_state()
    torch.manual_seed(5)
    generator = UNetGenerator(width=0.1, depth=2, dropout=0)
    discriminator = PatchDiscriminator(width=0.1, layers=1)
    torch.random.set_rng_state(random)
    generate = torch.Generator().manual_seed(5)
    L = torch.rand(3, 1, 16, 16, generator=generate) * 100
    ab = torch.rand(3, 2, 16, 16, generator=generate) * 100 - 50
    truth, after = _steps_by_hand(copy.deepcopy(generator), copy.deepcopy(discriminator), L, ab)
    before = [p.detach().clone() for p in discriminator.parameters()]
    own = [p.detach().clone() for p in generator.parameters()]
    watched = _Watched(discriminator)
    optimizer = torch.optim.SGD(discriminator.parameters(), lr=0.1)

    def error(expected: list[Tensor]) -> float:
        pairs = zip(discriminator.parameters(), expected, strict=True)
        return max((p.detach() - q).abs().max().item() for p, q in pairs)

    loss = function(generator, watched, optimizer, L.clone(), ab.clone())
    expect(loss is not None, "your function returns None: does it end in return?")
    loss = float(expect_array(loss, (), "the loss, a single number"))
    expect(
        all(torch.equal(p, q) for p, q in zip(generator.parameters(), own, strict=True)),
        "the generator's weights have changed; this is the discriminator's turn.",
    )
    expect(
        error(before) > 0,
        "the discriminator did not move. It needs backward() and optimizer.step(), and a loss "
        "that still hangs on its weights: detach what goes into it, not what comes out.",
    )
    expect(
        all(bool((shown == L).all()) for shown in watched.shown if shown.shape == L.shape),
        "the discriminator must see the lightness of the pictures; without it the game is not "
        "conditional.",
    )
    if any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in generator.parameters()):
        raise Todo("the bug is still there: look at the generator's gradients after the call.")
    expect(
        np.isclose(loss, truth, rtol=1e-3),
        f"the loss: expected {truth:.4g}, got {loss:.4g}. Photographs go first into "
        "discriminator_loss, the generator's colours second; only one line needs a change.",
    )
    expect(
        error(after[0]) < 1e-3,
        "the loss is right, but the discriminator did not take the step that it asks for. Both "
        "halves must reach its weights, and optimizer.step() must be called once.",
    )
    expect(
        all(p.requires_grad for p in generator.parameters()),
        "the generator's weights no longer ask for gradients, so it cannot learn when its turn "
        "comes. Detach its colours instead.",
    )
    function(generator, watched, optimizer, L.clone(), ab.clone())
    expect(
        error(after[1]) < 1e-3,
        "the first call is right, but the second is not: gradients of the first still count. "
        "Call optimizer.zero_grad().",
    )
    return "the discriminator learns, and the generator does not notice."


@check
def higher_psnr(prediction):
    """Whether the learner expects the cautious generator to have the higher PSNR."""
    names = ("L1", "L1 + GAN")
    answer = prediction.strip() if isinstance(prediction, str) else prediction
    if not isinstance(answer, str) or answer.upper() not in names:
        raise TryAgain(f"answer with one of {', '.join(map(repr, names))}; got {prediction!r}.")
    expect(
        answer.upper() == "L1",
        "a bold colour that misses is farther from the truth than a cautious one. Run the cells "
        "below and compare.",
    )
    return "caution pays in decibels. Whether it pays in pictures is another question."


@check
def histogram_distance(function):
    """Whether shares of colours are compared, wherever in the pictures they are."""
    generator = np.random.default_rng(3)
    one = generator.normal(0, 25, (2, 2, 12, 10)).clip(-100, 100)
    other = generator.normal(15, 30, (2, 2, 12, 10)).clip(-100, 100)
    truth = ab_histogram_distance(one, other)
    what = "the distance"
    got = float(expect_array(function(one.copy(), other.copy()), (), what))
    same = float(expect_array(function(one.copy(), one.copy()), (), "the distance to itself"))
    expect(
        abs(same - 1) > 1e-9,
        "you return what the histograms have in common; the distance is 1 minus that.",
    )
    expect(abs(same) < 1e-9, f"the distance of pictures to themselves is 0, yours is {same:.3g}.")
    moved = one[:, :, ::-1].copy()
    apart = float(expect_array(function(one.copy(), moved), (), "the distance to a mirror image"))
    expect(
        abs(apart) < 1e-9,
        f"upside down, a picture has the same colours: expected 0, got {apart:.3g}. Compare how "
        "often colours occur, not pixel with pixel.",
    )
    swapped = float(
        expect_array(
            function(one.copy(), one[:, ::-1].copy()), (), "the distance with a, b swapped"
        )
    )
    expected = ab_histogram_distance(one, one[:, ::-1])
    expect(
        swapped > 0.5 * expected,
        "a and b must be counted in pairs: with a and b exchanged the colours are others, and "
        f"the distance is {expected:.2f}; yours is {swapped:.2g}. Use np.histogram2d.",
    )
    expect(
        not np.isclose(got, 2 * truth, rtol=1e-3),
        f"{what}: expected {truth:.3f}, got {got:.3f}: twice as much. Take half of the sum, so "
        "that the largest distance is 1.",
    )
    expect(
        got <= 1 + 1e-9,
        f"{what} must be in 0..1, yours is {got:.4g}. Divide the counts of each set by their own "
        "sum before you compare.",
    )
    expect_close(
        got,
        truth,
        what,
        1e-3,
        "It is half the sum of the absolute differences of the shares, over all cells.",
    )
    twice = np.concatenate([other, other])
    got = float(
        expect_array(function(one.copy(), twice), (), "the distance to twice the pictures")
    )
    expect_close(
        got,
        truth,
        "the distance to twice as many pictures with the same shares",
        1e-3,
        "Divide each set's counts by its own sum.",
    )
    got = float(expect_array(function(one.copy(), other.copy(), step=5.0), (), "with step=5"))
    expect_close(
        got,
        ab_histogram_distance(one, other, 5.0),
        "the distance with step=5",
        1e-3,
        "Use the edges that are given.",
    )
    return "0 for the same colours, 1 for none in common, wherever they are."
