"""Checks of lesson 01, "Find out what gray does not tell"."""

from collections.abc import Callable

import numpy as np
import torch
from scipy.signal import correlate
from torch import Tensor

from course_lib.checks.answers import (
    ask,
    expect_array,
    expect_close,
    expect_number,
    expect_order,
    expect_two,
    quoted,
    recognise,
)
from course_lib.checks.report import Todo, TryAgain, check, expect
from course_lib.data.arrays import square
from course_lib.data.photos import photos
from course_lib.lab import lab_to_rgb, lightness, merge_lab, rgb_to_lab, to_gray
from course_lib.metrics import psnr as library_psnr


def _cost(colours: np.ndarray, guess: np.ndarray, loss: str) -> float:
    error = colours - guess
    power = 2 if loss == "squared" else 1
    return float((np.abs(error) ** power).sum(axis=1).mean())


@check
def best_constant(function):
    """Whether the mean minimises the squared error, and the median the absolute one."""
    rng = np.random.default_rng(1)
    # skewed, so that mean, median and mode are far apart
    colours = np.stack([rng.exponential(30, 501) - 5, 10 - rng.exponential(20, 501)], axis=1)
    _expect_cheapest(function, colours)
    # within a few units of each other, so that a constant in whole numbers is too coarse
    _expect_cheapest(function, colours / 20)
    return "the mean for squared errors, the median for absolute ones."


def _expect_cheapest(function: Callable, colours: np.ndarray) -> None:
    """Raise `TryAgain` unless no colour costs less than the answers for these pixels."""
    best = {"squared": colours.mean(axis=0), "absolute": np.median(colours, axis=0)}
    for loss, other in (("squared", "absolute"), ("absolute", "squared")):
        what = f'the best constant by "{loss}" error'
        guess = expect_array(ask(function, colours, loss), (2,), what)
        cost, least = _cost(colours, guess, loss), _cost(colours, best[loss], loss)
        mistakes = {
            f"That colour is best by {other} error.": best[other],
            "a and b have changed places. Column 0 is a, column 1 is b.": best[loss][::-1],
            "That is the best one in whole numbers. Nothing in the task asks for those: leave "
            "away the rounding.": np.rint(best[loss]),
        }
        hint = "Try some constants by hand: in which direction does the cost fall?"
        expect(
            cost <= least * 1.001,
            f"{what}: yours costs {cost:.4g}, and {least:.4g} is possible. "
            + (recognise(guess, mistakes, 1e-6) or hint),
        )


def _flat_pictures(first: int, count: int) -> list[np.ndarray]:
    """Pictures of 6 x 10 pixels that their gray level tells apart."""
    return [np.full((6, 10, 3), first + 9 * i, np.uint8) for i in range(count)]


def _epoch(loader, what: str) -> list[int]:
    """Which pictures a loader gives, in order, each named by its rounded lightness."""
    seen = []
    for batch in loader:
        expect(
            isinstance(batch, list | tuple)
            and len(batch) == 2
            and all(isinstance(part, Tensor) for part in batch),
            f"{what}: expected batches of two tensors, L and ab, got {type(batch).__name__}. Give "
            "the DataLoader a list of what make_pair returns.",
        )
        L, ab = batch
        expect_array(L, (len(L), 1, 6, 10), f"{what}, L")
        expect_array(ab, (len(L), 2, 6, 10), f"{what}, ab")
        seen += [round(float(value)) for value in L.mean(dim=(1, 2, 3))]
    return seen


