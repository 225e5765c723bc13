import numpy as np
import pytest
import torch
from scipy.spatial import ConvexHull
from skimage.color import rgb2lab, rgb2xyz, xyz2lab

import course_lib as cl
from course_lib.bins import ab_grid
from course_lib.checks import lesson_02 as check
from course_lib.lab import WHITE, denormalize_lab, normalize_lab, rgb_to_lab_tensor
from tests.lesson import defined_in

#: Exercise to wrong answers, and what the check says to each: see test_checks.py.
WRONG = {}

M = np.array(cl.lab.XYZ_FROM_RGB)
#: Exercise 3's matrix is a name of the lesson, which `defined_in` leaves out.
GIVEN = {"M": M}


@pytest.fixture(scope="module")
def solved():
    names = defined_in("02_lab_color_spaces")
    names.update(GIVEN)
    return names


WRONG["mixed"] = [
    (128, "not amounts of light"),
    (64, "too dark"),
    (230, "too light"),
    ("188", "one of"),
]


def power(v):
    return ((v + 0.055) / 1.055) ** 2.4


WRONG["linear_light"] = [
    (lambda v: v**2.2, "power 2.2"),
    (power, "straight line"),
    (lambda v: np.where(v > 0.04045, v / 12.92, power(v)), "changed places"),
    (lambda v: np.where(v > 0.0031308, 1.055 * v ** (1 / 2.4) - 0.055, 12.92 * v), "Undo"),
    (lambda v: v, "nothing was undone"),
    (lambda v: 255 * np.where(v > 0.04045, power(v), v / 12.92), "factor 255"),
    (lambda v: np.where(v > 0.04045, (v + 0.055 / 1.055) ** 2.4, v / 12.92), "brackets"),
    (lambda v: power(v)[..., 0], "expected shape"),
    (lambda v: None, "return"),
]


WRONG["xyz_from_light"] = [
    (lambda light: light @ M, "transposed"),
    (lambda light: M @ light, "ValueError"),
    (lambda light: rgb2xyz(light), "light already"),
    (lambda light: light @ M.T / WHITE, "divide by white"),
    (lambda light: light @ np.linalg.inv(M).T, "no inverse"),
    (lambda light: light * M.sum(axis=1), "multiplied by M"),
    (lambda light: (light @ M.T)[..., 1], "expected shape"),
]


def as_lab(xyz, *, white=WHITE, straight=True, less=16, root=np.cbrt):
    ratio = xyz / np.array(white)
    f = np.where(ratio > 0.008856, root(ratio), 7.787 * ratio + 16 / 116)
    f = f if straight else root(ratio)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - less, 500 * (x - y), 200 * (y - z)], axis=-1)


WRONG["lab_from_xyz"] = [
    (lambda xyz: as_lab(xyz, white=(1, 1, 1)), "those of white"),
    (lambda xyz: as_lab(xyz, less=0), "subtract 16"),
    (lambda xyz: as_lab(xyz, straight=False), "not the cube root"),
    (lambda xyz: as_lab(xyz, root=np.sqrt), "Compare that line"),
    (lambda xyz: as_lab(xyz)[..., [0, 2, 1]], "changed places"),
    (lambda xyz: as_lab(xyz) * [1, -1, 1], "sign of a is"),
    (lambda xyz: as_lab(xyz) * [1, 1, -1], "sign of b is"),
    (lambda xyz: as_lab(xyz) / 100, "0 to 100"),
    (lambda xyz: np.moveaxis(as_lab(xyz), -1, 0), "expected shape"),
    (lambda xyz: as_lab(xyz) * [1, 0.4, 1], "Compare that line"),
]


def test_the_constants_of_the_standard_are_as_good():
    def exact(xyz):
        ratio = xyz / np.array(WHITE)
        f = np.where(ratio > (24 / 116) ** 3, np.cbrt(ratio), 841 / 108 * ratio + 16 / 116)
        x, y, z = np.moveaxis(f, -1, 0)
        return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)

    assert check.lab_from_xyz.grade(exact).status == "ok"


def unscaled(scaled, lightness, ab_norm=110):
    return torch.cat([lightness(scaled[:, :1]), scaled[:, 1:] * ab_norm], dim=1)


WRONG["from_network"] = [
    (lambda s: unscaled(s, lambda x: x * 100), "lacks its 50"),
    (lambda s: unscaled(s, lambda x: (x + 50) * 100), "last step first"),
    (lambda s: unscaled(s, lambda x: x + 0.5), "0..100"),
    (lambda s: unscaled(s, lambda x: x * 200 + 50), "twice as far"),
    (lambda s: unscaled(s, lambda x: x * 100 + 50, 128), "multiply them by 110"),
    (lambda s: unscaled(s, lambda x: (x + 1) * 50, 100), "multiply them by 110"),
    (lambda s: unscaled(s, lambda x: x * 100 - 50), "solve that for L"),
    (lambda s: unscaled(s, lambda x: x * 100 + 50).numpy(), "expected a tensor"),
    (lambda s: unscaled(s, lambda x: x * 100 + 50)[0], "expected shape"),
]


