"""How fast the library is, as ratios: each measured side by side with what it is compared to.

    python -m tests.benchmarks.ratios [--only WORD ...] [--write]

Both sides of a row run in turn, A B A B, and each counts with its soonest run: a machine that is
busy at times slows both. Seconds are this machine's alone; ratios travel. Beside each ratio stands
the one that its floor would give: the bytes that must be moved over what the memory moves in a
second, or the operations over what the units do in a second, both measured first. ``--write`` puts
the table and its picture into tests/benchmarks/README.md; without it, it is printed.
"""

import argparse
import copy
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image
from skimage.color import lab2rgb, rgb2lab
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import course_lib as cl
from authoring.markers import replace_between
from course_lib.cli import main as command_line
from course_lib.data.arrays import encode_lab, square
from course_lib.device import bfloat16_pays
from course_lib.hint_painter.colourer import Colourer
from course_lib.inference import predict_ab
from course_lib.training.classification import Classification, ClassificationSettings
from course_lib.training.regression import Regression, RegressionSettings

ROOT = Path(__file__).resolve().parents[2]
PAGE = Path(__file__).parent / "README.md"
#: Seconds that a row's runs take together, about; each side runs at least twice.
PATIENCE = 20


@dataclass
class Row:
    """A line of the table; `ratio` says how many times as fast, or as small, ours is."""

    what: str
    ratio: float
    aim: float | None = None
    at_floor: float | None = None
    ours: str = ""


def side_by_side(*ways: Callable[[], object]) -> list[float]:
    """Seconds of the soonest run of each way, all of them in turn."""
    for way in ways:
        way()  # the first run makes what is kept: tables, threads, compiled kernels
    best = [float("inf")] * len(ways)
    start, rounds = time.perf_counter(), 0
    while rounds < 2 or (time.perf_counter() - start < PATIENCE and rounds < 50):
        for number, way in enumerate(ways):
            before = time.perf_counter()
            way()
            best[number] = min(best[number], time.perf_counter() - before)
        rounds += 1
    return best


@cache
def bytes_a_second() -> float:
    """What the memory moves: read and written by copying what no cache holds."""
    source = torch.ones(64 << 20)
    target = torch.empty_like(source)
    (seconds,) = side_by_side(lambda: target.copy_(source))
    return 2 * source.nbytes / seconds


@cache
def operations_a_second(dtype: torch.dtype) -> float:
    """What the units do: products and sums of a large convolution, or of a matrix product.

    The better of the two, which come from two libraries: oneDNN and MKL. MKL leaves half of the
    units of some CPUs idle.
    """
    matrix = torch.ones(2048, 2048, dtype=dtype)
    layer = nn.Conv2d(256, 256, 3, padding=1).to(dtype, memory_format=torch.channels_last)
    planes = torch.ones(8, 256, 64, 64, dtype=dtype).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        product, convolution = side_by_side(lambda: matrix @ matrix, lambda: layer(planes))
    operations = 2 * layer.weight.numel() * planes[:, 0].numel()
    return max(2 * 2048**3 / product, operations / convolution)


def large_photo(height: int, width: int) -> np.ndarray:
    """A shipped photograph, enlarged."""
    photo = Image.fromarray(cl.photos("test", "scene")[0].load())
    return np.asarray(photo.resize((width, height), Image.Resampling.BICUBIC))


def twelve_megapixels() -> list[Row]:
    """Colouring a photograph against the textbook's conversions alone, in time and memory."""
    rows = []
    rgb, net = large_photo(3000, 4000), cl.eccv16()
    textbook, ours = side_by_side(lambda: lab2rgb(rgb2lab(rgb)), lambda: cl.colorize(rgb, net))
    floor = 2 * rgb.nbytes / bytes_a_second()
    rows.append(
        Row(
            "`colorize`, 12 megapixels, against scikit-image's conversions both ways alone",
            textbook / ours,
            8,
            textbook / floor,
            f"{ours:.2f} s",
        )
    )
    if Path("/proc/self/clear_refs").exists():
        textbook, ours = peak("textbook", 3000, 4000), peak("colorize", 3000, 4000)
        what = "the same, memory beyond the photograph and its result"
        rows.append(Row(what, textbook / ours, textbook / 200, None, f"{ours:.0f} MB"))
        textbook, ours = 1500, peak("whole", 8660, 11547)
        what = "100 megapixels, memory of the whole process, against 1.5 GB"
        rows.append(Row(what, textbook / ours, 1, None, f"{ours:.0f} MB"))
    return rows