@check
def make_loaders(function):
    """Whether the two loaders keep apart what is apart, and only training is shuffled."""
    training, validation = _flat_pictures(20, 13), _flat_pictures(160, 6)
    names = [_epoch(_pairs(pictures), "pairs") for pictures in (training, validation)]
    loaders = expect_two(
        ask(function, training, validation, 4),
        "two loaders, one for training and one for validation",
    )
    torch.manual_seed(0)
    first, second, third = (_epoch(loaders[0], "the training loader") for _ in range(3))
    held_out = [_epoch(loaders[1], "the validation loader") for _ in range(3)]
    everything = names[0] + names[1]
    if first == second == everything and held_out[0] == everything:
        raise Todo("both bugs are still there: how many pictures does each loader hold?")
    known, unknown = set(names[0]), set(names[1])
    leaked = len(known & set(held_out[0]))
    expect(
        not leaked,
        f"{leaked} of {len(known)} training pictures come out of the validation loader. Does each "
        "loader have a list of its own, made anew for it?",
    )
    leaked = len(unknown & set(first))
    expect(
        not leaked,
        f"{leaked} of {len(unknown)} validation pictures come out of the training loader, and "
        "would be trained on.",
    )
    expect(
        sorted(first) == names[0],
        f"an epoch of training should give each of {len(names[0])} pictures once; yours gives "
        f"{len(first)}, {len(set(first))} of them different. Was a batch dropped?",
    )
    expect(
        sorted(held_out[0]) == names[1],
        f"the validation loader should give each of {len(names[1])} pictures once; yours gives "
        f"{len(held_out[0])}, {len(set(held_out[0]))} of them different.",
    )
    expect(
        not first == second == third == names[0],
        "the training pictures come in the order of the list in every epoch. DataLoader shuffles "
        "only if it is told to.",
    )
    expect(
        not first == second == third,
        "the training pictures come in the same order in every epoch. Shuffling the list once is "
        "not enough: let the DataLoader do it.",
    )
    expect(
        all(order == names[1] for order in held_out),
        "the validation pictures do not come in the order of the list. Nothing is learned there, "
        "so there is no reason to shuffle them.",
    )
    # 4 is also what the function takes if it is not told; 5 tells its argument from that number
    for wanted in (4, 5):
        loaders = expect_two(ask(function, training, validation, wanted), "two loaders")
        _expect_batches(loaders, wanted)
    return "two lists, kept apart; training shuffled anew each epoch, validation in order."


def _expect_batches(loaders: tuple, wanted: int) -> None:
    """Raise `TryAgain` unless the first batch of both loaders has the size that was asked for."""
    for name, loader in zip(("training", "validation"), loaders, strict=True):
        size = len(next(iter(loader))[0])
        expect(
            size == wanted,
            f"a batch of the {name} loader holds {size} pictures; batch_size={wanted} was asked "
            "for. Hand batch_size on to the DataLoader.",
        )


def _pairs(pictures: list[np.ndarray]) -> list[tuple[Tensor, Tensor]]:
    """Pictures as batches of one pair."""
    labs = [torch.from_numpy(rgb_to_lab(rgb)).permute(2, 0, 1)[None] for rgb in pictures]
    return [(lab[:, :1], lab[:, 1:]) for lab in labs]


@check
def level_colours(function):
    """Whether a table holds the mean colour of each rounded gray level."""
    rng = np.random.default_rng(2)
    L = rng.uniform(0, 100, 4000).astype(np.float32)
    L = L[np.abs(L - 40) > 3]  # levels 38 to 42 stay empty
    L[:2] = 0, 100
    ab = (rng.normal(0, 20, (len(L), 2)) + np.stack([L - 50, 30 - L], axis=1)).astype(np.float32)

    def table(level: np.ndarray) -> np.ndarray:
        count = np.maximum(np.bincount(level, minlength=101), 1)[:101]
        sums = [np.bincount(level, weights=ab[:, c], minlength=101)[:101] for c in (0, 1)]
        return np.stack(sums, axis=1) / count[:, None]

    level = np.rint(L).astype(int)
    truth = table(level)
    got = ask(function, L, ab)
    what = "the table"
    if isinstance(got, np.ndarray) and got.shape == (101, 2) and np.isnan(got).any():
        raise TryAgain(
            f"{what} holds nan in {np.isnan(got).any(axis=1).sum()} rows: the mean of no pixels. "
            "Where a level has no pixel, the answer is (0, 0)."
        )
    values = expect_array(got, (101, 2), what)
    count, cut_off = np.bincount(level, minlength=101)[:, None], table(L.astype(int))
    mistakes = {
        "those are the sums of each level; divide by the number of its pixels.": truth * count,
        "a and b have changed places: column 0 is a, column 1 is b.": truth[:, ::-1],
        "level k holds the pixels from k to k + 1: astype(int) cuts off. Round with "
        "np.rint.": cut_off,
        "all rows are the same: that is the mean over all levels.": np.tile(values[0], (101, 1)),
    }
    # float16 and float32 sums round, which is no mistake of thought
    hint = "Row k is the mean ab where np.rint(L) == k."
    expect_close(values, truth, what, 0.01, hint, mistakes)
    return "a colour for each gray level, and (0, 0) where there is none."


