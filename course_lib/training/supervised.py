"""What recipes share: Lab batches, a network, AdamW, averaged weights."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor, nn

from course_lib import parallel
from course_lib.training.batches import LabBatches, Pictures, Settings
from course_lib.training.optim import WeightAverage, autocast, rate_schedule


class BatchRecipe(ABC):
    """Batches, validation pictures, a device and a precision; a recipe adds what is trained.

    Parameters
    ----------
    codes : numpy.ndarray or sequence of (numpy.ndarray, float)
        Training pictures, (N, 3, H, W) uint8 as `data.prepare.build_array` writes them; or several
        such arrays with weights, see `batches.Pictures`.
    validation : numpy.ndarray
        Validation pictures, an array of that form.
    settings : Settings
        See there.

    Attributes
    ----------
    average : WeightAverage
        ``average.network`` is the result: the averaged weights.
    """

    #: Figures of a network on pictures, by name: what it is that a recipe measures.
    measure: Callable[[nn.Module, np.ndarray], dict[str, float]]
    #: What a network must have, beside mapping L to ab.
    needs: tuple[str, ...] = ()
    average: WeightAverage

    def __init__(self, codes: Pictures, validation: np.ndarray, settings: Settings):
        self.settings = settings
        self.batch_size = settings.batch_size
        self.validation = validation
        self.batches = LabBatches(codes, settings)
        self.device = self.batches.device
        self.precision = autocast(settings.precision, self.device)
        self.plan = {"recipe": type(self).__name__, **asdict(settings)}

    @classmethod
    def for_network(
        cls, network: nn.Module, codes: Pictures, validation: np.ndarray, settings: Settings
    ) -> "BatchRecipe":
        """The recipe for a network; whatever else it trains is made anew."""
        return cls(network, codes, validation, settings)

    @staticmethod
    def initialize(network: nn.Module) -> None:
        """Draw a new network's weights: here they stay as its class has drawn them."""
        return None

    def prepare(self, network: nn.Module) -> nn.Module:
        """Bring a network to the device, in training mode and as several processes need it."""
        network = network.to(self.device, memory_format=torch.channels_last).train()
        return parallel.synchronize_normalization(network)

    @abstractmethod
    def train_step(self, step: int) -> dict[str, float]:
        """See `loop.Recipe`."""

    def evaluate(self) -> dict[str, float]:
        """Measurements of the averaged weights on the validation pictures."""
        return self.measure(self.average.network, self.validation)


class _Losses(nn.Module):
    """A recipe's losses as a module, for `parallel.Distributed`."""

    def __init__(self, recipe: "SupervisedRecipe"):
        super().__init__()
        self.network, self.head = recipe.network, recipe.head
        self._losses, self._precision = recipe.losses, recipe.precision

    def forward(self, L: Tensor, ab: Tensor, step: int) -> dict[str, Tensor]:
        with self._precision:
            return self._losses(self.network, L, ab, step)


class SupervisedRecipe(BatchRecipe):
    """One network and AdamW; a recipe adds the loss and the measurements.

    Parameters
    ----------
    network : torch.nn.Module
        Trained in place.
    codes, validation, settings
        As in `BatchRecipe`.
    head : torch.nn.Module, optional
        Trained beside the network, and of no use afterwards: for an auxiliary loss.
    """

    def __init__(
        self,
        network: nn.Module,
        codes: Pictures,
        validation: np.ndarray,
        settings: Settings,
        head: nn.Module | None = None,
    ):
        super().__init__(codes, validation, settings)
        self.network = self.prepare(network)
        self.head = head.to(self.device) if head else None
        self.average = WeightAverage(self.network, settings.average)
        self.parts = {"network": self.network, "average": self.average}
        if self.head:
            self.parts["head"] = self.head
        self.set_rates({})
        self._compute = parallel.Distributed(_Losses(self))

    def set_rates(self, rates: Mapping[str, float]) -> None:
        """Begin with a new optimizer, and learning rates by block.

        Parameters
        ----------
        rates : mapping of str to float
            Factors of the learning rate by block; 1 where nothing is said. Where blocks lie in
            each other the inner one counts.
        """
        s = self.settings
        groups: dict[float, list[Tensor]] = {}
        for name, parameter in self.network.named_parameters():
            if parameter.requires_grad:
                around = [block for block in rates if name.startswith(f"{block}.")]
                factor = rates[max(around, key=len)] if around else 1.0
                groups.setdefault(factor, []).append(parameter)
        if self.head:
            groups.setdefault(1.0, []).extend(self.head.parameters())
        self.optimizer = torch.optim.AdamW(
            [{"params": group, "lr": factor * s.rate} for factor, group in groups.items()],
            betas=(0.9, 0.99),
            weight_decay=s.weight_decay,
        )
        self._schedule = rate_schedule(self.optimizer, s.steps, s.warmup, s.decay)
        self.parts |= {"optimizer": self.optimizer, "schedule": self._schedule}

    def take_over(self, before: "SupervisedRecipe") -> None:
        """Go on where a stage of this recipe ended: with its head, its optimizer and its averages.

        The networks are the same one already; learning rate and schedule are this stage's own.
        """
        for name in self.parts.keys() & {"head", "average"}:
            self.parts[name].load_state_dict(before.parts[name].state_dict())
        self.optimizer.load_state_dict(
            {
                "state": before.optimizer.state_dict()["state"],
                "param_groups": self.optimizer.state_dict()["param_groups"],
            }
        )

    @abstractmethod
    def losses(self, network: nn.Module, L: Tensor, ab: Tensor, step: int) -> dict[str, Tensor]:
        """Named scalar losses of a batch; "loss" is the one to descend."""

    def train_step(self, step: int) -> dict[str, float]:
        """One step of AdamW; see `loop.Recipe`."""
        losses = self._compute(*self.batches(step), step)
        losses["loss"].backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self._schedule.step()
        self.average.update_parameters(self.network)
        return parallel.mean_over_processes({k: v.item() for k, v in losses.items()})
