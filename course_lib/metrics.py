"""How good is a colouring: PSNR, SSIM, AuC of ab error, chroma, hues, histograms of colours."""

from collections.abc import Iterable

import numpy as np
import torch

from course_lib.bins import ab_bins, nearest_bins

#: Largest ab distance that the AuC's curve looks at (Zhang et al. 2016, section 3.1).
MAX_AB_ERROR = 150
#: Where hues end on the ab plane, as angles in degrees; the first begins at -10.
HUES = {"red": 50, "orange, yellow": 105, "green": 180, "blue": 310, "purple": 350}
#: A pixel with less chroma, in Lab units, is of no hue in the truth; or came out gray.
COLOURED, GRAY = 20.0, 10.0


def psnr(rgb: np.ndarray, truth: np.ndarray) -> float:
    """Peak signal-to-noise ratio between two pictures, over their RGB values.

    Parameters
    ----------
    rgb, truth : numpy.ndarray
        (H, W, 3) uint8.

    Returns
    -------
    float
        Decibels; infinite where the pictures are equal. 6 dB more is half the error.
    """
    from skimage.metrics import peak_signal_noise_ratio  # here: it takes half a second

    _check_pair(rgb, truth)
    if np.array_equal(rgb, truth):
        return float("inf")
    return float(peak_signal_noise_ratio(truth, rgb, data_range=255))


