"""One style for the course's figures and tables, which carry a description."""

import base64
import io
from collections.abc import Sequence
from html import escape

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display
from matplotlib.figure import Figure

from course_lib.lab import in_gamut, lab_to_rgb

#: Colours of lines and bars: Okabe and Ito's set, told apart by colour-blind readers too.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
#: Line styles that go with them, so that colour is never the only signal.
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))

#: Pixels for an inch on the page, and of those that are stored for each: two, so that a figure is
#: sharp on screens that have two for a point.
_DPI, _SHARPNESS = 100, 2

_STYLE = {
    "figure.dpi": _DPI,
    "savefig.dpi": _DPI * _SHARPNESS,
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "image.interpolation": "none",
}


def new_figure(
    rows: int = 1, columns: int = 1, *, width: float = 8.0, height: float | None = None
) -> tuple[Figure, np.ndarray]:
    """A figure in the course's style.

    Parameters
    ----------
    rows, columns : int
        Grid of axes.
    width, height : float
        Inches; the height follows from the grid unless given.

    Returns
    -------
    figure : matplotlib.figure.Figure
    axes : numpy.ndarray of matplotlib.axes.Axes
        (rows, columns).
    """
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(
            rows, columns, figsize=(width, height or width / columns * rows * 0.8), squeeze=False
        )
    return figure, axes


#: How figures are stored. At twice the resolution WebP is no larger than JPEG and PNG are at once:
#: of photographs it keeps what the eye sees, of charts every pixel.
_WEBP = {True: {"quality": 85}, False: {"lossless": True, "quality": 50}}


def show(figure: Figure, description: str, *, photographs: bool = False) -> None:
    """Show a figure with its description, and close it.

    The description is the picture's alternative text. It stands in the output itself, as HTML,
    which notebooks, editors and exporters all keep; a terminal shows it instead of the picture.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure.
    description : str
        What there is to see, for who cannot see it: one or two sentences.
    photographs : bool
        Store what the eye sees rather than every pixel: a lesson full of photographs stays small.
    """
    if not description.strip():
        plt.close(figure)
        raise ValueError("a figure needs a description for those who cannot see it")
    for axis in figure.axes:  # texts set outside of the style's context have matplotlib's sizes
        for text in (axis.title, axis.xaxis.label, axis.yaxis.label):
            text.set_fontsize(_STYLE["font.size"])
    buffer = io.BytesIO()
    with plt.rc_context(_STYLE):
        figure.savefig(buffer, format="webp", pil_kwargs=_WEBP[photographs])
    width = round(figure.get_figwidth() * _DPI)
    plt.close(figure)
    data = base64.b64encode(buffer.getvalue()).decode()
    page = (
        f'<img alt="{escape(description)}" width="{width}" style="max-width: 100%; height: auto" '
        f'src="data:image/webp;base64,{data}">'
    )
    display({"text/html": page, "text/plain": f"[figure] {description}"}, raw=True)


def show_table(
    header: Sequence[str], rows: Sequence[Sequence[str | float]], description: str
) -> None:
    """Show a table that can be read aloud: its columns and rows have header cells.

    Parameters
    ----------
    header : sequence of str
        What stands in each column, with units.
    rows : sequence of sequence
        A row each, as long as the header. Its first cell names it; numbers are shown as they are
        given, so give them rounded, as text: ``f"{value:.1f}"``.
    description : str
        What the table shows, in a line: it stands above.
    """
    if any(len(row) != len(header) for row in rows) or not rows:
        raise ValueError(f"each row of the table needs {len(header)} cells, as many as its header")
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *texts, strict=True)]
    plain = [description] + [
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (header, *texts)
    ]
    columns = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    lines = [
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for name, *cells in texts
    ]
    page = [
        '<table class="dataframe">',
        f"<caption>{escape(description)}</caption>",
        f"<thead><tr>{columns}</tr></thead>",
        f"<tbody>{''.join(lines)}</tbody>",
        "</table>",
    ]
    display({"text/html": "\n".join(page), "text/plain": "\n".join(plain)}, raw=True)