PEAK = """
import numpy as np
from skimage.color import lab2rgb, rgb2lab
import course_lib as cl
what, height, width = {what!r}, {height}, {width}
rgb = np.random.RandomState(0).randint(0, 256, (height, width, 3), dtype=np.uint8)
net = cl.eccv16()
cl.colorize(rgb[:300, :400].copy(), net), lab2rgb(rgb2lab(rgb[:300, :400]))

def megabytes(name):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))

open("/proc/self/clear_refs", "w").write("5")  # the peak begins anew
before = megabytes("VmRSS")
out = cl.colorize(rgb, net) if what != "textbook" else lab2rgb(rgb2lab(rgb))
print(megabytes("VmHWM") - (0 if what == "whole" else before + rgb.nbytes / 2**20))
"""


def peak(what: str, height: int, width: int) -> float:
    """Megabytes at the peak of a process of its own."""
    code = PEAK.format(what=what, height=height, width=width)
    command = [sys.executable, "-c", code]
    return float(subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=ROOT).stdout)


class Published(cl.SIGGRAPH17):
    """SIGGRAPH17 as its authors run it: the decoder twice, for the same result."""

    def _decode(self, *features: Tensor) -> Tensor:
        super()._decode(*features)
        return super()._decode(*features)


def networks() -> list[Row]:
    """The networks against the published code, and in half the bits against themselves."""
    rows = []
    for name, published, aim in (("eccv16", cl.ECCV16, 1.15), ("siggraph17", Published, 1.8)):
        for width, size in ((1.0, 256), (None, None)):
            course = cl.load_network(name)
            theirs = published(width or course.width).eval()
            net = copy.deepcopy(theirs) if width else course
            theirs.load_state_dict(net.state_dict())
            net.to(memory_format=torch.channels_last)  # as `load_network` gives it back
            for count in (1, 8) if width else (1,):
                side = size or course.input_size
                L = 100 * torch.rand(count, 1, side, side)
                rows += network_rows(name, net, theirs, L, aim)
    return rows


def network_rows(name: str, net: nn.Module, theirs: nn.Module, L: Tensor, aim: float) -> list[Row]:
    """Rows of one network at one size."""
    size = (
        f"{'full' if net.width == 1 else 'course'} width, {len(L)} x {L.shape[2]} x {L.shape[3]}"
    )

    def half() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return net(L)

    with torch.inference_mode():
        with FlopCounterMode(display=False) as counter:
            net(L)
        count = counter.get_total_flops()
        ways = [lambda: theirs(L), lambda: net(L)]
        plain, ours, *fast = side_by_side(*ways, *([half] if bfloat16_pays() else []))
    floor = count / operations_a_second(torch.float32)
    what = f"{name}, {size}, float32, against the published code"
    rows = [Row(what, plain / ours, aim, plain / floor, f"{ours * 1e3:.0f} ms")]
    for seconds in fast:
        floor = count / operations_a_second(torch.bfloat16)
        what = f"{name}, {size}, bfloat16 against float32"
        rows.append(Row(what, ours / seconds, 2, ours / floor, f"{seconds * 1e3:.0f} ms"))
    return rows


