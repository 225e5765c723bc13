"""Checks of lesson 06, "Train two networks against each other"."""

import copy
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.checks.answers import (
    ask,
    ask_to_change,
    choose,
    expect_array,
    expect_close,
    expect_number,
    expect_order,
    expect_two,
)
from course_lib.checks.report import Todo, check, expect
from course_lib.data.arrays import decode_lab, encode_lab, square
from course_lib.data.photos import photos
from course_lib.lab import rgb_to_lab
from course_lib.metrics import ab_histogram_distance
from course_lib.models import siggraph17
from course_lib.models.patchgan import PatchDiscriminator
from course_lib.models.unet import UNetGenerator
from course_lib.training.losses import adversarial_loss, discriminator_loss


@check
def losses_of_both(function):
    """Whether both players' losses are cross entropies of logits with the right targets."""
    real, fake = torch.randn(2, 3, 1, 4, 5, generator=torch.Generator().manual_seed(3)) * 2
    names = ("the discriminator's loss", "the generator's loss")
    out = expect_two(
        ask(function, real, fake), "two losses, the discriminator's and then the generator's"
    )
    judge, deceive = map(expect_number, out, names)
    entropy = F.binary_cross_entropy_with_logits
    one, zero = torch.ones_like(real), torch.zeros_like(real)
    twice = (
        "you take the sigmoid first, and binary_cross_entropy_with_logits takes it again: it "
        "wants the logits themselves."
    )
    halves = {"photographs": entropy(real, one), "made-up": entropy(fake, zero)}
    turned = (entropy(real, zero) + entropy(fake, one)) / 2
    mistakes = {
        "the two have changed places: the discriminator's loss comes first.": entropy(fake, one),
        "it is the mean of its two halves; yours is their sum. Divide by 2.": sum(halves.values()),
        "the targets are exchanged. Photographs are ones, made-up colours zeros.": turned,
        twice: (entropy(real.sigmoid(), one) + entropy(fake.sigmoid(), zero)) / 2,
    }
    for kind, half in halves.items():
        sentence = f"it has two halves; yours looks at the {kind} ones only"
        mistakes |= {f"{sentence}.": half, f"{sentence}, and halves that.": half / 2}
    hint = "It is the mean of entropy(real, ones) and entropy(fake, zeros)."
    expect_close(judge, discriminator_loss(real, fake), names[0], 1e-4, hint, mistakes)
    mistakes = {
        "with zeros as targets the generator would learn to be found out. It wants its "
        "colours to be taken for photographs.": entropy(fake, zero),
        "that is minus the discriminator's half, the formula of the game, but it is flat "
        "where the discriminator is sure. Take the entropy with ones as "
        "targets.": -entropy(fake, zero),
        "it is computed from the photographs; the generator only sees its own colours.": entropy(
            real, one
        ),
        twice: entropy(fake.sigmoid(), one),
    }
    hint = "It is entropy(fake, ones), not halved."
    expect_close(deceive, adversarial_loss(fake), names[1], 1e-4, hint, mistakes)
    sure = 300 * torch.ones_like(real)
    expect_close(
        [float(value) for value in ask(function, -sure, -sure)],
        [float(discriminator_loss(-sure, -sure)), float(adversarial_loss(-sure))],
        "the two losses where the discriminator is very sure (logits of -300)",
        1e-2,
        "A sigmoid of its own is rounded to 0 there; leave that to "
        "binary_cross_entropy_with_logits.",
    )
    _expect_slopes(function)
    return "one wants to be right, the other to be taken for a photograph."


