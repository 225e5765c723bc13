"""A companion of nbval, as a pytest plugin: stored pictures are compared with those of the run.

nbval leaves pictures out, since their bytes differ from machine to machine. Here both are made
small, each small pixel the mean of what it stands for, and compared in lightness and in colour.
That lets through what fonts, curves and JPEG do otherwise on another machine, and catches
colours that other weights or another library make, a picture that is missing, and another size.
Pictures inside of HTML count too; nbval_sanitize.cfg keeps their bytes from nbval.

Used as ``python -m pytest -p tests.nbval_pictures --nbval ...``. Cells whose text nbval
is told to ignore are compared all the same; those that it is told to skip are not run. A cell with
the tag "pictures-vary" shows what small differences between machines make large, as an adversarial
game does: its pictures must be there, and of the size that they had.
"""

import base64
import io
import re
from collections.abc import Iterable

import numpy as np
import pytest
from nbval.plugin import IPyNbCell
from PIL import Image

#: Longer side of the small pictures, in pixels.
SIDE = 32
#: How far a small pixel may be from that of the stored picture, in levels of 255: in lightness
#: (Y), and in colour (Cb or Cr). The course stores photographs with loss and charts without, in
#: HTML that carries their description; older notebooks have JPEG and PNG. Measured,
#: at most, in lightness and colour: lessons built again, photographs 1 and 3, charts 8 and 4 (of
#: curves of a training); with letters of another face or drawn in another way, photographs 7 and
#: 2, charts 20 and 15. Where a network's weights were others, what it coloured was 8 to 56 off in
#: colour.
ALLOWED = {"with loss": (12, 5), "without loss": (24, 16)}

EMBEDDED = re.compile(r"data:image/(?:png|jpeg|webp);base64,([A-Za-z0-9+/]+={0,2})")


def pictures(outputs: Iterable[dict]) -> list[Image.Image]:
    """The pictures that a cell's outputs show, in order, each with how it is stored."""
    encoded = []
    for output in outputs:
        for kind, content in output.get("data", {}).items():
            if kind in ("image/png", "image/jpeg"):
                encoded.append("".join(content))
            if kind == "text/html":
                encoded += EMBEDDED.findall("".join(content))
    return [_opened(base64.b64decode(text)) for text in encoded]


def _opened(content: bytes) -> Image.Image:
    """A picture from its bytes; `info` says whether it is stored with loss."""
    picture = Image.open(io.BytesIO(content))
    exact = picture.format == "PNG" or content[12:16] == b"VP8L"  # lossless WebP begins so
    picture.info["stored"] = "without loss" if exact else "with loss"
    return picture


def small(picture: Image.Image) -> np.ndarray:
    """A picture's lightness and two colour channels on white, 0 to 255, `SIDE` pixels long."""
    white = Image.new("RGBA", picture.size, "white")
    whole = Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
    scale = SIDE / max(picture.size)
    size = [max(1, round(length * scale)) for length in picture.size]
    return np.asarray(whole.convert("YCbCr").resize(size, Image.Resampling.BOX)).astype(float)


def difference(stored: Image.Image, fresh: Image.Image, *, vary: bool = False) -> str:
    """What is different about a fresh picture, in words; empty if nothing is that counts."""
    kinds = ["{} of {} x {} pixels".format(p.format, *p.size) for p in (stored, fresh)]
    if kinds[0] != kinds[1]:
        return f"a {kinds[0]} is stored, the run made a {kinds[1]}"
    if vary:
        return ""
    apart = np.abs(small(stored) - small(fresh))
    levels = {"lightness": apart[..., 0].max(), "colour": apart[..., 1:].max()}
    return " and ".join(
        f"{what} is up to {level:.0f} of 255 off ({allowed} are allowed)"
        for (what, level), allowed in zip(
            levels.items(), ALLOWED[stored.info["stored"]], strict=True
        )
        if level > allowed
    )


def differences(stored: Iterable[dict], fresh: Iterable[dict], *, vary: bool = False) -> list[str]:
    """What is different about the pictures of a cell, a line for each.

    Parameters
    ----------
    stored, fresh : iterable of dict
        Outputs of the cell as Jupyter has them, from the notebook and from the run.
    vary : bool
        Compare number, kind and size alone.

    Returns
    -------
    list of str
        Empty if they are alike.
    """
    before, after = pictures(stored), pictures(fresh)
    if len(before) != len(after):
        return [f"pictures stored: {len(before)}, made by the run: {len(after)}"]
    lines = [difference(*pair, vary=vary) for pair in zip(before, after, strict=True)]
    return [f"picture {number}: {line}" for number, line in enumerate(lines, 1) if line]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """After nbval has run a cell and compared its text, compare its pictures."""
    result = yield
    if isinstance(item, IPyNbCell) and item.cell.execution_count is not None:
        vary = "pictures-vary" in item.cell.metadata.get("tags", [])
        found = differences(item.cell.outputs, item.test_outputs, vary=vary)
        if found:
            item.raise_cell_error("\n".join(["Pictures differ", *found]))
    return result


def pytest_itemcollected(item):
    """Give a cell's outputs the time that they may take to arrive on a busy machine."""
    if isinstance(item, IPyNbCell):
        item.output_timeout = 600
