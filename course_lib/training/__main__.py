"""The course's trainings as commands.

python -m course_lib.training prepare FOLDER --size 64 --output train.npy
python -m course_lib.training arrays --output runs/arrays --folder pacs ~/pictures/PACS
python -m course_lib.training prior --train train.npy --output ab-prior.csv
python -m course_lib.training eccv16 --train train.npy --validation val.npy --run runs/eccv16
python -m course_lib.training l1 --train train.npy --validation val.npy --run runs/l1
python -m course_lib.training gan --train train.npy --validation val.npy --run runs/gan
python -m course_lib.training finetune --train mine.npy --validation val.npy --run runs/mine
python -m course_lib.training compare --train train.npy --validation val.npy --run runs/trials
python -m course_lib.training export --run runs/eccv16 --validation val.npy --output x.safetensors

A config with stages on several arrays gets them by name: --train small=a.npy --train large=b.npy

On several processes, cards or machines: torchrun --nproc-per-node N -m course_lib.training ...
(on CPUs each process then normalizes its own share of a batch; see course_lib.parallel)
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import torch

from course_lib import parallel
from course_lib.bins import EncodingTable, ab_bins
from course_lib.console import accept_any_letter
from course_lib.data.prepare import GRAY_CHROMA, build_array, kinds_of
from course_lib.data.prior import save_prior, training_prior
from course_lib.data.public import DatasetError
from course_lib.data.split import PARTS, only_part
from course_lib.image import ImageError, list_images, save_image
from course_lib.models.weights import WeightsError
from course_lib.training import runs
from course_lib.training.choices import compare, sweep_run
from course_lib.training.loop import History
from course_lib.training.runs import CONFIGS, RECIPES, load_array, load_arrays, read_config
from course_lib.training.sets import TRAINING_SETS, build_arrays

#: Errors whose message says what is wrong and what to do.
REFUSALS = (ImageError, DatasetError, WeightsError, ValueError, OSError, FloatingPointError)
#: Validation pictures measured during training.
MEASURED = 500


def _prepare(options: argparse.Namespace) -> None:
    paths = [path for folder in options.folders for path in list_images(folder)]
    if options.part:
        paths = only_part(paths, options.part)
    unlike = [load_array(path) for path in options.unlike] if options.unlike is not None else None
    labels = kinds_of(paths) if options.labels else None
    counts = build_array(
        paths,
        options.output,
        options.size,
        min_chroma=options.min_chroma,
        unlike=unlike,
        labels=labels,
    )
    print(f"{options.output}: " + ", ".join(f"{v} {k}" for k, v in counts.items()))


def _arrays(options: argparse.Namespace) -> None:
    folders = {name: Path(folder) for name, folder in options.folder}
    made = build_arrays(options.output, folders, names=options.sets)
    for name, counts in made.items():
        print(f"{name}: " + ", ".join(f"{v} {k}" for k, v in counts.items()))


def _prior(options: argparse.Namespace) -> None:
    prior = training_prior(load_array(options.train), EncodingTable())
    save_prior(options.output, prior)
    print(f"{options.output}: most probable bin {ab_bins()[prior.argmax()]}, {prior.max():.3f}")


def _train(options: argparse.Namespace) -> None:
    row = RECIPES[options.recipe]
    # where the command is the name of a network, no other is trained
    model = row.model if options.command == row.model else None
    config = read_config(options.config, options.recipe, model)
    arrays, validation = load_arrays(options.train), load_array(options.validation)[:MEASURED]
    given = {"evaluate_every": options.evaluate_every, "start": options.start}
    if options.recipe == "gan":
        recipe, history = runs.train_gan(config, arrays, validation, options.run, **given)
        if parallel.rank() == 0:
            for step, pictures in getattr(recipe, "samples", {}).items():
                sheet = np.concatenate(pictures, axis=1)
                save_image(options.run / f"step-{step:06}.png", sheet)
    else:
        given["trunk"] = getattr(options, "trunk", None)
        _, history = runs.train_run(config, arrays, validation, options.run, **given)
    _end(history)
    if parallel.rank() == 0:
        print(json.dumps(history.rows[-1] if history.rows else {}))


def _end(history: History) -> None:
    """Let an interrupted training end the command too, so that no script goes on without it."""
    if history.interrupted:
        raise KeyboardInterrupt


def _finetune(options: argparse.Namespace) -> None:
    config = {"freeze": [], **read_config(options.config)}
    recipe, history = runs.train_run(
        config,
        load_arrays(options.train),
        load_array(options.validation)[:MEASURED],
        options.run,
        start=options.start,
        record_every=options.evaluate_every,
        evaluate_every=options.evaluate_every,
    )
    _end(history)
    if parallel.rank() == 0:
        start, best = recipe.start[recipe.monitor], recipe.best_value
        print(f"best after {recipe.best_step} steps: {recipe.monitor} {best:.3f}, was {start:.3f}")


def _choose(options: argparse.Namespace) -> None:
    codes = load_array(options.validation)[: options.count]
    print(f"{options.output}: {sweep_run(options.run, codes, options.output)} rows")


def _compare(options: argparse.Namespace) -> None:
    config = read_config(options.config)
    changes = [{}]
    for name, value in options.change:
        try:
            changes.append({name: json.loads(value)})
        except ValueError:
            raise ValueError(f"--change {name}: {value!r} is no value in JSON") from None
    train, validation = load_arrays(options.train), load_array(options.validation)[:MEASURED]
    rows = compare(config, changes, train, validation, options.count, options.run, options.output)
    print(f"{options.output}: {rows} rows")


def _export(options: argparse.Namespace) -> None:
    digest = runs.export_run(
        options.run,
        load_array(options.validation)[:MEASURED],
        options.output,
        input_size=options.input_size,
        temperature=options.temperature,
        soften=options.soften,
        before=options.before,
        training_data=options.data,
        date=options.date or date.today().isoformat(),
    )
    print(f"{options.output}: {options.output.stat().st_size:,} bytes, sha256 {digest}")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {number}")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m course_lib.training", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, run: Callable, help_: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=help_)
        added.set_defaults(run_command=run)
        return added

    def training(name: str, run: Callable, help_: str, every: int) -> argparse.ArgumentParser:
        added = command(name, run, help_)
        added.add_argument("--validation", type=Path, required=True, help="array to measure on")
        added.add_argument("--run", type=Path, required=True, help="folder for all that it writes")
        added.add_argument(
            "--train",
            required=True,
            action="append",
            metavar="[NAME=]FILE",
            help="array made by prepare; with its name, where a config is for several",
        )
        own = CONFIGS / f"{name}.json"
        added.add_argument("--config", type=Path, default=own, help="JSON (default: the course's)")
        added.add_argument("--evaluate-every", type=_positive, default=every, help="steps")
        added.add_argument("--threads", type=_positive, help="CPU threads (default: all cores)")
        return added

    prepare = command("prepare", _prepare, "decode folders of pictures into one array")
    prepare.add_argument("folders", nargs="+", type=Path)
    prepare.add_argument("--size", type=_positive, default=64, help="side of the squares, pixels")
    prepare.add_argument(
        "--part", choices=("train", *PARTS), help="only these, by hash (default: all pictures)"
    )
    prepare.add_argument("--min-chroma", type=float, default=GRAY_CHROMA)
    prepare.add_argument(
        "--labels", action="store_true", help="write beside it which folder each picture is from"
    )
    prepare.add_argument(
        "--unlike",
        type=Path,
        nargs="*",
        metavar="ARRAY",
        help="pass over near copies of the pictures of these arrays, and of each other",
    )
    prepare.add_argument("--output", type=Path, required=True)

    arrays = command("arrays", _arrays, "prepare the public sets that the networks learn from")
    arrays.add_argument("sets", nargs="*", default=list(TRAINING_SETS), metavar="SET")
    arrays.add_argument(
        "--folder",
        nargs=2,
        action="append",
        default=[],
        metavar=("SET", "FOLDER"),
        help="where a set lies already; others are fetched",
    )
    arrays.add_argument("--output", type=Path, required=True, help="folder for the arrays")

    prior = command("prior", _prior, "count how often each of the 313 colours occurs")
    prior.add_argument("--train", type=Path, required=True, help="array made by prepare")
    prior.add_argument("--output", type=Path, required=True)

    for name, row in RECIPES.items():
        train = training(row.config, _train, f"train by {name}, or go on where it stopped", 500)
        train.set_defaults(recipe=name)
        train.add_argument("--start", help="its own weights to start from: a file, or course")
        if row.model == "siggraph17":
            train.add_argument("--trunk", help="instead: an ECCV16's weights, a file or course")

    tune = training("finetune", _finetune, "train a network further, on your pictures", 10)
    tune.add_argument("--start", default="course", help="weights: a file, course or official")

    choose = command("choose", _choose, "sweep size, softening, temperature and averaging")
    choose.add_argument("--run", type=Path, required=True)
    choose.add_argument("--validation", type=Path, required=True, help="array to measure on")
    choose.add_argument("--count", type=_positive, default=200, help="its first so many pictures")
    choose.add_argument("--output", type=Path, required=True, help="CSV")

    trials = command("compare", _compare, "train short runs that differ in one setting")
    trials.add_argument(
        "--train",
        required=True,
        action="append",
        metavar="[NAME=]FILE",
        help="array made by prepare; with its name, where a config is for several",
    )
    trials.add_argument("--validation", type=Path, required=True, help="array to measure on")
    trials.add_argument("--run", type=Path, required=True, help="folder for the checkpoints")
    trials.add_argument("--config", type=Path, default=CONFIGS / "eccv16-trial.json", help="JSON")
    trials.add_argument(
        "--change",
        nargs=2,
        action="append",
        default=[],
        metavar=("SETTING", "VALUE"),
        help="one more run, with this setting changed; as often as you like",
    )
    trials.add_argument("--count", type=_positive, default=200, help="its first so many pictures")
    trials.add_argument("--threads", type=_positive, help="CPU threads (default: all cores)")
    trials.add_argument("--output", type=Path, default=Path("trials.csv"), help="CSV")

    export = command("export", _export, "write a run's averaged weights as safetensors")
    export.add_argument("--run", type=Path, required=True)
    export.add_argument("--validation", type=Path, required=True, help="array to measure on")
    export.add_argument("--output", type=Path, required=True)
    export.add_argument("--data", default="", help="what it was trained on, for the header")
    export.add_argument("--before", default="", help="earlier trainings, likewise")
    export.add_argument("--input-size", type=_positive, help="pixels at use (default: as trained)")
    export.add_argument("--temperature", type=float, help="at use (default: the config's)")
    export.add_argument("--soften", type=float, help="share of the rebalancing to take back, 0..1")
    export.add_argument("--date", help="YYYY-MM-DD for the header (default: today)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a training command; returns the exit status."""
    accept_any_letter()
    options = _parser().parse_args(arguments)
    if getattr(options, "threads", None):
        torch.set_num_threads(options.threads)
    try:
        with parallel.joined_processes():
            options.run_command(options)
    except REFUSALS as error:
        print(f"course_lib.training: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("course_lib.training: interrupted; what was written is whole", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
