"""The networks measured on photographs that they never saw, beside what has to be beaten.

    python -m course_lib.evaluation                             the course's own test scenes
    python -m course_lib.evaluation --folder DIR --part test    pictures of your own
    python -m course_lib.evaluation --folder caltech-101        a public set, fetched if need be

Protocol: the centre square of each photograph at 256 x 256; the network sees its lightness;
PSNR and SSIM over 8-bit RGB; ab-error AuC from 0 to 150, raw and class-balanced by the shipped
prior; colourfulness as mean chroma over the truth's. Each figure is a mean over photographs, with
a 95 % bootstrap interval over them. SIGGRAPH17 is also measured with hints that tell the truth:
PSNR against their number, as `hint_curve` says. And its class head is asked for five colours at
places of each photograph, as `suggestions` says.

The balanced AuC is computed in each photograph, then averaged: a pixel counts by 1 over its true
colour's probability, a photograph as much as any other. The ECCV16 paper weighs pixels alike
(section 3.1), as it seems in one sum over its whole test set. In such a sum all colours have the
same weight as long as the test pictures have the prior's own distribution; where they have not, a
handful of pixels decides it, those of a drawing in pure green, say. Figures of the two kinds must
not be compared.

Baselines: the gray picture itself, the training pictures' mean colour, and the colours of the
training picture whose gray is most alike.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pooch
import torch
import torch.nn.functional as F
from torch import nn

from course_lib.baselines import THUMBNAIL, MeanColour, NearestPicture
from course_lib.bins import nearest_bins, rebalancing_weights
from course_lib.contact_sheet import contact_sheet
from course_lib.data.arrays import GRAY_CHROMA, encode_lab, square
from course_lib.data.photos import KINDS, SPLITS, photos
from course_lib.data.prior import ab_prior
from course_lib.data.public import PUBLIC_SETS, DatasetError, fetch_dataset
from course_lib.data.split import only_part
from course_lib.hint_curve import PUBLISHED_PSNR, psnr_against_hints, reveal_hints
from course_lib.image import ImageError, list_images, load_image, save_image
from course_lib.inference import colorize
from course_lib.lab import lightness, rgb_to_lab, to_gray
from course_lib.metrics import MAX_AB_ERROR, psnr, ssim
from course_lib.models import WeightsError, eccv16, find_weights, siggraph17
from course_lib.suggestions import suggestion_errors

#: Side of the squares that are measured, in pixels.
SIZE = 256
#: A photograph whose shorter side is less than this share of the square's would be measured on
#: invented pixels.
MIN_SHARE = 0.625
#: Thumbnails of different photographs correlate less than this; copies correlate more.
COPY = 0.97
#: Photographs on the sheet of results, unless told.
SHEET = 6
#: Where hues end on the ab plane, as angles in degrees; the first begins at -10.
HUES = {"red": 50, "orange, yellow": 105, "green": 180, "blue": 310, "purple": 350}
#: A pixel with less chroma, in Lab units, is of no hue in the truth; or came out gray.
COLOURED, GRAY = 20.0, 10.0

Method = Callable[[np.ndarray], np.ndarray]


def _ab(rgb: np.ndarray) -> np.ndarray:
    return np.moveaxis(rgb_to_lab(rgb)[..., 1:], -1, 0)


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
        in Lab units: arrays (len(pictures),). "hues" as `hue_counts` returns them:
        (len(pictures), 5, 3).
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
    rows: dict[str, list[dict]] = {name: [] for name in methods}
    for truth in pictures:
        # what follows from the truth alone is worked out once for all methods: it costs most
        gray, true = to_gray(truth), _ab(truth)
        nearest, _ = nearest_bins(torch.from_numpy(true.copy())[None].float(), k=1)
        rarity = weights[nearest[0, 0].numpy()]
        for name, method in methods.items():
            rows[name].append(_figures(method(gray), truth, true, rarity))
    return {
        name: {key: np.array([row[key] for row in found]) for key in found[0]}
        for name, found in rows.items()
    }


def _figures(out: np.ndarray, truth: np.ndarray, true: np.ndarray, rarity: np.ndarray) -> dict:
    predicted = _ab(out)
    # The area under `metrics.ab_error_curve` is the mean of what each pixel adds to it.
    error = np.ceil(np.hypot(*(predicted - true))).astype(np.float64)
    area = np.clip((MAX_AB_ERROR + 0.5 - error) / MAX_AB_ERROR, 0, 1)
    return {
        "psnr": psnr(out, truth),
        "ssim": ssim(out, truth),
        "auc_raw": 100 * area.mean(),
        "auc_balanced": 100 * np.average(area, weights=rarity),
        "chroma": np.hypot(*predicted).mean(),
        "true_chroma": np.hypot(*true).mean(),
        "hues": hue_counts(predicted, true),
    }


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
    result = {
        name: bootstrap(figures[name], resamples, seed)
        for name in ("psnr", "ssim", "auc_raw", "auc_balanced")
    }
    chroma, true = figures["chroma"], figures["true_chroma"]
    result["colourfulness"] = _bootstrap_ratio(chroma, true, resamples, seed)
    return result


def _bootstrap_ratio(
    part: np.ndarray, whole: np.ndarray, resamples: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """As `bootstrap`, of one sum over another: large wholes count more."""
    draws = np.random.default_rng(seed).integers(0, len(part), (resamples, len(part)))
    sums = whole[draws].sum(axis=1)
    drawn = sums > 0  # a rare hue may be missing in a resample
    low, high = np.percentile(part[draws].sum(axis=1)[drawn] / sums[drawn], [2.5, 97.5])
    return float(part.sum() / whole.sum()), float(low), float(high)


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
                "right": _bootstrap_ratio(right, pixels),
                "gray": _bootstrap_ratio(gray, pixels),
            }
    return result


def from_best_to_worst(gains: np.ndarray, count: int) -> list[int]:
    """A fair choice of pictures to show: evenly spread over their ranks, best and worst included.

    Parameters
    ----------
    gains : numpy.ndarray
        (N,), how well each picture came out; more is better.
    count : int
        How many; all N if there are no more.

    Returns
    -------
    list of int
        Indices, best first.
    """
    order = np.argsort(-gains, kind="stable")
    ranks = np.linspace(0, len(gains) - 1, min(count, len(gains))).round().astype(int)
    return order[ranks].tolist()


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


def format_means(
    heading: str, row: str, results: dict[str, tuple[float, float, float]], digits: int
) -> str:
    """Means as a Markdown table of one row, without their intervals.

    Parameters
    ----------
    heading : str
        What the columns are.
    row : str
        What the figures are, with their unit.
    results : dict
        Column to mean and the interval's two ends, as `hint_results` and `suggestion_results`
        return it.
    digits : int
        After the point.

    Returns
    -------
    str
    """
    means = " | ".join(f"{mean:.{digits}f}" for mean, _, _ in results.values())
    header = f"| {heading} | " + " | ".join(results) + " |"
    return "\n".join([header, "|---|" + "---|" * len(results), f"| {row} | {means} |"])


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


def suggestion_results(
    pictures: Sequence[np.ndarray], net: nn.Module
) -> dict[str, tuple[float, float, float]]:
    """How near the nearest of five suggestions comes to the truth.

    Parameters
    ----------
    pictures : sequence of numpy.ndarray
        The truth: (H, W, 3) uint8 each.
    net : torch.nn.Module
        SIGGRAPH17.

    Returns
    -------
    dict
        The names of `suggestions.suggestion_errors`, and "class head less prior", to mean and 95 %
        bootstrap interval in Lab units. Below zero the class head's five are nearer.
    """
    errors = suggestion_errors(net, pictures)
    errors["class head less prior"] = (
        errors["five of the class head"] - errors["five of the prior"]
    )
    return {name: bootstrap(values) for name, values in errors.items()}


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


def known_to(thumbnails: torch.Tensor) -> Callable[[np.ndarray], bool]:
    """A test whether a picture is a copy, or nearly one, of a training picture.

    Public sets hold pictures twice, and share some, in other sizes and crops: other bytes, so that
    the split by hash does not keep them together.

    Parameters
    ----------
    thumbnails : torch.Tensor
        (N, 256), as `NearestPicture` has them.

    Returns
    -------
    callable
        From a picture (H, W, 3) uint8 to whether the lightness of its thumbnail correlates with a
        training picture's by more than 0.97.
    """
    spread = thumbnails.std(dim=1, correction=0) * THUMBNAIL

    def known(rgb: np.ndarray) -> bool:
        L = torch.from_numpy(lightness(rgb))[None, None]
        one = F.interpolate(L, (THUMBNAIL, THUMBNAIL), mode="area").flatten()
        one = one - one.mean()
        return bool((thumbnails @ one > COPY * one.norm() * spread).any())

    return known


def held_out_pictures(
    folders: Sequence[Path],
    part: str,
    count: int,
    *,
    only: Sequence[str] = (),
    without: Sequence[str] = (),
    size: int = SIZE,
    known: Callable[[np.ndarray], bool] = lambda rgb: False,
) -> list[np.ndarray]:
    """Centre squares of pictures in folders that no training may have seen.

    Parameters
    ----------
    folders : sequence of Path
        Searched with their subfolders.
    part : {"train", "validation", "test"}
        By the files' hashes; see `data.split`.
    count : int
        At most so many, a fair sample. Gray and unreadable pictures are passed over, and those
        whose shorter side is below 0.625 of `size`.
    only, without : sequence of str
        Subfolders, at any depth ("val", "photo/person"): pictures elsewhere, and pictures in
        those, are passed over.
    size : int
        Of the squares, in pixels.
    known : callable
        From a square to whether it is passed over, too: see `known_to`.

    Returns
    -------
    list of numpy.ndarray
        (size, size, 3) uint8.
    """

    def wanted(path: str) -> bool:
        inside, outside = ([f"/{name}/" in path for name in names] for names in (only, without))
        return (any(inside) or not only) and not any(outside)

    paths = [
        path
        for folder in folders
        for path in list_images(folder)
        if wanted(f"/{path.relative_to(folder).as_posix()}")
    ]
    smallest = round(MIN_SHARE * size)
    chosen = []
    for path in only_part(paths, part):
        try:
            rgb = load_image(path)
        except ImageError:
            continue
        if min(rgb.shape[:2]) < smallest:
            continue
        if np.hypot(*_ab(square(rgb, 64))).mean() < GRAY_CHROMA or known(square(rgb, 64)):
            continue
        chosen.append(square(rgb, size))
        if len(chosen) == count:
            break
    if not chosen:
        where = ", ".join(map(str, (*folders, *only)))
        raise ValueError(f"no pictures of at least {smallest} pixels in {part} of {where}")
    return chosen


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m course_lib.evaluation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--split", choices=SPLITS, default="test", help="shipped photographs")
    parser.add_argument("--kind", choices=[k for k in KINDS if k != "gray"], default="scene")
    parser.add_argument(
        "--folder",
        nargs="+",
        help=f"instead: folders of pictures, or public sets ({', '.join(PUBLIC_SETS)})",
    )
    parser.add_argument("--only", nargs="+", default=(), help="of the folders: these subfolders")
    parser.add_argument("--without", nargs="+", default=(), help="of the folders: not these")
    parser.add_argument("--part", choices=SPLITS, default="test", help="of the folders, by hash")
    parser.add_argument("--count", type=int, default=200, help="at most so many of them")
    parser.add_argument("--size", type=int, default=SIZE, help="of the squares, in pixels")
    parser.add_argument(
        "--train",
        type=Path,
        help="array that the baselines learn from; copies of its pictures are not measured",
    )
    parser.add_argument("--weights", default="course", help="course or official")
    parser.add_argument("--name", default="course test scenes", help="of the pictures, in FILE")
    parser.add_argument("--json", type=Path, help="also put the figures into this file")
    parser.add_argument(
        "--picture",
        type=Path,
        help="also write a sheet of results to this file, from eccv16's best picture to its worst",
    )
    parser.add_argument("--sheet", type=int, default=SHEET, help="photographs on the sheet")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print a table; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        nets = {"eccv16": eccv16(options.weights), "siggraph17": siggraph17(options.weights)}
        codes = training_codes(options.train)
        nearest = NearestPicture(codes)
        if options.folder:
            folders = [
                fetch_dataset(name) if name in PUBLIC_SETS else Path(name)
                for name in options.folder
            ]
            pictures = held_out_pictures(
                folders,
                options.part,
                options.count,
                only=options.only,
                without=options.without,
                size=options.size,
                known=known_to(nearest.thumbnails),
            )
        else:
            pictures = [
                square(p.load(), options.size) for p in photos(options.split, options.kind)
            ]
    except (WeightsError, DatasetError, ImageError, ValueError, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    methods: dict[str, Method] = {
        "gray": lambda gray: gray,
        "mean colour": MeanColour(codes),
        "nearest picture": nearest,
    }
    methods |= {name: lambda gray, n=net: colorize(gray, n) for name, net in nets.items()}
    figures = measure_all(pictures, methods)
    results = {name: summarize(figure) for name, figure in figures.items()}
    curve = hint_results(pictures, nets["siggraph17"])
    print(f"{options.name}: {len(pictures)} photographs, {options.size} x {options.size}\n")
    print(format_table(results))
    print("\n" + format_means("hints", "PSNR, dB", curve, 2))
    suggestions = suggestion_results(pictures, nets["siggraph17"])
    print("\n" + format_means("suggestions", "off by, Lab units", suggestions, 1))
    if options.json:
        known = json.loads(options.json.read_text()) if options.json.exists() else {}
        known[options.name] = {
            "pictures": len(pictures),
            "size": options.size,
            "training_pictures": len(codes),  # of the baselines
            "weights": {
                name: pooch.file_hash(str(find_weights(name, options.weights))) for name in nets
            },
            "methods": results,
            "hues": {name: summarize_hues(figures[name]) for name in nets},
            "hints": curve,
            "suggestions": suggestions,
        }
        options.json.write_text(json.dumps(known, indent=2) + "\n")
    if options.picture:
        colour = {"ECCV16": nets["eccv16"], "SIGGRAPH17": nets["siggraph17"]}
        rows = {name: lambda rgb, _, n=net: colorize(rgb, n) for name, net in colour.items()}
        rows["with ten hints"] = lambda rgb, i: colorize(
            rgb, nets["siggraph17"], hints=reveal_hints(rgb, 10, i)
        )
        gains = figures["eccv16"]["psnr"] - figures["gray"]["psnr"]
        shown = [pictures[i] for i in from_best_to_worst(gains, options.sheet)]
        save_image(options.picture, contact_sheet(shown, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
