"""Colour as classes: the 313 bins of ab, soft encoding, rebalancing and the annealed mean.

R. Zhang, P. Isola, A. A. Efros, "Colorful Image Colorization", ECCV 2016, arXiv:1603.08511,
sections 2.1 to 2.3.
"""

from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

#: Distance between neighbouring bins, in Lab units.
STEP = 10
#: Standard deviation of the soft encoding's Gaussian, in Lab units.
SIGMA = 5.0
#: The paper's temperature of the annealed mean.
TEMPERATURE = 0.38


def ab_grid() -> np.ndarray:
    """The full grid of ab on which the bins lie; SIGGRAPH17's class head uses all of it.

    Returns
    -------
    numpy.ndarray
        (529, 2) float32: 23 x 23 values of a, b in -110, -100, ..., 110; a changes slowest.
    """
    axis = np.arange(-110, 111, STEP, dtype=np.float32)
    return np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)


@cache
def _bins() -> np.ndarray:
    from scipy.spatial import ConvexHull  # here: most of `import course_lib` would be these two
    from skimage.color import rgb2lab

    # Five levels a channel span the same hull as 256 do: its corners are the cube's corners.
    levels = np.linspace(0, 1, 33)
    rgb = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1)
    gamut = rgb2lab(rgb).reshape(-1, 3)[:, 1:]
    normals, offsets = np.split(ConvexHull(gamut).equations, [2], axis=1)
    grid = ab_grid().astype(np.float64)
    # A point lies within one step (max-norm) of the hull when the square of half-side STEP
    # around it meets the hull: shift each edge outwards by the square's extent along it.
    near_edges = grid @ normals.T + offsets.T < STEP * np.abs(normals).sum(axis=1)
    in_box = (grid > gamut.min(axis=0) - STEP) & (grid < gamut.max(axis=0) + STEP)
    return grid[near_edges.all(axis=1) & in_box.all(axis=1)].astype(np.float32)


def ab_bins() -> np.ndarray:
    """The 313 bins of ab: points of a grid of step 10 that lie in or next to sRGB's gamut.

    A grid point is a bin when it lies less than one step (in max-norm) from the convex hull of
    the sRGB gamut projected on the ab plane. That gives the published 313, in the published
    order.

    Returns
    -------
    numpy.ndarray
        (313, 2) float32, sorted by a, then b; a in -90..100, b in -110..100. (0, 0) is
        number 120.
    """
    return _bins().copy()


def nearest_bins(
    ab: Tensor, k: int = 10, sigma: float = SIGMA, bins: np.ndarray | None = None
) -> tuple[Tensor, Tensor]:
    """Soft encoding, kept sparse: the k nearest bins of each colour and their weights.

    Parameters
    ----------
    ab : torch.Tensor
        (N, 2, H, W), Lab units.
    k : int
        Neighbours that share the weight. The paper says 5, its released code uses 10.
    sigma : float
        Standard deviation of the Gaussian in Lab units.
    bins : numpy.ndarray, optional
        (Q, 2); `ab_bins()` unless given.

    Returns
    -------
    index : torch.Tensor
        (N, k, H, W) int64 in 0..Q-1, nearest first.
    weight : torch.Tensor
        (N, k, H, W), proportional to exp(-d^2 / (2 sigma^2)), sum 1 over the second axis.
    """
    if ab.ndim != 4 or ab.shape[1] != 2:
        raise ValueError(f"expected ab of shape (N, 2, H, W), got {tuple(ab.shape)}")
    n, _, height, width = ab.shape
    centres = torch.from_numpy(_bins() if bins is None else bins).to(ab)
    colours = ab.permute(0, 2, 3, 1).reshape(-1, 2)
    # |x - c|^2 less |x|^2, which does not change the order: one matrix product
    score = torch.addmm((centres**2).sum(1), colours, centres.T, alpha=-2)
    index = score.topk(k, dim=1, largest=False).indices
    squared = ((colours[:, None] - centres[index]) ** 2).sum(-1)
    # softmax is that same Gaussian, normalised, and cannot divide 0 by 0 far from every bin
    weight = F.softmax(-squared / (2 * sigma**2), dim=1)
    shape = (n, height, width, k)
    return (
        index.reshape(shape).permute(0, 3, 1, 2),
        weight.reshape(shape).permute(0, 3, 1, 2),
    )


def soft_encode(
    ab: Tensor, k: int = 10, sigma: float = SIGMA, bins: np.ndarray | None = None
) -> Tensor:
    """Soft encoding: each colour as a distribution over the bins.

    Parameters
    ----------
    ab, k, sigma, bins
        As in `nearest_bins`.

    Returns
    -------
    torch.Tensor
        (N, Q, H, W), at most k values above 0 at each pixel, sum 1.
    """
    index, weight = nearest_bins(ab, k, sigma, bins)
    count = len(_bins()) if bins is None else len(bins)
    n, _, height, width = ab.shape
    return ab.new_zeros(n, count, height, width).scatter_(1, index, weight)


