"""What supervised recipes share: a network, an optimizer, averaged weights, Lab batches."""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib import parallel
from course_lib.data.arrays import decode_lab
from course_lib.device import pick_device
from course_lib.training.loop import step_generator
from course_lib.training.optim import MasterWeights, WeightAverage, bfloat16_pays, cosine_rate


@dataclass
class Settings:
    """Settings of a supervised run; the recipes add their own.

    Attributes
    ----------
    steps, batch_size : int
        Length of the run, for the learning rate's course.
    rate : float
        Highest learning rate of AdamW.
    warmup : int
        Steps of the linear warm-up.
    weight_decay : float
        Of AdamW.
    average : float
        Decay of the weights' moving average.
    size : int, optional
        Side of the squares that the network sees, in pixels; the training pictures' own unless
        given. Small squares cost little: a run may begin with them and go on with larger ones.
    zoom : float
        A random square of each picture is shown, 1 / zoom to 1 times its side; 1: the whole
        picture. Colours then depend less on the scale at which a network sees things.
    brightness, contrast : float
        L is scaled around 50 by 1 +- contrast and shifted by +- brightness (Lab units).
    seed : int
        Of order, augmentation and hints.
    precision : {"auto", "float32", "bfloat16"}
        "auto" takes bfloat16 where the device has matrix units for it.
    device : str
        "auto" takes a graphics card where there is one; see `device.pick_device`.
    """

    steps: int = 1000
    batch_size: int = 128
    rate: float = 1e-3
    warmup: int = 200
    weight_decay: float = 1e-3
    average: float = 0.999
    size: int | None = None
    zoom: float = 1.0
    brightness: float = 5.0
    contrast: float = 0.1
    seed: int = 0
    precision: str = "auto"
    device: str = "auto"


