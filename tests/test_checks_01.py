import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from scipy import ndimage
from torch.utils.data import (
    DataLoader,
    Dataset,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
)

import course_lib as cl
from course_lib.checks import lesson_01 as check
from course_lib.metrics import psnr as library_psnr
from tests.lesson import defined_in

#: Exercise to wrong answers, and what the check says to each: see test_checks.py.
WRONG = {}

#: The challenge's solution goes on from the mean colour, which a cell computes.
GIVEN = {"mean_ab": np.array([0.0, 14.7])}


@pytest.fixture(scope="module")
def solved():
    return defined_in("01_the_problem")


def make_pair(rgb):
    lab = torch.from_numpy(cl.rgb_to_lab(rgb)).permute(2, 0, 1)
    return lab[:1], lab[1:]


def either(squared, absolute):
    return lambda colours, loss: (squared if loss == "squared" else absolute)(colours)


def mean(x):
    return x.mean(axis=0)


def median(x):
    return np.median(x, axis=0)


WRONG["best_constant"] = [
    (either(mean, mean), "best by squared error"),
    (either(median, mean), "best by absolute error"),
    (either(np.mean, np.median), "expected shape (2,)"),
    (either(lambda x: x.mean(axis=1), median), "expected shape (2,)"),
    (either(lambda x: mean(x)[::-1], median), "changed places"),
    (either(lambda x: x.sum(axis=0), median), "is possible"),
    (either(mean, lambda x: np.zeros(2)), "is possible"),
    (either(lambda x: mean(x).round(), lambda x: median(x).round()), "in whole numbers"),
    (either(mean, lambda x: median(x).round()), "in whole numbers"),
    (lambda colours, loss: None, "return"),
]


def test_a_search_finds_the_best_constant_too():
    def search(colours, loss):
        grid = np.linspace(-30, 30, 1201)
        error = np.abs(grid[:, None, None] - colours) ** (2 if loss == "squared" else 1)
        return grid[error.mean(axis=1).argmin(axis=0)]

    assert check.best_constant.grade(search).status == "ok"


