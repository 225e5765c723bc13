"""Runs: from a config to its recipes, and from a run's folder back to its network.

A config (course_lib/training/configs) is a JSON object: "model" is a name in `models.NETWORKS`,
"recipe" one in `RECIPES`; then come what the network is built with and the recipe's settings,
and for a fine-tuning "freeze" (blocks) and the options of `FineTuning`. "stages", where there are
any, are trained one after the other and say only what is different in them. Each starts from the
averaged weights of the one before, with an optimizer and an average of its own.

With ``"goes_on": true`` a stage takes over optimizer and averages too, so that the pictures may
grow without a new start.

Where there are several arrays to train on, "train" names that of a stage, or mixes some of them:
of ``{"small": 1, "large": 3}`` three of four pictures are from "large", on average.
"""

import inspect
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from course_lib import parallel
from course_lib.bins import rebalancing_weights
from course_lib.data.prepare import labels_of
from course_lib.data.prior import ab_prior
from course_lib.models import load_network, look_up, save_weights
from course_lib.training.batches import (
    LabBatches,
    Labelled,
    Pictures,
    Settings,
    as_mixture,
    count_kinds,
    expect_kind,
)
from course_lib.training.classification import (
    Classification,
    ClassificationSettings,
    soften_rebalancing,
)
from course_lib.training.finetune import OPTIONS, FineTuning, freeze
from course_lib.training.gan import Gan, GanSettings, Reconstruction
from course_lib.training.loop import (
    History,
    Recipe,
    Stage,
    fit_stages,
    load_checkpoint,
    load_part,
)
from course_lib.training.optim import WeightAverage
from course_lib.training.regression import Regression, RegressionSettings, start_from_eccv16
from course_lib.training.supervised import BatchRecipe

CONFIGS = Path(__file__).parent / "configs"
#: What an array to train on is called that was given without a name.
UNNAMED = "train"


class RecipeRow(NamedTuple):
    """A row of the table of recipes.

    Attributes
    ----------
    recipe, settings : type
        The recipe's class, whose `needs` say what a network must have, and that of its settings.
    model : str
        The network that it trains where a config says nothing else.
    config : str
        The course's config of it, and the command of ``python -m course_lib.training``.
    """

    recipe: type[BatchRecipe]
    settings: type[Settings]
    model: str
    config: str


#: The recipes, by name. "l1" trains anything that maps L to ab.
RECIPES: dict[str, RecipeRow] = {
    "classification": RecipeRow(Classification, ClassificationSettings, "eccv16", "eccv16"),
    "regression": RecipeRow(Regression, RegressionSettings, "siggraph17", "siggraph17"),
    "l1": RecipeRow(Reconstruction, Settings, "unet", "l1"),
    "gan": RecipeRow(Gan, GanSettings, "unet", "gan"),
}


def _from_npy(path: str | os.PathLike, what: str, mmap_mode: str | None = None) -> np.ndarray:
    try:
        with Path(path).open("rb") as file:
            if file.read(2) == b"PK":  # np.load would leave a damaged one open
                raise ValueError("several arrays in one file")
        return np.load(path, mmap_mode=mmap_mode)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror or error})") from None
    except Exception as error:  # there is no end to what a damaged header makes NumPy raise
        raise ValueError(f"{path}: not {what} ({error}); make it with prepare") from None


def load_array(path: str | os.PathLike) -> np.ndarray:
    """Map an array of pictures, (N, 3, S, S) uint8, from a file that `build_array` wrote."""
    codes = _from_npy(path, "an array of pictures", "r")
    if codes.dtype != np.uint8 or codes.ndim != 4 or codes.shape[1:] != (3, *codes.shape[-1:] * 2):
        raise ValueError(f"{path}: expected (N, 3, S, S) uint8, got {codes.shape} {codes.dtype}")
    if not codes.size:
        raise ValueError(f"{path}: holds no pictures; make it with prepare")
    return codes


