import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

import course_lib as cl
from course_lib.checks import lesson_04 as check
from course_lib.data.arrays import square
from course_lib.evaluation import psnr_against_hints, reveal_hints
from course_lib.hints import hint_tensors
from course_lib.metrics import psnr
from course_lib.models.siggraph17 import SIGGRAPH17
from tests.lesson import defined_in

#: Exercise to wrong answers, and what the check says to each: see test_checks.py.
WRONG = {}


@pytest.fixture(scope="module")
def solved():
    return defined_in("04_siggraph17")


# What learners write is what the library does, on random input.

seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(3)
    network = SIGGRAPH17(width=0.06).eval().requires_grad_(False)
    network.input_size = 32
    return network


@settings(max_examples=10, deadline=None)
@given(seed=seeds)
def test_the_lessons_way_down_and_up_is_the_librarys_network(solved, net, seed):
    generator = torch.Generator().manual_seed(seed)
    L = torch.rand(2, 1, 16, 24, generator=generator) * 100
    mask = (torch.rand(2, 1, 16, 24, generator=generator) < 0.2).float()
    hint_ab = torch.randn(2, 2, 16, 24, generator=generator) * 40 * mask
    x = torch.cat([(L - 50) / 100, hint_ab / 110, mask], dim=1)
    mine = solved["decode"](net, *solved["encode"](net, x))
    assert torch.allclose(mine, net(L, hint_ab, mask), atol=1e-3)


@settings(max_examples=40, deadline=None)
@given(
    seed=seeds,
    count=st.integers(0, 5),
    photo=st.tuples(st.integers(1, 900), st.integers(1, 900)),
    size=st.tuples(st.sampled_from([8, 64, 96]), st.sampled_from([8, 64, 144])),
    patch=st.integers(1, 9),
)
def test_the_lessons_hint_tensors_are_the_librarys(solved, seed, count, photo, size, patch):
    rng = np.random.default_rng(seed)
    hints = [
        (rng.integers(photo[0]), rng.integers(photo[1]), tuple(rng.integers(0, 256, 3).tolist()))
        for _ in range(count)
    ]
    mine = solved["to_tensors"](hints, photo, size, patch)
    theirs = hint_tensors(hints, photo, size, patch)
    assert torch.equal(mine[1], theirs[1])
    assert torch.allclose(mine[0], theirs[0], atol=1e-3)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, patch=st.integers(1, 7))
def test_a_painted_layer_gives_what_the_same_hints_give(solved, seed, patch):
    rng = np.random.default_rng(seed)
    hints = [
        (*rng.integers(0, 24, 2).tolist(), tuple(int(v) for v in rng.integers(0, 256, 3)))
        for _ in range(3)
    ]
    hints.append((4, 4, (128, 128, 128)))
    layer = np.zeros((24, 24, 4), np.uint8)
    for row, column, colour in hints:
        top, left = row - patch // 2, column - patch // 2
        area = np.s_[max(0, top) : top + patch, max(0, left) : left + patch]
        layer[area] = (*colour, 255)
    mine = solved["from_layer"](layer)
    theirs = hint_tensors(hints, (24, 24), (24, 24), patch)
    assert torch.equal(mine[1], theirs[1])
    assert torch.allclose(mine[0], theirs[0], atol=1e-3)


def test_the_lessons_gain_curve_is_the_librarys(solved, net):
    pictures = [square(picture, 48) for picture in (data.astronaut(), data.coffee())]
    counts = (1, 4, 9)
    hints = [reveal_hints(rgb, 9, seed=7 + number) for number, rgb in enumerate(pictures)]
    mine = solved["gain_curve"](
        pictures, hints, counts, lambda rgb, given: cl.colorize(rgb, net, hints=given)
    )
    levels = psnr_against_hints(net, pictures, (0, *counts), seed=7)
    assert mine == pytest.approx((levels[:, 1:] - levels[:, :1]).mean(axis=0), abs=0.03)


def distance(before, after):
    gap = (cl.rgb_to_lab(after) - cl.rgb_to_lab(before))[..., 1:]
    return np.linalg.norm(gap, axis=-1)


WRONG["reach"] = [
    (lambda a, b, limit=20: 100 * (distance(a, b) > limit).mean(), "percentage"),
    (lambda a, b, limit=20: (distance(a, b) > limit).sum(), "how many pixels"),
    (lambda a, b, limit=20: (distance(a, b) <= limit).mean(), "stayed within"),
    (lambda a, b, limit=20: distance(a, b).mean(), "mean distance"),
    (lambda a, b, limit=20: (distance(a, b) > 20).mean(), "argument"),
    (lambda a, b, limit=20: distance(a, b) > limit, "single number"),
    (lambda a, b, limit=20: (np.abs(b - a).max(axis=-1) > limit).mean(), "True where"),
    (lambda a, b, limit=20: None, "return"),
]


