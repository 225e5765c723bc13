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