def load_labels(path: str | os.PathLike) -> np.ndarray:
    """Read the labels of an array's pictures, (N,) int64, from a file that `build_array` wrote."""
    labels = _from_npy(path, "labels of pictures")
    if labels.dtype != np.int64 or labels.ndim != 1 or labels.min(initial=0) < -1:
        raise ValueError(f"{path}: expected (N,) int64 from -1, got {labels.shape} {labels.dtype}")
    return labels


def load_arrays(given: Sequence[str]) -> dict[str, np.ndarray | Labelled]:
    """The arrays that a command line names: one ``a.npy``, or ``small=a.npy``, ``large=b.npy``.

    Where the labels of an array lie beside it, as `build_array` writes them, they come with it.
    """
    named = [
        (UNNAMED, text) if "=" not in text or Path(text).exists() else text.split("=", 1)
        for text in given
    ]
    arrays = {}
    for name, path in named:
        arrays[name] = load_array(path)
        if labels_of(path).exists():
            arrays[name] = Labelled(arrays[name], load_labels(labels_of(path)))
    if len(arrays) < len(named):
        raise ValueError(
            "several arrays need a name each: --train small=a.npy --train large=b.npy"
        )
    return arrays


def read_config(
    path: str | os.PathLike, recipe: str | None = None, model: str | None = None
) -> dict[str, Any]:
    """Read a config, add the model and the recipe where they are left out, and check them.

    Parameters
    ----------
    path : path
        The JSON file.
    recipe, model : str, optional
        What is to be trained, and how. A config that says something else is refused.

    Returns
    -------
    dict
    """
    try:
        config = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a config in JSON ({error})") from None
    if not isinstance(config, dict):
        raise ValueError(f"{path}: not a config: expected an object, in braces")
    for key, wanted in (("recipe", recipe), ("model", model)):
        if wanted and config.setdefault(key, wanted) != wanted:
            raise ValueError(f"{path}: is for the {key} {config[key]!r}, not for {wanted!r}")
    try:
        stages_of(config)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return complete(config)


