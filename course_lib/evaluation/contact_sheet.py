"""One large picture of many small ones: gray, coloured by several methods, and as they were."""

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from course_lib.lab import to_gray


def contact_sheet(
    pictures: Sequence[np.ndarray],
    methods: dict[str, Callable[[np.ndarray, int], np.ndarray]],
    columns: int = 8,
) -> np.ndarray:
    """Rows of gray, each method's colouring, and truth, with their names at the left.

    Parameters
    ----------
    pictures : sequence of numpy.ndarray
        (S, S, 3) uint8 each: a column each. What does not fit in one band of rows goes on in the
        next.
    methods : dict
        Name to callable, one row each: from a photograph and its number to a coloured picture of
        the same shape.
    columns : int
        Photographs in a band.

    Returns
    -------
    numpy.ndarray
        (height, width, 3) uint8, white between the pictures.
    """
    size = len(pictures[0])
    rows = {"gray": [to_gray(p) for p in pictures]}
    rows |= {n: [method(p, i) for i, p in enumerate(pictures)] for n, method in methods.items()}
    rows["truth"] = list(pictures)
    bands = range(0, len(pictures), columns)
    cell, margin = size + 6, size // 8
    width = margin + min(columns, len(pictures)) * cell
    sheet = Image.new("RGB", (width, (len(bands) * (len(rows) * cell + margin)) - margin), "white")
    names = [_upright_text(name, cell, margin) for name in rows]
    top = 0
    for first in bands:
        for name, row in zip(names, rows.values(), strict=True):
            sheet.paste(name, (0, top))
            for column, picture in enumerate(row[first : first + columns]):
                sheet.paste(Image.fromarray(picture), (margin + column * cell + 3, top + 3))
            top += cell
        top += margin  # between bands
    return np.asarray(sheet)


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


def _upright_text(text: str, length: int, width: int) -> Image.Image:
    """Text that reads from bottom to top, in the middle of a white strip."""
    strip = Image.new("RGB", (length, width), "white")
    font = ImageFont.load_default(0.6 * width)
    ImageDraw.Draw(strip).text((length / 2, width / 2), text, "black", font, anchor="mm")
    return strip.rotate(90, expand=True)
