"""The networks measured on photographs that they never saw, beside what has to be beaten.

    python -m course_lib.evaluation                             the course's own test scenes
    python -m course_lib.evaluation --folder DIR --part test    pictures of your own

Protocol: the centre square of each photograph at 256 x 256; the network sees its lightness;
PSNR and SSIM over 8-bit RGB; ab-error AuC from 0 to 150, raw and class-balanced by the shipped
prior; colourfulness as mean chroma over the truth's. Each figure is a mean over photographs, with
a 95 % bootstrap interval over them. SIGGRAPH17 is also measured with hints that tell the truth:
PSNR against their number, as `hint_curve` says.

Baselines: the gray picture itself, the training pictures' mean colour, and the colours of the
training picture whose gray is most alike.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from torch import nn

from course_lib.baselines import MeanColour, NearestPicture
from course_lib.bins import rebalancing_weights
from course_lib.data.arrays import GRAY_CHROMA, encode_lab, square
from course_lib.data.photos import KINDS, SPLITS, photos
from course_lib.data.prior import ab_prior
from course_lib.data.split import only_part
from course_lib.hint_curve import PUBLISHED_PSNR, psnr_against_hints, reveal_hints
from course_lib.image import ImageError, list_images, load_image, save_image
from course_lib.inference import colorize
from course_lib.lab import rgb_to_lab, to_gray
from course_lib.metrics import ab_error_curve, auc, psnr, ssim
from course_lib.models import eccv16, siggraph17
from course_lib.models.weights import WeightsError

#: Side of the squares that are measured, in pixels.
SIZE = 256
#: Photographs on the sheet of results.
SHEET = 6
#: A photograph with a shorter side below this would be measured on invented pixels.
MIN_SIDE = 160

Method = Callable[[np.ndarray], np.ndarray]


def _ab(rgb: np.ndarray) -> np.ndarray:
    return np.moveaxis(rgb_to_lab(rgb)[..., 1:], -1, 0)[None]


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
        in Lab units: arrays (len(pictures),).
    """
    weights = rebalancing_weights(ab_prior(), lam=0)
    rows = []
    for truth in pictures:
        out = method(to_gray(truth))
        predicted, true = _ab(out), _ab(truth)
        rows.append(
            {
                "psnr": psnr(out, truth),
                "ssim": ssim(out, truth),
                "auc_raw": auc(ab_error_curve(predicted, true)),
                "auc_balanced": auc(ab_error_curve(predicted, true, weights)),
                "chroma": np.hypot(*predicted[0]).mean(),
                "true_chroma": np.hypot(*true[0]).mean(),
            }
        )
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def bootstrap(
    values: np.ndarray, resamples: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """A mean with its 95 % bootstrap interval.

    Parameters
    ----------
    values : numpy.ndarray
        (N,), one a photograph.
    resamples : int
        Bootstrap samples of the photographs.
    seed : int
        Of the resampling.

    Returns
    -------
    (float, float, float)
        The mean, and the interval's two ends.
    """
    draws = np.random.default_rng(seed).integers(0, len(values), (resamples, len(values)))
    low, high = np.percentile(values[draws].mean(axis=1), [2.5, 97.5])
    return float(values.mean()), float(low), float(high)


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
        "psnr", "ssim", "auc_raw", "auc_balanced", "colourfulness" (ratio of the summed chromas):
        mean and the interval's two ends.
    """
    count = len(figures["psnr"])
    result = {
        name: bootstrap(figures[name], resamples, seed)
        for name in ("psnr", "ssim", "auc_raw", "auc_balanced")
    }
    draws = np.random.default_rng(seed).integers(0, count, (resamples, count))
    chroma, true = figures["chroma"], figures["true_chroma"]
    ratios = chroma[draws].sum(axis=1) / true[draws].sum(axis=1)
    low, high = np.percentile(ratios, [2.5, 97.5])
    result["colourfulness"] = (float(chroma.sum() / true.sum()), float(low), float(high))
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
        "| method | PSNR, dB | SSIM | AuC raw, % | AuC balanced, % | colourfulness |",
        "|---|---|---|---|---|---|",
    ]
    digits = {"psnr": 2, "ssim": 3, "auc_raw": 1, "auc_balanced": 1, "colourfulness": 2}
    for name, result in results.items():
        cells = [
            "{:.{d}f} ({:.{d}f} to {:.{d}f})".format(*result[key], d=d)
            for key, d in digits.items()
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def format_curve(curve: dict[str, tuple[float, float, float]]) -> str:
    """PSNR by the number of hints as a Markdown table.

    Parameters
    ----------
    curve : dict
        Number of hints to mean and the interval's two ends, as `hint_results` returns it.

    Returns
    -------
    str
    """
    lines = ["| hints | " + " | ".join(curve) + " |", "|---|" + "---|" * len(curve)]
    means = " | ".join(f"{mean:.2f}" for mean, _, _ in curve.values())
    return "\n".join([*lines, f"| PSNR, dB | {means} |"])


def hint_results(
    pictures: Sequence[np.ndarray], net: nn.Module
) -> dict[str, tuple[float, float, float]]:
    """PSNR of SIGGRAPH17 with 0, 1, 2, 5, 10, 20, 50 and 100 true hints.

    Parameters
    ----------
    pictures : sequence of numpy.ndarray
        The truth: (H, W, 3) uint8 each.
    net : torch.nn.Module
        SIGGRAPH17.

    Returns
    -------
    dict
        Number of hints, as text, to mean and 95 % bootstrap interval in dB.
    """
    curves = psnr_against_hints(net, pictures)
    return {
        str(count): bootstrap(curves[:, column]) for column, count in enumerate(PUBLISHED_PSNR)
    }


def contact_sheet(
    pictures: Sequence[np.ndarray], methods: Sequence[Callable[[np.ndarray, int], np.ndarray]]
) -> np.ndarray:
    """Rows of gray, each method's colouring, and truth; a column for each photograph.

    Parameters
    ----------
    pictures : sequence of numpy.ndarray
        (S, S, 3) uint8 each.
    methods : sequence of callable
        One row each: from a photograph and its number to a coloured picture of the same shape.

    Returns
    -------
    numpy.ndarray
        ((2 + len(methods)) * (S + 6), len(pictures) * (S + 6), 3) uint8, with white gaps.
    """
    rows = [[to_gray(p) for p in pictures]]
    rows += [[method(p, number) for number, p in enumerate(pictures)] for method in methods]
    rows += [list(pictures)]
    framed = [[np.pad(p, ((3, 3), (3, 3), (0, 0)), constant_values=255) for p in r] for r in rows]
    return np.concatenate([np.concatenate(row, axis=1) for row in framed], axis=0)


def training_codes(path: Path | None) -> np.ndarray:
    """The pictures that the baselines learn from.

    Parameters
    ----------
    path : Path, optional
        An array made by ``python -m course_lib.training prepare``. The course's own training
        photographs unless given.

    Returns
    -------
    numpy.ndarray
        (N, 3, H, W) uint8.
    """
    if path is not None:
        return np.load(path, mmap_mode="r")
    shipped = [square(p.load(), 64) for p in photos("train") if p.kind != "gray"]
    return np.stack([encode_lab(rgb_to_lab(rgb)).transpose(2, 0, 1) for rgb in shipped])


def held_out_pictures(folders: Sequence[Path], part: str, count: int) -> list[np.ndarray]:
    """Centre squares, 256 x 256, of pictures in folders that no training may have seen.

    Parameters
    ----------
    folders : sequence of Path
        Searched with their subfolders.
    part : {"train", "validation", "test"}
        By the files' hashes; see `data.split`.
    count : int
        At most so many. Pictures below 160 pixels, unreadable ones and gray ones are passed over.

    Returns
    -------
    list of numpy.ndarray
        (256, 256, 3) uint8.
    """
    chosen = []
    for path in only_part([p for folder in folders for p in list_images(folder)], part):
        try:
            rgb = load_image(path)
        except ImageError:
            continue
        small = min(rgb.shape[:2]) < MIN_SIDE
        if not small and np.hypot(*rgb_to_lab(square(rgb, 64))[..., 1:].T).mean() >= GRAY_CHROMA:
            chosen.append(square(rgb, SIZE))
        if len(chosen) == count:
            break
    if not chosen:
        raise ValueError(f"no pictures of at least {MIN_SIDE} pixels in {part} of {folders}")
    return chosen


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m course_lib.evaluation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--split", choices=SPLITS, default="test", help="shipped photographs")
    parser.add_argument("--kind", choices=[k for k in KINDS if k != "gray"], default="scene")
    parser.add_argument("--folder", type=Path, nargs="+", help="instead: folders of pictures")
    parser.add_argument("--part", choices=SPLITS, default="test", help="of the folders, by hash")
    parser.add_argument("--count", type=int, default=200, help="at most so many of them")
    parser.add_argument("--train", type=Path, help="array that the baselines learn from")
    parser.add_argument("--weights", default="course", help="course or official")
    parser.add_argument("--name", default="course test scenes", help="of the pictures, in FILE")
    parser.add_argument("--json", type=Path, help="also put the figures into this file")
    parser.add_argument("--picture", type=Path, help="also write a sheet of results to this file")
    parser.add_argument("--columns", type=int, default=SHEET, help="photographs on the sheet")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print a table; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        nets = {"eccv16": eccv16(options.weights), "siggraph17": siggraph17(options.weights)}
        if options.folder:
            pictures = held_out_pictures(options.folder, options.part, options.count)
        else:
            pictures = [square(p.load(), SIZE) for p in photos(options.split, options.kind)]
        codes = training_codes(options.train)
    except (WeightsError, ImageError, ValueError, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    methods: dict[str, Method] = {
        "gray": lambda gray: gray,
        "mean colour": MeanColour(codes),
        "nearest picture": NearestPicture(codes),
    }
    methods |= {name: lambda gray, n=net: colorize(gray, n) for name, net in nets.items()}
    results = {name: summarize(measure(pictures, method)) for name, method in methods.items()}
    curve = hint_results(pictures, nets["siggraph17"])
    print(f"{options.name}: {len(pictures)} photographs, {SIZE} x {SIZE}\n")
    print(format_table(results))
    print("\n" + format_curve(curve))
    if options.json:
        known = json.loads(options.json.read_text()) if options.json.exists() else {}
        known[options.name] = {"pictures": len(pictures), "methods": results, "hints": curve}
        options.json.write_text(json.dumps(known, indent=2) + "\n")
    if options.picture:
        rows = [lambda rgb, _, n=net: colorize(rgb, n) for net in nets.values()]
        rows.append(
            lambda rgb, i: colorize(rgb, nets["siggraph17"], hints=reveal_hints(rgb, 10, i))
        )
        save_image(options.picture, contact_sheet(pictures[: options.columns], rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
