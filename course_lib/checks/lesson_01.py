"""Checks of lesson 01, "Find out what gray does not tell"."""

import numpy as np
import torch
from torch import Tensor

from course_lib.checks.answers import (
    ask,
    expect_array,
    expect_close,
    expect_number,
    expect_two,
    quoted,
    recognise,
)
from course_lib.checks.report import Todo, TryAgain, check, expect
from course_lib.lab import rgb_to_lab
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
    best = {"squared": colours.mean(axis=0), "absolute": np.median(colours, axis=0)}
    for loss, other in (("squared", "absolute"), ("absolute", "squared")):
        what = f'the best constant by "{loss}" error'
        guess = expect_array(ask(function, colours, loss), (2,), what)
        cost, least = _cost(colours, guess, loss), _cost(colours, best[loss], loss)
        mistakes = [
            (best[other], f"That colour is best by {other} error."),
            (best[loss][::-1], "a and b have changed places. Column 0 is a, column 1 is b."),
        ]
        hint = "Try some constants by hand: in which direction does the cost fall?"
        expect(
            cost <= least * 1.001,
            f"{what}: yours costs {cost:.1f}, and {least:.1f} is possible. "
            + (recognise(guess, mistakes, 1e-6) or hint),
        )
    return "the mean for squared errors, the median for absolute ones."


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
    return "two lists, kept apart; training shuffled anew each epoch, validation in order."


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
    count = np.bincount(level, minlength=101)[:, None]
    mistakes = [
        (truth * count, "those are the sums of each level; divide by the number of its pixels."),
        (truth[:, ::-1], "a and b have changed places: column 0 is a, column 1 is b."),
        (
            table(L.astype(int)),
            "level k holds the pixels from k to k + 1: astype(int) cuts off. Round with np.rint.",
        ),
        (
            np.tile(values[0], (101, 1)),
            "all rows are the same: that is the mean over all levels.",
        ),
    ]
    # float16 and float32 sums round, which is no mistake of thought
    hint = "Row k is the mean ab where np.rint(L) == k."
    expect_close(values, truth, what, 0.01, hint, mistakes)
    return "a colour for each gray level, and (0, 0) where there is none."


@check
def psnr(function):
    """Whether PSNR comes out as the library has it."""
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 256, (8, 11, 3), dtype=np.uint8)
    noise = rng.normal(0, 15, truth.shape) * np.array([0.3, 1, 2])
    rgb = np.clip(truth + noise, 0, 255).astype(np.uint8)
    expected = library_psnr(rgb, truth)
    difference = rgb.astype(float) - truth
    mse = np.mean(difference**2)

    def decibels(ratio):
        return 10 * np.log10(ratio)

    in_8_bits = "in 8 bits 10 - 20 is 246: make the pictures float before you subtract."
    factor = "the factor is 10 for a squared error, 20 for its root."
    mistakes = [
        (decibels(255**2 / np.mean((rgb - truth).astype(float) ** 2)), in_8_bits),
        (decibels(255**2 / np.mean((rgb - truth) ** 2)), in_8_bits),
        (-expected, "the sign is turned: 255 ** 2 stands above, the error below."),
        (2 * expected, factor),
        (expected / 2, factor),
        (expected * np.log(10), "that is a natural logarithm; use np.log10."),
        (
            decibels(255**2 / (difference**2).mean(axis=(0, 1))).mean(),
            "that is the mean of three PSNRs. Take one mean over all pixels and channels first.",
        ),
        (decibels(255 / mse), "the peak 255 is squared, as the error is."),
        (decibels(1 / mse), "for 8-bit pictures the peak is 255, not 1."),
        (
            decibels(255**2 / (difference**2).sum()),
            "that is a sum; take the mean of the squared differences.",
        ),
        (
            2 * decibels(255 / np.abs(difference).mean()),
            "that is the absolute error; square the differences.",
        ),
        (mse, "that is the MSE; it still has to go into the formula."),
    ]
    value = expect_number(ask(function, rgb, truth), "PSNR")
    expect_close(value, expected, "PSNR in dB", 1e-3, "", mistakes)
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
