"""A report of an experiment on one page: question, protocol, numbers, pictures, doubts."""

import base64
import html
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

import numpy as np
from PIL import Image

from course_lib.files import whole_file

_PAGE = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { font: 15px/1.45 system-ui, sans-serif; max-width: 46em; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.1em; margin-bottom: 0.3em; }
table { border-collapse: collapse; } caption { text-align: left; color: #444; }
th, td { padding: 0.2em 0.9em 0.2em 0; text-align: right; border-bottom: 1px solid #ccc; }
th:first-child, td:first-child { text-align: left; }
dt { float: left; clear: left; width: 11em; color: #444; } dd { margin-left: 11.5em; }
figure { margin: 0.5em 0; } img { max-width: 100%; } figcaption { color: #444; }
@page { margin: 15mm; }
@media print { body { margin: 0; font-size: 12px; } img { max-height: 80mm; } }
</style>
</head>
<body>
<h1>$title</h1>
<h2>Question</h2>
<p>$question</p>
<h2>Protocol</h2>
<dl>
$protocol
</dl>
<h2>Numbers</h2>
<table>
<caption>$caption</caption>
<thead><tr>$heads</tr></thead>
<tbody>
$rows
</tbody>
</table>
<h2>Pictures</h2>
<figure>
<img alt="$description" src="data:image/jpeg;base64,$picture">
<figcaption>$description</figcaption>
</figure>
<h2>What this does not show</h2>
<p>$doubts</p>
</body>
</html>
""")


def _cells(tag: str, values: Sequence[object]) -> str:
    return "".join(f"<{tag}>{html.escape(str(value))}</{tag}>" for value in values)


def write_report(
    path: str | os.PathLike,
    *,
    title: str,
    question: str,
    protocol: Mapping[str, object],
    table: Sequence[Sequence[object]],
    caption: str,
    picture: np.ndarray,
    description: str,
    doubts: str,
) -> Path:
    """Write a report as one HTML file that needs no other: pictures are inside.

    Every part has to be there: numbers without a protocol say nothing, and an experiment that
    leaves no doubts was not looked at closely.

    Parameters
    ----------
    path : path
        The .html to write; its folder is made if it is missing.
    title, question, caption, description, doubts : str
        Plain text. `description` is said of the picture, to those who see it and to those who do
        not; `doubts` is what the numbers do not show.
    protocol : mapping of str to object
        What was done, point by point: data, seeds, budget, measure.
    table : sequence of sequences
        The first row names the columns.
    picture : numpy.ndarray
        (H, W, 3) uint8.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ValueError
        If a part is empty.
    """
    texts = {"title": title, "question": question, "caption": caption}
    texts |= {"description": description, "doubts": doubts}
    empty = [name for name, text in texts.items() if not text.strip()]
    empty += [name for name, part in (("protocol", protocol), ("table", table[1:])) if not part]
    if empty:
        raise ValueError(f"a report needs its {', '.join(empty)}")
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=90, subsampling=0)
    points = (
        f"<dt>{html.escape(name)}</dt><dd>{html.escape(str(value))}</dd>"
        for name, value in protocol.items()
    )
    page = _PAGE.substitute(
        {name: html.escape(text) for name, text in texts.items()},
        protocol="\n".join(points),
        heads=_cells("th", table[0]),
        rows="\n".join(f"<tr>{_cells('td', row)}</tr>" for row in table[1:]),
        picture=base64.b64encode(buffer.getvalue()).decode(),
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write(page.encode())
    return path
