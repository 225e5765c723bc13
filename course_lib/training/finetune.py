"""Fine-tuning: a trained network goes on learning, from other pictures.

    net = cl.eccv16()
    freeze(net, TRUNK)
    recipe = FineTuning(Classification(net, train, validation, settings), patience=5)
    fit(recipe, settings.steps, record_every=5, evaluate_every=5)
    cl.colorize(rgb, recipe.best)

Freeze first: a recipe looks once, when it is made, at what there is to train. To thaw blocks
later, thaw them and make another recipe.
"""

import copy
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from course_lib import parallel
from course_lib.data.arrays import decode_lab
from course_lib.models import eccv16, siggraph17
from course_lib.training.classification import Classification, ClassificationSettings
from course_lib.training.regression import Regression, RegressionSettings
from course_lib.training.supervised import SupervisedRecipe

#: What both networks have in common, and what knows textures and things: everything before the
#: layers that choose a colour.
TRUNK = tuple(f"model{number}" for number in range(1, 8))

#: Options of `FineTuning` that a config may have.
OPTIONS = ("rates", "monitor", "higher_is_better", "patience", "still")

#: Where batch normalization uses its running averages, and leaves them as they are.
STILL = ("all", "frozen")


def _find(network: nn.Module, blocks: str | Iterable[str]) -> list[nn.Module]:
    blocks = [blocks] if isinstance(blocks, str) else list(blocks)
    parts = dict(network.named_modules())
    unknown = [block for block in blocks if block not in parts]
    if unknown:
        raise ValueError(
            f"no block called {', '.join(map(repr, unknown))}; {type(network).__name__} has "
            + ", ".join(name for name, _ in network.named_children())
        )
    return [parts[block] for block in blocks]


def freeze(network: nn.Module, blocks: str | Iterable[str] = TRUNK) -> None:
    """Keep blocks of a network as they are while the rest is trained.

    Their weights ask for no gradients, and their batch normalization goes to evaluation mode:
    otherwise its running averages would follow the new pictures, and the block would change
    without one step of the optimizer.

    Parameters
    ----------
    network : torch.nn.Module
        Changed in place. A later ``network.train()`` would wake the running averages again;
        `FineTuning` sees to that, a loop of your own must do it with `keep_still`.
    blocks : str or iterable of str
        Names of its parts: "model1", or deeper ones such as "model8.6".

    Raises
    ------
    ValueError
        If the network has no part of that name.
    """
    for part in _find(network, blocks):
        part.requires_grad_(False).eval()


def thaw(network: nn.Module, blocks: str | Iterable[str] = TRUNK) -> None:
    """Let blocks learn again; undoes `freeze`.

    Parameters
    ----------
    network : torch.nn.Module
        Changed in place.
    blocks : str or iterable of str
        As for `freeze`.
    """
    for part in _find(network, blocks):
        part.requires_grad_(True).train()


def keep_still(network: nn.Module, where: str = "frozen") -> None:
    """Put batch normalization into evaluation mode: its running averages stay as they are.

    Parameters
    ----------
    network : torch.nn.Module
        Changed in place, until the next ``network.train()``.
    where : {"all", "frozen"}
        Everywhere, or in frozen layers alone.
    """
    if where not in STILL:
        raise ValueError(f"expected one of {', '.join(STILL)}, got {where!r}")
    for module in network.modules():
        if isinstance(module, _BatchNorm) and (
            where == "all" or not any(p.requires_grad for p in module.parameters())
        ):
            module.eval()


def _factor(name: str, rates: Mapping[str, float]) -> float:
    """The factor of a parameter's learning rate: that of the smallest block it is in."""
    around = [block for block in rates if name.startswith(f"{block}.")]
    return rates[max(around, key=len)] if around else 1.0


