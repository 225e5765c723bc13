"""Hidden tests of lesson 05, "Colorize any photograph".

The form of these files is described in `authoring/classroom.py`.
"""


def test_keep_lightness(function):
    """A random picture with random colours, against the library's way of joining them."""
    import numpy as np
    import torch

    from course_lib.inference import upsample_ab
    from course_lib.lab import lab_to_rgb, lightness, merge_lab

    rng = np.random.default_rng()
    rgb = rng.integers(60, 190, (*rng.integers(20, 40, 2), 3), dtype=np.uint8)
    ab = torch.from_numpy(rng.normal(0, 12, (1, 2, *rng.integers(4, 9, 2)))).float()
    L = lightness(rgb)
    expected = lab_to_rgb(merge_lab(L, upsample_ab(ab, ab[:, :1], L, guided=False)))
    got = np.asarray(function(rgb.copy(), ab.clone()))
    assert got.dtype == np.uint8 and got.shape == rgb.shape
    assert np.abs(got.astype(float) - expected).mean() < 0.5


def test_network_input(function):
    """A random picture, in colour."""
    import numpy as np

    from course_lib.lab import lightness

    rng = np.random.default_rng()
    rgb = rng.integers(0, 256, (*rng.integers(5, 30, 2), 3), dtype=np.uint8)
    got = function(rgb.copy())
    np.testing.assert_allclose(got.numpy(), lightness(rgb)[None, None], atol=0.05)


def test_stronger_colours(function):
    """A random picture and random factors, in Lab."""
    import numpy as np

    from course_lib.lab import lab_to_rgb, rgb_to_lab

    rng = np.random.default_rng()
    rgb = rng.integers(60, 190, (*rng.integers(10, 30, 2), 3), dtype=np.uint8)
    for factor in rng.uniform(0, 1.8, 3):
        scaled = rgb_to_lab(rgb) * np.array([1, factor, factor], np.float32)
        got = np.asarray(function(rgb.copy(), float(factor)))
        assert got.dtype == np.uint8 and got.shape == rgb.shape
        assert np.abs(got.astype(float) - lab_to_rgb(scaled)).mean() < 0.6


def ask_colour_folder(function, place, pictures, bad):
    """What is made of a folder with these pictures and these files that are none."""
    import tempfile
    from pathlib import Path

    from course_lib.image import load_image, save_image

    with tempfile.TemporaryDirectory() as above:
        folder, output = Path(above) / place, Path(above) / f"{place} in colour"
        folder.mkdir()
        output.mkdir()
        for name, rgb in pictures.items():
            save_image(folder / name, rgb)
        for name in bad:
            (folder / name).write_text("not a picture")
        failed = function(
            folder, output, lambda source, target: save_image(target, 255 - load_image(source))
        )
        made = {path.name: load_image(path) for path in output.iterdir()}
    return [str(name) for name in failed], made


def test_colour_folder(function):
    """Random names, of which some are no pictures; each picture comes out inverted."""
    import numpy as np

    rng = np.random.default_rng()
    names = [
        f"{kind}{n}.png" for kind in ("scan", "IMG_") for n in rng.choice(900, 4, replace=False)
    ]
    rng.shuffle(names)
    good, bad = names[:5], names[5:]
    pictures = {name: rng.integers(0, 256, (4, 6, 3), dtype=np.uint8) for name in good}
    failed, made = function(f"box {rng.integers(1000)}", pictures, bad)
    assert failed == sorted(bad)
    assert sorted(made) == sorted(good)
    for name, rgb in pictures.items():
        np.testing.assert_array_equal(made[name], 255 - rgb)


def test_my_upsampling(function):
    """The test scenes mirrored: ahead of the bilinear way."""
    import numpy as np
    import torch
    import torch.nn.functional as F

    from course_lib.data.arrays import square
    from course_lib.data.photos import photos
    from course_lib.inference import prepare, upsample_ab
    from course_lib.lab import lab_to_rgb, lightness, merge_lab, rgb_to_lab
    from course_lib.metrics import psnr

    side = int(np.random.default_rng().choice([160, 192, 224]))
    scores = []
    for photo in photos(split="test", kind="scene"):
        truth = np.ascontiguousarray(square(photo.load(), side)[:, ::-1])
        L, small_l = lightness(truth), prepare(truth, 64)
        ab = torch.from_numpy(rgb_to_lab(truth)[..., 1:].copy()).movedim(-1, 0)[None]
        ab = F.interpolate(ab, (16, 16), mode="bilinear", antialias=True)
        ab = F.interpolate(ab, (64, 64), mode="bilinear")
        both = (
            np.asarray(function(ab, small_l, L)),
            upsample_ab(ab, small_l, L, guided=False),
        )
        scores.append([psnr(lab_to_rgb(merge_lab(L, x.astype(np.float32))), truth) for x in both])
    yours, bilinear = np.mean(scores, axis=0)
    assert yours > bilinear, f"{yours:.2f} dB; bilinear has {bilinear:.2f}"