def complete(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config with "model" and "recipe": the one that it leaves out follows from the other."""
    for key in ("model", "recipe"):
        expect_kind(key, config.get(key), str | None)
    recipe = config.get("recipe")
    if recipe is None:
        fits = [name for name, row in RECIPES.items() if row.model == config.get("model")]
        recipe = fits[0] if fits else "l1"
    if recipe not in RECIPES:
        raise ValueError(f"no recipe called {recipe!r}; use {' or '.join(RECIPES)}")
    model = config.get("model") or RECIPES[recipe].model
    look_up(model)
    return {**config, "model": model, "recipe": recipe}


def stages_of(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The stages of a config, at least one, each with all of its settings.

    The config of the GAN calls its two stages "reconstruction" and "game". Settings that nobody
    knows, or that are of another type or out of range, are refused.
    """
    config = complete(config)
    stages = config.pop("stages", [{}])
    if isinstance(config.get("game"), dict):
        stages = [config.pop("reconstruction", {}), config.pop("game")]
        expect_kind("reconstruction", stages[0], dict)
        stages[0] = stages[0] | {"recipe": "l1"}
    expect_kind("stages", stages, list)
    if not stages:
        raise ValueError("stages must be at least one")
    config.pop("pictures", None)  # a run's own copy of its config tells how many there were
    built_with = inspect.signature(look_up(config["model"]).build).parameters
    kinds = OPTIONS | {name: type(given.default) for name, given in built_with.items()}
    kinds |= {"freeze": list, "goes_on": bool}
    network, full, known = {"model", *built_with}, [], []
    for stage in stages:
        expect_kind("a stage", stage, dict)
        full.append(config | complete(config | stage) | stage)
        settings = (field.name for field in fields(RECIPES[full[-1]["recipe"]].settings))
        known.append({"recipe", "train", "freeze", "goes_on", *OPTIONS, *settings})
    unknown = config.keys() - network.union(*known)
    for stage, names in zip(stages, known, strict=True):
        unknown |= stage.keys() - names
    if unknown:
        raise ValueError(
            f"there are no settings called {', '.join(sorted(unknown))} in a training of "
            f"{config['model']} by {config['recipe']}"
        )
    for before, stage in pairwise(full):
        recipe = RECIPES[stage["recipe"]].recipe
        can = stage["recipe"] == before["recipe"] and hasattr(recipe, "take_over")
        if stage.get("goes_on") and not can:
            raise ValueError(
                f"a stage by {stage['recipe']} cannot go on from one by {before['recipe']}; "
                "leave goes_on out"
            )
    complete_stages = []
    for stage, names in zip(full, known, strict=True):
        for name in stage.keys() & kinds.keys():
            expect_kind(name, stage[name], kinds[name])
            if name in built_with and not 0 <= stage[name] <= 100:
                raise ValueError(f"{name} must be in 0..100, got {stage[name]}")
        for block in stage.get("freeze", ()):
            expect_kind("a block to freeze", block, str)
        expect_kind("train", stage.get("train", ""), str | dict)
        stage = {key: value for key, value in stage.items() if key in names | network}
        complete_stages.append(asdict(_settings(stage)) | stage)
    return complete_stages


def _settings(stage: Mapping[str, Any]) -> Settings:
    kind = RECIPES[stage["recipe"]].settings
    return kind(**{f.name: stage[f.name] for f in fields(kind) if f.name in stage})


def _pictures(stage: Mapping[str, Any], arrays: Mapping[str, np.ndarray | Labelled]) -> Pictures:
    """What a stage is trained on. An array without a name stands for any."""
    if arrays.keys() == {UNNAMED}:
        return arrays[UNNAMED]
    chosen = stage.get("train", dict.fromkeys(arrays, 1))
    shares = {chosen: 1} if isinstance(chosen, str) else chosen
    if missing := shares.keys() - arrays.keys():
        raise ValueError(
            f"the config is for several arrays: give {', '.join(sorted(missing))} too, "
            "each as --train NAME=FILE"
        )
    return [(arrays[name], share) for name, share in shares.items()]


def _class_head(
    stage: Mapping[str, Any], arrays: Mapping[str, np.ndarray | Labelled]
) -> list[int] | None:
    """The kinds of each array that a stage's class head tells apart; None where it has none."""
    return count_kinds(_pictures(stage, arrays)) if stage.get("label_weight") else None


def build_network(
    config: Mapping[str, Any], start: str | os.PathLike | None = None, trunk: str | None = None
) -> nn.Module:
    """The network of a config without stages, or of one of its stages.

    Parameters
    ----------
    config : mapping
        See above.
    start : str or path, optional
        Its own weights to start from, as `models.load_network` takes them; else it is random.
    trunk : str, optional
        Weights of an ECCV16, whose blocks 1 to 7 a random SIGGRAPH17 takes.

    Returns
    -------
    torch.nn.Module
    """
    (config,) = stages_of(config)
    model, recipe = config["model"], RECIPES[config["recipe"]].recipe
    names = inspect.signature(look_up(model).build).parameters
    torch.manual_seed(config.get("seed", 0))
    network = load_network(model, start, **{k: config[k] for k in names if k in config})
    missing = [name for name in recipe.needs if not hasattr(network, name)]
    if missing:
        raise ValueError(
            f"{model} cannot be trained by {config['recipe']}: it has no "
            f"{' and no '.join(missing)}; the recipe l1 trains any network"
        )
    if start is None:
        recipe.initialize(network)
        if trunk:
            start_from_eccv16(network, load_network("eccv16", trunk))
    return network


def build_recipe(
    config: Mapping[str, Any], network: nn.Module, train: Pictures, validation: np.ndarray
) -> BatchRecipe | FineTuning:
    """The recipe of a config without stages, ready for `fit`.

    Parameters
    ----------
    config : mapping
        See above.
    network : torch.nn.Module
        To train, in place.
    train : numpy.ndarray or sequence of (numpy.ndarray, float)
        See `batches.Pictures`.
    validation : numpy.ndarray
        (N, 3, H, W) uint8.

    Returns
    -------
    BatchRecipe or FineTuning
    """
    (stage,) = stages_of(config)
    torch.manual_seed(stage.get("seed", 0))  # for what the recipe makes anew
    if "freeze" in stage:
        freeze(network, stage["freeze"])
    recipe = RECIPES[stage["recipe"]].recipe
    recipe = recipe.for_network(network, train, validation, _settings(stage))
    plan = {key: stage[key] for key in OPTIONS if key in stage}
    return FineTuning(recipe, **plan) if plan or "freeze" in stage else recipe


def train_run(
    config: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray | Labelled],
    validation: np.ndarray,
    run_dir: str | os.PathLike,
    *,
    start: str | os.PathLike | None = None,
    trunk: str | None = None,
    **options: Any,
) -> tuple[Recipe, History]:
    """Train what a config describes, or what is left of it, in one folder.

    Parameters
    ----------
    config : mapping
        See above.
    arrays : mapping of str to numpy.ndarray or Labelled
        Training pictures, by the names that the config's stages call them; (N, 3, H, W) uint8.
    validation : numpy.ndarray
        (N, 3, H, W) uint8.
    run_dir : path
        For the checkpoint, the history and "config.json". Called again after an interrupt, or
        after the machine was switched off, the training goes on.
    start, trunk
        What the first stage starts from; see `build_network`.
    **options
        Of `loop.fit`.

    Returns
    -------
    recipe : Recipe
        Of the last stage that it came to.
    history : History
    """
    codes = {name: as_mixture(given)[0][0] for name, given in arrays.items()}
    config = {"size": min(one.shape[-1] for one in codes.values()), **complete(config)}
    stages = stages_of(config)
    for stage in stages:  # what is wrong with the last one shall not come out after hours
        LabBatches(_pictures(stage, arrays), _settings(stage))
    for before, stage in pairwise(stages):
        if stage.get("goes_on") and _class_head(before, arrays) != _class_head(stage, arrays):
            raise ValueError(
                "a stage that goes on takes over the class head, which needs the same arrays "
                "with labels in the same order, and label_weight in both or in neither: change "
                "the stage's train or label_weight, or leave goes_on out"
            )
    network = build_network(stages[0], start, trunk)
    built = ("width", *look_up(config["model"]).settings)
    config |= {name: getattr(network, name) for name in built}
    config["pictures"] = {name: len(one) for name, one in codes.items()}

    def plan(stage: dict[str, Any]) -> Stage:
        def build(before: BatchRecipe | None) -> Recipe:
            # without one before it is the first stage, or a checkpoint has all of the weights
            if before is None:
                net = network
            elif stage.get("goes_on"):
                net = before.network
            else:
                net = before.average.network.requires_grad_(True)
            recipe = build_recipe(stage, net, _pictures(stage, arrays), validation)
            if before and stage.get("goes_on"):
                recipe.take_over(before)
            return recipe

        return Stage(stage["steps"], build)

    return fit_stages([plan(stage) for stage in stages], run_dir=run_dir, config=config, **options)