def show_pictures(
    pictures: Sequence[np.ndarray],
    titles: Sequence[str],
    description: str,
    *,
    columns: int | None = None,
    width: float = 8.0,
) -> None:
    """Pictures side by side, each under its title.

    Parameters
    ----------
    pictures : sequence of numpy.ndarray
        (H, W, 3) or (H, W), uint8, or float in 0..1.
    titles : sequence of str
        One each.
    description : str
        See `show`.
    columns : int, optional
        All in one row unless given.
    width : float
        Inches.
    """
    if len(pictures) != len(titles) or not len(pictures):
        raise ValueError(f"{len(pictures)} pictures need as many titles, got {len(titles)}")
    columns = columns or len(pictures)
    rows = -(-len(pictures) // columns)
    cell = width / columns
    tallest = [
        max(p.shape[0] / p.shape[1] for p in pictures[r * columns : (r + 1) * columns])
        for r in range(rows)
    ]
    lines = max(title.count("\n") + 1 for title in titles)
    height = sum(cell * t + 0.1 + 0.18 * lines for t in tallest)
    figure, axes = new_figure(rows, columns, width=width, height=height)
    for axis in axes.flat:
        axis.axis("off")
    for axis, picture, title in zip(axes.flat, pictures, titles, strict=False):
        limits = {"vmin": 0, "vmax": 255 if picture.dtype == np.uint8 else 1}
        # matplotlib would resample with "none" too coarsely when it shrinks a photograph
        axis.imshow(picture, cmap="gray", interpolation="antialiased", **limits)
        axis.set_title(title)
    show(figure, description, photographs=True)


def show_lines(
    series: dict[str, tuple[Sequence[float], Sequence[float]]],
    x_label: str,
    y_label: str,
    description: str,
    *,
    log_x: bool = False,
    log_y: bool = False,
) -> None:
    """Curves in one pair of axes, told apart by colour and by line style.

    Parameters
    ----------
    series : dict
        Name to (x values, y values).
    x_label, y_label : str
        With units.
    description : str
        See `show`.
    log_x, log_y : bool
        Logarithmic axes.
    """
    figure, axes = new_figure(width=6.5, height=3.4)
    axis = axes[0, 0]
    for i, (name, (x, y)) in enumerate(series.items()):
        axis.plot(x, y, label=name, color=COLORS[i % 7], linestyle=LINES[i % 7])
    axis.set(xlabel=x_label, ylabel=y_label)
    if log_x:
        axis.set_xscale("log")
    if log_y:
        axis.set_yscale("log")
    if len(series) > 1:
        axis.legend(frameon=False)
    show(figure, description)


def ab_plane(lightness: float = 60.0, size: int = 221) -> np.ndarray:
    """The ab plane in its own colours at one lightness; white where sRGB has none.

    Parameters
    ----------
    lightness : float
        L in 0..100.
    size : int
        Pixels on each side; a and b run over -110..110.

    Returns
    -------
    numpy.ndarray
        (size, size, 3) uint8; b runs upward, a to the right: show with extent
        (-110, 110, -110, 110).
    """
    axis = np.linspace(-110, 110, size, dtype=np.float32)
    a, b = np.meshgrid(axis, axis[::-1])
    lab = np.stack([np.full_like(a, lightness), a, b], axis=-1)
    rgb = lab_to_rgb(lab)
    rgb[~in_gamut(lab)] = 255
    return rgb


def show_ab_histograms(
    colours: Sequence[np.ndarray], titles: Sequence[str], description: str
) -> None:
    """How often each ab occurs, in panels with one logarithmic scale.

    Parameters
    ----------
    colours : sequence of numpy.ndarray
        (..., 2) each.
    titles : sequence of str
        One each.
    description : str
        See `show`.
    """
    figure, axes = new_figure(1, len(colours), width=8, height=8 / len(colours) * 0.95)
    edges = np.linspace(-110, 110, 111)
    for axis, ab, title in zip(axes[0], colours, titles, strict=True):
        flat = np.asarray(ab).reshape(-1, 2)
        counts, _, _ = np.histogram2d(flat[:, 1], flat[:, 0], bins=(edges, edges))
        image = axis.imshow(
            np.log10(np.maximum(counts / counts.sum(), 1e-6)),
            origin="lower",
            extent=(-110, 110, -110, 110),
            vmin=-6,
            vmax=-1,
            cmap="viridis",
        )
        axis.set(title=title, xlabel="a (green to red)")
        axis.grid(False)
    axes[0, 0].set_ylabel("b (blue to yellow)")
    figure.colorbar(image, ax=axes[0].tolist(), label="log10 of the\nshare of pixels", shrink=0.8)
    show(figure, description)
