"""Checks of lesson 04, "Tell the network what gray cannot"."""

from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from course_lib.checks.answers import (
    ask,
    expect_array,
    expect_close,
    expect_number,
    expect_order,
    expect_two,
    recognise,
)
from course_lib.checks.report import Todo, TryAgain, check, expect
from course_lib.data.photos import load_photo
from course_lib.evaluation import greedy_hints, reveal_hints
from course_lib.hint_painter.colourer import checked_hints
from course_lib.hints import hint_tensors
from course_lib.inference import colorize
from course_lib.lab import rgb_to_lab, to_gray
from course_lib.metrics import psnr
from course_lib.models import siggraph17
from course_lib.models.siggraph17 import SIGGRAPH17


@check
def reach(function):
    """Whether the share of pixels that moved by more than the limit is counted."""
    rng = np.random.default_rng(8)
    gray = np.repeat(rng.integers(60, 200, (24, 30, 1), dtype=np.uint8), 3, axis=2)
    tinted = gray.copy()
    tinted[:9, :, 0] += 50  # far
    tinted[9:15, :, 2] += 25  # less far
    far = np.linalg.norm((rgb_to_lab(tinted) - rgb_to_lab(gray))[..., 1:], axis=-1)
    for limit in (20, 5, 12):
        share = (far > limit).mean()
        mistakes = {
            "that is a percentage; the mean of True and False is in 0..1.": 100 * share,
            "that is how many pixels; divide by how many there are, or take the mean.": (
                far > limit
            ).sum(),
            "that is the share that stayed within the limit.": 1 - share,
            "that is the mean distance; how large a part is beyond the limit?": far.mean(),
            "the limit is an argument: use its name, not a number.": (far > 20).mean(),
        }
        got = expect_number(ask(function, gray, tinted, limit), "the share")
        hint = "far > limit is True where a pixel moved by more."
        expect_close(got, share, f"the share beyond {limit}", 1e-6, hint, mistakes)
    got = expect_number(ask(function, tinted, tinted), "the share")
    expect(got == 0, f"nothing has moved between a picture and itself; got {got:.4g}, expected 0.")
    return "a hint's reach, as a number."


def _network() -> SIGGRAPH17:
    """A narrow network whose every part changes its answer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        net = SIGGRAPH17(width=0.08)
        for module in net.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight)
    with torch.no_grad():
        net.model_out[0].weight *= 0.2  # so that the tanh is not at its ends
    return net.eval().requires_grad_(False)


def _maps(net: SIGGRAPH17) -> list[Tensor]:
    """What the lesson's encode returns for a made-up input."""
    x = torch.randn(2, 4, 24, 16, generator=torch.Generator().manual_seed(5))
    conv1_2 = net.model1(x)
    conv2_2 = net.model2(conv1_2[..., ::2, ::2])
    conv3_3 = net.model3(conv2_2[..., ::2, ::2])
    conv7_3 = net.model7(net.model6(net.model5(net.model4(conv3_3[..., ::2, ::2]))))
    return [conv1_2, conv2_2, conv3_3, conv7_3]


@check
def decode(function):
    """Whether each step adds the enlarged map and its shortcut, and the answer is in Lab units."""
    net = _network()
    maps = _maps(net)

    def answer(across_2=1.0, across_1=1.0):
        x = net.model8(net.model8up(maps[3]) + net.model3short8(maps[2]))
        x = net.model9(net.model9up(x) + across_2 * net.model2short9(maps[1]))
        x = net.model10(net.model10up(x) + across_1 * net.model1short10(maps[0]))
        return net.model_out(x).numpy()

    def across(name, map_name, up):
        return f"add net.{name}({map_name}) to what {up} returns"

    middle = across("model2short9", "conv2_2", "model9up")
    highest = across("model1short10", "conv1_2", "model10up")
    truth = answer() * 110
    mistakes = {
        "those are numbers in -1..1, as tanh gives them; times 110 they are a and b.": truth / 110,
        f"neither shortcut is used: {middle}, and {highest}.": answer(0, 0) * 110,
        f"the highest shortcut is missing: {highest}.": answer(across_1=0) * 110,
        f"the middle shortcut is missing: {middle}.": answer(across_2=0) * 110,
    }
    hint = "Each step is block(up(below) + shortcut(across)): add first, then the block."
    expect_close(ask(function, net, *maps), truth, "ab", 1e-2, hint, mistakes)
    return "added size by size, and in Lab units."