WRONG["training_step"] = [
    ("ACDFBE", "made from a batch"),
    ("CDAFBE", "before the network is asked"),
    ("CADBFE", "backward starts from it"),
    ("CADFEB", "goes by the gradients"),
    ("CADFB", "once"),
    (3, "letters"),
]


def test_the_order_may_be_written_with_spaces_and_small_letters():
    assert check.training_step.grade("c, a, d, f, b, e").status == "ok"


ONE = (376, 324, (86, 123, 56))

WRONG["ten_hints"] = [
    ("paint", "expected a list"),
    ([], "empty"),
    ([ONE] * 11, "too many"),
    ([(1, 2, 3)], "hints are a list of"),
    ([(600, 20, (86, 123, 56))], "outside"),
    ([(row, 380, (255, 0, 255)) for row in range(20, 500, 60)], "do harm"),
    ([(376, 324, (86, 123, 56)), (128, 356, (118, 138, 170))][:1] * 2, "do harm"),
]


def test_hints_that_were_painted_are_ranked(solved):
    result = check.ten_hints.grade(solved["my_ten"])
    assert result.status == "ok" and "largest error first" in result.message
    few = check.ten_hints.grade(np.array(solved["my_ten"][:2], dtype=object))
    assert few.status == "try again" and "expected a list" in few.message


def way_up(net, one, two, three, seven, *, use=(1, 1), scale=110.0, join=torch.add):
    x = net.model8(net.model8up(seven) + net.model3short8(three))
    x = net.model9(join(net.model9up(x), use[0] * net.model2short9(two)))
    x = net.model10(join(net.model10up(x), use[1] * net.model1short10(one)))
    return net.model_out(x) * scale


def added_after(net, one, two, three, seven):
    x = net.model8(net.model8up(seven) + net.model3short8(three))
    x = net.model9(net.model9up(x)) + net.model2short9(two)
    x = net.model10(net.model10up(x)) + net.model1short10(one)
    return net.model_out(x) * 110


WRONG["decode"] = [
    (lambda *a: way_up(*a, scale=1), "times 110"),
    (lambda *a: way_up(*a, use=(0, 0)), "neither shortcut"),
    (lambda *a: way_up(*a, use=(1, 0)), "highest shortcut is missing"),
    (lambda *a: way_up(*a, use=(0, 1)), "middle shortcut is missing"),
    (lambda *a: way_up(*a, join=torch.mul), "add first"),
    (lambda *a: way_up(*a, join=lambda x, y: torch.cat([x, y], 1)), "your code stopped"),
    (lambda net, a, b, c, d: way_up(net, b, a, c, d), "your code stopped"),
    (added_after, "add first"),
    (lambda *a: way_up(*a)[0], "expected shape"),
    (lambda *a: None, "return"),
]


def painted(
    hints,
    photo,
    size,
    patch=7,
    *,
    place=lambda r, c, s, p: ((r + 0.5) * s[0] / p[0], (c + 0.5) * s[1] / p[1]),
    value=lambda colour: cl.rgb_to_lab(np.array([[colour]], np.uint8))[0, 0, 1:],
    guard=True,
    order=1,
    masked=1.0,
):
    hint_ab, mask = torch.zeros(1, 2, *size), torch.zeros(1, 1, *size)
    for row, column, colour in hints[::order]:
        y, x = (int(v) for v in place(row, column, size, photo))
        top, left = y - patch // 2, x - patch // 2
        low = max if guard else lambda zero, start: start
        area = (
            ...,
            slice(low(0, top), max(0, top + patch)),
            slice(low(0, left), max(0, left + patch)),
        )
        hint_ab[area] = torch.as_tensor(np.array(value(colour), np.float32)).view(1, 2, 1, 1)
        mask[area] = masked
    return hint_ab, mask


def with_(**options):
    return lambda *arguments: painted(*arguments, **options)


WRONG["to_tensors"] = [
    (with_(place=lambda r, c, s, p: (r, c)), "not rescaled"),
    (
        with_(place=lambda r, c, s, p: ((c + 0.5) * s[0] / p[0], (r + 0.5) * s[1] / p[1])),
        "rows and columns are exchanged",
    ),
    (
        with_(place=lambda r, c, s, p: ((c + 0.5) * s[1] / p[1], (r + 0.5) * s[0] / p[0])),
        "rows and columns are exchanged",
    ),
    (
        with_(place=lambda r, c, s, p: ((r + 0.5) * s[1] / p[1], (c + 0.5) * s[0] / p[0])),
        "scales are exchanged",
    ),
    (
        with_(place=lambda r, c, s, p: (r * s[0] / p[0] + 2, c * s[1] / p[1] + 2)),
        "begins patch // 2 before",
    ),
    (
        with_(place=lambda r, c, s, p: (r * s[0] / p[0], c * s[1] / p[1])),
        "middle of pixel",
    ),
    (with_(value=lambda colour: colour[:2]), "red and green of RGB"),
    (with_(value=lambda colour: np.array(colour[:2]) / 255), "red and green of RGB"),
    (
        with_(value=lambda c: cl.rgb_to_lab(np.array([[c]], np.uint8))[0, 0, 1:] / 110),
        "divided by 110",
    ),
    (
        with_(value=lambda c: cl.rgb_to_lab(np.array([[c]], np.uint8))[0, 0, :0:-1]),
        "changed places",
    ),
    (with_(masked=0.0), "0 everywhere"),
    (with_(masked=255.0), "0 and 1 only"),
    (with_(guard=False), "max(0, ...)"),
    (with_(order=-1), "later one counts"),
    (lambda h, p, s, patch=7: painted(h, p, s), "argument patch"),
    (lambda *a: painted(*a)[0], "two tensors"),
    (lambda *a: tuple(x[0] for x in painted(*a)), "expected shape"),
    (lambda *a: None, "return"),
]


