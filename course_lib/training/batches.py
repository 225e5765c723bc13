"""Batches of Lab pictures, in an order that follows from the seed alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from numbers import Integral, Real
from types import NoneType
from typing import Any, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib import parallel
from course_lib.data.arrays import decode_lab
from course_lib.device import pick_device
from course_lib.training.loop import step_generator

#: Pictures to train on, (N, 3, H, W) uint8 as `data.prepare.build_array` writes them; or several
#: such arrays, each with a weight: how often, beside the others, a batch is taken from it.
Pictures = np.ndarray | Sequence[tuple[np.ndarray, float]]

#: Draws of an array that are made at a time.
_DRAWS = 1024

#: Smallest and largest value of settings; of others that are numbers, 0 and infinity.
_BOUNDS = {
    **dict.fromkeys(
        ("batch_size", "size", "largest_patch", "sample_every", "layers"), (1, math.inf)
    ),
    "neighbours": (1, 313),
    "zoom": (1, math.inf),
    **dict.fromkeys(("average", "lam"), (0, 1)),
    "seed": (-(2**63), 2**63 - 1),
}


def expect_kind(name: str, value: Any, kind: Any) -> None:
    """Raise ValueError unless a setting is of a type; a number must be finite.

    Parameters
    ----------
    name : str
        What to call it.
    value : object
        As a config has it.
    kind : type
        int, float, str, dict, ...; or such a type ``| None``.
    """
    kinds = get_args(kind) or (kind,)
    numbers = {int: Integral, float: Real}
    fits = isinstance(value, tuple(numbers.get(k, k) for k in kinds))
    if fits and isinstance(value, Real):
        fits = (bool in kinds) == isinstance(value, bool) and math.isfinite(value)
    if not fits:
        words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
        words |= {dict: "an object, in braces", list: "a list", NoneType: "null"}
        raise ValueError(f"{name} must be {' or '.join(words[k] for k in kinds)}, got {value!r}")


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

    def __post_init__(self):
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            expect_kind(name, value, field.type)
            least, most = _BOUNDS.get(name, (0, math.inf))
            if isinstance(value, Real) and not least <= value <= most:
                raise ValueError(f"{name} must be in {least}..{most}, got {value}")


def as_mixture(pictures: Pictures) -> list[tuple[np.ndarray, float]]:
    """Arrays with their weights, of which there may be one."""
    return [(pictures, 1.0)] if isinstance(pictures, np.ndarray) else list(pictures)


class LabBatches:
    """Batches from one array of Lab pixels, or from several in turn.

    Parameters
    ----------
    pictures : numpy.ndarray or sequence of (numpy.ndarray, float)
        See `Pictures`. All pictures of a batch come from one array, so that arrays may differ in
        size; which one is drawn anew for every step.
    settings : Settings
        Batch size, seed, size, zoom, brightness and contrast.
    """

    def __init__(self, pictures: Pictures, settings: Settings):
        mixture = as_mixture(pictures)
        for codes, weight in mixture:
            if settings.size and codes.shape[-1] < settings.size:
                raise ValueError(
                    f"the training wants pictures of {settings.size} px, the array has "
                    f"{codes.shape[-1]}; prepare a larger one, or choose a smaller size"
                )
            if len(codes) < settings.batch_size:
                raise ValueError(
                    f"{len(codes)} pictures do not fill a batch of {settings.batch_size}; "
                    "make the batch smaller"
                )
            expect_kind("an array's weight in a mixture", weight, float)
            if not weight > 0:
                raise ValueError(f"an array's weight in a mixture must be above 0, got {weight}")
        self.arrays = [codes for codes, _ in mixture]
        self.settings = settings
        self.device = pick_device(settings.device)
        self.share = parallel.share_of_batch(settings.batch_size)
        self._weights = torch.tensor([float(weight) for _, weight in mixture])
        self._turns: list[tuple[int, int]] = []
        self._taken = [0] * len(mixture)
        self._orders: dict[int, tuple[int, Tensor]] = {}

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """The batch of a step, or this process's share of it where torchrun started several.

        Parameters
        ----------
        step : int
            From 0. Every epoch goes through the pictures of an array in a new order; the few that
            do not fill a last batch wait for another epoch.

        Returns
        -------
        L : torch.Tensor
            (N, 1, size, size) in 0..100, mirrored and zoomed at random, brightness and contrast
            jittered.
        ab : torch.Tensor
            (N, 2, size, size), mirrored and zoomed likewise.
        """
        s = self.settings
        number, place = self._turn(step)
        # sorted, so that a memory-mapped file is read in one direction
        index = self._pictures_of(number, place).sort().values[self.share]
        codes = torch.from_numpy(self.arrays[number][index.numpy()]).to(self.device)
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

    def _turn(self, step: int) -> tuple[int, int]:
        """The array that a step takes from, and how many steps took from it before."""
        if len(self.arrays) == 1:
            return 0, step
        while len(self._turns) <= step:
            generator = step_generator(self.settings.seed + 4, len(self._turns) // _DRAWS)
            for number in self._weights.multinomial(
                _DRAWS, replacement=True, generator=generator
            ).tolist():
                self._turns.append((number, self._taken[number]))
                self._taken[number] += 1
        return self._turns[step]

    def _pictures_of(self, number: int, place: int) -> Tensor:
        """Numbers of the pictures in an array's batch number `place`."""
        size, count = self.settings.batch_size, len(self.arrays[number])
        epoch, place = divmod(place, count // size)
        if self._orders.get(number, (None,))[0] != epoch:
            # the array's own seed is far from those of mirroring, hints and dropout
            generator = step_generator(self.settings.seed + 1000 * number, epoch)
            self._orders[number] = epoch, torch.randperm(count, generator=generator)
        return self._orders[number][1][place * size : (place + 1) * size]

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