@check
def convolve(function):
    """Whether a window of weights is moved over a picture, and the bias added once."""
    rng = np.random.default_rng(4)
    for size, side, bias in (((6, 9), 3, 0.5), ((8, 7), 5, -2.0)):
        picture, weights = rng.normal(size=size), rng.normal(size=(side, side))

        def moved(w, picture=picture):
            return correlate(picture, w, mode="valid")

        truth = moved(weights) + bias
        what = f"a picture {size} under a window {side} x {side}"
        got = ask(function, picture, weights, bias)
        if np.shape(got) == size:
            raise TryAgain(
                f"{what}: the result has the picture's own shape. Stop where the window would "
                f"hang over the edge: {truth.shape} is what is left."
            )
        values = expect_array(got, truth.shape, what)
        mistakes = {
            "the bias is missing.": truth - bias,
            "the bias is added for each weight; add it once, to the sum.": truth
            + bias * (side**2 - 1),
            "that is the mean of the products; take their sum.": moved(weights) / side**2 + bias,
            "the window is upside down: weight [i, j] belongs to pixel [row + i, column + j]. "
            "Mathematicians turn it; networks do not.": moved(weights[::-1, ::-1]) + bias,
            "rows and columns of the window have changed places.": moved(weights.T) + bias,
            "what is below 0 has been cut off; that is the ReLU, which comes later.": np.maximum(
                truth, 0
            ),
        }
        hint = (
            "At each place: the pixels under the window times the weights, summed, plus the bias."
        )
        expect_close(values, truth, what, 1e-3, hint, mistakes)
    return "a sum of nine products at each place: the smallest part of a network."


@check
def order_of_step(letters):
    """Whether the five lines of a training step are in an order that works."""
    if isinstance(letters, str):
        plain = "".join(letter for letter in letters.upper() if letter.isalnum())
        # forgetting later, but before the new gradients come, is as good
        if plain.replace("D", "", 1) == "BEAC" and plain.index("D") < plain.index("A"):
            letters = "DBEAC"
    expect_order(
        letters,
        "DBEAC",
        "the step",
        {
            "D": "Old gradients are still there: the first thing is to forget them.",
            "B": "There is no guess yet.",
            "E": "The loss compares the guess with the truth, so it comes right after the guess.",
            "A": "The gradients come from the loss, and the optimizer needs them.",
            "C": "The optimizer moves the weights last, when it has the gradients.",
        },
    )
    return "forget, guess, compare, work out the gradients, move."


@check
def my_colorizer(function):
    """Whether a colorizer beats gray and the mean colour in PSNR on held-out scenes."""
    train, *held_out = (
        [square(photo.load(), 128) for photo in photos(split=split, kind="scene")]
        for split in ("train", "validation", "test")
    )
    mean_ab = np.mean([rgb_to_lab(rgb)[..., 1:].mean(axis=(0, 1)) for rgb in train], axis=0)
    scores: dict[str, list[float]] = {"yours": [], "gray": [], "the mean colour": []}
    for truth in held_out[0] + held_out[1]:
        gray = to_gray(truth)
        got = ask(function, gray)
        values = expect_array(got, gray.shape, "a coloured picture")
        expect(
            values.dtype == np.uint8,
            f"expected a picture of uint8, got {values.dtype}: paint() makes one of L and ab.",
        )
        L = lightness(gray)
        brown = lab_to_rgb(merge_lab(L, np.broadcast_to(mean_ab, (*L.shape, 2))))
        for name, rgb in zip(scores, (values, gray, brown), strict=True):
            scores[name].append(library_psnr(rgb, truth))
    means = {name: float(np.mean(values)) for name, values in scores.items()}
    ranked = sorted(means, key=lambda name: -means[name])
    table = ", ".join(
        f"{place}. {name} {means[name]:.2f} dB" for place, name in enumerate(ranked, 1)
    )
    expect(ranked[0] == "yours" and means["yours"] > means[ranked[1]], f"not yet: {table}.")
    lead = np.subtract(scores["yours"], scores["the mean colour"])
    return (
        f"{table}. Ahead of the mean colour by {lead.mean():+.2f} dB a photograph, on "
        f"{(lead > 0).sum()} of {len(lead)}. Now look at what you have made."
    )