def expected_ab(distribution: Tensor, bins: np.ndarray | None = None) -> Tensor:
    """Mean colour of a distribution over bins.

    Parameters
    ----------
    distribution : torch.Tensor
        (N, Q, H, W), sum 1 over the second axis.
    bins : numpy.ndarray, optional
        (Q, 2); `ab_bins()` unless given.

    Returns
    -------
    torch.Tensor
        (N, 2, H, W), Lab units.
    """
    centres = torch.from_numpy(_bins() if bins is None else bins).to(distribution)
    return torch.einsum("nqhw,qc->nchw", distribution, centres)


def annealed_mean(
    logits: Tensor, temperature: float = TEMPERATURE, bins: np.ndarray | None = None
) -> Tensor:
    """Annealed mean: between the mean (temperature 1) and the mode (toward 0) of a distribution.

    Parameters
    ----------
    logits : torch.Tensor
        (N, Q, H, W), unnormalized log-probabilities.
    temperature : float
        Above 0; the paper uses 0.38.
    bins : numpy.ndarray, optional
        (Q, 2); `ab_bins()` unless given.

    Returns
    -------
    torch.Tensor
        (N, 2, H, W), Lab units.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, got {temperature}")
    return expected_ab(F.softmax(logits / temperature, dim=1), bins)


def smooth_prior(counts: np.ndarray, sigma: float = SIGMA) -> np.ndarray:
    """A distribution over the bins, smoothed by a Gaussian on the ab plane.

    Parameters
    ----------
    counts : numpy.ndarray
        (313,), how often each bin occurs; any positive scale.
    sigma : float
        Standard deviation in Lab units; the paper uses 5.

    Returns
    -------
    numpy.ndarray
        (313,) float64, sum 1.
    """
    counts = np.asarray(counts, dtype=np.float64)
    if counts.shape != (len(_bins()),) or counts.min() < 0 or not counts.sum() > 0:
        raise ValueError("expected 313 counts, none negative and not all 0")
    squared = ((_bins()[:, None] - _bins()[None]).astype(np.float64) ** 2).sum(-1)
    kernel = np.exp(-squared / (2 * sigma**2))
    kernel /= kernel.sum(axis=0)  # each bin hands on its whole mass
    smoothed = kernel @ counts
    return smoothed / smoothed.sum()


def rebalancing_weights(prior: np.ndarray, lam: float = 0.5) -> np.ndarray:
    """Loss weight of each bin, larger for rare colours.

    Parameters
    ----------
    prior : numpy.ndarray
        (Q,), how probable each bin is; sum 1.
    lam : float
        How much of the uniform distribution is mixed in, 0..1: 1 weighs all bins alike. The
        paper uses 0.5.

    Returns
    -------
    numpy.ndarray
        (Q,) float64, proportional to 1 / ((1 - lam) p + lam / Q), scaled so that its mean under
        the prior is 1.
    """
    prior = np.asarray(prior, dtype=np.float64)
    if not 0 <= lam <= 1:
        raise ValueError(f"lam must be in 0..1, got {lam}")
    if not np.isclose(prior.sum(), 1, atol=1e-4) or prior.min() < 0:
        raise ValueError("the prior must be a distribution: none negative, sum 1")
    mixed = (1 - lam) * prior + lam / len(prior)
    if not mixed.min() > 0:
        raise ValueError("a colour of probability 0 has no weight at lam=0; smooth the prior")
    weights = 1 / mixed
    return weights / (prior * weights).sum()


class EncodingTable:
    """Soft encoding by looking it up: every whole-numbered (a, b), encoded once.

    Searching the nearest of 313 bins for every pixel would take a third of the training time.
    Rounding a and b to whole numbers first moves a colour by at most 0.71, little beside the
    bins' distance of 10.

    Parameters
    ----------
    k : int
        As in `nearest_bins`.
    bins : numpy.ndarray, optional
        (Q, 2); `ab_bins()` unless given.
    """

    #: a and b of the table run from -REACH to REACH: beyond the ab of any 8-bit sRGB colour.
    REACH = 110

    def __init__(self, k: int = 10, bins: np.ndarray | None = None):
        axis = torch.arange(-self.REACH, self.REACH + 1, dtype=torch.float32)
        colours = torch.stack(torch.meshgrid(axis, axis, indexing="ij"))[None]
        index, weight = nearest_bins(colours, k, bins=bins)
        self.index = index[0].flatten(1).T.contiguous()
        self.weight = weight[0].flatten(1).T.contiguous()

    def __call__(self, ab: Tensor) -> tuple[Tensor, Tensor]:
        """What `nearest_bins` returns for the rounded colours, as (pixels, k) each.

        Parameters
        ----------
        ab : torch.Tensor
            (N, 2, H, W); pixels are taken in (N, H, W) order.
        """
        cells = ab.round().long().clamp(-self.REACH, self.REACH) + self.REACH
        row = (cells[:, 0] * (2 * self.REACH + 1) + cells[:, 1]).flatten()
        return self.index[row], self.weight[row]

    def to(self, device: torch.device) -> "EncodingTable":
        """Move the table to the device of the pictures; returns the table."""
        self.index, self.weight = self.index.to(device), self.weight.to(device)
        return self