def engines() -> list[Row]:
    """ONNX Runtime against PyTorch, where it is installed."""
    if not all(map(find_spec, ("onnx", "onnxscript", "onnxruntime"))):
        return []
    rows = []
    rgb = cl.photos("test", "scene")[0].load()
    for name in ("eccv16", "siggraph17"):
        net = cl.load_network(name)
        torch_, onnx = side_by_side(
            lambda net=net: predict_ab(rgb, net),
            lambda net=net: predict_ab(rgb, net, engine="onnx"),
        )
        what = f"{name} of the course, engine onnx against torch"
        rows.append(Row(what, torch_ / onnx, None, None, f"{onnx * 1e3:.0f} ms"))
    return rows


def folder() -> list[Row]:
    """A folder of photographs at once, against each by a call of its own in the same process."""
    with tempfile.TemporaryDirectory() as name:
        photos = Path(name) / "in"
        photos.mkdir()
        for number, photo in enumerate((cl.photos("train", "scene") * 2)[:24]):
            picture = Image.fromarray(photo.load()).resize((1600, 1200))
            picture.save(photos / f"{number:02}.jpg", quality=90)
        options = ["--output", str(Path(name) / "out"), "--overwrite", "--quiet"]
        alone, together = side_by_side(
            lambda: [command_line([str(path), *options]) for path in sorted(photos.iterdir())],
            lambda: command_line([str(photos), *options]),
        )
    what = "a folder of 24 photographs of 2 megapixels, against one call for each"
    return [Row(what, alone / together, None, None, f"{together / 24 * 1e3:.0f} ms a photo")]


def preparing() -> list[Row]:
    """Preparing pictures for training against the plain way on one core."""

    def plain(path: Path) -> np.ndarray:
        return encode_lab(rgb2lab(square(cl.load_image(path), 128))).transpose(2, 0, 1)

    with tempfile.TemporaryDirectory() as name:
        paths = []
        for number, photo in enumerate((cl.photos("train", "scene") * 16)[:256]):
            paths.append(Path(name) / f"{number:03}.jpg")
            Image.fromarray(photo.load()).resize((300, 200)).save(paths[-1], quality=90)
        one, ours = side_by_side(
            lambda: np.save(Path(name) / "a.npy", np.stack([plain(path) for path in paths])),
            lambda: cl.build_array(paths, Path(name) / "b.npy", 128, progress=False),
        )
        (decoding,) = side_by_side(lambda: [cl.load_image(path) for path in paths])
    floor = decoding / torch.get_num_threads()
    rate = f"{len(paths) / ours:.0f} pictures a second"
    what = "preparing pictures of 300 x 200 for training at 128, against one by one"
    return [Row(what, one / ours, None, one / floor, rate)]


def training() -> list[Row]:
    """A step of training in bfloat16, which is chosen where it pays, against one in float32."""
    if not bfloat16_pays():
        return []
    rows, count, size = [], 32, 96
    codes = np.random.default_rng(0).integers(0, 256, (count, 3, size, size), dtype=np.uint8)
    recipes = {
        "eccv16": (Classification, ClassificationSettings),
        "siggraph17": (Regression, RegressionSettings),
    }
    for name, (recipe, settings) in recipes.items():
        plain, half = (
            recipe(
                cl.load_network(name),
                codes,
                codes[:1],
                settings(1000, batch_size=count, size=size, precision=precision),
            )
            for precision in ("float32", "bfloat16")
        )
        with FlopCounterMode(display=False) as counter:
            plain.train_step(0)
        seconds, ours = side_by_side(*(partial(one.train_step, 0) for one in (plain, half)))
        floor = counter.get_total_flops() / operations_a_second(torch.bfloat16)
        pictures = f"{count} x {size} x {size}"
        what = f"training {name} at course width, {pictures}, bfloat16 against float32"
        rate = f"{count / ours:.0f} pictures a second"
        rows.append(Row(what, seconds / ours, 1.8, seconds / floor, rate))
    return rows


def hints() -> list[Row]:
    """A changed hint in the hint painter, against a call of colorize."""
    rgb, net = cl.photos("test", "scene")[0].load(), cl.siggraph17()
    colourer = Colourer(rgb, net)
    changed = iter(range(10**9))

    def answer() -> None:
        hint = [10 + next(changed) % 300, 100, [200, 40, 40]]
        colourer.answer({"kind": "colour", "hints": [hint]})

    whole, ours = side_by_side(lambda: cl.colorize(rgb, net, hints=[(9, 9, (9, 9, 9))]), answer)
    what = "a changed hint, against colouring the photograph anew"
    return [Row(what, whole / ours, whole / 0.060, None, f"{ours * 1e3:.0f} ms")]


