"""The command line: ``colorize photo.jpg folder/ --output out/``."""

import argparse
import sys
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm.auto import tqdm

from course_lib import __version__, parallel
from course_lib.device import pick_device
from course_lib.image import SUFFIXES, ImageError, list_images, load_image, save_image
from course_lib.inference import ENGINES, colorize
from course_lib.lab import NEUTRAL_KELVIN, set_saturation, set_temperature, to_gray
from course_lib.models import NETWORKS, WeightsError, load_network, shipped_weights


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="colorize",
        description="Colour gray photographs. Their lightness, and so every detail, stays.",
        epilog="Exit status: 0 all done, 1 some pictures failed, 2 wrong use.",
    )
    parser.add_argument("inputs", nargs="+", type=Path, help="pictures, and folders of pictures")
    parser.add_argument("--output", type=Path, required=True, help="folder for the results")
    networks = "; ".join(f"{name}: {row.description}" for name, row in NETWORKS.items())
    parser.add_argument(
        "--model",
        choices=[*NETWORKS, "both"],
        default="eccv16",
        help=f"{networks}; both: all whose weights ship (default: eccv16)",
    )
    parser.add_argument(
        "--weights",
        default="course",
        help="course (shipped; the default), official (published; downloaded once), or a file",
    )
    parser.add_argument(
        "--size",
        type=_number(int, 8, 2048),
        help="pixels of the shorter side at the network (default: what it was trained for)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps (default: auto)")
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        default="auto",
        help="what computes the network: torch, in float32; bfloat16, in half the bits; auto: "
        "bfloat16 where the processor has units for it; onnx: ONNX Runtime (default: auto)",
    )
    parser.add_argument(
        "--saturation",
        type=_number(float, 0, 10),
        default=1.0,
        help="0 gray, 1 as predicted, above 1 stronger (default: 1)",
    )
    parser.add_argument(
        "--temperature",
        type=_number(float, 4000, 25000),
        default=NEUTRAL_KELVIN,
        help="colour of the light in kelvin: 4000 warm .. 25000 cool (default: 6504, neutral)",
    )
    parser.add_argument(
        "--compare", action="store_true", help="gray and coloured side by side in one picture"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing results")
    parser.add_argument("--quiet", action="store_true", help="print errors only")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    return parser


def _number(kind: type, low: float, high: float):
    def parse(text: str):
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            raise argparse.ArgumentTypeError(f"expected a number in {low}..{high}, got {text!r}")
        return value

    return parse


def _tasks(inputs: Sequence[Path]) -> Iterator[tuple[Path, Path]]:
    """Each picture with the path, without ending, that its result has below the output folder."""
    for item in inputs:
        if item.is_dir():
            found = list_images(item)
            if not found:
                raise ImageError(f"{item}: no pictures in this folder ({', '.join(SUFFIXES)})")
            yield from ((path, path.relative_to(item)) for path in found)
        else:
            yield item, Path(item.name)


def _result_path(output: Path, place: Path, model: str, taken: set[Path]) -> Path:
    """Where a result goes: always a JPEG or PNG; two inputs never share one name."""
    suffix = ".jpg" if place.suffix.lower() in (".jpg", ".jpeg") else ".png"
    path = output / place.parent / f"{place.stem}-{model}{suffix}"
    if path in taken:  # photo.png beside photo.tif
        path = path.with_name(f"{place.stem}-{place.suffix[1:].lower()}-{model}{suffix}")
    number = 2
    while path in taken:  # one/photo.jpg beside two/photo.jpg
        path = output / place.parent / f"{place.stem}-{number}-{model}{suffix}"
        number += 1
    taken.add(path)
    return path


def _render(rgb: np.ndarray, net: nn.Module, options: argparse.Namespace) -> np.ndarray:
    out = colorize(rgb, net, size=options.size, engine=options.engine)
    if options.saturation != 1:
        out = set_saturation(out, options.saturation)
    if options.temperature != NEUTRAL_KELVIN:
        out = set_temperature(out, options.temperature)
    return np.concatenate([to_gray(rgb), out], axis=1) if options.compare else out


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(f"{folder}: cannot be made ({error.strerror})") from None


def _one(
    source: Path, targets: dict[str, Path], nets: dict[str, nn.Module], options: argparse.Namespace
) -> str | None:
    """Colour one picture with every network that has something to do; return what went wrong."""
    try:
        rgb = load_image(source)
        for name, target in targets.items():
            _make(target.parent)
            save_image(target, _render(rgb, nets[name], options))
    except ImageError as error:
        return str(error)
    except (MemoryError, RuntimeError) as error:
        # PyTorch has no one exception for it: on the CPU it is a plain RuntimeError.
        if not isinstance(error, MemoryError) and "memory" not in str(error):
            raise
        return f"{source}: not enough memory; try a smaller --size or photo"
    return None


def _run(options: argparse.Namespace) -> int:
    device = pick_device(options.device)
    if options.output.exists() and not options.output.is_dir():
        raise ImageError(f"{options.output}: this is a file; --output needs a folder")
    names = [options.model]
    if options.model == "both":
        if options.weights not in ("course", "official"):
            raise ValueError("--weights FILE holds one network; name it with --model")
        names = list(shipped_weights())
    tasks = list(_tasks(options.inputs))
    nets = {name: load_network(name, options.weights).to(device) for name in names}
    _make(options.output)

    done = failed = kept = 0
    taken: set[Path] = set()
    jobs = [
        (source, {name: _result_path(options.output, place, name, taken) for name in names})
        for source, place in tasks
    ]
    jobs = jobs[parallel.share_of_files(len(jobs))]
    if not options.overwrite:
        every = len(jobs) * len(names)
        jobs = [
            (source, {name: target for name, target in targets.items() if not target.exists()})
            for source, targets in jobs
        ]
        kept = every - sum(len(targets) for _, targets in jobs)
        jobs = [job for job in jobs if job[1]]
    with (
        # While one photograph is read or written, another is computed. Each thread has a single
        # one in memory. Each computes with all cores, as for a single one: so its bytes are those.
        ThreadPoolExecutor(torch.get_num_threads()) as pool,
        tqdm(total=len(jobs), disable=options.quiet or len(jobs) < 2, unit="photo") as bar,
        warnings.catch_warnings(),  # load_image's own would be mixed up between threads
    ):
        problems = pool.map(lambda job: _one(*job, nets, options), jobs)
        for (_, targets), problem in zip(jobs, problems, strict=True):
            bar.update()
            if problem is None:
                done += len(targets)
            else:
                failed += 1
                tqdm.write(f"colorize: {problem}", file=sys.stderr)
    done, kept, failed = map(int, parallel.total_over_processes([done, kept, failed]))
    if not options.quiet and parallel.rank() == 0:
        kept_note = f", {kept} already there (--overwrite replaces them)" if kept else ""
        print(f"{done} written to {options.output}{kept_note}, {failed} failed")
    return 1 if failed else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; those of the process unless given.

    Returns
    -------
    int
        Exit status: 0 all done, 1 some pictures failed, 2 wrong use (also raised as
        SystemExit by argparse).
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        with parallel.joined_processes():
            return _run(options)
    except (ImageError, WeightsError, ValueError, ImportError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted; what was written is whole", file=sys.stderr)
        return 1
