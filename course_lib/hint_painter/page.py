"""The hint painter as a web page with nothing behind it: "Try it".

    python -m course_lib.hint_painter.page OUTPUT --runtime node_modules/onnxruntime-web/dist

It works from any web server and from a folder on a stick, and asks nobody for anything.
"""

import argparse
import base64
import gzip
import io
import json
import os
import re
import tempfile
from collections.abc import Sequence
from html import escape
from pathlib import Path

from PIL import Image

from course_lib.console import accept_any_letter
from course_lib.data.photos import Photo, photos
from course_lib.files import whole_file
from course_lib.models import NETWORKS, load_network, shipped_weights
from course_lib.models.onnx import export_onnx, network_inputs

_FOLDER = Path(__file__).parent

#: Names of the files of onnxruntime-web that the page needs, in its folder dist.
RUNTIME = {"runtime": "ort.wasm.bundle.min.mjs", "wasm": "ort-wasm-simd-threaded.wasm"}

#: The photographs that the page offers, the first one at the start. No network was trained on
#: them.
PHOTOS = (
    "scenes/mountain-trail",
    "scenes/fig",
    "scenes/autumn-mountain",
    "scenes/rowing-boats",
    "scenes/two-dogs",
    "scenes/yellow-flower",
    "objects/tiger",
    "gray/camera",
)


def build_page(
    folder: str | os.PathLike, runtime: str | os.PathLike, home: str | None = None
) -> Path:
    """Write the page "Try it" and its files.

    Parameters
    ----------
    folder : path
        Where to; made if it is not there. Gets ``index.html`` and a folder ``files``.
    runtime : path
        The folder ``dist`` of the npm package onnxruntime-web.
    home : str, optional
        Address, as seen from the page, of the site that it belongs to: it gets a link there.

    Returns
    -------
    pathlib.Path
        Of ``index.html``.

    Raises
    ------
    FileNotFoundError
        If `runtime` lacks a file of `RUNTIME`.
    ImportError
        If the packages that write ONNX files are missing.
    """
    folder, runtime = Path(folder), Path(runtime)
    missing = [name for name in RUNTIME.values() if not (runtime / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{runtime}: no {', '.join(missing)} here; npm install onnxruntime-web, and pass "
            "node_modules/onnxruntime-web/dist"
        )
    by_name = {picture.name: picture for picture in photos()}
    pictures = [by_name[name] for name in PHOTOS]
    files = folder / "files"
    files.mkdir(parents=True, exist_ok=True)
    for name, file in RUNTIME.items():
        _pack(files, name, (runtime / file).read_bytes())
    for picture in pictures:
        _pack(files, picture.path.stem, picture.path.read_bytes())
    networks = [_network(files, name) for name in _offered()]
    content = {"networks": networks, "photos": [_photo(picture) for picture in pictures]}
    back = f'<p class="quiet"><a href="{escape(home)}">← The course</a></p>' if home else ""
    page = (_FOLDER / "page.html").read_text(encoding="utf-8")
    for mark, text in {
        "/* STYLE */": (_FOLDER / "hint_painter.css").read_text(encoding="utf-8"),
        "/* CODE */": _code(),
        "/* CONTENT */": json.dumps(content).replace("</", "<\\/"),
        "<!-- HOME -->": back,
    }.items():
        page = page.replace(mark, text)
    with whole_file(folder / "index.html") as file:
        file.write(page.encode())
    return folder / "index.html"


def _code() -> str:
    """Both modules in one, since from a folder on a stick a browser imports none."""
    names = ("hint_painter.js", "onnx_colourer.js")
    code = "\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in names)
    return re.sub(r'^import .* from "\./hint_painter\.js";$', "", code, flags=re.MULTILINE)


def _pack(files: Path, name: str, data: bytes) -> None:
    """A file as a script that hands its bytes over."""
    packed = base64.b64encode(gzip.compress(data, mtime=0)).decode()
    with whole_file(files / f"{name}.js") as file:
        file.write(f'hintPainterFile("{name}", "{packed}");\n'.encode())


def _offered() -> list[str]:
    """The networks whose weights ship; those that listen to hints first, to start with."""
    return sorted(shipped_weights(), key=lambda name: not NETWORKS[name].takes_hints)


def _network(files: Path, name: str) -> dict:
    row = NETWORKS[name]
    net = load_network(name, "course")
    with tempfile.TemporaryDirectory() as folder:
        export_onnx(net, Path(folder) / "net.onnx")
        _pack(files, name, (Path(folder) / "net.onnx").read_bytes())
    return {
        "name": name,
        "label": row.build.__name__,
        "input_size": getattr(net, "input_size", 256),
        "inputs": network_inputs(net),
        "suggestions": hasattr(net, "both_heads"),
    }


def _photo(picture: Photo) -> dict:
    small = Image.fromarray(picture.load())
    small.thumbnail((144, 144))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=80)
    thumb = base64.b64encode(file.getvalue()).decode()
    return {
        "name": picture.path.stem,
        "description": picture.description,
        "credit": f"“{picture.title}” by {picture.author}, {picture.licence}",
        "thumb": f"data:image/jpeg;base64,{thumb}",
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    accept_any_letter()
    parser = argparse.ArgumentParser(
        prog="python -m course_lib.hint_painter.page", description="Build the page “Try it”."
    )
    parser.add_argument("folder", help="where to write it")
    parser.add_argument("--runtime", required=True, help="onnxruntime-web's folder dist")
    parser.add_argument("--home", help="address of the site that it belongs to")
    options = parser.parse_args(arguments)
    print(build_page(options.folder, options.runtime, options.home))


if __name__ == "__main__":
    main()
