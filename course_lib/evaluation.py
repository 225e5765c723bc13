"""The shipped networks measured on photographs that they never saw.

    python -m course_lib.evaluation [--split test] [--weights course] [--json FILE]
        [--picture FILE]

Protocol: the centre square of each photograph at 256 x 256; the network sees its lightness;
PSNR over 8-bit RGB; ab-error AuC from 0 to 150, raw and class-balanced by the shipped prior;
colourfulness as mean chroma over the truth's. Each figure is a mean over photographs, with a
95 % bootstrap interval. The baseline is the gray picture itself.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from torch import nn

from course_lib.bins import rebalancing_weights
from course_lib.data.arrays import square
from course_lib.data.photos import KINDS, SPLITS, photos
from course_lib.data.prior import ab_prior
from course_lib.image import save_image
from course_lib.inference import colorize
from course_lib.lab import rgb_to_lab, to_gray
from course_lib.metrics import ab_error_curve, auc, psnr
from course_lib.models import eccv16, siggraph17
from course_lib.models.weights import WeightsError

#: Side of the squares that are measured, in pixels.
SIZE = 256
#: Photographs on the sheet of results.
SHEET = 6


def _ab(rgb: np.ndarray) -> np.ndarray:
    return np.moveaxis(rgb_to_lab(rgb)[..., 1:], -1, 0)[None]


def measure(
    pictures: Sequence[np.ndarray], method: Callable[[np.ndarray], np.ndarray]
) -> dict[str, np.ndarray]:
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
        "psnr" in dB, "auc_raw" and "auc_balanced" in percent, "chroma" and "true_chroma" in
        Lab units: arrays (len(pictures),).
    """
    weights = rebalancing_weights(ab_prior(), lam=0)
    rows = []
    for truth in pictures:
        out = method(to_gray(truth))
        predicted, true = _ab(out), _ab(truth)
        rows.append(
            {
                "psnr": psnr(out, truth),
                "auc_raw": auc(ab_error_curve(predicted, true)),
                "auc_balanced": auc(ab_error_curve(predicted, true, weights)),
                "chroma": np.hypot(*predicted[0]).mean(),
                "true_chroma": np.hypot(*true[0]).mean(),
            }
        )
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def summarize(
    figures: dict[str, np.ndarray], resamples: int = 2000, seed: int = 0
) -> dict[str, tuple[float, float, float]]:
    """Means with 95 % bootstrap intervals.

    Parameters
    ----------
    figures : dict
        From `measure`.
    resamples : int
        Bootstrap samples of the pictures.
    seed : int
        Of the resampling.

    Returns
    -------
    dict
        "psnr", "auc_raw", "auc_balanced", "colourfulness" (ratio of the summed chromas): mean
        and the interval's two ends.
    """
    count = len(figures["psnr"])
    draws = np.random.default_rng(seed).integers(0, count, (resamples, count))

    def interval(value: Callable[[np.ndarray], np.ndarray]) -> tuple[float, float, float]:
        low, high = np.percentile(value(draws), [2.5, 97.5])
        return float(value(np.arange(count)[None])[0]), float(low), float(high)

    result = {
        name: interval(lambda i, x=figures[name]: x[i].mean(axis=1))
        for name in ("psnr", "auc_raw", "auc_balanced")
    }
    chroma, true = figures["chroma"], figures["true_chroma"]
    result["colourfulness"] = interval(lambda i: chroma[i].sum(axis=1) / true[i].sum(axis=1))
    return result


def format_table(results: dict[str, dict[str, tuple[float, float, float]]]) -> str:
    """Results of several methods as a Markdown table.

    Parameters
    ----------
    results : dict
        Method's name to what `summarize` returns.

    Returns
    -------
    str
    """
    lines = [
        "| method | PSNR, dB | AuC raw, % | AuC balanced, % | colourfulness |",
        "|---|---|---|---|---|",
    ]
    digits = {"psnr": 2, "auc_raw": 1, "auc_balanced": 1, "colourfulness": 2}
    for name, result in results.items():
        cells = [
            "{:.{d}f} ({:.{d}f} to {:.{d}f})".format(*result[key], d=d)
            for key, d in digits.items()
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def contact_sheet(pictures: Sequence[np.ndarray], nets: Sequence[nn.Module]) -> np.ndarray:
    """Rows of gray, each network's colouring, and truth; a column for each photograph.

    Parameters
    ----------
    pictures : sequence of numpy.ndarray
        (S, S, 3) uint8 each.
    nets : sequence of torch.nn.Module
        One row each.

    Returns
    -------
    numpy.ndarray
        ((2 + len(nets)) * S, len(pictures) * S, 3) uint8, with white gaps.
    """
    rows = [[to_gray(p) for p in pictures]]
    rows += [[colorize(p, net) for p in pictures] for net in nets]
    rows += [list(pictures)]
    framed = [[np.pad(p, ((3, 3), (3, 3), (0, 0)), constant_values=255) for p in r] for r in rows]
    return np.concatenate([np.concatenate(row, axis=1) for row in framed], axis=0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print a table; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m course_lib.evaluation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument("--kind", choices=[k for k in KINDS if k != "gray"], default="scene")
    parser.add_argument("--weights", default="course", help="course or official")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--picture", type=Path, help="also write a sheet of results to this file")
    options = parser.parse_args(arguments)
    pictures = [square(p.load(), SIZE) for p in photos(options.split, options.kind)]
    try:
        nets = {"eccv16": eccv16(options.weights), "siggraph17": siggraph17(options.weights)}
    except WeightsError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    results = {"gray": summarize(measure(pictures, lambda gray: gray))}
    for name, net in nets.items():
        results[name] = summarize(measure(pictures, lambda gray, n=net: colorize(gray, n)))
    print(f"{len(pictures)} photographs ({options.kind}, {options.split}), {SIZE} x {SIZE}\n")
    print(format_table(results))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")
    if options.picture:
        save_image(options.picture, contact_sheet(pictures[:SHEET], list(nets.values())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
