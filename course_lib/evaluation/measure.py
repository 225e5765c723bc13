"""Figures of colouring methods, picture by picture."""

from collections.abc import Callable, Sequence

import numpy as np

from course_lib.bins import rebalancing_weights
from course_lib.data.prior import ab_prior
from course_lib.lab import rgb_to_lab, to_gray
from course_lib.metrics import (
    ab_error_curve,
    auc,
    bins_of,
    hue_counts,
    mean_chroma,
    pooled_weights,
    psnr,
    ssim,
)

#: From a gray picture (H, W, 3) uint8 to a coloured one of the same shape.
Method = Callable[[np.ndarray], np.ndarray]


def measure(pictures: Sequence[np.ndarray], method: Method) -> dict[str, np.ndarray]:
    """Figures of a colouring method, picture by picture.

    Parameters
    ----------
    pictures : sequence of numpy.ndarray
        The truth: (H, W, 3) uint8 each.
    method : callable
        From a gray picture (H, W, 3) uint8 to a coloured one of the same shape.

    Returns
    -------
    dict
        "psnr" in dB, "ssim", "auc_raw" and "auc_balanced" in percent, "chroma" and "true_chroma"
        in Lab units: arrays (len(pictures),). "auc_pooled" in percent and "pool", what the
        picture counts for in it: each colour counts alike that occurs in any of the pictures,
        however rare; the figure of all together is the mean weighted with "pool". "hues" as
        `hue_counts` returns them: (len(pictures), 5, 3).
    """
    return measure_all(pictures, {"": method})[""]


def measure_all(
    pictures: Sequence[np.ndarray], methods: dict[str, Method]
) -> dict[str, dict[str, np.ndarray]]:
    """Figures of several colouring methods on the same pictures.

    Parameters
    ----------
    pictures, methods
        As in `measure`; methods by name.

    Returns
    -------
    dict
        Method's name to what `measure` returns.
    """
    weights = rebalancing_weights(ab_prior(), lam=0)
    bins = [bins_of(_ab(truth)).astype(np.int16) for truth in pictures]
    pooled = pooled_weights(bins)
    rows: dict[str, list[dict]] = {name: [] for name in methods}
    for truth, nearest in zip(pictures, bins, strict=True):
        # what follows from the truth alone is worked out once for all methods: it costs most
        gray, true = to_gray(truth), _ab(truth)
        rarities = {"auc_balanced": weights[nearest], "auc_pooled": pooled[nearest]}
        for name, method in methods.items():
            rows[name].append(_figures(method(gray), truth, true, rarities))
    return {
        name: {key: np.array([row[key] for row in found]) for key in found[0]}
        for name, found in rows.items()
    }


def _ab(rgb: np.ndarray) -> np.ndarray:
    """ab of a picture, as the measures take it: (1, 2, H, W)."""
    return np.moveaxis(rgb_to_lab(rgb)[..., 1:], -1, 0)[None]


def _figures(
    out: np.ndarray, truth: np.ndarray, true: np.ndarray, rarities: dict[str, np.ndarray]
) -> dict:
    predicted = _ab(out)
    return {
        "psnr": psnr(out, truth),
        "ssim": ssim(out, truth),
        "auc_raw": auc(ab_error_curve(predicted, true)),
        **{
            name: auc(ab_error_curve(predicted, true, rarity)) for name, rarity in rarities.items()
        },
        "pool": float(rarities["auc_pooled"].sum()),
        "chroma": mean_chroma(predicted),
        "true_chroma": mean_chroma(true),
        "hues": hue_counts(predicted[0], true[0]),
    }