def test_the_best_constant_may_be_found_by_sorting_and_adding():
    def by_hand(colours, loss):
        if loss == "squared":
            return [sum(column) / len(column) for column in colours.T]
        return np.sort(colours, axis=0)[len(colours) // 2]

    assert check.best_constant.grade(by_hand).status == "ok"


def loaders(train_on, judge_on, batch_size, **options):
    pairs = [[make_pair(rgb) for rgb in pictures] for pictures in (train_on, judge_on)]
    shuffle = {"shuffle": True} | options
    return DataLoader(pairs[0], batch_size, **shuffle), DataLoader(pairs[1], batch_size)


def shuffled_once(training, validation, size):
    order = np.random.default_rng(0).permutation(len(training))
    return loaders([training[i] for i in order], validation, size, shuffle=False)


def both_shuffled(training, validation, size):
    data = [[make_pair(rgb) for rgb in pictures] for pictures in (training, validation)]
    return [DataLoader(d, size, shuffle=True) for d in data]


def emptied(t, v, n):
    pairs = [[make_pair(x.pop(0)) for _ in range(len(x))] for x in (t, v)]
    return DataLoader(pairs[0], n, shuffle=True), DataLoader(pairs[1], n)


class Pairs(Dataset):
    """Pairs that are made when they are asked for."""

    def __init__(self, pictures):
        self.pictures = pictures

    def __len__(self):
        return len(self.pictures)

    def __getitem__(self, index):
        return make_pair(self.pictures[index])


def with_datasets(training, validation, batch_size=4):
    first = DataLoader(Pairs(training), batch_size=batch_size, shuffle=True)
    return first, DataLoader(Pairs(validation), batch_size=batch_size)


def with_samplers(training, validation, batch_size=4):
    sampled = []
    for pictures, sampler in ((training, RandomSampler), (validation, SequentialSampler)):
        data = TensorDataset(*map(torch.stack, zip(*map(make_pair, pictures), strict=True)))
        sampled.append(DataLoader(data, sampler=sampler(data), batch_size=batch_size))
    return sampled


@pytest.mark.parametrize("answer", [with_datasets, with_samplers])
def test_loaders_may_be_made_in_other_ways(answer):
    result = check.make_loaders.grade(answer)
    assert result.status == "ok", result


WRONG["make_loaders"] = [
    (lambda t, v, n: loaders(t + v, t + v, n), "validation loader"),
    (lambda t, v, n: loaders(t, t, n), "training pictures come out of the validation"),
    (lambda t, v, n: loaders(t + v, v, n), "would be trained on"),
    (lambda t, v, n: loaders(v, t, n), "training pictures come out of the validation"),
    (lambda t, v, n: loaders(t, v, n, shuffle=False), "only if it is told to"),
    (shuffled_once, "not enough"),
    (both_shuffled, "no reason to shuffle"),
    (lambda t, v, n: loaders(t, v, n, drop_last=True), "dropped"),
    (lambda t, v, n: loaders(t, v[:4], n), "should give each of 6"),
    (lambda t, v, n: loaders(t, v, n)[0], "two loaders"),
    (lambda t, v, n: (DataLoader(t, n), DataLoader(v, n)), "make_pair"),
    (lambda t, v, n: loaders(t, v, 1), "Hand batch_size on"),
    (lambda t, v, n: loaders(t, v, 4), "batch_size=5 was asked for"),
    (lambda t, v, n: (loaders(t, v, n)[0], loaders(t, v, 4)[1]), "of the validation loader"),
    (emptied, "changes its argument t "),
    (lambda t, v, n: None, "return"),
]


def test_checking_loaders_leaves_the_random_numbers_alone(solved):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    check.make_loaders.grade(solved["make_loaders"])
    assert torch.equal(before, torch.get_rng_state())


def by_loop(L, ab, *, function=mean, rounded=np.rint, empty=(0, 0)):
    level = rounded(L)
    return np.stack(
        [function(ab[level == k]) if (level == k).any() else np.array(empty) for k in range(101)]
    )


WRONG["level_colours"] = [
    (lambda L, ab: by_loop(L, ab, function=lambda x: x.sum(axis=0)), "sums"),
    (lambda L, ab: by_loop(L, ab)[:, ::-1], "changed places"),
    (lambda L, ab: by_loop(L, ab, rounded=np.floor), "np.rint"),
    (lambda L, ab: by_loop(L, ab, empty=(np.nan, np.nan)), "mean of no pixels"),
    (lambda L, ab: by_loop(L, ab, function=median), "Row k is the mean"),
    (lambda L, ab: np.tile(mean(ab), (101, 1)), "mean over all levels"),
    (lambda L, ab: by_loop(L, ab)[:100], "expected shape (101, 2)"),
    (lambda L, ab: by_loop(L, ab).T, "expected shape (101, 2)"),
    (lambda L, ab: ab, "expected shape (101, 2)"),
]


def test_a_loop_is_a_right_answer_too():
    assert check.level_colours.grade(by_loop).status == "ok"


def slid(picture, weights, bias=0.0):
    k = len(weights)
    return (sliding_window_view(picture, (k, k)) * weights).sum(axis=(2, 3)) + bias


def padded(picture, weights, bias=0.0):
    return slid(np.pad(picture, len(weights) // 2), weights, bias)


def added_to(picture, weights, bias=0.0):
    picture += bias
    return slid(picture, weights)


WRONG["convolve"] = [
    (lambda p, w, b=0.0: slid(p, w), "bias is missing"),
    (lambda p, w, b=0.0: slid(p, w, b * w.size), "once"),
    (lambda p, w, b=0.0: slid(p, w) / w.size + b, "mean of the products"),
    (lambda p, w, b=0.0: slid(p, w[::-1, ::-1], b), "upside down"),
    (lambda p, w, b=0.0: slid(p, w.T, b), "changed places"),
    (lambda p, w, b=0.0: np.maximum(slid(p, w, b), 0), "ReLU"),
    (lambda p, w, b=0.0: slid(p, w, -b), "plus the bias"),
    (lambda p, w, b=0.0: slid(p, w, b)[:-1], "expected shape"),
    (padded, "own shape"),
    (added_to, "changes its argument"),
    (lambda p, w, b=0.0: None, "return"),
]


def test_a_convolution_of_tensors_is_a_right_answer_too():
    def by_torch(picture, weights, bias=0.0):
        x, w = (torch.from_numpy(v)[None, None] for v in (picture, weights))
        return torch.nn.functional.conv2d(x, w)[0, 0] + bias

    assert check.convolve.grade(by_torch).status == "ok"


WRONG["order_of_step"] = [
    ("BEACD", "forget them"),
    ("DEBAC", "no guess yet"),
    ("DBAEC", "right after the guess"),
    ("DBECA", "optimizer needs them"),
    ("DBEA", "each of the letters"),
    (["D", "B"], "letters"),
]


@pytest.mark.parametrize("order", ["d, b, e, a, c", "BDEAC", "BEDAC"])
def test_old_gradients_may_be_forgotten_at_any_time_before_the_new_ones(order):
    assert check.order_of_step.grade(order).status == "ok"


WRONG["my_colorizer"] = [
    (lambda gray: gray, "not yet"),
    (
        lambda gray: cl.lab_to_rgb(cl.rgb_to_lab(gray) + np.float32([0, *GIVEN["mean_ab"]])),
        "not yet",
    ),
    (lambda gray: gray.astype(float), "uint8"),
    (lambda gray: gray[..., 0], "expected shape"),
    (lambda gray: None, "return"),
]


def decibels(rgb, truth, *, factor=10.0, log=np.log10, mean=np.mean, peak=255.0**2):
    error = mean((rgb.astype(float) - truth) ** 2)
    return factor * log(peak / error) if error else np.inf


def in_16_bits(error):
    return np.mean(np.sqrt(error).round().astype(np.int16) ** 2)


WRONG["psnr"] = [
    (lambda x, y: 10 * np.log10(255**2 / np.mean((x - y) ** 2)), "8 bits"),
    (lambda x, y: 10 * np.log10(255**2 / np.mean((x - y).astype(float) ** 2)), "8 bits"),
    (lambda x, y: decibels(x, y, factor=20), "20 for its root"),
    (lambda x, y: decibels(x, y, log=np.log), "np.log10"),
    (lambda x, y: decibels(x, y, mean=np.sum), "that is a sum"),
    (lambda x, y: decibels(x, y, peak=1), "not 1"),
    (lambda x, y: decibels(x, y, peak=255), "is squared"),
    (lambda x, y: -decibels(x, y), "sign"),
    (lambda x, y: np.mean([decibels(x[..., c], y[..., c]) for c in range(3)]), "three PSNRs"),
    (lambda x, y: decibels(x, y, mean=lambda e: e.mean(axis=(0, 1)).sum()), "expected"),
    (lambda x, y: np.mean((x.astype(float) - y) ** 2), "MSE"),
    (lambda x, y: 20 * np.log10(255 / np.abs(x.astype(float) - y).mean()), "absolute"),
    (lambda x, y: 0.0 if (x == y).all() else decibels(x, y), "infinity"),
    (lambda x, y: decibels(x.astype(np.int16), y, mean=in_16_bits), "in 16 bits"),
    (lambda x, y: None, "return"),
]


def test_half_precision_is_no_mistake_of_thought():
    def coarse(rgb, truth):
        return (
            decibels(rgb.astype(np.float16), truth.astype(np.float16))
            if (rgb != truth).any()
            else np.inf
        )

    assert check.psnr.grade(coarse).status == "ok"


WRONG["best_first"] = [
    (["gray", "blue", "blurred"], "close to red"),
    (["blue", "gray", "blurred"], "close to red"),
    (["blue", "blurred", "gray"], "plausible"),
    (["blurred", "blue", "gray"], "plausible"),
    (["gray", "blurred", "blue"], "misses only detail"),
    (["blurred", "gray"], "a list of"),
    ("blurred", "a list of"),
]


def test_the_lessons_psnr_is_the_librarys(solved):
    psnr = solved["psnr"]
    rng = np.random.default_rng(4)
    for _ in range(3):
        rgb, truth = rng.integers(0, 256, (2, 9, 14, 3), dtype=np.uint8)
        assert psnr(rgb, truth) == pytest.approx(library_psnr(rgb, truth), abs=1e-9)
    assert psnr(rgb, rgb) == library_psnr(rgb, rgb) == float("inf")


def test_the_learners_table_is_what_the_lesson_goes_on_with(solved):
    rng = np.random.default_rng(5)
    L, ab = rng.uniform(0, 100, 40_000), rng.normal(0, 30, (40_000, 2))
    levels = np.rint(L).astype(int)
    scipys = [ndimage.mean(ab[:, c], levels, np.arange(101)) for c in (0, 1)]
    assert np.allclose(solved["level_colours"](L, ab), np.stack(scipys, axis=-1))
    assert np.allclose(solved["scipy_table"](L, ab), np.stack(scipys, axis=-1))


def test_the_lessons_convolution_is_pytorchs(solved):
    picture, weights = (np.random.default_rng(8).normal(size=s) for s in ((9, 12), (5, 5)))
    ours = solved["convolve"](picture, weights, 3.0)
    assert np.allclose(ours, solved["by_pytorch"](picture, weights, 3.0))


def test_the_lessons_mean_chroma_is_the_librarys(solved):
    from course_lib.metrics import mean_chroma

    rgb = np.random.default_rng(6).integers(0, 256, (9, 14, 3), dtype=np.uint8)
    ab = np.moveaxis(cl.rgb_to_lab(rgb)[..., 1:], -1, 0)[None]
    assert solved["mean_chroma"](rgb) == pytest.approx(mean_chroma(ab), rel=1e-6)
