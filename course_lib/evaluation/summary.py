"""Figures of many pictures in a few words: means, their intervals, and tables of them."""

import warnings
from collections.abc import Sequence

import numpy as np
from scipy import stats

from course_lib.metrics import HUES

#: A mean, and the two ends of its 95 % bootstrap interval.
Interval = tuple[float, float, float]

#: What a table of methods shows of each: heading, and digits after the point.
COLUMNS = {
    "psnr": ("PSNR, dB", 2),
    "ssim": ("SSIM", 3),
    "auc_raw": ("AuC raw, %", 1),
    "auc_balanced": ("AuC balanced, %", 1),
    "auc_pooled": ("AuC pooled, %", 1),
    "colourfulness": ("colourfulness", 2),
}


def bootstrap(values: np.ndarray, over: np.ndarray | None = None) -> Interval:
    """A mean with its 95 % bootstrap interval (B. Efron's percentile method, 1979).

    The interval of a paired difference is that of the differences.

    Parameters
    ----------
    values : numpy.ndarray
        (N,), one a photograph.
    over : numpy.ndarray, optional
        (N,): instead of the mean, the sum of the values over the sum of these. Photographs that
        have much of it count more.

    Returns
    -------
    (float, float, float)
        The mean or ratio, and the interval's two ends, from 2,000 resamples of the photographs
        that are always the same.
    """
    data = (values,) if over is None else (values, over)

    def statistic(part: np.ndarray, whole: np.ndarray | None = None, axis: int = -1) -> np.ndarray:
        if whole is None:
            return part.mean(axis=axis)
        with np.errstate(invalid="ignore"):
            return part.sum(axis=axis) / whole.sum(axis=axis)

    middle = float(statistic(*data))
    if len(values) == 1:  # nothing to draw from
        return middle, middle, middle
    with warnings.catch_warnings():
        # A rare hue may be missing in a resample: its ratio is no number, and passed over below.
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        drawn = stats.bootstrap(
            data,
            statistic,
            paired=over is not None,
            vectorized=True,
            n_resamples=2000,
            method="percentile",
            random_state=np.random.default_rng(0),
        ).bootstrap_distribution
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return middle, float(low), float(high)


def summarize(figures: dict[str, np.ndarray]) -> dict[str, Interval]:
    """Means with 95 % bootstrap intervals.

    Parameters
    ----------
    figures : dict
        From `measure`.

    Returns
    -------
    dict
        "psnr", "ssim", "auc_raw", "auc_balanced", "auc_pooled", "colourfulness" (ratio of the
        summed chromas): mean and the interval's two ends.
    """
    means = {name: _mean(figures, figures[name], name) for name in COLUMNS if name in figures}
    return means | {"colourfulness": bootstrap(figures["chroma"], over=figures["true_chroma"])}


def summarize_gain(
    figures: dict[str, np.ndarray], baseline: dict[str, np.ndarray]
) -> dict[str, Interval]:
    """How much better one method is than another, picture by picture.

    Parameters
    ----------
    figures, baseline : dict
        From `measure`, of the same pictures.

    Returns
    -------
    dict
        "psnr", "ssim", "auc_raw", "auc_balanced", "auc_pooled": the mean difference and the two
        ends of its 95 % bootstrap interval.
    """
    return {
        name: _mean(figures, figures[name] - baseline[name], name)
        for name in COLUMNS
        if name in figures
    }


def _mean(figures: dict[str, np.ndarray], values: np.ndarray, name: str) -> Interval:
    """Mean of values that belong to a figure; of a pooled one weighted by what pictures count."""
    if name == "auc_pooled":
        return bootstrap(values * figures["pool"], over=figures["pool"])
    return bootstrap(values)


def summarize_hues(figures: dict[str, np.ndarray]) -> dict[str, dict]:
    """What became of each true hue, over all pixels of all pictures.

    Parameters
    ----------
    figures : dict
        From `measure`.

    Returns
    -------
    dict
        Hue to "pictures" (how many have it at all), "pixels" (share of the coloured ones),
        "right" and "gray" (shares of the hue's pixels): 95 % bootstrap intervals as in
        `summarize`. Hues that no picture has are left out.
    """
    counts = figures["hues"]
    result = {}
    for number, name in enumerate(HUES):
        pixels, right, gray = counts[:, number].T
        if pixels.any():
            result[name] = {
                "pictures": int((pixels > 0).sum()),
                "pixels": float(pixels.sum() / counts[..., 0].sum()),
                "right": bootstrap(right, over=pixels),
                "gray": bootstrap(gray, over=pixels),
            }
    return result


def interval_text(interval: Interval, digits: int) -> str:
    """A mean and its interval as text.

    Parameters
    ----------
    interval : (float, float, float)
        From `bootstrap`.
    digits : int
        After the point.

    Returns
    -------
    str
        "24.10 (23.50 to 24.70)".
    """
    return "{:.{d}f} ({:.{d}f} to {:.{d}f})".format(*interval, d=digits)


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of texts as a Markdown table.

    Parameters
    ----------
    rows : sequence of sequence of str
        Equally long; the first one holds the heads of the columns.

    Returns
    -------
    str
        A line a row, and the line below the heads.
    """
    heads, *others = rows
    lines = [f"| {' | '.join(cells)} |" for cells in (heads, *others)]
    return "\n".join([lines[0], "|---" * len(heads) + "|", *lines[1:]])


def format_table(results: dict[str, dict[str, Interval]]) -> str:
    """Results of several methods as a Markdown table.

    Parameters
    ----------
    results : dict
        Method's name to what `summarize` or `summarize_gain` returns.

    Returns
    -------
    str
    """
    measured = {name for result in results.values() for name in result}
    columns = {key: column for key, column in COLUMNS.items() if key in measured}
    rows = [["method", *(heading for heading, _ in columns.values())]]
    for name, result in results.items():
        cells = [interval_text(result[key], digits) for key, (_, digits) in columns.items()]
        rows.append([name, *cells])
    return markdown_table(rows)