@check
def psnr(function):
    """Whether PSNR comes out as the library has it."""
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 256, (8, 11, 3), dtype=np.uint8)
    noise = rng.normal(0, 15, truth.shape) * np.array([0.3, 1, 2])
    rgb = np.clip(truth + noise, 0, 255).astype(np.uint8)
    truth[0, :2], rgb[0, :2] = [[0], [255]], [[255], [0]]  # as far apart as two values can be
    expected = library_psnr(rgb, truth)
    difference = rgb.astype(float) - truth
    mse = np.mean(difference**2)

    def decibels(error, peak=255**2):
        return 10 * np.log10(peak / error)

    in_8_bits = (rgb - truth).astype(float)
    per_channel = decibels((difference**2).mean(axis=(0, 1)))
    absolute = np.abs(difference).mean()
    mistakes = {
        "in 8 bits 10 - 20 is 246: make the pictures float before you subtract.": decibels(
            np.mean(in_8_bits**2)
        ),
        "in 8 bits 10 - 20 is 246, and 20 squared is 144: make the pictures float before you "
        "subtract.": decibels(np.mean((rgb - truth) ** 2)),
        "the sign is turned: 255 ** 2 stands above, the error below.": -expected,
        "twice as much: the factor is 10 for a squared error, 20 for its root.": 2 * expected,
        "half as much: the factor is 10 for a squared error, 20 for its root.": expected / 2,
        "that is a natural logarithm; use np.log10.": expected * np.log(10),
        "that is the mean of three PSNRs. Take one mean over all pixels and channels "
        "first.": per_channel.mean(),
        "the peak 255 is squared, as the error is.": decibels(mse, peak=255),
        "for 8-bit pictures the peak is 255, not 1.": decibels(mse, peak=1),
        "that is a sum; take the mean of the squared differences.": decibels(mse * rgb.size),
        "that is the absolute error; square the differences.": decibels(absolute**2),
        "that is the MSE; it still has to go into the formula.": mse,
        "255 squared is 65,025, and in 16 bits it is -511: make the pictures float.": decibels(
            np.mean(difference.astype(np.int16) ** 2)
        ),
    }
    value = expect_number(ask(function, rgb, truth), "PSNR")
    # float16 rounds, and is no mistake of thought
    expect_close(value, expected, "PSNR in dB", 0.005, "", mistakes)
    with np.errstate(divide="ignore"):
        same = ask(function, truth, truth)
    expect(
        same is not None and np.isposinf(same),
        f"two equal pictures: expected infinity, got {same}. There the error is 0.",
    )
    return "PSNR, the same as the library's."


@check
def best_first(order):
    """Whether the learner knows what PSNR prefers."""
    names = ("gray", "blue", "blurred")
    order = order.tolist() if isinstance(order, np.ndarray) else order
    expect(
        isinstance(order, list | tuple) and sorted(map(str, order)) == sorted(names),
        f"answer with a list of {quoted(names, 'and')}, best PSNR first; got {order!r}.",
    )
    expect(
        order[-1] != "blurred",
        "PSNR does not mind the blur as you do: a blurred red is still close to red. Run the next "
        "cell and compare the numbers.",
    )
    expect(
        order[0] != "blue" and order[-1] == "blue",
        "PSNR does not know that the blue bowl is plausible: blue is farther from red than gray "
        "is. Run the next cell and compare the numbers.",
    )
    expect(
        order[0] == "blurred",
        "gray misses all the colour; the blurred picture misses only detail. Which of the two is "
        "more, in RGB? Run the next cell and compare the numbers.",
    )
    return "right colours in a smudge, then no colour, then a wrong one, however sharp."
