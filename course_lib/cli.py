"""The command line: ``colorize photo.jpg folder/ --output out/``."""

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm.auto import tqdm

from course_lib import __version__, parallel
from course_lib.console import accept_any_letter, one_line, silent_libraries
from course_lib.device import pick_device
from course_lib.fast_lab import edit_in_bands
from course_lib.image import SUFFIXES, Found, ImageError, load_image, save_image, search_folder
from course_lib.inference import ENGINES, colorize
from course_lib.lab import NEUTRAL_KELVIN, set_saturation, set_temperature, to_gray
from course_lib.models import NETWORKS, WeightsError, load_network, shipped_weights
from course_lib.models.loading import SIZES
from course_lib.results import Places, made_from, notes


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="colorize",
        description="Colour gray photographs. Their lightness, and so every detail, stays.",
        epilog="Exit status: 0 all done, 1 some pictures failed, 2 wrong use.",
    )
    parser.add_argument("inputs", nargs="+", type=_path, help="pictures, and folders of pictures")
    parser.add_argument("--output", type=_path, required=True, help="folder for the results")
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
        type=_number(int, *SIZES),
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


def _path(text: str) -> Path:
    if not text:  # which would mean the working directory
        raise argparse.ArgumentTypeError("expected a path, got an empty text")
    return Path(text)


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


def _search(inputs: Sequence[Path], output: Path) -> tuple[list[tuple[Path, Path]], Found]:
    """Each picture with its place below its input folder; and what was passed over.

    Results of earlier calls are no pictures to colour, wherever they lie.
    """
    tasks, all_ = [], Found()
    for item in inputs:
        try:
            is_folder = item.is_dir()
        except OSError:  # a name that no disk takes: reading it will say so
            is_folder = False
        found = search_folder(item) if is_folder else Found([item])
        all_.unreadable += found.unreadable
        all_.others += found.others
        # results lie below --output, if that is not where the photographs are
        own = is_folder and not _is_below(item, output)
        photos = [
            path
            for path in found.pictures
            if not (own and _is_below(path, output)) and made_from(path) is None
        ]
        all_.others["results of earlier calls"] += len(found.pictures) - len(photos)
        if is_folder and not found.pictures and not found.unreadable:
            all_.unreadable.append(f"{item}: no pictures in this folder ({', '.join(SUFFIXES)})")
        tasks += [
            (path, path.relative_to(item) if is_folder else Path(path.name)) for path in photos
        ]
    return tasks, all_


def _is_below(path: Path, folder: Path) -> bool:
    """Whether a path is a folder's own or lies in it, by whatever way they are written."""
    real = Path(os.path.realpath(path))
    return Path(os.path.realpath(folder)) in (real, *real.parents)


def _passed_over(found: Found) -> str:
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted((+found.others).items()))
    return f"passed over: {counts}" if counts else ""


def _render(rgb: np.ndarray, net: nn.Module, options: argparse.Namespace) -> np.ndarray:
    out = colorize(rgb, net, size=options.size, engine=options.engine)
    if options.saturation != 1:
        out = edit_in_bands(lambda band: set_saturation(band, options.saturation), out)
    if options.temperature != NEUTRAL_KELVIN:
        out = edit_in_bands(lambda band: set_temperature(band, options.temperature), out)
    if options.compare:
        out = np.concatenate([edit_in_bands(to_gray, rgb), out], axis=1)
    return out


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(f"{folder}: cannot be made ({error.strerror})") from None


def _one(
    source: Path, targets: dict[str, Path], nets: dict[str, nn.Module], options: argparse.Namespace
) -> tuple[int, int, str | None]:
    """Colour one picture with every network that has something to do.

    Returns how many results were made, how many were there already, and what went wrong.
    """
    done = kept = 0
    problem = None
    try:
        if not options.overwrite:
            wanted = {name: target for name, target in targets.items() if not target.exists()}
            kept, targets = len(targets) - len(wanted), wanted
        if targets:
            rgb, exif = load_image(source), notes(source)
        for name, target in targets.items():
            _make(target.parent)
            save_image(target, _render(rgb, nets[name], options), exif=exif)
            done += 1
    except ImageError as error:
        problem = str(error)
    except (OSError, ValueError) as error:
        problem = f"{source}: {getattr(error, 'strerror', None) or error}"
    except (MemoryError, RuntimeError) as error:
        # PyTorch has no one exception for it: on the CPU it is a plain RuntimeError.
        if not isinstance(error, MemoryError) and "memory" not in str(error):
            raise
        problem = f"{source}: not enough memory; try a smaller --size or photo"
    return done, kept, problem


def _complain(line: object) -> None:
    tqdm.write(f"colorize: {one_line(line)}", file=sys.stderr)


def _run(options: argparse.Namespace) -> int:
    device = pick_device(options.device)
    if options.output.exists() and not options.output.is_dir():
        raise ImageError(f"{options.output}: this is a file; --output needs a folder")
    names = [options.model]
    if options.model == "both":
        if options.weights not in ("course", "official"):
            raise ValueError("--weights FILE holds one network; name it with --model")
        names = list(shipped_weights())
    tasks, found = _search(options.inputs, options.output)
    if not tasks and found.unreadable:
        raise ImageError("; ".join(found.unreadable))
    nets = {name: load_network(name, options.weights).to(device) for name in names}
    _make(options.output)

    done = failed = kept = 0
    if parallel.rank() == 0:
        for line in found.unreadable:
            failed += 1
            _complain(line)
    places = Places(options.output, [source for source, _ in tasks])
    jobs = [
        (source, {name: places(source, place, name) for name in names}) for source, place in tasks
    ]
    jobs = jobs[parallel.share_of_files(len(jobs))]
    with (
        silent_libraries(),
        # While one photograph is read or written, another is computed. Each thread has a single
        # one in memory. Each computes with all cores, as for a single one: so its bytes are those.
        ThreadPoolExecutor(torch.get_num_threads()) as pool,
        tqdm(total=len(jobs), disable=options.quiet or len(jobs) < 2, unit="photo") as bar,
        warnings.catch_warnings(),  # load_image's own would be mixed up between threads
    ):
        for made, present, problem in pool.map(lambda job: _one(*job, nets, options), jobs):
            bar.update()
            done, kept = done + made, kept + present
            if problem is not None:
                failed += 1
                _complain(problem)
    done, kept, failed = map(int, parallel.total_over_processes([done, kept, failed]))
    if not options.quiet and parallel.rank() == 0:
        kept_note = f", {kept} already there (--overwrite replaces them)" if kept else ""
        print(f"{done} written to {options.output}{kept_note}, {failed} failed")
        if passed := _passed_over(found):
            print(passed)
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
    accept_any_letter()
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
