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
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from course_lib import parallel
from course_lib.data.arrays import in_parts
from course_lib.training.batches import expect_kind
from course_lib.training.loop import Attributes
from course_lib.training.supervised import SupervisedRecipe

#: What both networks have in common, and what knows textures and things: everything before the
#: layers that choose a colour.
TRUNK = tuple(f"model{number}" for number in range(1, 8))

#: Options of `FineTuning` that a config may have, and what they are.
OPTIONS = {
    "rates": dict | None,
    "monitor": str,
    "higher_is_better": bool,
    "patience": int | None,
    "still": str,
}

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


def best_and_stop(losses: Sequence[float], patience: int) -> tuple[int, bool]:
    """Early stopping as a rule over all measurements so far.

    `FineTuning` follows the same rule, one measurement at a time; a loop of your own can ask here.

    Parameters
    ----------
    losses : sequence of float
        Validation losses in order, at least one; lower is better.
    patience : int
        Stop after so many in a row that were not lower than the best before them.

    Returns
    -------
    best : int
        Index of the lowest loss, the first of equal ones.
    stop : bool
        Whether patience has run out.
    """
    best = min(range(len(losses)), key=losses.__getitem__)
    return best, len(losses) - 1 - best >= patience


class FineTuning:
    """A supervised recipe with learning rates by block, early stopping, and the best weights kept.

    Give it to `fit` with `evaluate_every`: that is how often it looks at the validation pictures.
    The result is `best`, also after an interrupt or an error. It starts as the network that came
    in, so that a fine-tuning that helps nothing gives back what it was given.

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
        self._check_rates(rates or {})
        recipe.set_rates(rates or {})
        self.plan = recipe.plan | {
            "recipe": f"FineTuning of {recipe.plan['recipe']}",
            "rates": dict(rates or {}),
            "monitor": monitor,
            "higher_is_better": higher_is_better,
            "patience": patience,
            "still": still,
            "frozen": [n for n, p in recipe.network.named_parameters() if not p.requires_grad],
        }
        keep_still(recipe.network, still)
        self._step = 0
        self._waited = 0
        self.start = self._measure()
        self._keep(self.start[monitor])

    def _check_rates(self, rates: Mapping[str, float]) -> None:
        for block, part in zip(rates, _find(self.recipe.network, rates), strict=True):
            expect_kind(f"the rate of {block}", rates[block], float)
            if not rates[block] > 0:
                raise ValueError(
                    f"the rate of {block} must be above 0, got {rates[block]}; freeze what must "
                    "not change"
                )
            if not any(p.requires_grad for p in part.parameters()):
                raise ValueError(f"{block} is frozen, so it has no use for a learning rate")

    @property
    def parts(self) -> dict[str, Any]:
        """See `loop.Recipe`."""
        mine = Attributes(self, "start", "best_value", "best_step", "_step", "_waited")
        return self.recipe.parts | {"best": self.best, "fine_tuning": mine}

    @property
    def finished(self) -> bool:
        """Whether patience has run out; see `loop.Recipe`."""
        return self.patience is not None and self._waited >= self.patience

    def train_step(self, step: int) -> dict[str, float]:
        """One step of the recipe; see `loop.Recipe`."""
        # Whoever coloured a picture with the network in between may have called its train().
        keep_still(self.recipe.network, self.still)
        losses = self.recipe.train_step(step)
        self._step = step + 1
        return losses

    def evaluate(self) -> dict[str, float]:
        """Measurements of the averaged weights, which are kept if they are the best so far."""
        measured = self._measure()
        value = measured[self.monitor]
        better = value > self.best_value if self.higher_is_better else value < self.best_value
        if better:
            self._keep(value)
        self._waited = 0 if better else self._waited + 1
        return measured

    def _measure(self) -> dict[str, float]:
        measured = {"validation_loss": self._validation_loss()}
        if not math.isfinite(measured["validation_loss"]):
            raise FloatingPointError(
                f"step {self._step}: the loss on the validation pictures is not finite; look at "
                "the weights that it started from, or train anew with a lower rate"
            )
        measured |= self.recipe.evaluate()
        if self.monitor not in measured:
            raise ValueError(
                f"nothing measures {self.monitor!r} to monitor; there are " + ", ".join(measured)
            )
        # All processes must come to one decision, whatever their machines' rounding.
        return parallel.mean_over_processes(measured)

    @torch.no_grad()
    def _validation_loss(self) -> float:
        recipe, total = self.recipe, 0.0
        for L, ab in in_parts(recipe.validation, recipe.device):
            loss = recipe.losses(recipe.average.network, L, ab, 0)["loss"]
            total += loss.item() * len(L)
        return total / len(recipe.validation)

    def _keep(self, value: float) -> None:
        # A copy that is swapped in whole: an interrupt never leaves half of it.
        self.best = copy.deepcopy(self.recipe.average.network)
        self.best_value, self.best_step = value, self._step
