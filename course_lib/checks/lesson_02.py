"""Checks of lesson 02, "Take colour apart"."""

import numpy as np
import torch
from scipy.spatial import ConvexHull
from skimage.color import rgb2lab, rgb2xyz, xyz2lab

from course_lib.bins import STEP, ab_grid
from course_lib.checks.answers import (
    ask,
    choose,
    expect_array,
    expect_close,
    expect_order,
    expect_tensor,
    recognise,
)
from course_lib.checks.report import Todo, TryAgain, check, expect
from course_lib.data.photos import load_photo
from course_lib.lab import (
    WHITE,
    XYZ_FROM_RGB,
    denormalize_lab,
    in_gamut,
    lab_to_rgb,
    rgb_to_lab,
)


def _values() -> np.ndarray:
    """sRGB values with many dark ones among them, black and white too; (4, 5, 3)."""
    values = np.random.default_rng(2).random((4, 5, 3))
    values[1] *= 0.04
    values[0, 0], values[0, 1] = 0, 1
    return values


def _power(values: np.ndarray) -> np.ndarray:
    return ((values + 0.055) / 1.055) ** 2.4


def _curve_undone(values: np.ndarray) -> np.ndarray:
    return np.where(values > 0.04045, _power(values), values / 12.92)


@check
def mixed(prediction):
    """Whether the learner knows that pixel values are not amounts of light."""
    answer = choose(prediction, (64, 128, 188, 230))
    expect(
        answer != 128,
        "128 is the mean of the pixel values. What melts together is light, and values are not "
        "amounts of light. Run the next cell.",
    )
    expect(
        answer == 188,
        f"{answer} is too {'dark' if answer < 188 else 'light'}. Run the next cell.",
    )
    return "188: half of the light is nearly three quarters of the way up."


@check
def linear_light(function):
    """Whether sRGB's curve is undone, with its straight piece."""
    values = _values()
    truth = _curve_undone(values)
    turned = np.where(values > 0.04045, values / 12.92, _power(values))
    root = 1.055 * np.maximum(values, 1e-9) ** (1 / 2.4) - 0.055
    forward = np.where(values > 0.0031308, root, 12.92 * values)
    mistakes = {
        "that is the power 2.2, which is only near the curve. Use the two pieces of the "
        "standard, with 0.055, 1.055 and 2.4.": values**2.2,
        "right for bright values. Up to 0.04045 the curve is a straight line, value / 12.92; "
        "use np.where.": _power(values),
        "the two pieces have changed places: the straight one is for values up to "
        "0.04045.": turned,
        "that goes from light to values. Undo the curve: values come in, light goes out.": forward,
        "these are the values themselves; nothing was undone.": values,
        "light is 0..1 here; leave out the factor 255.": truth * 255,
    }
    hint = "Above 0.04045 it is ((value + 0.055) / 1.055) ** 2.4; mind the brackets."
    expect_close(ask(function, values), truth, "the light", 1e-6, hint, mistakes)
    return "the curve is undone, in the shadows too."


@check
def xyz_from_light(function):
    """Whether light is multiplied by the matrix, the right way round."""
    light = _curve_undone(_values())
    matrix = np.array(XYZ_FROM_RGB)
    truth = light @ matrix.T
    mistakes = {
        "the matrix is transposed: its columns belong to red, green and blue, its rows to X, "
        "Y and Z. For pixels as rows it is light @ M.T.": light @ matrix,
        "the input is light already; leave the curve to exercise 2.": rgb2xyz(light),
        "do not divide by white here; that is the first step of Lab.": truth / WHITE,
        "that is the way back: no inverse here.": light @ np.linalg.inv(matrix).T,
    }
    hint = "Every pixel, as a column, is multiplied by M."
    expect_close(ask(function, light), truth, "XYZ", 1e-6, hint, mistakes)
    return "with exercise 2 this is scikit-image's rgb2xyz."


def _lab(xyz: np.ndarray, *, white=WHITE, straight: bool = True, sixteen: float = 16.0):
    ratio = xyz / np.array(white)
    f = np.cbrt(ratio)
    if straight:
        f = np.where(ratio > 0.008856, f, 7.787 * ratio + 16 / 116)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - sixteen, 500 * (x - y), 200 * (y - z)], axis=-1)