_HINTS = [
    (300, 100, (255, 0, 0)),
    (40, 700, (30, 60, 200)),
    (200, 430, (128, 128, 128)),
    (50, 60, (90, 200, 40)),
]
#: The two axes are scaled differently, so that exchanging them shows.
_PHOTO, _SIZE = (400, 800), (64, 96)
_TENSORS = "two tensors, hint_ab and mask"


@check
def to_tensors(function):
    """Whether hints land in the right place, in Lab, with a mask."""
    true_ab, true_mask = (x.numpy() for x in hint_tensors(_HINTS, _PHOTO, _SIZE))
    out = expect_two(ask(function, _HINTS, _PHOTO, _SIZE), _TENSORS)
    ab = expect_array(out[0], true_ab.shape, "hint_ab")
    mask = expect_array(out[1], true_mask.shape, "the mask")
    _expect_places(mask, true_mask)
    _expect_colours(ab, true_ab, true_mask)
    _expect_borders(function)
    return "the right colours at the right places, and a mask that says so."


def _mask_at(places: list[tuple[float, float]]) -> np.ndarray:
    mask = np.zeros((1, 1, *_SIZE))
    for y, x in places:
        mask[..., max(0, int(y) - 3) : int(y) + 4, max(0, int(x) - 3) : int(x) + 4] = 1
    return mask


def _expect_places(mask: np.ndarray, truth: np.ndarray) -> None:
    expect(mask.any(), "the mask is 0 everywhere. Set it to 1 where a hint is.")
    expect(
        set(np.unique(mask)) <= {0, 1},
        f"the mask holds 0 and 1 only; yours goes up to {mask.max():.4g}.",
    )
    down, across = _SIZE[0] / _PHOTO[0], _SIZE[1] / _PHOTO[1]
    clicked = [(row + 0.5, column + 0.5) for row, column, _ in _HINTS]
    mistakes = {
        "the places are not rescaled: rows and columns count the photograph's pixels. "
        "Multiply by size and divide by photo_size.": clicked,
        "rows and columns are exchanged: rows go with heights, columns with widths.": [
            (c * down, r * across) for r, c in clicked
        ],
        "rows and columns are exchanged, and their scales with them: rows go with heights, "
        "columns with widths.": [(c * across, r * down) for r, c in clicked],
        "the two scales are exchanged: index 0 of size and photo_size is the height and goes "
        "with rows.": [(r * across, c * down) for r, c in clicked],
    }
    mistakes = {sentence: _mask_at(places) for sentence, places in mistakes.items()}
    hint = (
        "the place is int((row + 0.5) * size[0] / photo_size[0]), and the square begins "
        "patch // 2 before it."
    )
    expect(
        np.array_equal(mask, truth),
        f"the mask: expected {int(truth.sum())} pixels set, got {int(mask.sum())}, "
        f"{int((mask * truth).sum())} of them in the right place: "
        + (recognise(mask, mistakes, 0) or hint),
    )


