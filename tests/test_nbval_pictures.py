"""The companion of nbval: which pictures it lets through, and what it says of the others."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from nbformat import write
from nbformat.v4 import new_code_cell, new_notebook

from authoring import build

TESTS = Path(__file__).resolve().parent

#: What a notebook draws: a photograph under a title. `AGAIN` is put in its place before the run.
DRAWING = """\
import base64
import io

from IPython.display import display
from PIL import Image, ImageDraw

AGAIN = False


def show(colour=(180, 90, 60), title=(20, 4), size=(800, 400), html=False, exact=False):
    picture = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(picture)
    draw.rectangle((10, 25, size[0] - 10, size[1] - 10), colour)
    draw.text(title, "what a title may say", "black")
    file = io.BytesIO()
    lossless = {"lossless": True} if exact else {}
    picture.save(file, "WEBP" if html else "JPEG", quality=70 if AGAIN else 85, **lossless)
    text = base64.b64encode(file.getvalue()).decode()
    page = {"text/html": f'<img alt="a square" src="data:image/webp;base64,{text}">'}
    display(page if html else {"image/jpeg": text}, raw=True)
"""

#: What a cell does before, and in the run; and what is then said of it.
CELLS = {
    "the same, with other bytes and letters": (
        "show(title=(21, 4) if drawing.AGAIN else (20, 4))",
        None,
    ),
    "the same in HTML": ("show(html=True)", None),
    "of other colours": (
        "show((60, 90, 180) if drawing.AGAIN else (180, 90, 60))",
        r"picture 1: (lightness is .* and )?colour is up to \d+ of 255 off \(5 are allowed\)",
    ),
    "slightly of other colours": (
        "show((180, 90, 80) if drawing.AGAIN else (180, 90, 60))",
        r"picture 1: colour is up to \d+ of 255 off \(5 are allowed\)",
    ),
    "of other colours in HTML": (
        "show((60, 90, 180) if drawing.AGAIN else (180, 90, 60), html=True)",
        r"picture 1: (lightness is .* and )?colour is up to \d+ of 255 off \(5 are allowed\)",
    ),
    "a chart in HTML whose letters moved": (
        "show(title=(26, 6) if drawing.AGAIN else (20, 4), html=True, exact=True)",
        None,
    ),
    "a chart in HTML of other colours": (
        "show((60, 90, 180) if drawing.AGAIN else (180, 90, 60), html=True, exact=True)",
        r"picture 1: (lightness is .* and )?colour is up to \d+ of 255 off \(16 are allowed\)",
    ),
    "another one of two": (
        "show()\nshow((0, 0, 0) if drawing.AGAIN else (255, 255, 255))",
        r"picture 2: lightness is up to 25. of 255 off \(12 are allowed\)",
    ),
    "of other colours, and may vary": ("show((drawing.AGAIN * 180, 90, 60))", None),
    "missing, and may vary": (
        "if not drawing.AGAIN: show()",
        "pictures stored: 1, made by the run: 0",
    ),
    "missing": ("if not drawing.AGAIN: show()", "pictures stored: 1, made by the run: 0"),
    "new": ("if drawing.AGAIN: show()", "pictures stored: 0, made by the run: 1"),
    "of another size": (
        "show(size=(800, 425) if drawing.AGAIN else (800, 400))",
        "picture 1: a JPEG of 800 x 400 pixels is stored, the run made a JPEG of 800 x 425 pixels",
    ),
}


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What the plugin says of each cell of a notebook whose pictures are drawn anew."""
    folder = tmp_path_factory.mktemp("lesson")
    (folder / "drawing.py").write_text(DRAWING, encoding="utf-8")
    # nbval itself would find that a cell shows nothing; here it is told to leave that alone
    cells = [new_code_cell("import drawing\nfrom drawing import show")]
    for name, (code, _) in CELLS.items():
        tags = [] if "HTML" in name else ["nbval-ignore-output"]
        tags += ["pictures-vary"] if "may vary" in name else []
        cells.append(new_code_cell(code, metadata={"tags": tags}))
    notebook = new_notebook(cells=cells)
    build.execute(notebook, folder)
    write(notebook, folder / "lesson.ipynb")
    again = DRAWING.replace("AGAIN = False", "AGAIN = True")
    (folder / "drawing.py").write_text(again, encoding="utf-8")
    command = [sys.executable, "-B", "-m", "pytest", "-p", "tests.nbval_pictures"]
    command += ["--color=no", "-rA", "--nbval", "--nbval-current-env", "-p", "no:cacheprovider"]
    command += ["--nbval-sanitize-with", TESTS / "nbval_sanitize.cfg", "lesson.ipynb"]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(TESTS.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    passed = set(map(int, re.findall(r"^PASSED .*::Cell (\d+)$", done.stdout, re.M)))
    failed = re.findall(r"^Cell (\d+): Pictures differ\n(.*?)\n\nInput:", done.stdout, re.M | re.S)
    results = dict.fromkeys(passed) | {int(number): text for number, text in failed}
    assert results.keys() == set(range(len(cells))), done.stdout + done.stderr
    return {name: results[number] for number, name in enumerate(CELLS, 1)}


@pytest.mark.parametrize("name", CELLS)
def test_a_picture_passes_if_it_looks_the_same_and_else_is_told(said, name):
    expected = CELLS[name][1]
    if expected is None:
        assert said[name] is None
    else:
        assert re.fullmatch(expected, said[name])
