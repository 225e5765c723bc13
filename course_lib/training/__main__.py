"""The course's trainings as commands.

python -m course_lib.training prepare FOLDER --size 64 --output train.npy
python -m course_lib.training prior --train train.npy --output ab-prior.csv
python -m course_lib.training eccv16 --train train.npy --validation val.npy --run runs/eccv16
python -m course_lib.training gan --train train.npy --validation val.npy --run runs/gan
python -m course_lib.training finetune --train mine.npy --validation val.npy --run runs/mine
python -m course_lib.training compare --train train.npy --validation val.npy --run runs/trials
python -m course_lib.training export --run runs/eccv16 --validation val.npy --output x.safetensors

On several processes, cards or machines: torchrun --nproc-per-node N -m course_lib.training ...
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import fields
from datetime import date
from pathlib import Path

import numpy as np
import torch
from torch import nn

from course_lib import parallel
from course_lib.bins import ab_bins, rebalancing_weights
from course_lib.data.arrays import GRAY_CHROMA, build_array
from course_lib.data.prior import ab_prior, save_prior
from course_lib.data.split import PARTS, only_part
from course_lib.image import ImageError, list_images, save_image
from course_lib.models import eccv16, siggraph17
from course_lib.models.eccv16 import ECCV16
from course_lib.models.siggraph17 import SIGGRAPH17
from course_lib.models.weights import WeightsError, save_weights
from course_lib.training.choices import save_choices, sweep
from course_lib.training.classification import (
    Classification,
    ClassificationSettings,
    EncodingTable,
    measure_classes,
    soften_rebalancing,
    training_prior,
)
from course_lib.training.finetune import build_fine_tuning
from course_lib.training.gan import Gan, train_gan
from course_lib.training.loop import fit
from course_lib.training.optim import initialize
from course_lib.training.regression import (
    Regression,
    RegressionSettings,
    measure_regression,
    start_from_eccv16,
)
from course_lib.training.supervised import SupervisedRecipe

CONFIGS = Path(__file__).parent / "configs"
#: Validation pictures measured during training.
MEASURED = 500


def _load_array(path: Path) -> np.ndarray:
    try:
        codes = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path}: not an array of pictures ({error}); make it with prepare"
        ) from None
    if codes.ndim != 4 or codes.shape[1] != 3 or codes.dtype != np.uint8:
        raise ValueError(f"{path}: expected (N, 3, H, W) uint8, got {codes.shape} {codes.dtype}")
    return codes


def build_recipe(
    config: dict,
    train: np.ndarray,
    validation: np.ndarray,
    start: str | None = None,
    trunk: str | None = None,
) -> SupervisedRecipe:
    """The recipe that a config describes, ready for `fit`.

    Parameters
    ----------
    config : dict
        As in course_lib/training/configs: "model", "width", "size" and the recipe's settings.
    train, validation : numpy.ndarray
        (N, 3, H, W) uint8.
    start : str, optional
        Weights of the same network to start from.
    trunk : str, optional
        Weights of an ECCV16, whose blocks 1 to 7 SIGGRAPH17 takes.

    Returns
    -------
    SupervisedRecipe
    """
    settings = {k: v for k, v in config.items() if k not in ("model", "width")}
    kind = ClassificationSettings if config["model"] == "eccv16" else RegressionSettings
    unknown = settings.keys() - {field.name for field in fields(kind)}
    if unknown:
        raise ValueError(f"{config['model']} has no settings called {', '.join(sorted(unknown))}")
    if train.shape[-1] < config["size"]:
        raise ValueError(f"the config wants {config['size']} px, the array has {train.shape[-1]}")
    torch.manual_seed(settings["seed"])
    if config["model"] == "eccv16":
        network = ECCV16(config["width"], config["temperature"])
        initialize(network)
        if start:
            network.load_state_dict(eccv16(start).state_dict())
        return Classification(network, train, validation, kind(**settings))
    network = SIGGRAPH17(config["width"])
    initialize(network)
    if start:
        network.load_state_dict(siggraph17(start).state_dict())
    elif trunk:
        start_from_eccv16(network, eccv16(trunk))
    return Regression(network, train, validation, kind(**settings))


def _prepare(options: argparse.Namespace) -> None:
    paths = [path for folder in options.folders for path in list_images(folder)]
    if options.part:
        paths = only_part(paths, options.part)
    counts = build_array(paths, options.output, options.size, min_chroma=options.min_chroma)
    print(f"{options.output}: " + ", ".join(f"{v} {k}" for k, v in counts.items()))


def _prior(options: argparse.Namespace) -> None:
    prior = training_prior(_load_array(options.train), EncodingTable())
    save_prior(options.output, prior)
    print(f"{options.output}: most probable bin {ab_bins()[prior.argmax()]}, {prior.max():.3f}")


def _train(options: argparse.Namespace) -> None:
    config_path = options.config or CONFIGS / f"{options.command}.json"
    config = json.loads(config_path.read_text())
    train, validation = _load_array(options.train), _load_array(options.validation)
    trunk = options.trunk if config["model"] == "siggraph17" else None
    recipe = build_recipe(config, train, validation[:MEASURED], options.start, trunk)
    if parallel.rank() == 0:
        options.run.mkdir(parents=True, exist_ok=True)
        (options.run / "config.json").write_text(
            json.dumps(config | {"pictures": len(train)}, indent=2)
        )
    if options.threads:
        torch.set_num_threads(options.threads)
    history = fit(
        recipe,
        config["steps"],
        run_dir=options.run,
        evaluate_every=options.evaluate_every,
    )
    if parallel.rank() == 0:
        print(json.dumps(history.rows[-1]))


def _gan(options: argparse.Namespace) -> None:
    config = json.loads((options.config or CONFIGS / "gan.json").read_text())
    train, validation = _load_array(options.train), _load_array(options.validation)
    if train.shape[-1] < config["size"]:
        raise ValueError(
            f"the config is for pictures of {config['size']} px, the array has {train.shape[-1]}"
        )
    recipe, history = train_gan(
        config, train, validation[:MEASURED], options.run, evaluate_every=options.evaluate_every
    )
    if parallel.rank() == 0:
        (options.run / "config.json").write_text(json.dumps(config, indent=2))
        samples = recipe.samples if isinstance(recipe, Gan) else {}
        for step, pictures in samples.items():
            save_image(options.run / f"step-{step:06}.png", np.concatenate(pictures, axis=1))
        print(json.dumps(history.rows[-1] if history.rows else {}))


def _finetune(options: argparse.Namespace) -> None:
    config = json.loads((options.config or CONFIGS / "finetune.json").read_text())
    train, validation = _load_array(options.train), _load_array(options.validation)
    recipe = build_fine_tuning(config, train, validation[:MEASURED], options.start)
    if parallel.rank() == 0:
        options.run.mkdir(parents=True, exist_ok=True)
        # what export needs to build the network again
        network = {"width": recipe.best.width, "size": train.shape[-1], "pictures": len(train)}
        (options.run / "config.json").write_text(json.dumps(config | network, indent=2))
    if options.threads:
        torch.set_num_threads(options.threads)
    every = options.evaluate_every
    fit(recipe, config["steps"], run_dir=options.run, record_every=every, evaluate_every=every)
    if parallel.rank() == 0:
        start, best = recipe.start[recipe.monitor], recipe.best_value
        print(f"best after {recipe.best_step} steps: {recipe.monitor} {best:.3f}, was {start:.3f}")


def _trained(run: Path, averaged: bool = True) -> tuple[nn.Module, dict, dict]:
    """The network of a run, in evaluation mode, the run's config and its state.

    With averaged weights, or with those of the last step; of a fine-tuning it is the best network.
    """
    config = json.loads((run / "config.json").read_text())
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    network: nn.Module
    if config["model"] == "eccv16":
        network = ECCV16(config["width"], config["temperature"])
    else:
        network = SIGGRAPH17(config["width"])
    weights = "best" if "best" in state["recipe"] else "average" if averaged else "network"
    network.load_state_dict(state["recipe"][weights])
    return network.eval(), config, state


def _choose(options: argparse.Namespace) -> None:
    network, config, _ = _trained(options.run)
    if config["model"] != "eccv16":
        raise ValueError("size, softening and temperature are chosen for eccv16 alone")
    codes = _load_array(options.validation)[: options.count]
    gray, *rows = sweep(network, codes, config["lam"])
    last, _, _ = _trained(options.run, averaged=False)
    _, *others = sweep(last, codes, config["lam"], sizes=(config["size"],))
    save_choices(
        options.output,
        [{"weights": None} | gray]
        + [{"weights": "averaged"} | row for row in rows]
        + [{"weights": "last step"} | row for row in others],
    )
    print(f"{options.output}: {1 + len(rows) + len(others)} rows")


def _compare(options: argparse.Namespace) -> None:
    config = json.loads(options.config.read_text())
    if config["model"] != "eccv16":
        raise ValueError("only trainings of eccv16 are compared")
    train, validation = _load_array(options.train), _load_array(options.validation)
    if options.threads:
        torch.set_num_threads(options.threads)
    rows = []
    for change in ({}, *({name: json.loads(value)} for name, value in options.change)):
        trial = config | change
        recipe = build_recipe(trial, train, validation[:MEASURED])
        run = options.run / "-".join(["trial", *(f"{k}-{v}" for k, v in change.items())])
        history = fit(recipe, trial["steps"], run_dir=run)
        gray, row = sweep(
            recipe.average.network.eval(),
            validation[: options.count],
            trial["lam"],
            (trial["size"],),
            (0.0,),
            (trial["temperature"],),
        )
        trained = {
            "width": trial["width"],
            "lambda": trial["lam"],
            "samples": history.rows[-1]["samples"],
        }
        if not rows:
            rows.append(dict.fromkeys(trained) | gray)
        rows.append(trained | row)
        save_choices(options.output, rows)
    print(f"{options.output}: {len(rows)} rows")


def _export(options: argparse.Namespace) -> None:
    network, config, state = _trained(options.run)
    if options.temperature:
        network.temperature = options.temperature
    training = (
        f"{state['step']} steps of {config['batch_size']} pictures, "
        f"{state['seconds'] / 60:.0f} minutes, seed {config['seed']}"
    )
    if options.soften:
        if config["model"] != "eccv16":
            raise ValueError("--soften takes back rebalancing, which only eccv16 is trained with")
        soften_rebalancing(network, rebalancing_weights(ab_prior(), config["lam"]), options.soften)
        training += f"; rebalancing softened by {options.soften}"
    validation = _load_array(options.validation)[:MEASURED]
    if config["model"] == "eccv16":
        metrics = measure_classes(network, validation, network.temperature)
    else:
        metrics = measure_regression(network, validation)
    metadata = {
        "input_size": str(options.input_size or config["size"]),
        "training_data": options.data,
        "training": f"{options.before}, then {training}" if options.before else training,
        "metrics": json.dumps({name: round(value, 3) for name, value in metrics.items()}),
        "date": options.date or date.today().isoformat(),
        "licence": "BSD-3-Clause",
    }
    digest = save_weights(options.output, network, metadata)
    print(f"{options.output}: {options.output.stat().st_size:,} bytes, sha256 {digest}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m course_lib.training", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(dest="command", required=True)

    prepare = commands.add_parser("prepare", help="decode folders of pictures into one array")
    prepare.add_argument("folders", nargs="+", type=Path)
    prepare.add_argument("--size", type=int, default=64, help="side of the squares in pixels")
    prepare.add_argument(
        "--part", choices=("train", *PARTS), help="only these, by hash (default: all pictures)"
    )
    prepare.add_argument("--min-chroma", type=float, default=GRAY_CHROMA)
    prepare.add_argument("--output", type=Path, required=True)
    prepare.set_defaults(run_command=_prepare)

    prior = commands.add_parser("prior", help="count how often each of the 313 colours occurs")
    prior.add_argument("--train", type=Path, required=True, help="array made by prepare")
    prior.add_argument("--output", type=Path, required=True)
    prior.set_defaults(run_command=_prior)

    for model in ("eccv16", "siggraph17"):
        train = commands.add_parser(model, help=f"train {model}, or go on where it stopped")
        train.add_argument("--train", type=Path, required=True, help="array made by prepare")
        train.add_argument("--validation", type=Path, required=True, help="likewise")
        train.add_argument("--run", type=Path, required=True, help="folder for the checkpoint")
        train.add_argument("--config", type=Path, help="JSON; the course's own unless given")
        train.add_argument("--start", help="its own weights to start from: a file, or course")
        if model == "siggraph17":
            train.add_argument("--trunk", help="instead: an ECCV16's weights, a file or course")
        train.add_argument("--evaluate-every", type=int, default=500, help="steps")
        train.add_argument("--threads", type=int, help="CPU threads (default: all cores)")
        train.set_defaults(run_command=_train)

    tune = commands.add_parser("finetune", help="train a network further, on your pictures")
    tune.add_argument("--train", type=Path, required=True, help="array made by prepare")
    tune.add_argument("--validation", type=Path, required=True, help="likewise, other pictures")
    tune.add_argument("--run", type=Path, required=True, help="folder for the checkpoint")
    tune.add_argument("--config", type=Path, help="JSON; the course's own unless given")
    tune.add_argument("--start", default="course", help="weights: a file, course or official")
    tune.add_argument("--evaluate-every", type=int, default=10, help="steps")
    tune.add_argument("--threads", type=int, help="CPU threads (default: all cores)")
    tune.set_defaults(run_command=_finetune)

    gan = commands.add_parser("gan", help="train a U-Net by L1, then against a discriminator")
    gan.add_argument("--train", type=Path, required=True, help="array made by prepare")
    gan.add_argument("--validation", type=Path, required=True, help="likewise")
    gan.add_argument("--run", type=Path, required=True, help="folder for all that it writes")
    gan.add_argument("--config", type=Path, help="JSON; the course's own unless given")
    gan.add_argument("--evaluate-every", type=int, default=500, help="steps")
    gan.set_defaults(run_command=_gan)

    choose = commands.add_parser("choose", help="sweep size, softening, temperature and averaging")
    choose.add_argument("--run", type=Path, required=True)
    choose.add_argument("--validation", type=Path, required=True, help="array to measure on")
    choose.add_argument("--count", type=int, default=200, help="its first so many pictures")
    choose.add_argument("--output", type=Path, required=True, help="CSV")
    choose.set_defaults(run_command=_choose)

    compare = commands.add_parser("compare", help="train short runs that differ in one setting")
    compare.add_argument("--train", type=Path, required=True, help="array made by prepare")
    compare.add_argument("--validation", type=Path, required=True, help="array to measure on")
    compare.add_argument("--run", type=Path, required=True, help="folder for the checkpoints")
    compare.add_argument("--config", type=Path, default=CONFIGS / "eccv16-trial.json", help="JSON")
    compare.add_argument(
        "--change",
        nargs=2,
        action="append",
        default=[],
        metavar=("SETTING", "VALUE"),
        help="one more run, with this setting changed; as often as you like",
    )
    compare.add_argument("--count", type=int, default=200, help="its first so many pictures")
    compare.add_argument("--threads", type=int, help="CPU threads (default: all cores)")
    compare.add_argument("--output", type=Path, default=Path("trials.csv"), help="CSV")
    compare.set_defaults(run_command=_compare)

    export = commands.add_parser("export", help="write a run's averaged weights as safetensors")
    export.add_argument("--run", type=Path, required=True)
    export.add_argument("--validation", type=Path, required=True, help="array to measure on")
    export.add_argument("--output", type=Path, required=True)
    export.add_argument("--data", default="", help="what it was trained on, for the header")
    export.add_argument("--before", default="", help="earlier stages of the training, likewise")
    export.add_argument("--input-size", type=int, help="pixels at use (default: as trained)")
    export.add_argument("--temperature", type=float, help="at use (default: the config's)")
    export.add_argument("--soften", type=float, help="share of the rebalancing to take back, 0..1")
    export.add_argument("--date", help="YYYY-MM-DD for the header (default: today)")
    export.set_defaults(run_command=_export)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a training command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        with parallel.joined_processes():
            options.run_command(options)
    except (ImageError, WeightsError, ValueError, OSError) as error:
        print(f"course_lib.training: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
