"""Checks of lesson 05, "Colorize any photograph"."""

import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from skimage.color import lab2rgb
from torch import Tensor

from course_lib.checks.answers import (
    ask,
    choose,
    expect_array,
    expect_close,
    expect_order,
    expect_tensor,
)
from course_lib.checks.report import Todo, TryAgain, check, expect
from course_lib.data.arrays import square
from course_lib.data.photos import photos
from course_lib.image import ImageError, load_image, save_image
from course_lib.inference import prepare, upsample_ab
from course_lib.lab import lab_to_rgb, lightness, merge_lab, rgb_to_lab
from course_lib.metrics import psnr


def _test_picture(height: int = 24, width: int = 36) -> np.ndarray:
    """A small picture with soft colours and sharp edges, all inside the gamut."""
    y, x = np.mgrid[:height, :width]
    L = 35 + 30 * ((x // 6 + y // 4) % 2) + 5 * np.sin(x / 5)
    ab = np.stack([12 * np.cos(y / 7), 15 * np.sin(x / 9)], axis=-1)
    return lab_to_rgb(np.concatenate([L[..., None], ab], axis=-1).astype(np.float32))


def _small_ab() -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(1, 2, 6, 9, generator=generator) * 12


def _expect_picture(got, shape: tuple[int, ...], what: str) -> np.ndarray:
    values = expect_array(got, shape, what)
    expect(
        values.dtype == np.uint8,
        f"{what}: expected uint8 values in 0..255, got {values.dtype}. "
        "cl.lab_to_rgb returns just that.",
    )
    return values.astype(float)


@check
def keep_lightness(function):
    """Whether ab is enlarged and joined with the photograph's own L."""
    rgb, ab = _test_picture(), _small_ab()
    L = lightness(rgb)

    def joined(mode: str, aligned: bool) -> np.ndarray:
        large = F.interpolate(ab, L.shape, mode=mode, align_corners=aligned)
        return lab_to_rgb(merge_lab(L, large[0].movedim(0, -1).numpy())).astype(float)

    # the exercise asks for no method: any smooth one is right
    right = [
        joined(mode, aligned) for mode in ("bilinear", "bicubic") for aligned in (False, True)
    ]
    out = _expect_picture(ask(function, rgb, ab), rgb.shape, "the coloured picture")
    if min(np.abs(out - truth).mean() for truth in right) > 0.5:
        own = np.abs(lightness(out.astype(np.uint8)) - L).mean()
        expect(
            own < 2,
            f"the lightness of your picture is off by {own:.0f} on average. Join the enlarged "
            "ab with the L of the photograph itself, not with anything that was made small.",
        )
        swapped = lab_to_rgb(merge_lab(L, upsample_ab(ab.flip(1), ab[:, :1], L, guided=False)))
        expect(
            np.abs(out - swapped).mean() > 0.5,
            "a and b have changed places: a comes first, then b.",
        )
        raise TryAgain(
            f"the colours are off by {np.abs(out - right[0]).mean():.1f} levels on average. "
            'Enlarge with F.interpolate(..., mode="bilinear", align_corners=False), to (H, W).'
        )
    return "sharp as the photograph, coloured by the network."


@check
def stronger_colours(function):
    """Whether chroma is scaled in Lab, and lightness kept."""
    rgb = _test_picture()
    lab = rgb_to_lab(rgb)
    for factor in (1.5, 0.0, 1.0):
        truth = lab_to_rgb(lab * np.array([1, factor, factor], np.float32)).astype(float)
        what = f"the picture at factor {factor}"
        out = _expect_picture(ask(function, rgb, factor), rgb.shape, what)
        moved = np.abs(lightness(out.astype(np.uint8)) - lab[..., 0]).mean()
        expect(
            moved < 1,
            f"{what}: its lightness moved by {moved:.0f} on average. Scale a and b only, in Lab; "
            "L stays as it is.",
        )
        error = np.abs(out - truth).mean()
        expect(
            error < 0.6,
            f"{what}: colours are off by {error:.1f} levels on average. Multiply a and b of Lab "
            "by the factor, both alike; in RGB or HSV the hue and lightness move too.",
        )
    return "chroma scaled, lightness kept, and factor 0 is gray."


@check
def sharpest(prediction):
    """Whether the learner knows which filter leaves the photograph's detail alone."""
    answer = choose(prediction, ("before", "after", "ab only"))
    expect(
        answer != "after",
        "a filter on the finished picture blurs its lightness, and the eye reads detail from "
        "lightness. Run the next cell and compare the numbers.",
    )
    expect(
        answer == "ab only",
        "filtering before does lose detail here, because the filtered picture's own L is kept. "
        "Run the next cell and compare the numbers.",
    )
    return "lightness carries the detail; ab can be smoothed freely."


@check
def network_input(function):
    """Whether the network is fed lightness, in 0..100, of a colour photograph."""
    rgb = _test_picture()
    L = lightness(rgb)
    red = rgb[..., 0] * (100 / 255)
    out = expect_tensor(ask(function, rgb), "the network's input")
    expect(
        out.dtype == torch.float32,
        f"expected a float32 tensor, as the network's weights are, got {out.dtype}.",
    )
    values = expect_array(out, (1, 1, *L.shape), "the network's input")[0, 0]
    if np.abs(values - red).mean() < 0.5:
        raise Todo("the bug is still there: give this function a red picture and a green one.")
    expect(
        values.max() > 2,
        f"expected L in 0..100, got values in {values.min():.2f}..{values.max():.2f}. "
        "The network scales its input itself.",
    )
    gray = lab2rgb(merge_lab(L, np.zeros((*L.shape, 2), np.float32)))[..., 0] * 100
    expect(
        np.abs(values - gray).mean() > 0.5,
        "those are gray values of sRGB, scaled to 0..100; L of Lab is lighter in the shadows. "
        "Use cl.rgb_to_lab.",
    )
    hint = "L is the first of the three channels that cl.rgb_to_lab returns."
    # by way of cl.to_gray, which rounds to 8 bits, it is right too
    expect_close(values, L, "L", 0.4, hint)
    return "lightness in, lightness only."


@check
def order_of_pipeline(letters):
    """Whether the lines of a pipeline from file to file are in an order that works."""
    expect_order(
        letters,
        "CEADFB",
        "the pipeline",
        {
            "C": "Everything begins with a photograph in memory.",
            "E": "The network wants a small picture, so there must be one before it is asked.",
            "A": "Without ab there is nothing to join.",
            "D": "There is no coloured picture yet that could be changed or saved.",
            "F": "Saturation must have been changed before the picture is saved.",
            "B": "The file is written last.",
        },
    )
    return "read, shrink, ask, join, adjust, write."


@check
def colour_folder(function):
    """Whether each picture of a folder is coloured, and a bad file costs nothing but itself."""
    pictures = {
        name: _test_picture(8, 8 + i) for i, name in enumerate(("b.jpg", "c.png", "e.jpg"))
    }
    with tempfile.TemporaryDirectory() as place:
        folder, output = Path(place) / "in", Path(place) / "out"
        folder.mkdir()
        output.mkdir()
        for name, rgb in pictures.items():
            save_image(folder / name, rgb)
        for name in ("a.jpg", "d.png"):
            (folder / name).write_text("not a picture")

        def colour(source, target):
            save_image(target, load_image(source)[::-1])

        try:
            failed = function(folder, output, colour)
        except ImageError as error:
            raise TryAgain(
                f"a file that is no picture stopped the whole folder ({str(error)[-60:]}). "
                "Put try: and except cl.ImageError: inside of the loop."
            ) from None
        made = sorted(path.name for path in output.iterdir())
    expect(
        made == ["b.png", "c.png", "e.png"],
        "of a.jpg (bad), b.jpg, c.png, d.png (bad) and e.jpg the results should be b.png, c.png "
        f"and e.png; yours are {', '.join(made) or 'none'}. Go on after a bad file, and name a "
        "result by the stem and .png.",
    )
    expect(
        isinstance(failed, list | tuple),
        f"return the list of the names that failed, as in ['a.jpg']; got {failed!r}.",
    )
    names = [str(name) for name in failed]
    expect(
        names == ["a.jpg", "d.png"],
        f"expected the failed names ['a.jpg', 'd.png'], sorted; got {names!r}. A path has .name.",
    )
    return "all that can be coloured is, and whoever asks learns what could not."


@check
def my_upsampling(function):
    """Whether coarse colours come back better than bilinearly, on the test scenes."""
    scores: dict[str, list[float]] = {"yours": [], "bilinear": [], "guided": []}
    for photo in photos(split="test", kind="scene"):
        truth = square(photo.load(), 256)
        L, small_l = lightness(truth), prepare(truth, 64)
        true_ab = torch.from_numpy(rgb_to_lab(truth)[..., 1:]).movedim(-1, 0)[None]
        coarse = F.interpolate(true_ab, (16, 16), mode="bilinear", antialias=True)
        ab = F.interpolate(coarse, (64, 64), mode="bilinear")
        large = {name: upsample_ab(ab, small_l, L, guided=name == "guided") for name in scores}
        got = ask(function, ab, small_l, L)
        large["yours"] = expect_array(got, (*L.shape, 2), "the enlarged colours")
        for name, values in large.items():
            scores[name].append(psnr(lab_to_rgb(merge_lab(L, values.astype(np.float32))), truth))
    means = {name: float(np.mean(values)) for name, values in scores.items()}
    ranked = sorted(means, key=lambda name: -means[name])
    table = ", ".join(
        f"{place}. {name} {means[name]:.2f} dB" for place, name in enumerate(ranked, 1)
    )
    expect(means["yours"] > means["bilinear"] + 0.01, f"not yet ahead of bilinear: {table}.")
    return f"{table}, on the ten test scenes."