@check
def lab_from_xyz(function):
    """Whether XYZ becomes Lab: white, root, straight piece, opponents."""
    xyz = rgb2xyz(_values())
    truth = xyz2lab(xyz)
    signs = {"a": (1, -1, 1), "b": (1, 1, -1), "a and b": (1, -1, -1)}
    mistakes = {
        "divide X, Y and Z by those of white (cl.lab.WHITE) first; without that gray is not "
        "a = b = 0.": _lab(xyz, white=(1, 1, 1)),
        "L is 16 too high everywhere: subtract 16, so that black is 0.": _lab(xyz, sixteen=0),
        "right for bright colours. Up to a ratio of 0.008856 f is straight: 7.787 t + 16/116, "
        "not the cube root.": _lab(xyz, straight=False),
        "a and b have changed places: a is 500 (f(X) - f(Y)).": truth[..., [0, 2, 1]],
        "these are the numbers divided by 100; L runs from 0 to 100.": truth / 100,
    }
    mistakes |= {
        f"the sign of {name} is turned: a is f(X) less f(Y), b is f(Y) less f(Z).": truth * sign
        for name, sign in signs.items()
    }
    hint = "The last index says which: 0 is L, 1 is a, 2 is b. Compare that line with the formula."
    expect_close(ask(function, xyz), truth, "Lab", 1e-2, hint, mistakes)
    return "equal to scikit-image's xyz2lab."


@check
def from_network(function):
    """Whether the scaling of ECCV16 is undone by its own inverse."""
    generator = torch.Generator().manual_seed(2)
    scaled = torch.rand(2, 3, 4, 5, generator=generator) * 2 - 1
    scaled[:, 0] /= 2
    truth = denormalize_lab(scaled, "zhang").numpy()
    got = expect_array(expect_tensor(ask(function, scaled), "Lab"), truth.shape, "Lab")
    ab_is_right = np.abs(got[:, 1:] - truth[:, 1:]).max() < 1e-3
    x = scaled[:, 0].numpy()
    if ab_is_right and np.abs(got[:, 0] - (x + 1) * 50).max() < 1e-3:
        raise Todo("the bug is still there: which L comes out for L = 100?")
    expect(ab_is_right, "a and b were right: multiply them by 110. Look at L.")
    mistakes = {
        "L lacks its 50: undo the division first, then add 50.": x * 100,
        "undo the last step first: multiply by 100, then add 50.": (x + 50) * 100,
        "L is in 0..1; the docstring asks for 0..100.": x + 0.5,
        "L is scaled twice as far as it should be: ECCV16 divides by 100.": x * 200 + 50,
    }
    hint = "L was scaled by (L - 50) / 100; solve that for L."
    expect_close(got[:, 0], truth[:, 0], "L", 1e-3, hint, mistakes)
    return "there and back again."


