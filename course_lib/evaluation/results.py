"""Everything that is measured of the networks on some pictures: what a row of a report says."""

from collections.abc import Sequence

import numpy as np
from torch import nn

from course_lib.evaluation.baselines import MeanColour, NearestPicture
from course_lib.evaluation.contact_sheet import contact_sheet, from_best_to_worst
from course_lib.evaluation.hint_curve import PUBLISHED_PSNR, psnr_against_hints, reveal_hints
from course_lib.evaluation.measure import Method, measure_all
from course_lib.evaluation.suggestions import suggestion_errors
from course_lib.evaluation.summary import (
    Interval,
    bootstrap,
    format_table,
    markdown_table,
    summarize,
    summarize_gain,
    summarize_hues,
)
from course_lib.inference import colorize
from course_lib.models import NETWORKS


def evaluate(
    pictures: Sequence[np.ndarray], nets: dict[str, nn.Module], nearest: NearestPicture
) -> tuple[dict, np.ndarray]:
    """Measure networks beside the baselines.

    Parameters
    ----------
    pictures : sequence of numpy.ndarray
        The truth: (H, W, 3) uint8 each.
    nets : dict
        Networks by their names in `NETWORKS`; one of them takes hints, and is measured with
        some, and asked for suggestions.
    nearest : NearestPicture
        The baseline; the mean colour is that of its pictures.

    Returns
    -------
    results : dict
        "methods" as `summarize`, "above gray" as `summarize_gain`, "hues" as `summarize_hues` has
        them, by name. "hints": their
        number, as text, to PSNR in dB with so many true ones. "suggestions": the names of
        `suggestion_errors`, and "class head less prior", to Lab units; below zero the class
        head's five are nearer. Both are means with 95 % bootstrap intervals.
    gains : numpy.ndarray
        (len(pictures),), dB: the first network's PSNR less that of the gray picture.
    """
    methods: dict[str, Method] = {
        "gray": lambda gray: gray,
        "mean colour": MeanColour(nearest.codes),
        "nearest picture": nearest,
    }
    methods |= {name: lambda gray, n=net: colorize(gray, n) for name, net in nets.items()}
    figures = measure_all(pictures, methods)
    hinted = nets[_takes_hints(nets)]
    curves, errors = psnr_against_hints(hinted, pictures), suggestion_errors(hinted, pictures)
    errors["class head less prior"] = (
        errors["five of the class head"] - errors["five of the prior"]
    )
    results = {
        "methods": {name: summarize(figure) for name, figure in figures.items()},
        "above gray": {name: summarize_gain(figures[name], figures["gray"]) for name in nets},
        "hues": {name: summarize_hues(figures[name]) for name in nets},
        "hints": {
            str(n): bootstrap(psnr) for n, psnr in zip(PUBLISHED_PSNR, curves.T, strict=True)
        },
        "suggestions": {name: bootstrap(values) for name, values in errors.items()},
    }
    return results, figures[next(iter(nets))]["psnr"] - figures["gray"]["psnr"]


def format_results(results: dict) -> str:
    """What `evaluate` found, as three Markdown tables.

    Parameters
    ----------
    results : dict
        From `evaluate`.

    Returns
    -------
    str
    """
    return "\n\n".join(
        [
            format_table(results["methods"]),
            _means("hints", "PSNR, dB", results["hints"], 2),
            _means("suggestions", "off by, Lab units", results["suggestions"], 1),
        ]
    )


def _means(heading: str, row: str, results: dict[str, Interval], digits: int) -> str:
    """A table of one row, without the intervals."""
    means = (f"{mean:.{digits}f}" for mean, _, _ in results.values())
    return markdown_table([[heading, *results], [row, *means]])


def results_sheet(
    pictures: Sequence[np.ndarray], nets: dict[str, nn.Module], gains: np.ndarray, count: int
) -> np.ndarray:
    """Some of the pictures as the networks colour them, from the best to the worst.

    Parameters
    ----------
    pictures, nets
        As in `evaluate`.
    gains : numpy.ndarray
        (len(pictures),), from `evaluate`.
    count : int
        Pictures on the sheet.

    Returns
    -------
    numpy.ndarray
        (height, width, 3) uint8, as `contact_sheet` makes it.
    """
    rows = {name.upper(): lambda rgb, _, n=net: colorize(rgb, n) for name, net in nets.items()}
    hinted = nets[_takes_hints(nets)]
    rows["with ten hints"] = lambda rgb, i: colorize(rgb, hinted, hints=reveal_hints(rgb, 10, i))
    return contact_sheet([pictures[i] for i in from_best_to_worst(gains, count)], rows)


def _takes_hints(nets: dict[str, nn.Module]) -> str:
    return next(name for name in nets if NETWORKS[name].takes_hints)