def ssim(rgb: np.ndarray, truth: np.ndarray) -> float:
    """Structural similarity of two pictures, averaged over R, G and B.

    Parameters
    ----------
    rgb, truth : numpy.ndarray
        (H, W, 3) uint8, at least 11 pixels on each side.

    Returns
    -------
    float
        At most 1, for equal pictures.

    References
    ----------
    Z. Wang et al., "Image quality assessment: from error visibility to structural similarity",
    IEEE TIP 13(4), 2004: Gaussian window of sigma 1.5.
    """
    from skimage.metrics import structural_similarity

    _check_pair(rgb, truth)
    return float(
        structural_similarity(
            truth,
            rgb,
            channel_axis=2,
            data_range=255,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


def _check_pair(one: np.ndarray, other: np.ndarray) -> None:
    if one.shape != other.shape:
        raise ValueError(f"the pictures differ in shape: {one.shape} and {other.shape}")
    if one.dtype != np.uint8 or other.dtype != np.uint8:
        raise ValueError("expected uint8 pictures; colourings come from colorize() like that")


def bins_of(true: np.ndarray) -> np.ndarray:
    """The bin that is nearest to each pixel's colour.

    Parameters
    ----------
    true : numpy.ndarray
        (N, 2, H, W) ab.

    Returns
    -------
    numpy.ndarray
        (N, H, W) int64, 0..312.
    """
    nearest = nearest_bins(torch.from_numpy(np.ascontiguousarray(true)).float(), k=1)[0]
    return nearest[:, 0].numpy()


def rarity_of(true: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """What each pixel counts for in a class-balanced figure.

    Parameters
    ----------
    true : numpy.ndarray
        (N, 2, H, W) ab.
    weights : numpy.ndarray
        (313,), a weight for each bin. With 1 / p, every colour counts alike however rare.

    Returns
    -------
    numpy.ndarray
        (N, H, W) float64: the weight of the bin that is nearest to the pixel's true colour.
    """
    return np.asarray(weights, dtype=np.float64)[bins_of(true)]


def ab_error_curve(
    predicted: np.ndarray, true: np.ndarray, rarity: np.ndarray | None = None
) -> np.ndarray:
    """Share of pixels whose colour is off by at most 0, 1, ..., 150 Lab units.

    Parameters
    ----------
    predicted, true : numpy.ndarray
        (N, 2, H, W) ab.
    rarity : numpy.ndarray, optional
        (N, H, W), what each pixel counts for, as `rarity_of` says it: the class-balanced curve.

    Returns
    -------
    numpy.ndarray
        (151,), rising, in 0..1.
    """
    if predicted.shape != true.shape or predicted.ndim != 4 or predicted.shape[1] != 2:
        raise ValueError(
            f"expected two arrays (N, 2, H, W), got {predicted.shape} and {true.shape}"
        )
    error = np.hypot(*np.moveaxis(predicted - true, 1, 0)).ravel()
    counts_for = np.ones(error.shape) if rarity is None else rarity.ravel()
    # a pixel off by 2.3 is first within the threshold 3
    first = np.ceil(error).astype(int)
    histogram = np.bincount(np.minimum(first, MAX_AB_ERROR + 1), counts_for, MAX_AB_ERROR + 2)
    return np.cumsum(histogram)[:-1] / counts_for.sum()


def auc(curve: np.ndarray) -> float:
    """Area under a curve of `ab_error_curve`, in percent of the largest possible.

    Parameters
    ----------
    curve : numpy.ndarray
        (151,).

    Returns
    -------
    float
        0..100, by the trapezoidal rule. Higher is better.
    """
    return float(100 * (curve[1:] + curve[:-1]).mean() / 2)


def balanced_auc(predicted: np.ndarray, true: np.ndarray, weights: np.ndarray) -> float:
    """Mean over pictures of the area under each one's class-balanced curve, in percent.

    Over the pixels of all pictures at once, a few of the rarest bin could decide the figure.

    Parameters
    ----------
    predicted, true : numpy.ndarray
        (N, 2, H, W) ab.
    weights : numpy.ndarray
        (313,), as for `rarity_of`.

    Returns
    -------
    float
        0..100. Higher is better.
    """
    pairs = ((x[None], y[None]) for x, y in zip(predicted, true, strict=True))
    return float(np.mean([auc(ab_error_curve(x, y, rarity_of(y, weights))) for x, y in pairs]))


def pooled_weights(bins: Iterable[np.ndarray]) -> np.ndarray:
    """Weights under which each colour that occurs in a set of pictures counts alike.

    Parameters
    ----------
    bins : iterable of numpy.ndarray
        Each picture's bins, as `bins_of` returns them.

    Returns
    -------
    numpy.ndarray
        (313,), as for `rarity_of`: over all pixels of all pictures the weights add up to 1.
    """
    counts = sum(np.bincount(one.ravel(), minlength=len(ab_bins())) for one in bins)
    return 1 / np.maximum(counts, 1) / (counts > 0).sum()


def mean_chroma(ab: np.ndarray) -> float:
    """Mean distance from gray, in Lab units.

    Parameters
    ----------
    ab : numpy.ndarray
        (N, 2, H, W).
    """
    return float(np.hypot(*np.moveaxis(ab, 1, 0)).mean())


def colourfulness_ratio(predicted: np.ndarray, true: np.ndarray) -> float:
    """Mean chroma of a colouring over that of the truth: 1 is as colourful as life.

    Parameters
    ----------
    predicted, true : numpy.ndarray
        (N, 2, H, W) ab.
    """
    return mean_chroma(predicted) / mean_chroma(true)


def ab_histogram_distance(predicted: np.ndarray, true: np.ndarray, step: float = 10.0) -> float:
    """How far the colours of some pictures, taken together, are from those of others.

    Which pixel has which colour does not matter, only how often each occurs. It is 1 minus the
    histogram intersection (M. Swain, D. Ballard, "Color Indexing", IJCV 7, 1991), with which
    Isola et al. compare colour distributions; here over a and b together.

    Parameters
    ----------
    predicted, true : numpy.ndarray
        (N, 2, H, W) ab, Lab units.
    step : float
        Side of the histogram's cells, in Lab units.

    Returns
    -------
    float
        0 for equal shares of every colour, 1 if no cell occurs in both.
    """
    edges = np.arange(-115.0, 115.0 + step, step)
    shares = []
    for ab in (predicted, true):
        a, b = np.moveaxis(ab, 1, 0).reshape(2, -1).clip(-114, 114)
        counts, _, _ = np.histogram2d(a, b, bins=(edges, edges))
        shares.append(counts / counts.sum())
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def hue_counts(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Which true hues come out right, and which come out gray.

    Parameters
    ----------
    predicted, true : numpy.ndarray
        (2, H, W) ab.

    Returns
    -------
    numpy.ndarray
        (len(HUES), 3) int64. Of each hue: the pixels that are truly of it, with a chroma of at
        least 20; of those, the ones that came out in the same hue; and the ones that came out
        with a chroma below 10, whatever their hue.
    """
    ends = list(HUES.values())[:-1]

    def hue(ab: np.ndarray) -> np.ndarray:
        degrees = np.degrees(np.arctan2(ab[1], ab[0]))
        return np.digitize((degrees + 10) % 360 - 10, ends)

    own, gray = hue(true), np.hypot(*predicted) < GRAY
    coloured = np.hypot(*true) >= COLOURED
    right = (hue(predicted) == own) & ~gray
    counts = [
        np.bincount(own[coloured & also], minlength=len(HUES)) for also in (True, right, gray)
    ]
    return np.stack(counts, axis=1)
