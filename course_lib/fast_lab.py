"""What `lab` does to 8-bit pictures, by tables: for photographs of many megapixels.

Two things make the conversions of `lab` slow, the curve of sRGB and the cube root of Lab. A value
of 8 bits has only 256 lights, and light in 65,536 steps is more than 8 bits can show: so both
curves are looked up. All else is a few products and sums, in float32. The tests hold every result
within one 8-bit level of `lab`, which is the place to read how and why.

Pictures go through in bands of a few rows, so that what belongs to a band stays in the processor's
cache, and a large photograph needs little memory. NumPy lets go of Python's lock while it works:
threads use all cores, a band each.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import NamedTuple

import numpy as np
import torch

from course_lib.lab import WHITE, XYZ_FROM_RGB, light_of, response, value_of

#: Pixels of a band, about: a dozen arrays of so many float32 fit into a core's cache.
BAND_PIXELS = 1 << 16

#: Light from none to white in so many steps. In the dark, where the curves are steepest, a step is
#: a twentieth of an 8-bit level and a seventieth of a unit of L.
STEPS = 65535


class _Tables(NamedTuple):
    """What is looked up.

    Attributes
    ----------
    into : numpy.ndarray
        (3, 3, 256) float32, [i, j, value]: steps of X, Y or Z (over white) that a value of red,
        green or blue adds.
    response : numpy.ndarray
        (65536,) float32: `lab.response` of so many steps.
    out_of : numpy.ndarray
        (3, 3) float32: steps of red, green and blue from X, Y and Z (over white).
    level : numpy.ndarray
        (65536,) uint8: what a screen shows so many steps as.
    """

    into: np.ndarray
    response: np.ndarray
    out_of: np.ndarray
    level: np.ndarray


@cache
def _tables() -> _Tables:
    matrix = np.array(XYZ_FROM_RGB) / np.array(WHITE)[:, None]
    light = light_of(torch.arange(256, dtype=torch.float64) / 255).numpy()
    steps = torch.arange(STEPS + 1, dtype=torch.float64) / STEPS
    return _Tables(
        into=(STEPS * matrix[..., None] * light).astype(np.float32),
        response=response(steps).float().numpy(),
        out_of=(STEPS * np.linalg.inv(matrix)).astype(np.float32),
        level=(255 * value_of(steps)).round().to(torch.uint8).numpy(),
    )


def _look_up(table: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Entries at the nearest whole steps, rounded in place; beyond the ends, the last ones."""
    steps += 0.5  # so that cutting off rounds
    return np.take(table, steps.astype(np.intp), mode="clip")


def _responses(rgb: np.ndarray, rows: slice = slice(None)) -> list[np.ndarray]:
    """`lab.response` of X, Y and Z over white, or of some of them."""
    tables = _tables()
    return [
        _look_up(
            tables.response,
            sum(np.take(table, rgb[..., channel]) for channel, table in enumerate(row)),
        )
        for row in tables.into[rows]
    ]


def lightness(rgb: np.ndarray) -> np.ndarray:
    """L of an 8-bit picture.

    Parameters
    ----------
    rgb : numpy.ndarray
        (H, W, 3) uint8.

    Returns
    -------
    numpy.ndarray
        (H, W) float32 in 0..100, within 0.01 of `lab.lightness`.
    """
    (y,) = _responses(rgb, slice(1, 2))
    return 116 * y - 16


def rgb_to_lab(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An 8-bit picture from sRGB to Lab.

    Parameters
    ----------
    rgb : numpy.ndarray
        (H, W, 3) uint8.

    Returns
    -------
    L, a, b : numpy.ndarray
        (H, W) float32 each; L within 0.01 of `lab.rgb_to_lab`, a and b within 0.1.
    """
    x, y, z = _responses(rgb)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def lab_to_rgb(L: np.ndarray, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """A picture from Lab to 8-bit sRGB; colours that sRGB lacks are clipped channel by channel.

    Parameters
    ----------
    L, a, b : numpy.ndarray
        (H, W) float32 each.
    out : numpy.ndarray
        (H, W, 3) uint8, to be filled: what `lab.lab_to_rgb` returns, within one level.
    """
    y = (L + 16) / 116
    # scikit-image takes no negative z either
    xyz = [_ratio(y + a / 500), _ratio(y), _ratio(np.maximum(y - b / 200, 0))]
    tables = _tables()
    for channel, row in enumerate(tables.out_of):
        steps = sum(weight * one for weight, one in zip(row, xyz, strict=True))
        out[..., channel] = _look_up(tables.level, steps)


def _ratio(f: np.ndarray) -> np.ndarray:
    """Undo `lab.response`: a cube above `knee`, below it the line that goes on from there."""
    # No choice by np.where, which takes longer than all of this: one of the terms is constant.
    knee = np.float32(6 / 29)
    upper = np.maximum(f, knee)
    return upper * upper * upper + (np.minimum(f, knee) - knee) / np.float32(7.787)


def in_bands(work: Callable[[slice], None], height: int, width: int) -> None:
    """Do some work for all rows of a picture: a band of rows at a time, a thread for each core.

    Parameters
    ----------
    work : callable
        Takes a slice of rows. Bands must not depend on each other.
    height, width : int
        Of the picture.
    """
    rows = max(1, BAND_PIXELS // width)
    bands = [slice(top, min(top + rows, height)) for top in range(0, height, rows)]
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for _ in pool.map(work, bands):  # goes through the results, so that errors are raised
            pass


def edit_in_bands(edit: Callable[[np.ndarray], np.ndarray], rgb: np.ndarray) -> np.ndarray:
    """What a function makes of a picture, several times as fast, and in little memory.

    Parameters
    ----------
    edit : callable
        From (h, W, 3) uint8 to the same; no pixel may depend on others.
    rgb : numpy.ndarray
        (H, W, 3) uint8.

    Returns
    -------
    numpy.ndarray
        (H, W, 3) uint8, what ``edit(rgb)`` is.
    """
    out = np.empty_like(rgb)

    def work(rows: slice) -> None:
        out[rows] = edit(rgb[rows])

    in_bands(work, *rgb.shape[:2])
    return out