def train_gan(
    config: Mapping[str, Any],
    train: np.ndarray | Mapping[str, np.ndarray],
    validation: np.ndarray,
    run_dir: str | os.PathLike,
    **options: Any,
) -> tuple[Reconstruction | Gan, History]:
    """Train a generator by L1, then in the game, and write it as "generator.safetensors".

    Parameters
    ----------
    config : mapping
        "width", "depth", "dropout" of the generator; "layers" of the discriminator, which has
        the same width; "seed"; and the settings of the stages: "reconstruction" for `Settings`
        and "game" for `GanSettings`. See ``configs/gan.json``.
    train : numpy.ndarray or mapping of str to numpy.ndarray
        (N, 3, H, W) uint8, as `data.prepare.build_array` writes them, or several by name.
    validation, run_dir, **options
        As in `train_run`.

    Returns
    -------
    recipe : Reconstruction or Gan
        Of the stage that it came to before it ended or was interrupted;
        ``recipe.average.network`` is the trained generator.
    history : History
    """
    arrays = {UNNAMED: train} if isinstance(train, np.ndarray) else train
    config = {"recipe": "gan", **config}
    recipe, history = train_run(config, arrays, validation, run_dir, **options)
    if parallel.rank() == 0:
        header = {"input_size": str(validation.shape[-1])}
        save_weights(Path(run_dir) / "generator.safetensors", recipe.average.network, header)
    return recipe, history


