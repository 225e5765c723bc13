"""How often each of the 313 colours occurs in photographs: counted once, shipped as a table."""

import os

import numpy as np
import torch
import torch.nn.functional as F

from course_lib.bins import EncodingTable, ab_bins, smooth_prior
from course_lib.data.arrays import decode_lab
from course_lib.files import data_folder, write_text


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
    write_text(path, "\n".join([*lines, ""]))


def training_prior(codes: np.ndarray, table: EncodingTable, pictures: int = 20_000) -> np.ndarray:
    """How often each bin occurs in training pictures, smoothed.

    Parameters
    ----------
    codes : numpy.ndarray
        (N, 3, H, W) uint8.
    table : EncodingTable
        For the soft encoding.
    pictures : int
        How many pictures to count, spread evenly over the array.

    Returns
    -------
    numpy.ndarray
        (313,) float64, sum 1.
    """
    counts = torch.zeros(len(ab_bins()), dtype=torch.float64)
    chosen = np.unique(np.linspace(0, len(codes) - 1, min(pictures, len(codes))).astype(int))
    for part in np.array_split(chosen, max(1, len(chosen) // 256)):
        _, ab = decode_lab(torch.from_numpy(codes[part]))
        index, weight = table(F.avg_pool2d(ab, 4))
        counts.index_add_(0, index.flatten(), weight.flatten().double())
    return smooth_prior(counts.numpy())