def _expect_slopes(function: Callable) -> None:
    """Raise `TryAgain` unless gradients flow through both losses to the logits."""
    real, fake = torch.randn(2, 2, 1, 3, 3, generator=torch.Generator().manual_seed(4))
    real.requires_grad_(True)
    fake.requires_grad_(True)
    mine = function(real, fake)
    right = discriminator_loss(real, fake), adversarial_loss(fake)
    for name, inputs, got, truth in zip(
        ("the discriminator's loss", "the generator's loss"),
        ((real, fake), (fake,)),
        mine,
        right,
        strict=True,
    ):
        expect(
            isinstance(got, Tensor) and got.requires_grad,
            f"the value of {name} is right, but no gradient flows through it, so nobody would "
            "learn: return the tensor itself, without item(), detach() or NumPy.",
        )
        slopes = torch.autograd.grad(got, inputs, allow_unused=True)
        expect(
            all(
                slope is not None and torch.allclose(slope, true, atol=1e-4)
                for slope, true in zip(slopes, torch.autograd.grad(truth, inputs), strict=True)
            ),
            f"the value of {name} is right, but its gradient is cut off on the way to the logits.",
        )


def _side(layers: list[tuple[int, int]], overlap: int = 1) -> int:
    """The side of a patch, layer by layer in the order that is given."""
    side = 1
    for kernel, stride in layers:
        side = (side - overlap) * stride + kernel
    return side


@check
def patch_side(function):
    """Whether the receptive field of a chain of convolutions is computed, layer by layer."""
    published = [(4, 2), (4, 2), (4, 2), (4, 1), (4, 1)]
    chains = [published, published[1:], [(3, 1)] * 4, [(7, 3), (5, 1), (3, 2)]]
    for layers in chains:
        kernels = sum(kernel for kernel, _ in layers)
        less_one = kernels - len(layers) + 1
        mistakes = {
            "that is what comes out if you go from the first layer to the last. Go from the "
            "last to the first.": _side(layers),
            "that is the product of the strides: how far apart the patches are, not how "
            "large.": np.prod([stride for _, stride in layers]),
            "the kernels are added as if no layer had a stride.": kernels,
            "the kernels less one are added as if no layer had a stride.": less_one,
            "n neighbours begin only n - 1 strides after the first: "
            "(side - 1) * stride + kernel.": _side(layers[::-1], overlap=0),
        }
        hint = "From the last layer to the first: side = (side - 1) * stride + kernel."
        what = f"the side for {layers}"
        expect_close(ask(function, layers), _side(layers[::-1]), what, 0, hint, mistakes)
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
    torch.manual_seed(5)
    generator = UNetGenerator(width=0.1, depth=2, dropout=0)
    discriminator = PatchDiscriminator(width=0.1, layers=1)
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

    def turn() -> float:
        return ask_to_change((generator, watched, optimizer), function, L, ab)

    loss = expect_number(turn(), "the loss")
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
    turn()
    expect(
        error(after[1]) < 1e-3,
        "the first call is right, but the second is not: gradients of the first still count. "
        "Call optimizer.zero_grad().",
    )
    return "the discriminator learns, and the generator does not notice."


def _descended(l1_weight: float, times: int) -> tuple[list[float], list[Tensor]]:
    """What a generator's first turn returns, and its weights after some turns."""
    generator, discriminator, L, ab = _players()
    for turn in range(times):
        made = generator(L)
        l1, deceive = F.l1_loss(made, ab) / 110, adversarial_loss(discriminator(L, made))
        slopes = torch.autograd.grad(l1_weight * l1 + deceive, list(generator.parameters()))
        if turn == 0:
            values = [l1.item() * 110, deceive.item()]
        with torch.no_grad():
            for parameter, slope in zip(generator.parameters(), slopes, strict=True):
                parameter -= 0.1 * slope
    return values, [p.detach().clone() for p in generator.parameters()]


def _players() -> tuple[nn.Module, nn.Module, Tensor, Tensor]:
    """A small generator and discriminator, and photographs: always the same."""
    torch.manual_seed(6)
    generator = UNetGenerator(width=0.1, depth=2, dropout=0)
    discriminator = PatchDiscriminator(width=0.1, layers=1).eval()
    generate = torch.Generator().manual_seed(6)
    L = torch.rand(3, 1, 16, 16, generator=generate) * 100
    ab = torch.rand(3, 2, 16, 16, generator=generate) * 100 - 50
    return generator, discriminator, L, ab