def _expect_colours(ab: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> None:
    true, red = truth[0, :, 48, 12], np.array([255.0, 0.0])  # where the red hint lies
    mistakes = {
        "hint_ab holds red and green of RGB; it must hold a and b of Lab.": red,
        "hint_ab holds red and green of RGB, over 255; it must hold a and b of Lab.": red / 255,
        "hint_ab is divided by 110. Leave it in Lab units: the network scales its input "
        "itself.": true / 110,
        "a and b have changed places: a comes first, then b.": true[::-1],
    }
    expect_close(ab[0, :, 48, 12], true, "hint_ab of a red hint", 0.05, "", mistakes)
    expect(
        not np.abs(ab * (1 - mask)).max() > 0,
        "hint_ab must be 0 where there is no hint.",
    )
    expect_close(ab, truth, "hint_ab", 0.05, "It is a and b of the hint's colour.")


def _expect_borders(function) -> None:
    corner = [(0, 0, (10, 200, 10)), (399, 799, (200, 10, 200))]
    true_mask = hint_tensors(corner, _PHOTO, _SIZE)[1].numpy()
    mask = expect_array(ask(function, corner, _PHOTO, _SIZE)[1], true_mask.shape, "the mask")
    expect(
        np.array_equal(mask, true_mask),
        f"hints in the corners: expected {int(true_mask.sum())} pixels set, got "
        f"{int(mask.sum())}. A slice that begins below 0 counts from the other end; use "
        "max(0, ...) there.",
    )
    twice = [(200, 400, (255, 0, 0)), (204, 404, (0, 0, 255))]
    true_ab = hint_tensors(twice, _PHOTO, _SIZE)[0].numpy()
    got = expect_array(ask(function, twice, _PHOTO, _SIZE)[0], true_ab.shape, "hint_ab")
    expect_close(got, true_ab, "hint_ab of two overlapping hints", 0.05, "The later one counts.")
    small = hint_tensors(_HINTS, _PHOTO, _SIZE, 4)[1].numpy()
    got = expect_array(ask(function, _HINTS, _PHOTO, _SIZE, 4)[1], small.shape, "the mask")
    expect(
        np.array_equal(got, small),
        f"with patch=4: expected {int(small.sum())} pixels set, got {int(got.sum())}. Use the "
        "argument patch, not the number 7.",
    )
    # in a photograph smaller than the network's input, half a pixel is several of the network's
    tiny = [(3, 7, (200, 10, 200))], (8, 12), (64, 96)
    true_mask = hint_tensors(*tiny)[1].numpy()
    mask = expect_array(ask(function, *tiny)[1], true_mask.shape, "the mask")
    expect(
        np.array_equal(mask, true_mask),
        "in a photograph of 8 x 12 pixels the hint is not where it should be: the middle of pixel "
        "row is at row + 0.5, and that counts before you rescale.",
    )


def _layer() -> np.ndarray:
    """Strokes in red, gray, black and white; colour without alpha beside them."""
    layer = np.zeros((12, 20, 4), np.uint8)
    layer[:, 15:, :3] = (90, 160, 30)  # what an eraser leaves: colour, but no paint
    strokes = {2: (220, 40, 30), 5: (128, 128, 128), 8: (0, 0, 0), 10: (255, 255, 255)}
    for row, colour in strokes.items():
        layer[row, 3:12] = (*colour, 255)
    return layer


@check
def from_layer(function):
    """Whether paint is told from no paint by alpha, and gray paint is kept."""
    layer = _layer()
    true_mask = (layer[..., 3] > 0).astype(np.float32)[None, None]
    lab = np.moveaxis(rgb_to_lab(layer[..., :3])[..., 1:], -1, 0)[None]
    out = expect_two(ask(function, layer), _TENSORS)
    ab = expect_array(out[0], lab.shape, "hint_ab")
    mask = expect_array(out[1], true_mask.shape, "the mask")
    coloured = (np.hypot(lab[:, :1], lab[:, 1:]) > 1).astype(np.float32)
    if np.array_equal(mask, coloured):
        raise Todo("the bug is still there: paint a gray stroke, and look at the mask.")
    expect(
        mask.max() <= 1,
        f"the mask holds 0 and 1; yours goes up to {mask.max():.4g}. Compare alpha with 0.",
    )
    expect(
        not np.array_equal(mask, 1 - true_mask),
        "the mask is upside down: it must be 1 on the paint and 0 elsewhere.",
    )
    expect(
        not mask.all(),
        "the mask is 1 everywhere: that tells the network that the whole picture was painted.",
    )
    expect(
        mask[0, 0, 5, 5] == 1,
        "the gray stroke is not in the mask.",
    )
    expect(
        mask[0, 0, 8, 5] == 1,
        "the black stroke is not in the mask: black is a colour that one can paint with.",
    )
    expect(
        not mask[0, 0, :, 15:].any(),
        "there is colour without alpha in the layer, and your mask takes it for paint. Alpha "
        "alone says what is painted.",
    )
    expect_close(mask, true_mask, "the mask", 0, "It is 1 where alpha is above 0.")
    expect(
        not np.issubdtype(mask.dtype, np.bool_),
        "the mask is right, but bool; the network wants numbers: .float().",
    )
    expect_close(ab, lab * true_mask, "hint_ab", 0.05, "It is a and b on the paint, 0 elsewhere.")
    return "gray is a colour too, and silence is not gray."


@check
def point_numbers(share_without, mean_points):
    """Whether the learner knows a geometric number's chance of 0, and its mean."""
    for name, value in (("share_without", share_without), ("mean_points", mean_points)):
        expect(
            isinstance(value, int | float) and not isinstance(value, bool),
            f"{name}: expected a number, got {value!r}.",
        )
    expect(
        not 1 < share_without <= 100,
        f"share_without: give a share between 0 and 1, not percent; got {share_without}.",
    )
    expect(
        abs(share_without - 7 / 8) > 0.01,
        "share_without: 7/8 is the share that gets at least one point.",
    )
    expect(
        abs(share_without - 1 / 8) < 0.006,
        f"share_without: got {share_without}. Before the first point one stops with which "
        "probability?",
    )
    expect(
        abs(mean_points - 8) > 0.1,
        "mean_points: 8 is the mean number of trials, and the last of them is the stop. It gives "
        "no point.",
    )
    expect(
        abs(mean_points - 7) < 0.1,
        f"mean_points: got {mean_points}. On average it takes 1 / p trials until the stop; all "
        "but that one give a point.",
    )
    return "an eighth gets none, and the average is seven. Run the next cell to see."


@check
def training_step(order):
    """Whether the lines of a step of training stand in the order in which they need each other."""
    why = {
        "C": "All else is made from a batch: its L and its true ab.",
        "A": "The users' hints are drawn from the true colours, before the network is asked.",
        "D": "The network needs the hints, and the loss needs its guess.",
        "F": "The loss compares the guess with the truth; backward starts from it.",
        "B": "The optimizer goes by the gradients, and backward makes them.",
        "E": "The step comes when the gradients are there.",
    }
    expect_order(order, "CADFBE", "a step of training", why)
    return "truth, hints, guess, loss, gradients, step."


def _scenes() -> list[np.ndarray]:
    rng = np.random.default_rng(4)
    smooth = rng.integers(60, 200, (3, 1, 1, 3))
    return list(np.clip(smooth + rng.integers(-50, 50, (3, 20, 30, 3)), 0, 255).astype(np.uint8))


def _colour(picture: np.ndarray, hints) -> np.ndarray:
    """A stand-in for a network: closer to the truth with each hint, by the hint's own weight."""
    part = 1 - np.prod([1 - weight for _, _, (weight, *_) in hints]) if len(hints) else 0.0
    mixed = picture * part + to_gray(picture) * (1.0 - part)
    return np.rint(mixed).astype(np.uint8)


@check
def gain_curve(function):
    """Whether gains are taken picture by picture over no hints, for the first n hints."""
    pictures = _scenes()
    hints = [
        [(0, 0, (0.02 * (i + 1) + 0.03 * j, 0, 0)) for j in range(10)]
        for i in range(len(pictures))
    ]

    def levels(counts, pick):
        """PSNR of every picture at every count; pick chooses n hints of a list."""
        pairs = list(zip(pictures, hints, strict=True))
        return np.array([[psnr(_colour(p, pick(h, n)), p) for n in counts] for p, h in pairs])

    def first(given, n):
        return given[:n]

    start = levels([0], first)
    for counts in ([0, 1, 4, 10], [2, 8]):
        what = f"the gains for counts {counts}"
        right = levels(counts, first)
        truth = (right - start).mean(axis=0)
        last = levels(counts, lambda given, n: given[len(given) - n :])
        single = levels(counts, lambda given, n: given[n : n + 1])
        gains = {
            "that is the PSNR itself; take off each picture's PSNR without hints.": right,
            "you take off the first count, which need not be 0. Colour once with no hints.": right
            - right[:, :1],
            "the sign is wrong: it is PSNR with hints less PSNR without.": start - right,
            "that is the sum over the pictures; take the mean.": (right - start) * len(pictures),
            "you take the last n hints of the list; take the first, given[:n].": last - start,
            "you give a single hint, number n; give the first n, given[:n].": single - start,
        }
        mistakes = {sentence: wrong.mean(axis=0) for sentence, wrong in gains.items()}
        hint = (
            "It is the mean, over the pictures, of PSNR with the first n hints less PSNR without; "
            "PSNR compares with the true picture."
        )
        values = ask(function, pictures, hints, counts, _colour)
        expect_close(values, truth, what, 1e-3, hint, mistakes)
    return "picture by picture, over no hints."


#: What the challenge is played on, and with how many hints.
_PLAYGROUND, _MOST = "scenes/autumn-mountain", 10


@cache
def _players() -> tuple[float, list[float], float]:
    """PSNR of the challenge's photograph: without hints, by random places, by greed."""
    truth, net = load_photo(_PLAYGROUND), siggraph17()

    def level(hints):
        return psnr(colorize(truth, net, hints=hints), truth)

    greedy = greedy_hints(truth, _MOST, lambda rgb, hints: colorize(rgb, net, hints=hints))
    chance = [level(reveal_hints(truth, _MOST, seed, side=24)) for seed in range(5)]
    return level([]), chance, level(greedy)


@check
def ten_hints(hints):
    """How near at most ten hints bring the photograph, against chance and against greed."""
    expect(
        isinstance(hints, list | tuple),
        f"expected a list of hints, as win_back.hints is one; got {type(hints).__name__}.",
    )
    truth = load_photo(_PLAYGROUND)
    try:
        given = checked_hints(hints, truth.shape[:2])
    except ValueError as error:
        raise TryAgain(str(error)) from None
    expect(given, "the list is empty: paint first, or write a hint.")
    expect(
        len(given) <= _MOST,
        f"{len(given)} hints are too many: at most {_MOST}. Which of them do least?",
    )
    mine = psnr(colorize(truth, siggraph17(), hints=given), truth)
    plain, chance, greed = _players()
    scale = (
        f"{mine:.1f} dB. Without hints {plain:.1f}; random places {np.mean(chance):.1f} on "
        f"average, {max(chance):.1f} at best of {len(chance)}; largest error first {greed:.1f}"
    )
    expect(mine > plain, f"{scale}. Yours do harm: look where colour has spread too far.")
    expect(
        mine > np.mean(chance),
        f"{scale}. Chance does better than you, still: large regions first.",
    )
    if mine > greed + 0.05:
        place = "First place: you have seen what greed cannot"
    elif mine > max(chance):
        place = "Second place, behind greed" if mine < greed - 0.05 else "Even with greed"
    else:
        place = "Third place: better than chance on average, not than chance at its best"
    return f"{scale}. {place}, with {len(given)} hints."
