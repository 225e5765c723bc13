"""How often each of the 313 colours occurs in photographs: counted once, shipped as a table."""

import os
from pathlib import Path

import numpy as np

from course_lib.bins import ab_bins
from course_lib.files import data_folder


def ab_prior() -> np.ndarray:
    """The shipped prior: of Tiny ImageNet's training pictures, smoothed.

    Returns
    -------
    numpy.ndarray
        (313,) float64, sum 1, in the order of `bins.ab_bins`.
    """
    return load_prior(data_folder() / "weights" / "ab-prior.csv")


def load_prior(path: str | os.PathLike) -> np.ndarray:
    """Read a table that `save_prior` wrote.

    Parameters
    ----------
    path : path
        CSV with the columns a, b, probability.

    Returns
    -------
    numpy.ndarray
        (313,) float64, sum 1.
    """
    table = np.loadtxt(path, delimiter=",", skiprows=1)
    if table.shape != (313, 3) or not np.array_equal(table[:, :2], ab_bins()):
        raise ValueError(f"{path}: not a table of the 313 bins (a, b, probability)")
    return table[:, 2] / table[:, 2].sum()


def save_prior(path: str | os.PathLike, prior: np.ndarray) -> None:
    """Write a prior as a table that people can read too.

    Parameters
    ----------
    path : path
        The CSV.
    prior : numpy.ndarray
        (313,), sum 1.
    """
    lines = ["a,b,probability"]
    lines += [f"{a:.0f},{b:.0f},{p:.6e}" for (a, b), p in zip(ab_bins(), prior, strict=True)]
    Path(path).write_text("\n".join(lines) + "\n")