def test_a_bug_written_otherwise_is_still_to_do():
    result = check.from_network.grade(lambda s: denormalize_lab(s, "pix2pix"))
    assert result.status == "todo"


def distance(points, normals, offsets):
    return points @ normals.T + offsets.T


def reach(normals, step=10):
    return step * np.abs(normals).sum(axis=1)


WRONG["near_hull"] = [
    (lambda p, n, c, step=10: (distance(p, n, c) <= reach(n, step)).all(1), "exactly one step"),
    (lambda p, n, c, step=10: (distance(p, n, c) <= 0).all(1), "rule 2"),
    (lambda p, n, c, step=10: (distance(p, n, c) < step).all(1), "crow flies"),
    (lambda p, n, c, step=10: (distance(p, n, c) < reach(n, step / 2)).all(1), "half"),
    (lambda p, n, c, step=10: (distance(p, n, c) < reach(n, step)).any(1), "every edge"),
    (lambda p, n, c, step=10: (distance(p, n, c) < step * n.sum(1)).all(1), "absolute"),
    (lambda p, n, c, step=10: (distance(p, n, -c) < reach(n, step)).all(1), "offsets"),
    (lambda p, n, c, step=10: (distance(p, n, c) > reach(n, step)).any(1), "turn"),
    (lambda p, n, c, step=10: (distance(p, n, c) < reach(n)).all(1), "argument step"),
    (lambda p, n, c, step=10: (distance(p, n, c) < 1.2 * reach(n)).all(1), "expected 313"),
    (lambda p, n, c, step=10: p[(distance(p, n, c) < reach(n)).all(1)], "points"),
    (lambda p, n, c, step=10: distance(p, n, c) < reach(n), "expected shape"),
    (lambda p, n, c, step=10: (distance(p, n, c) < reach(n)).all(1) * 1, "True or False"),
]


def test_the_lessons_functions_are_those_of_scikit_image_and_of_the_library(solved):
    rng = np.random.default_rng(3)
    rgb = rng.random((30, 40, 3)) * rng.choice([0.05, 1], (30, 40, 1))
    xyz = solved["xyz_from_light"](solved["linear_light"](rgb))
    assert np.abs(xyz - rgb2xyz(rgb)).max() < 1e-12
    assert np.abs(solved["lab_from_xyz"](xyz) - xyz2lab(xyz)).max() < 1e-10
    lab = solved["lab_from_xyz"](xyz)
    assert np.abs(lab - rgb2lab(rgb)).max() < 1e-10
    ours = rgb_to_lab_tensor(torch.from_numpy(rgb).movedim(-1, 0)[None])
    assert np.abs(lab - ours[0].movedim(0, -1).numpy()).max() < 1e-10

    tensor = torch.from_numpy(lab).movedim(-1, 0)[None]
    assert torch.allclose(solved["from_network"](normalize_lab(tensor, "zhang")), tensor)


def test_the_lessons_bins_are_the_librarys(solved):
    levels = np.linspace(0, 1, 9)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3)
    hull = ConvexHull(rgb2lab(cube)[:, 1:])
    grid = ab_grid().astype(float)
    keep = solved["near_hull"](grid, hull.equations[:, :2], hull.equations[:, 2:])
    assert np.array_equal(grid[keep], cl.ab_bins())


def test_near_hull_finds_what_lies_less_than_one_step_from_a_random_hull(solved):
    rng = np.random.default_rng(4)
    corners = rng.uniform(-60, 60, (12, 2))
    hull = ConvexHull(corners)
    points = rng.uniform(-90, 90, (300, 2))
    # the hull, drawn densely: mixtures of its corners
    inside = rng.dirichlet(np.full(len(hull.vertices), 0.3), 20000) @ corners[hull.vertices]
    nearest = np.abs(points[:, None] - inside[None]).max(axis=2).min(axis=1)
    got = solved["near_hull"](points, hull.equations[:, :2], hull.equations[:, 2:], 15)
    sure = np.abs(nearest - 15) > 4  # the drawing has gaps, and edges alone keep sharp tips
    assert np.array_equal(got[sure], (nearest < 15)[sure])


WRONG["order_of_lab"] = [
    ("BFECAD", "values from 0 to 1"),
    ("FEBCAD", "values are not light"),
    ("FBCEAD", "divide an XYZ"),
    ("FBEACD", "ratios to white"),
    ("FBECDA", "of the roots"),
    ("FBE", "each of the letters"),
]


def clip(lab):
    return cl.rgb_to_lab(cl.lab_to_rgb(lab.astype(np.float32)))


WRONG["into_gamut"] = [
    (lambda lab: lab, "in_gamut tells"),
    (lambda lab: lab * [1, 0, 0], "too pale"),
    (clip, "not yet ahead"),
    (lambda lab: clip(lab) * [1, 0.9, 0.9] + [3, 0, 0], "not yet ahead"),
    (lambda lab: lab[:, 1:], "expected shape"),
    (lambda lab: None, "return"),
]