def from_mask(layer, mask):
    ab = torch.from_numpy(cl.rgb_to_lab(layer[..., :3])[..., 1:]).permute(2, 0, 1)[None]
    mask = torch.from_numpy(np.asarray(mask, np.float32))[None, None]
    return ab * mask, mask


def without_float(layer):
    mask = torch.from_numpy(layer[..., 3] > 0)[None, None]
    return from_mask(layer, layer[..., 3] > 0)[0], mask


WRONG["from_layer"] = [
    (lambda x: from_mask(x, x[..., 3]), "0 and 1"),
    (lambda x: from_mask(x, x[..., 3] == 0), "upside down"),
    (lambda x: from_mask(x, np.ones(x.shape[:2])), "1 everywhere"),
    (lambda x: from_mask(x, np.ptp(x[..., :3], 2) * x[..., 3] > 0), "gray stroke"),
    (lambda x: from_mask(x, x[..., :3].any(axis=2)), "black"),
    (lambda x: from_mask(x, x.any(axis=2)), "colour without alpha"),
    (without_float, ".float()"),
    (
        lambda x: (from_mask(x, x[..., 3] > 0)[0] / 110, from_mask(x, x[..., 3] > 0)[1]),
        "a and b",
    ),
    (lambda x: from_mask(x, x[..., 3] > 0)[1], "two tensors"),
]


def test_a_mask_from_the_colours_is_still_to_do():
    def guess(layer):
        ab = np.hypot(*cl.rgb_to_lab(layer[..., :3])[..., 1:].transpose(2, 0, 1))
        return from_mask(layer, ab > 1)

    result = check.from_layer.grade(guess)
    assert result.status == "todo" and "gray stroke" in result.message


WRONG["point_numbers"] = [
    ((7 / 8, 7), "at least one"),
    ((12.5, 7), "not percent"),
    ((0.5, 7), "Before the first point"),
    ((1 / 8, 8), "gives no point"),
    ((1 / 8, 1 / 8), "1 / p trials"),
    (("1/8", 7), "expected a number"),
    ((1 / 8, None), "expected a number"),
]


def curve(pictures, hints, counts, colour, *, pick=None, base=True, reduce=np.mean, sign=1):
    pick = pick or (lambda given, n: given[:n])
    rows = []
    for truth, given_all in zip(pictures, hints, strict=True):
        start = psnr(colour(truth, []), truth) if base else 0.0
        rows.append([psnr(colour(truth, pick(given_all, n)), truth) - start for n in counts])
    return sign * reduce(np.array(rows), axis=0)


def over_first_count(pictures, hints, counts, colour):
    levels = curve(pictures, hints, counts, colour, base=False)
    return levels - levels[0]


def against_gray(pictures, hints, counts, colour):
    start = np.array([psnr(colour(p, []) // 2, cl.to_gray(p)) for p in pictures])
    levels = [
        [psnr(colour(p, h[:n]) // 2, cl.to_gray(p)) for n in counts]
        for p, h in zip(pictures, hints, strict=True)
    ]
    return (np.array(levels) - start[:, None]).mean(axis=0)


WRONG["gain_curve"] = [
    (lambda *a: curve(*a, base=False), "PSNR itself"),
    (over_first_count, "need not be 0"),
    (lambda *a: curve(*a, reduce=np.sum), "take the mean"),
    (lambda *a: curve(*a, sign=-1), "sign is wrong"),
    (lambda *a: curve(*a, pick=lambda g, n: g[len(g) - n :]), "the last n hints"),
    (lambda *a: curve(*a, pick=lambda g, n: g[n : n + 1]), "a single hint"),
    (lambda *a: curve(*a, reduce=lambda rows, axis: rows), "expected shape"),
    (lambda *a: curve(*a, reduce=lambda rows, axis: rows.mean()), "expected shape"),
    (against_gray, "true picture"),
    (lambda *a: None, "return"),
]