@check
def generator_turn(function: Callable):
    """Whether the generator descends both losses, weighted, while the discriminator is still."""
    for weight in (10.0, 3.0):
        generator, discriminator, L, ab = _players()
        judge = [p.detach().clone() for p in discriminator.parameters()]
        begin = [p.detach().clone() for p in generator.parameters()]
        optimizer = torch.optim.SGD(generator.parameters(), lr=0.1)
        values, once = _descended(weight, 1)

        def error(expected: list[Tensor], of: nn.Module = generator) -> float:
            pairs = zip(of.parameters(), expected, strict=True)
            return max((p.detach() - q).abs().max().item() for p, q in pairs)

        def turn(of=(generator, discriminator, optimizer), given=(L, ab), weight=weight):
            return ask_to_change(of, function, *given, l1_weight=weight)

        got = expect_two(turn(), "two numbers, the L1 error in Lab units and the loss in the game")
        for name, mine, true in zip(
            ("the L1 error in Lab units", "the loss in the game"), got, values, strict=True
        ):
            expect_close(mine, true, name, 1e-2, "Leave what is returned as it was.")
        expect(
            error(judge, discriminator) < 1e-9,
            "the discriminator's weights have changed; this is the generator's turn.",
        )
        expect(
            error(begin) > 0,
            "the generator did not move. It needs backward() and then optimizer.step().",
        )
        alone = {
            "you descend the sum without its weight: l1_weight * l1 + deceive.": _descended(1, 1),
            "you descend the loss in the game alone; add l1_weight * l1.": _descended(0, 1),
        }
        for sentence, (_, weights) in alone.items():
            expect(error(weights) > 1e-7, sentence)
        expect(
            error(once) < 1e-5,
            "the generator took another step than the loss asks for: descend "
            "l1_weight * l1 + deceive, with one backward() and one step().",
        )
        expect(
            all(p.grad is None or not p.grad.any() for p in discriminator.parameters()),
            "gradients have collected in the discriminator; it was to stand still.",
        )
        _expect_awake(discriminator)
        turn()
        expect(
            error(_descended(weight, 2)[1]) < 1e-4,
            "the first call is right, but the second is not: gradients of the first still count. "
            "Call optimizer.zero_grad().",
        )
    return "it learns to be near the truth and to be taken for a photograph, both at once."


def _expect_awake(discriminator: nn.Module) -> None:
    """Raise `TryAgain` unless the discriminator can learn when its own turn comes."""
    asleep = [not parameter.requires_grad for parameter in discriminator.parameters()]
    expect(
        not any(asleep),
        f"the discriminator is left frozen: after the turn {sum(asleep)} of its {len(asleep)} "
        "parameters ask for no gradients, so it cannot learn when its own turn comes. It stands "
        "still for this turn alone: call discriminator.requires_grad_(True) once it has judged.",
    )


@check
def loop(order):
    """Whether the lines of a training loop are in order."""
    why = {
        "D": "Without a batch there is nothing to colour.",
        "B": "The generator needs L, and the loss needs what it makes.",
        "F": "backward() starts from the loss.",
        "C": "The optimizer steps along gradients; they have to be there.",
        "A": "Step before you clear what the step needs.",
        "E": "Gradients are cleared last, for the next step.",
    }
    expect_order(order, "DBFCAE", "the loop", why)
    return "a batch, colours, a loss, gradients, a step, and a clean slate."


