"""Hidden tests of lesson 02, "Take colour apart".

The form of these files is described in `authoring/classroom.py`.
"""


def test_linear_light(function):
    """With the matrix, it is scikit-image's XYZ of random values, dark ones among them."""
    import numpy as np
    from skimage.color import rgb2xyz

    from course_lib.lab import XYZ_FROM_RGB

    rng = np.random.default_rng()
    values = rng.random((*rng.integers(3, 9, 2), 3)) ** rng.choice([1, 4])
    xyz = np.asarray(function(values.copy())) @ np.array(XYZ_FROM_RGB).T
    np.testing.assert_allclose(xyz, rgb2xyz(values), atol=1e-5)


def test_xyz_from_light(function):
    """Random light of one pixel, of a row and of a picture."""
    import numpy as np

    from course_lib.lab import XYZ_FROM_RGB

    rng = np.random.default_rng()
    for shape in ((3,), (5, 3), (4, 6, 3)):
        light = rng.random(shape)
        expected = np.einsum("xc,...c->...x", np.array(XYZ_FROM_RGB), light)
        np.testing.assert_allclose(function(light.copy()), expected, atol=1e-5)


def test_lab_from_xyz(function):
    """Random colours of a screen, dark ones among them, against scikit-image."""
    import numpy as np
    from skimage.color import rgb2lab, rgb2xyz

    rng = np.random.default_rng()
    rgb = rng.random((*rng.integers(3, 9, 2), 3)) ** rng.choice([1, 4])
    np.testing.assert_allclose(function(rgb2xyz(rgb)), rgb2lab(rgb), atol=0.01)


def test_from_network(function):
    """There and back, from random Lab values."""
    import numpy as np
    import torch

    from course_lib.lab import normalize_lab

    rng = np.random.default_rng()
    lab = rng.uniform((0, -110, -110), (100, 110, 110), (*rng.integers(1, 6, 3), 3))
    lab = torch.from_numpy(lab).float().permute(0, 3, 1, 2)
    got = function(normalize_lab(lab, "zhang"))
    np.testing.assert_allclose(got.numpy(), lab.numpy(), atol=1e-3)


def test_near_hull(function):
    """Random hulls, points and steps; the square is looked at corner by corner."""
    import numpy as np
    from scipy.spatial import ConvexHull

    rng = np.random.default_rng()
    for step in rng.uniform(2, 20, 3):
        edges = ConvexHull(rng.normal(0, 40, (12, 2))).equations
        normals, offsets = edges[:, :2], edges[:, 2:]
        points = rng.uniform(-120, 120, (400, 2))
        corners = points[:, None] + step * np.array([(-1, -1), (-1, 1), (1, -1), (1, 1)])
        depth = (corners @ normals.T + offsets.T).min(axis=1)  # (400, E), of the best corner
        got = function(points.copy(), normals.copy(), offsets.copy(), step)
        np.testing.assert_array_equal(got, (depth < 0).all(axis=1))


def test_into_gamut(function):
    """Random colours, most of which no screen has: in the gamut, of the same hue and lightness."""
    import numpy as np

    from course_lib.lab import in_gamut

    rng = np.random.default_rng()
    asked = rng.uniform((20, -100, -100), (80, 100, 100), (300, 3))
    got = np.asarray(function(asked.copy()), dtype=float)
    assert got.shape == asked.shape
    assert in_gamut(got.astype(np.float32)).mean() > 0.98
    assert np.abs(got[:, 0] - asked[:, 0]).mean() < 3
    turn = np.angle((got[:, 1] + 1j * got[:, 2]) * (asked[:, 1] - 1j * asked[:, 2]), deg=True)
    assert np.abs(turn).mean() < 10
    assert np.hypot(*got[:, 1:].T).mean() > 20