def importing() -> list[Row]:
    """What `import course_lib` adds to `import torch`."""

    def process(code: str) -> Callable[[], object]:
        return lambda: subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)

    torch_, both = side_by_side(process("import torch"), process("import torch, course_lib"))
    what = "`import torch` against `import torch, course_lib`"
    return [Row(what, torch_ / both, torch_ / (torch_ + 0.3), 1, f"{both - torch_:.2f} s more")]


PARTS = (twelve_megapixels, networks, engines, folder, preparing, training, hints, importing)


def table(rows: list[Row]) -> str:
    """The rows in Markdown."""
    lines = ["| what | times | aim | at the floor | ours |", "|---|---|---|---|---|"]
    for row in rows:
        numbers = [f"{x:.2f}" if x else "" for x in (row.ratio, row.aim, row.at_floor)]
        lines.append(f"| {row.what} | **{numbers[0]}** | {' | '.join(numbers[1:])} | {row.ours} |")
    return "\n".join(lines)


def machine() -> str:
    """On what and with what the numbers were measured."""
    cpu = Path("/proc/cpuinfo")
    names = cpu.read_text().splitlines() if cpu.exists() else []
    name = next((line.split(": ")[1] for line in names if line.startswith("model name")), "")
    load = f"; load before it began {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    versions = ", ".join(
        f"{package} {version(package)}" for package in ("torch", "numpy", "scikit-image", "pillow")
    )
    units = "with" if bfloat16_pays() else "without"
    threads = torch.get_num_threads()
    return (
        f"{name or platform.machine()}, {threads} threads, {units} bfloat16 units; "
        f"{platform.system()}, Python {platform.python_version()}, "
        f"{versions}{load}."
    )


def draw(rows: list[Row], path: Path) -> None:
    """Bars of the ratios, with aims and floors."""
    matplotlib.use("agg")
    from course_lib.plotting import COLORS, new_figure

    figure, axes = new_figure(width=9, height=0.8 + 0.28 * len(rows))
    axis, places = axes[0, 0], range(len(rows))
    axis.barh(places, [row.ratio for row in rows], color=COLORS[5], label="measured")
    for kind, marker, color in (("aim", "|", COLORS[1]), ("at_floor", "D", COLORS[0])):
        some = [(getattr(row, kind), place) for place, row in zip(places, rows, strict=True)]
        some = [one for one in some if one[0]]
        label = kind.replace("_", " the ")
        axis.scatter(*zip(*some, strict=True), marker=marker, s=90, color=color, label=label)
    axis.set(xscale="log", xlabel="times as fast, or as small", yticks=list(places))
    axis.set_yticklabels([row.what.replace("`", "") for row in rows], fontsize=7)
    axis.invert_yaxis()
    axis.axvline(1, color="black", linewidth=0.8)
    figure.legend(loc="outside upper center", ncols=3)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure, and print or write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [part.__name__ for part in PARTS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="PART")
    parser.add_argument("--write", action="store_true", help="write README.md and ratios.png")
    options = parser.parse_args()
    where, rows = machine(), []
    for part in PARTS:
        if part.__name__ in options.only:
            print(f"{part.__name__} ...", file=sys.stderr, flush=True)
            rows += part()
    text = f"{table(rows)}\n\n{where}"
    print(text)
    if options.write:
        picture = "![The table's ratios as bars, with aims and floors as marks](ratios.png)"
        page = replace_between(PAGE.read_text(encoding="utf-8"), "ratios", f"{text}\n\n{picture}")
        PAGE.write_text(page, encoding="utf-8")
        draw(rows, PAGE.with_name("ratios.png"))


if __name__ == "__main__":
    main()