@check
def higher_psnr(prediction):
    """Whether the learner expects the cautious generator to have the higher PSNR."""
    expect(
        choose(prediction, ("L1", "L1 + GAN")) == "L1",
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

    def distance(pictures, what, **options):
        return expect_number(ask(function, one, pictures, **options), what)

    got = distance(other, "the distance")
    same = distance(one, "the distance to itself")
    expect(
        abs(same - 1) > 1e-9,
        "you return what the histograms have in common; the distance is 1 minus that.",
    )
    expect(abs(same) < 1e-9, f"the distance of pictures to themselves is 0, yours is {same:.3g}.")
    apart = distance(one[:, :, ::-1], "the distance to a mirror image")
    expect(
        abs(apart) < 1e-9,
        f"upside down, a picture has the same colours: expected 0, got {apart:.3g}. Compare how "
        "often colours occur, not pixel with pixel.",
    )
    swapped = distance(one[:, ::-1], "the distance with a, b swapped")
    expected = ab_histogram_distance(one, one[:, ::-1])
    expect(
        swapped > 0.5 * expected,
        "a and b must be counted in pairs: with a and b exchanged the colours are others, and "
        f"the distance is {expected:.2f}; yours is {swapped:.2g}. Use np.histogram2d.",
    )
    mistakes = {
        "twice as much. Take half of the sum, so that the largest distance is 1.": 2 * truth
    }
    counts = "Divide the counts of each set by their own sum before you compare."
    expect(
        got <= 1 + 1e-9 or np.isclose(got, 2 * truth, rtol=1e-3),
        f"the distance must be in 0..1, yours is {got:.4g}. {counts}",
    )
    hint = "It is half the sum of the absolute differences of the shares, over all cells."
    expect_close(got, truth, "the distance", 1e-3, hint, mistakes)
    what = "the distance to twice as many pictures with the same shares"
    expect_close(distance(np.concatenate([other, other]), what), truth, what, 1e-3, counts)
    what = "the distance with step=5"
    fine = ab_histogram_distance(one, other, 5.0)
    expect_close(
        distance(other, what, step=5.0), fine, what, 1e-3, "Use the edges that are given."
    )
    return "0 for the same colours, 1 for none in common, wherever they are."


@cache
def _cautious() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """L, cautious ab and true ab of the validation scenes; true ab of training scenes."""

    def lab_of(split: str) -> tuple[Tensor, Tensor]:
        rgb = np.stack([square(photo.load(), 64) for photo in photos(split=split, kind="scene")])
        return decode_lab(torch.from_numpy(encode_lab(rgb_to_lab(rgb)).transpose(0, 3, 1, 2)))

    L, true = lab_of("validation")
    with torch.inference_mode():
        cautious = siggraph17()(L)
    return L.numpy(), cautious.numpy(), true.numpy(), lab_of("train")[1].numpy()


@check
def enliven(function):
    """How close an answer's histogram is to the truth's, and which baselines that beats."""
    L, cautious, true, examples = _cautious()
    got = expect_array(
        ask(function, L, cautious, examples), cautious.shape, "colours of the scenes, (N, 2, H, W)"
    )

    def chroma(ab: np.ndarray) -> float:
        return float(np.hypot(ab[:, 0], ab[:, 1]).mean())

    def error(ab: np.ndarray) -> float:
        return float(np.linalg.norm(ab - true, axis=1).mean())

    scaled = cautious * chroma(examples) / chroma(cautious)
    entries = {"doing nothing": cautious, "one factor for all": scaled, "yours": got}
    distances = {name: ab_histogram_distance(ab, true) for name, ab in entries.items()}
    order = sorted(distances, key=distances.get)
    table = ", ".join(f"{name} {distances[name]:.2f}" for name in order)
    expect(
        distances["yours"] < distances["doing nothing"] - 0.01,
        f"distance of histograms: {table}. Doing nothing is still as good as yours.",
    )
    return (
        f"place {order.index('yours') + 1} of 3. Distance of histograms: {table}. What it costs: "
        f"an error of {error(got):.1f} Lab units, against {error(cautious):.1f} before."
    )