@check
def near_hull(function):
    """Whether points less than one step from a hull, in max-norm, are found."""
    levels = np.linspace(0, 1, 5)
    rgb = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3)
    equations = ConvexHull(rgb2lab(rgb)[:, 1:]).equations
    normals, offsets = equations[:, :2], equations[:, 2:]
    points = ab_grid().astype(np.float64)
    distance = points @ normals.T + offsets.T
    reach = STEP * np.abs(normals).sum(axis=1)
    truth = (distance < reach).all(axis=1)

    answer = ask(function, points, normals, offsets)
    if np.shape(answer)[-1:] == (2,):
        raise TryAgain("these are points. Return True or False for each of the points given.")
    got = expect_array(answer, (len(points),), "the bins")
    expect(got.dtype == bool, f"expected True or False for each point, got {got.dtype} values.")
    near = {
        "these are the points inside of the hull, rule 2. Allow less than one step outside.": (
            distance <= 0
        ),
        "that measures the distance as the crow flies, so the corners of the square are lost. "
        "The square reaches step * (|Na| + |Nb|) toward an edge.": distance < STEP,
        "that is half of a step: the square goes a whole step to each side.": distance < reach / 2,
        "take |Na| + |Nb|, of the absolute values; without them the square reaches less far "
        "toward edges that look left or down.": distance < STEP * normals.sum(axis=1),
        "the offsets are missing or have the wrong sign: the distance is N.g + c.": (
            points @ normals.T - offsets.T < reach
        ),
    }
    mistakes = {sentence: edges.all(axis=1) for sentence, edges in near.items()}
    one_edge = (distance < reach).any(axis=1)
    mistakes |= {
        "one edge is not enough: the condition must hold for every edge. Use "
        ".all(axis=1).": one_edge,
        "these are the points that are no bins: turn the condition round.": ~truth,
    }
    hint = "keep g where N.g + c < step * (|Na| + |Nb|) for every edge."
    expect(
        np.array_equal(got, truth),
        f"expected {truth.sum()} points, got {got.sum()}: {recognise(got, mistakes, 0) or hint}",
    )
    other = ask(function, points[::-1], normals, offsets, 4)
    small = (distance < 0.4 * reach).all(axis=1)[::-1]
    expect(
        np.array_equal(other, small),
        "right for a step of 10. Use the argument step, not the number 10.",
    )
    # a square hull of half side 20: what lies exactly one step away is out
    box = np.array([(1.0, 0), (-1, 0), (0, 1), (0, -1)])
    at_limit = np.array([(30.0, 0), (29.9, 0), (30, 30), (29.9, -29.9), (0, -30)])
    expect(
        np.array_equal(
            ask(function, at_limit, box, np.full((4, 1), -20.0)), [False, True, False, True, False]
        ),
        "right but for points that lie exactly one step away: less than one step means <, not <=.",
    )
    return f"{truth.sum()} bins, from three lines."


@check
def order_of_lab(letters):
    """Whether the steps from 8 bits to Lab are in order."""
    expect_order(
        letters,
        "FBECAD",
        "the way to Lab",
        {
            "F": "The curve is one of values from 0 to 1, so they come first.",
            "B": "The matrix wants light, and values are not light.",
            "E": "White's XYZ can only divide an XYZ.",
            "C": "The root is taken of ratios to white.",
            "A": "The differences are those of the roots.",
            "D": "The differences come last.",
        },
    )
    return "values, light, XYZ, ratios, roots, differences."


@check
def into_gamut(function):
    """Whether colours get into the gamut with less harm to hue and lightness than by clipping."""
    sky = rgb_to_lab(load_photo("scenes/kite")[::12, ::12]).reshape(-1, 3)
    asked = np.concatenate([sky * np.float32([1, factor, factor]) for factor in (1, 1.5, 3)])
    got = expect_array(ask(function, asked), asked.shape, "the colours").astype(np.float32)
    expect(
        in_gamut(got).mean() > 0.98,
        f"a screen lacks {1 - in_gamut(got).mean():.0%} of them; in_gamut tells which.",
    )

    def harm(rgb: np.ndarray) -> float:
        """Mean turn of the hue in degrees, and mean move of L, added."""
        shown = rgb_to_lab(rgb)
        turn = np.angle(np.exp(1j * (_hue(shown) - _hue(asked))), deg=True)
        return float(np.abs(turn).mean() + np.abs(shown - asked)[..., 0].mean())

    clipped = lab_to_rgb(asked)
    chroma = np.hypot(*got[:, 1:].T).mean()
    least = np.hypot(*rgb_to_lab(clipped)[:, 1:].T).mean() / 2
    expect(
        chroma > least,
        f"your colours are too pale: mean chroma {chroma:.0f}, at least {least:.0f}.",
    )
    yours, plain = harm(lab_to_rgb(got)), harm(clipped)
    table = (
        f"hue and lightness moved by {yours:.1f} with yours, by {plain:.1f} with plain clipping"
    )
    expect(yours < plain, f"not yet ahead: {table}.")
    return f"{table}; mean chroma {chroma:.0f}."


def _hue(lab: np.ndarray) -> np.ndarray:
    return np.arctan2(lab[:, 2], lab[:, 1])
