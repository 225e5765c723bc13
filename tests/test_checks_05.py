import colorsys

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import course_lib as cl
from course_lib.checks import lesson_05 as check
from tests.lesson import defined_in

#: Exercise to wrong answers, and what the check says to each: see test_checks.py.
WRONG = {}


@pytest.fixture(scope="module")
def solved():
    return defined_in("05_inference")


def joined(rgb, ab, mode="bilinear", swap=False, L=None):
    L = cl.rgb_to_lab(rgb)[..., 0] if L is None else L
    options = {} if mode == "nearest" else {"align_corners": False}
    large = F.interpolate(ab, rgb.shape[:2], mode=mode, **options)
    large = large.flip(1) if swap else large
    return cl.lab_to_rgb(np.dstack([L, large[0].permute(1, 2, 0).numpy()]))


def blurred_lightness(rgb, ab):
    small = torch.from_numpy(cl.rgb_to_lab(rgb)[::4, ::4, 0].copy())[None, None]
    return joined(rgb, ab, L=F.interpolate(small, rgb.shape[:2], mode="bilinear")[0, 0].numpy())


WRONG["keep_lightness"] = [
    (lambda rgb, ab: joined(rgb, ab, swap=True), "changed places"),
    (blurred_lightness, "L of the photograph itself"),
    (lambda rgb, ab: joined(rgb, ab, mode="nearest"), "bilinear"),
    (lambda rgb, ab: joined(rgb, ab).astype(float), "uint8"),
    (lambda rgb, ab: joined(rgb, ab)[::2], "expected shape"),
    (lambda rgb, ab: None, "return"),
    (lambda rgb, ab: rgb, "colours are off"),
    (lambda rgb, ab: ab.nonsense, "AttributeError"),
]


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_any_smooth_way_to_enlarge_is_right(mode):
    assert check.keep_lightness.grade(lambda rgb, ab: joined(rgb, ab, mode)).status == "ok"


def as_input(values):
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))[None, None]


WRONG["network_input"] = [
    (lambda rgb: as_input(rgb.mean(-1) * (100 / 255)), "L is the first"),
    (lambda rgb: as_input(rgb @ [0.299, 0.587, 0.114] * (100 / 255)), "cl.rgb_to_lab"),
    (lambda rgb: as_input(cl.to_gray(rgb)[..., 0] * (100 / 255)), "cl.rgb_to_lab"),
    (lambda rgb: as_input(cl.rgb_to_lab(rgb)[..., 0] / 100), "0..100"),
    (lambda rgb: as_input(cl.rgb_to_lab(rgb)[..., 0] / 50 - 1), "0..100"),
    (lambda rgb: as_input(cl.rgb_to_lab(rgb)[..., 1]), "first of the three"),
    (lambda rgb: as_input(cl.rgb_to_lab(rgb)[..., 0])[0], "expected shape"),
    (lambda rgb: cl.rgb_to_lab(rgb)[..., 0], "torch tensor"),
    (lambda rgb: as_input(cl.rgb_to_lab(rgb)[..., 0]).double(), "float32"),
]


def test_lightness_of_the_gray_picture_is_right_too():
    by_gray = check.network_input.grade(
        lambda rgb: as_input(cl.rgb_to_lab(cl.to_gray(rgb))[..., 0])
    )
    assert by_gray.status == "ok", by_gray


def in_rgb(rgb, factor):
    mean = rgb.mean(-1, keepdims=True)
    return np.clip(mean + (rgb - mean) * factor, 0, 255).astype(np.uint8)


def in_hsv(rgb, factor):
    hsv = [colorsys.rgb_to_hsv(*pixel) for pixel in rgb.reshape(-1, 3) / 255]
    back = [colorsys.hsv_to_rgb(h, min(1, s * factor), v) for h, s, v in hsv]
    return (np.array(back).reshape(rgb.shape) * 255).astype(np.uint8)


def scaled(rgb, *factors):
    return cl.lab_to_rgb(cl.rgb_to_lab(rgb) * np.array(factors, np.float32))


WRONG["stronger_colours"] = [
    (in_rgb, "in RGB or HSV"),
    (in_hsv, "Scale a and b only"),
    (lambda rgb, f: scaled(rgb, f, f, f), "Scale a and b only"),
    (lambda rgb, f: scaled(rgb, 1, f, 1), "both alike"),
    (lambda rgb, f: scaled(rgb, 1, f, f) / 255, "uint8"),
    (lambda rgb, f: rgb, "both alike"),
]


WRONG["sharpest"] = [
    ("before", "next cell"),
    ("after", "next cell"),
    ("L", "one of"),
    (3, "one of"),
]


def test_the_lessons_functions_are_the_librarys(solved):
    rng = np.random.default_rng(1)
    rgb = rng.integers(0, 256, (40, 56, 3), dtype=np.uint8)
    L = cl.rgb_to_lab(rgb)[..., 0]
    assert np.array_equal(solved["network_input"](rgb)[0, 0].numpy(), L)
    for factor in (0, 0.7, 1.6):
        ours = cl.set_saturation(rgb, factor)
        assert np.abs(solved["stronger_colours"](rgb, factor).astype(int) - ours).max() <= 1
    ab = torch.randn(1, 2, 5, 7) * 20
    from course_lib.inference import upsample_ab

    truth = cl.lab_to_rgb(np.dstack([L, upsample_ab(ab, ab[:, :1], L, guided=False)]))
    assert np.abs(solved["keep_lightness"](rgb, ab).astype(int) - truth).max() <= 1


WRONG["order_of_pipeline"] = [
    ("EACDFB", "photograph in memory"),
    ("CAEDFB", "small picture"),
    ("CEDAFB", "nothing to join"),
    ("CEAFDB", "no coloured picture yet"),
    ("CEADBF", "before the picture is saved"),
    ("CEAD", "each of the letters"),
    (6, "letters"),
]


def sent(
    suffix=".png", catch=cl.ImageError, inside=True, name=lambda path: path.name, ordered=sorted
):
    """A loop over a folder, right but for what is asked for."""

    def colour_folder(folder, output, colour):
        failed = []
        try:
            for source in ordered(folder.iterdir()):
                try:
                    colour(source, output / f"{source.stem}{suffix}")
                except catch:
                    if not inside:
                        raise
                    failed.append(name(source))
        except cl.ImageError:
            if inside is None:
                return failed
            raise
        return failed

    return colour_folder


def backwards(paths):
    return sorted(paths, reverse=True)


WRONG["colour_folder"] = [
    (sent(inside=False), "stopped the whole folder"),
    (sent(inside=None), "Go on after a bad file"),
    (sent(catch=KeyError), "stopped the whole folder"),
    (sent(suffix=".jpg"), "the stem and .png"),
    (sent(name=lambda path: path.stem), "A path has .name"),
    (sent(ordered=backwards), "sorted"),
    (lambda *a: sent()(*a) and None, "return the list"),
    (lambda *a: [], "yours are none"),
]


def bilinear(ab, small_l, L):
    return F.interpolate(ab, L.shape, mode="bilinear", align_corners=False)[0].movedim(0, -1)


WRONG["my_upsampling"] = [
    (bilinear, "not yet ahead"),
    (lambda ab, small_l, L: bilinear(ab, small_l, L).flip(-1), "not yet ahead"),
    (lambda ab, small_l, L: np.zeros((*L.shape, 2)), "not yet ahead"),
    (lambda ab, small_l, L: bilinear(ab, small_l, L).movedim(-1, 0), "expected shape"),
    (lambda ab, small_l, L: None, "return"),
]