def load_run(
    run_dir: str | os.PathLike, averaged: bool = True
) -> tuple[nn.Module, dict[str, Any], str]:
    """Load what a run has trained, so far or to the end.

    Parameters
    ----------
    run_dir : path
        The run's folder.
    averaged : bool
        Take the averaged weights, else those of the last step. Of a fine-tuning it is always the
        best network.

    Returns
    -------
    network : torch.nn.Module
        In evaluation mode.
    config : dict
        Of the last stage that the run came to.
    story : str
        The stages' steps, pictures and seeds, and the minutes, in words.
    """
    path = Path(run_dir) / "checkpoint.pt"
    state = load_checkpoint(path)
    stages = stages_of(read_config(Path(run_dir) / "config.json"))[: state["stage"] + 1]
    network, parts = build_network(stages[-1]), state["recipe"]
    if len(stages) <= state["stage"] or stages[-1]["size"] is None:
        raise ValueError(f"{Path(run_dir) / 'config.json'}: not the config of {path}")
    if averaged and "best" not in parts:
        average = WeightAverage(network)
        load_part(average, state, "average", path)
        network = average.network
    else:
        which = next((name for name in ("best", "network") if name in parts), "generator")
        load_part(network, state, which, path)
    steps = [stage["steps"] for stage in stages[:-1]] + [state["stage_step"]]
    story = ", then ".join(
        f"{count} steps of {stage['batch_size']} pictures, seed {stage['seed']}"
        for count, stage in zip(steps, stages, strict=True)
    )
    return network.eval(), stages[-1], f"{story}; {state['seconds'] / 60:.0f} minutes"


def export_run(
    run_dir: str | os.PathLike,
    validation: np.ndarray,
    output: str | os.PathLike,
    *,
    input_size: int | None = None,
    temperature: float | None = None,
    soften: float | None = None,
    before: str = "",
    **header: str,
) -> str:
    """Write what a run has trained as a file of weights; returns the file's sha256.

    Parameters
    ----------
    run_dir, output : path
        The run's folder, and the .safetensors to write.
    validation : numpy.ndarray
        (N, 3, H, W) uint8, for the figures in the header.
    input_size : int, optional
        Pixels at which the network is to be used; as trained unless given.
    temperature, soften : float, optional
        Another temperature of the annealed mean; a share of the rebalancing to take back, see
        `classification.soften_rebalancing`.
    before : str
        Earlier trainings, for the header.
    **header : str
        What else is to be in the header.
    """
    network, config, story = load_run(run_dir)
    row = RECIPES[config["recipe"]]
    if temperature:
        network.temperature = temperature
    if soften:
        if row.recipe is not Classification:
            raise ValueError("--soften takes back rebalancing, which is for classification alone")
        soften_rebalancing(network, rebalancing_weights(ab_prior(), config["lam"]), soften)
        story += f"; rebalancing softened by {soften}"
    metrics = row.recipe.measure(network, validation)
    header |= {
        "input_size": str(input_size or config["size"]),
        "training": f"{before}, then {story}" if before else story,
        "metrics": json.dumps({name: round(value, 3) for name, value in metrics.items()}),
        "licence": "BSD-3-Clause",
    }
    return save_weights(output, network, header)