class LabBatches:
    """Batches from an array of Lab pixels, in an order that follows from the seed alone.

    Parameters
    ----------
    codes : numpy.ndarray
        (N, 3, H, W) uint8, as `data.arrays.build_array` writes it.
    settings : Settings
        Batch size, seed, zoom, brightness and contrast.
    """

    def __init__(self, codes: np.ndarray, settings: Settings):
        if len(codes) < settings.batch_size:
            raise ValueError(
                f"{len(codes)} pictures do not fill a batch of {settings.batch_size}; "
                "make the batch smaller"
            )
        self.codes = codes
        self.settings = settings
        self.device = pick_device(settings.device)
        self.share = parallel.share_of_batch(settings.batch_size)
        self._order: tuple[int, Tensor] | None = None

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """The batch of a step, or this process's share of it where torchrun started several.

        Parameters
        ----------
        step : int
            From 0. Every epoch goes through the pictures in a new order; the few that do not
            fill a last batch wait for another epoch.

        Returns
        -------
        L : torch.Tensor
            (N, 1, size, size) in 0..100, mirrored and zoomed at random, brightness and contrast
            jittered.
        ab : torch.Tensor
            (N, 2, size, size), mirrored and zoomed likewise.
        """
        s = self.settings
        epoch, place = divmod(step, len(self.codes) // s.batch_size)
        if self._order is None or self._order[0] != epoch:
            generator = step_generator(s.seed, epoch)
            self._order = epoch, torch.randperm(len(self.codes), generator=generator)
        index = self._order[1][place * s.batch_size : (place + 1) * s.batch_size]
        # sorted, so that a memory-mapped file is read in one direction
        index = index.sort().values[self.share]
        codes = torch.from_numpy(self.codes[index.numpy()]).to(self.device)
        # Every process draws for the whole batch: numbers cost little, and do not depend on how
        # many processes there are.
        generator = step_generator(s.seed + 1, step)
        mirror = self._draw(1, generator)[0] < 0.5
        contrast, brightness = self._draw(2, generator) * 2 - 1
        L, ab = decode_lab(torch.where(mirror, codes.flip(-1), codes))
        L = (L - 50) * (1 + s.contrast * contrast) + 50 + s.brightness * brightness
        L = L.clamp(0, 100)
        size = s.size or L.shape[-1]
        if s.zoom > 1 or size != L.shape[-1]:
            draws = self._draw(3, generator).flatten(1)
            L, ab = _zoomed(torch.cat([L, ab], dim=1), size, s.zoom, draws).split([1, 2], dim=1)
        return L, ab

    def _draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Numbers in 0..1 for the pictures of this process, (count, N, 1, 1, 1)."""
        numbers = torch.rand(count, self.settings.batch_size, 1, 1, 1, generator=generator)
        return numbers[:, self.share].to(self.device)


def _zoomed(pictures: Tensor, size: int, largest: float, draws: Tensor) -> Tensor:
    """A random square of each picture, 1 / largest to 1 times its side, at size x size.

    `draws` are three numbers in 0..1 for each picture, (3, N): size, and place across and down.
    """
    side = 1 / (1 + (largest - 1) * draws[0])
    shift = (draws[1:] * 2 - 1) * (1 - side)
    to_source = torch.zeros(len(pictures), 2, 3, device=pictures.device)
    to_source[:, 0, 0] = to_source[:, 1, 1] = side
    to_source[:, :, 2] = shift.T
    grid = F.affine_grid(to_source, [*pictures.shape[:2], size, size], align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)


def pick_precision(precision: str, device: torch.device) -> str:
    """The precision to train in: what was asked for, or for "auto" what suits the device."""
    if precision == "auto":
        return "bfloat16" if bfloat16_pays(device) else "float32"
    return precision


def refuse_other_settings(settings: Settings, saved: dict[str, Any]) -> None:
    """Raise ValueError unless a checkpoint's settings are those of the recipe.

    Parameters
    ----------
    settings : Settings
        The recipe's.
    saved : dict
        The checkpoint's, as ``dataclasses.asdict`` makes it.
    """
    mine = asdict(settings)
    changed = [k for k, v in saved.items() if mine.get(k) != v]
    if changed or mine.keys() != saved.keys():
        raise ValueError(
            "the checkpoint was made with other settings "
            f"({', '.join(changed) or 'another recipe'}); go on with the same ones, or train "
            "into another folder"
        )


class _Losses(nn.Module):
    """A recipe's losses as a module, for `parallel.distribute`."""

    def __init__(self, recipe: "SupervisedRecipe"):
        super().__init__()
        self.network = recipe.weights.running
        self._losses = recipe.losses

    def forward(self, L: Tensor, ab: Tensor, step: int) -> dict[str, Tensor]:
        return self._losses(self.network, L, ab, step)


class SupervisedRecipe(ABC):
    """Network, batches and AdamW; a recipe adds the loss and the measurements.

    Parameters
    ----------
    network : torch.nn.Module
        Trained in place.
    codes : numpy.ndarray
        Training pictures, (N, 3, H, W) uint8 as `data.arrays.build_array` writes them.
    validation : numpy.ndarray
        Validation pictures in the same form.
    settings : Settings
        See there.

    Attributes
    ----------
    average : WeightAverage
        ``average.network`` is the result: the averaged weights.
    """

    def __init__(
        self, network: nn.Module, codes: np.ndarray, validation: np.ndarray, settings: Settings
    ):
        self.settings = settings
        self.batch_size = settings.batch_size
        self.validation = validation
        self.batches = LabBatches(codes, settings)
        self.device = self.batches.device
        network = network.to(self.device, memory_format=torch.channels_last).train()
        self.network = parallel.synchronize_normalization(network)
        self.weights = MasterWeights(self.network, pick_precision(settings.precision, self.device))
        self.average = WeightAverage(self.network, settings.average)
        self.optimizer = torch.optim.AdamW(
            [p for p in self.network.parameters() if p.requires_grad],
            lr=settings.rate,
            betas=(0.9, 0.99),
            weight_decay=settings.weight_decay,
        )
        self._compute = parallel.distribute(_Losses(self))

    @abstractmethod
    def losses(self, network: nn.Module, L: Tensor, ab: Tensor, step: int) -> dict[str, Tensor]:
        """Named scalar losses of a batch; "loss" is the one to descend."""

    @abstractmethod
    def evaluate(self) -> dict[str, float]:
        """Measurements of the averaged weights on the validation pictures."""

    def train_step(self, step: int) -> dict[str, float]:
        """One step of AdamW; see `loop.Recipe`."""
        s = self.settings
        for group in self.optimizer.param_groups:
            # fine-tuning has groups with a factor each
            group["lr"] = group.get("factor", 1.0) * cosine_rate(step, s.steps, s.rate, s.warmup)
        losses = self._compute(*self.batches(step), step)
        losses["loss"].backward()
        self.weights.collect()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.weights.refresh()
        self.average.update(self.network, step)
        return parallel.mean_over_processes({k: v.item() for k, v in losses.items()})

    def state_dict(self) -> dict[str, Any]:
        """See `loop.Recipe`."""
        return {
            "settings": asdict(self.settings),
            "network": self.network.state_dict(),
            "average": self.average.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `loop.Recipe`; refuses a checkpoint made with other settings."""
        refuse_other_settings(self.settings, state["settings"])
        self.network.load_state_dict(state["network"])
        self.average.network.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.weights.refresh()
