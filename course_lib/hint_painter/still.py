"""The painter as a still picture, for where widgets do not run: GitHub, print, a closed kernel."""

import base64
import io
from collections.abc import Sequence
from html import escape

import numpy as np
from PIL import Image, ImageDraw
from torch import nn

from course_lib.hint_painter.colourer import coloured
from course_lib.hints import Hint
from course_lib.lab import to_gray

#: Longer side of each of the two pictures, and what is between them, in pixels.
SIDE, GAP = 440, 12


def still(rgb: np.ndarray, net: nn.Module, hints: Sequence[Hint], patch: int) -> tuple[str, str]:
    """The hints on the gray photograph, and beside it what the network makes of them.

    Parameters
    ----------
    rgb : numpy.ndarray
        (H, W, 3) uint8, the photograph.
    net, hints, patch
        As in `colourer.coloured`.

    Returns
    -------
    page : str
        HTML, an img element.
    description : str
        What there is to see: its alternative text.
    """
    small = Image.fromarray(rgb)
    small.thumbnail((SIDE, SIDE))
    down, right = small.height / rgb.shape[0], small.width / rgb.shape[1]
    pixels = np.asarray(small)
    fewer = [
        ((row + 0.5) * down - 0.5, (column + 0.5) * right - 0.5, c) for row, column, c in hints
    ]
    given = [(max(0.0, row), max(0.0, column), colour) for row, column, colour in fewer]
    sheet = Image.new("RGB", (2 * small.width + GAP, small.height), "white")
    sheet.paste(Image.fromarray(to_gray(pixels)))
    sheet.paste(Image.fromarray(coloured(pixels, net, given, patch)), (small.width + GAP, 0))
    draw = ImageDraw.Draw(sheet)
    for row, column, colour in given:
        for radius, fill in ((9, "black"), (8, "white"), (6, tuple(colour))):
            ends = (column - radius, row - radius, column + radius, row + radius)
            draw.ellipse(ends, fill=fill)
    file = io.BytesIO()
    sheet.save(file, "WEBP", quality=85)
    number = f"{len(hints)} hints" if len(hints) != 1 else "1 hint"
    description = (
        f"The hint painter: on the left the gray photograph with {number}, on the right what the "
        "network makes of it. Run the cell to paint."
    )
    data = base64.b64encode(file.getvalue()).decode()
    page = (
        f'<img alt="{escape(description)}" width="{sheet.width}" '
        f'style="max-width: 100%; height: auto" src="data:image/webp;base64,{data}">'
    )
    return page, description