class FineTuning:
    """A supervised recipe with learning rates by block, early stopping, and the best weights kept.

    Give it to `fit` with `evaluate_every`: that is how often it looks at the validation pictures.
    The result is `best`, also after an interrupt. It starts as the network that came in, so that a
    fine-tuning that helps nothing gives back what it was given. A validation loss that is not
    finite ends the run: no later step would mend those weights.

    Parameters
    ----------
    recipe : SupervisedRecipe
        With what is to stay frozen; see `freeze`.
    rates : mapping of str to float, optional
        Factors of the learning rate by block, for example ``{"model1": 0.1}``; 1 where nothing is
        said, and where blocks lie in each other the inner one counts. Early layers are the most
        general, and change least.
    monitor : str
        What decides which weights are best: "validation_loss", the recipe's loss on its validation
        pictures, or one of the recipe's own measurements.
    higher_is_better : bool
        Of that measurement.
    patience : int, optional
        Stop after so many measurements in a row that were no better than the best one. None: go
        on to the end.
    still : {"all", "frozen"}
        Where batch normalization keeps its running averages. "all" suits a trained network and
        small batches: those averages come from very many pictures, and the weights fit them.
        "frozen" lets them go along in blocks that learn; a random network needs that.

    Attributes
    ----------
    best : torch.nn.Module
        The averaged weights that measured best so far, in evaluation mode.
    best_value : float
        What `monitor` was for them.
    best_step : int
        Steps taken when they were measured; 0 for the start.
    start : dict of str to float
        Measurements before the first step.

    References
    ----------
    J. Yosinski et al., "How transferable are features in deep neural networks?", NIPS 2014,
    arXiv:1411.1792. J. Howard, S. Ruder, "Universal Language Model Fine-tuning for Text
    Classification", ACL 2018, arXiv:1801.06146, on learning rates by layer. L. Prechelt, "Early
    stopping, but when?", in Neural Networks: Tricks of the Trade, Springer 1998.
    """

    def __init__(
        self,
        recipe: SupervisedRecipe,
        *,
        rates: Mapping[str, float] | None = None,
        monitor: str = "validation_loss",
        higher_is_better: bool = False,
        patience: int | None = None,
        still: str = "all",
    ):
        if patience is not None and patience < 1:
            raise ValueError(f"patience must be at least 1, got {patience}; None never stops")
        self.recipe = recipe
        self.batch_size = recipe.batch_size
        self.monitor = monitor
        self.higher_is_better = higher_is_better
        self.patience = patience
        self.still = still
        self._group(dict(rates or {}))
        self._plan = {
            "rates": dict(rates or {}),
            "monitor": monitor,
            "higher_is_better": higher_is_better,
            "patience": patience,
            "still": still,
            "frozen": [n for n, p in recipe.network.named_parameters() if not p.requires_grad],
        }
        keep_still(recipe.weights.running, still)
        self.start = self._measure()
        self._step = 0
        self._waited = 0
        if self._lost:
            raise ValueError("the network's loss on the validation pictures is not finite")
        self._keep(self.start[monitor])

    def _group(self, rates: dict[str, float]) -> None:
        """Sort the optimizer's parameters by the factor of their learning rate."""
        network = self.recipe.network
        for block, part in zip(rates, _find(network, rates), strict=True):
            if not rates[block] > 0:
                raise ValueError(
                    f"the rate of {block} must be above 0, got {rates[block]}; freeze what must "
                    "not change"
                )
            if not any(p.requires_grad for p in part.parameters()):
                raise ValueError(f"{block} is frozen, so it has no use for a learning rate")
        groups: dict[float, list[Tensor]] = {}
        for name, parameter in network.named_parameters():
            if parameter.requires_grad:
                groups.setdefault(_factor(name, rates), []).append(parameter)
        optimizer = self.recipe.optimizer
        options = {k: v for k, v in optimizer.param_groups[0].items() if k != "params"}
        optimizer.param_groups.clear()
        for factor, parameters in groups.items():
            optimizer.add_param_group(options | {"params": parameters, "factor": factor})

    @property
    def finished(self) -> bool:
        """Whether patience has run out, or the weights are lost; see `loop.Recipe`."""
        return self._lost or (self.patience is not None and self._waited >= self.patience)

    def train_step(self, step: int) -> dict[str, float]:
        """One step of the recipe; see `loop.Recipe`."""
        # Whoever coloured a picture with the network in between may have called its train().
        keep_still(self.recipe.weights.running, self.still)
        losses = self.recipe.train_step(step)
        self._step = step + 1
        return losses

    def evaluate(self) -> dict[str, float]:
        """Measurements of the averaged weights, which are kept if they are the best so far."""
        measured = self._measure()
        if self._lost:
            return measured
        value = measured[self.monitor]
        better = value > self.best_value if self.higher_is_better else value < self.best_value
        if better:
            self._keep(value)
        self._waited = 0 if better else self._waited + 1
        return measured

    def _measure(self) -> dict[str, float]:
        measured = {"validation_loss": self._validation_loss()}
        self._lost = not math.isfinite(measured["validation_loss"])
        if not self._lost:  # else there is nothing to measure any more
            measured |= self.recipe.evaluate()
            if self.monitor not in measured:
                raise ValueError(
                    f"nothing measures {self.monitor!r} to monitor; there are "
                    + ", ".join(measured)
                )
        # All processes must come to one decision, whatever their machines' rounding.
        return parallel.mean_over_processes(measured)

    @torch.no_grad()
    def _validation_loss(self) -> float:
        codes, total = self.recipe.validation, 0.0
        for part in np.array_split(np.arange(len(codes)), -(-len(codes) // 64)):
            L, ab = decode_lab(torch.from_numpy(codes[part]).to(self.recipe.device))
            losses = self.recipe.losses(self.recipe.average.network, L, ab, 0)
            total += losses["loss"].item() * len(part)
        return total / len(codes)

    def _keep(self, value: float) -> None:
        # A copy that is swapped in whole: an interrupt never leaves half of it.
        self.best = copy.deepcopy(self.recipe.average.network)
        self.best_value, self.best_step = value, self._step

    def state_dict(self) -> dict[str, Any]:
        """See `loop.Recipe`."""
        return {
            "recipe": self.recipe.state_dict(),
            "plan": self._plan,
            "start": self.start,
            "best": self.best.state_dict(),
            "best_value": self.best_value,
            "best_step": self.best_step,
            "step": self._step,
            "waited": self._waited,
            "lost": self._lost,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `loop.Recipe`; refuses a checkpoint made with another plan."""
        if "plan" not in state:
            raise ValueError(
                "the checkpoint is not one of a fine-tuning; train into another folder"
            )
        changed = [name for name, value in state["plan"].items() if self._plan.get(name) != value]
        if changed:
            raise ValueError(
                f"the checkpoint was made with another plan ({', '.join(changed)}); go on with "
                "the same one, or train into another folder"
            )
        self.recipe.load_state_dict(state["recipe"])
        self.best.load_state_dict(state["best"])
        self.start = state["start"]
        self.best_value, self.best_step = state["best_value"], state["best_step"]
        self._step, self._waited, self._lost = state["step"], state["waited"], state["lost"]


def build_fine_tuning(
    config: dict, train: np.ndarray, validation: np.ndarray, start: str | os.PathLike
) -> FineTuning:
    """The fine-tuning that a config describes, ready for `fit`.

    Parameters
    ----------
    config : dict
        As in course_lib/training/configs/finetune.json: "model", "freeze" (blocks), `FineTuning`'s
        options, and the settings of the model's recipe.
    train, validation : numpy.ndarray
        (N, 3, H, W) uint8.
    start : str or path
        Weights to start from, as `models.eccv16` and `models.siggraph17` take them.

    Returns
    -------
    FineTuning

    Raises
    ------
    ValueError
        If the config asks for something that there is not.
    """
    recipes = {
        "eccv16": (eccv16, Classification, ClassificationSettings),
        "siggraph17": (siggraph17, Regression, RegressionSettings),
    }
    if config["model"] not in recipes:
        raise ValueError(f"no model {config['model']!r}; there are {', '.join(recipes)}")
    load, recipe, kind = recipes[config["model"]]
    plan = {key: config[key] for key in OPTIONS if key in config}
    settings = {k: v for k, v in config.items() if k not in (*plan, "model", "freeze")}
    unknown = settings.keys() - {field.name for field in fields(kind)}
    if unknown:
        raise ValueError(f"a fine-tuning has no settings called {', '.join(sorted(unknown))}")
    network = load(start)
    freeze(network, config.get("freeze", []))
    return FineTuning(recipe(network, train, validation, kind(**settings)), **plan)


def hold_out(count: int, share: float = 0.25, seed: int = 0) -> tuple[list[int], list[int]]:
    """Split numbers of pictures at random into those to train on and those to measure on.

    Parameters
    ----------
    count : int
        Pictures, at least 2.
    share : float
        Of the pictures that are held out, in 0..1; at least one picture is, and at least one is
        not.
    seed : int
        The same seed gives the same split.

    Returns
    -------
    train, held_out : list of int
        Sorted; no number is in both.
    """
    if count < 2:
        raise ValueError(f"{count} pictures cannot be split; it takes at least 2")
    if not 0 < share < 1:
        raise ValueError(f"share must be between 0 and 1, got {share}")
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
    first = min(count - 1, max(1, round(count * share)))
    return sorted(order[first:]), sorted(order[:first])
