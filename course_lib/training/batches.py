"""Batches of Lab pictures, in an order that follows from the seed alone."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from numbers import Integral, Real
from types import NoneType
from typing import Any, NamedTuple, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib import parallel
from course_lib.data.arrays import decode_lab
from course_lib.device import pick_device
from course_lib.training.loop import step_generator


class Labelled(NamedTuple):
    """Pictures and what is on them.

    Attributes
    ----------
    codes : numpy.ndarray
        (N, 3, H, W) uint8, as `data.prepare.build_array` writes them.
    labels : numpy.ndarray
        (N,) integers from 0: the kind of each picture; -1 where it is unknown.
    """

    codes: np.ndarray
    labels: np.ndarray


#: Pictures to train on, (N, 3, H, W) uint8 as `data.prepare.build_array` writes them, with labels
#: or without; or several such arrays, each with a weight: its share of the pictures of a batch.
Pictures = np.ndarray | Labelled | Sequence[tuple[np.ndarray | Labelled, float]]

#: Steps whose pictures are drawn at a time.
_DRAWS = 1024

#: Smallest and largest value of settings; of others that are numbers, 0 and infinity.
_BOUNDS = {
    **dict.fromkeys(
        ("batch_size", "size", "largest_patch", "sample_every", "layers"), (1, math.inf)
    ),
    "neighbours": (1, 313),
    "zoom": (1, math.inf),
    **dict.fromkeys(("average", "lam", "featureless", "mending"), (0, 1)),
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
    decay : int, optional
        Steps at the end in which the rate, constant before, falls to 0 along a line. Unless
        given, it follows half a cosine from the warm-up on.
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
    featureless : float
        Share of the pictures in whose place comes one that shows nothing and is gray, so that a
        network leaves walls, skies and blurred grounds alone where nothing tells their colour.
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
    decay: int | None = None
    weight_decay: float = 1e-3
    average: float = 0.999
    size: int | None = None
    zoom: float = 1.0
    brightness: float = 5.0
    contrast: float = 0.1
    featureless: float = 0.0
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


def as_mixture(pictures: Pictures) -> list[tuple[np.ndarray, np.ndarray | None, float]]:
    """Arrays, of which there may be one, each with its labels, if it has some, and its weight."""
    alone = isinstance(pictures, np.ndarray | Labelled)
    return [
        (given.codes, given.labels, weight)
        if isinstance(given, Labelled)
        else (given, None, weight)
        for given, weight in ([(pictures, 1.0)] if alone else pictures)
    ]


def count_kinds(pictures: Pictures) -> list[int]:
    """How many kinds the labels of each array of a mixture tell apart; 0 where it has none."""
    labels = (known for _, known, _ in as_mixture(pictures))
    return [0 if known is None else int(known.max()) + 1 for known in labels]


class LabBatches:
    """Batches from one array of Lab pixels, or from a mixture of several.

    Parameters
    ----------
    pictures
        See `Pictures`. The arrays may differ in size.
    settings : Settings
        Batch size, seed, size, zoom, brightness, contrast and the share of featureless pictures.
    """

    def __init__(self, pictures: Pictures, settings: Settings):
        mixture = as_mixture(pictures)
        self.size = settings.size or min(codes.shape[-1] for codes, *_ in mixture)
        for codes, labels, weight in mixture:
            if codes.shape[-1] < self.size:
                raise ValueError(
                    f"the training wants pictures of {self.size} px, the array has "
                    f"{codes.shape[-1]}; prepare a larger one, or choose a smaller size"
                )
            if len(codes) < settings.batch_size:
                raise ValueError(
                    f"{len(codes)} pictures do not fill a batch of {settings.batch_size}; "
                    "make the batch smaller"
                )
            if labels is not None and len(labels) != len(codes):
                raise ValueError(f"{len(codes)} pictures have {len(labels)} labels; prepare anew")
            expect_kind("an array's weight in a mixture", weight, float)
            if not weight > 0:
                raise ValueError(f"an array's weight in a mixture must be above 0, got {weight}")
        self.arrays = [codes for codes, *_ in mixture]
        self.labels = [labels for _, labels, _ in mixture]
        self.settings = settings
        self.device = pick_device(settings.device)
        self.share = parallel.share_of_batch(settings.batch_size)
        self._weights = torch.tensor([float(weight) for *_, weight in mixture])
        self._drawn: list[Tensor] = []
        self._before = [torch.zeros(len(mixture), dtype=torch.int64)]
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
        # Every process draws for the whole batch: numbers cost little, and do not depend on how
        # many processes there are.
        generator = step_generator(s.seed + 1, step)
        mirror = self._draw(1, generator)[0] < 0.5
        contrast, brightness = self._draw(2, generator) * 2 - 1
        zoom = self._draw(3, generator).flatten(1)
        parts = []
        for array, numbers, here in self._numbers(step):
            codes = torch.from_numpy(self.arrays[array][numbers]).to(self.device)
            x = torch.cat(decode_lab(torch.where(mirror[here], codes.flip(-1), codes)), dim=1)
            if s.zoom > 1 or x.shape[-1] != self.size:
                x = _zoomed(x, self.size, s.zoom, zoom[:, here])
            parts.append(x)
        L, ab = torch.cat(parts).split([1, 2], dim=1)
        L = ((L - 50) * (1 + s.contrast * contrast) + 50 + s.brightness * brightness).clamp(0, 100)
        if s.featureless:
            blank = self._blank(step)[:, None, None, None].to(self.device)
            nothing = featureless(s.batch_size, self.size, generator)[self.share].to(self.device)
            L, ab = torch.where(blank, nothing, L), torch.where(blank, 0, ab)
        return L, ab

    def kinds(self, step: int) -> tuple[Tensor, Tensor]:
        """What is on the pictures of a step's batch, or of this process's share.

        Parameters
        ----------
        step : int
            From 0.

        Returns
        -------
        labels : torch.Tensor
            (N,) int64: the label in its array; -1 where it is unknown, as of featureless pictures.
        arrays : torch.Tensor
            (N,) int64: the number of the array that a picture is from.
        """
        labels, arrays = [], []
        for array, numbers, _ in self._numbers(step):
            known = self.labels[array]
            labels.append(np.full(len(numbers), -1) if known is None else known[numbers])
            arrays.append(np.full(len(numbers), array))
        labels, arrays = (
            torch.from_numpy(np.concatenate(x).astype(np.int64)) for x in (labels, arrays)
        )
        if self.settings.featureless:
            labels[self._blank(step)] = -1
        return labels.to(self.device), arrays.to(self.device)

    def _numbers(self, step: int) -> Iterator[tuple[int, np.ndarray, slice]]:
        """Of each array: which of its pictures are in this process's share, and where there."""
        share = self.share
        drawn, before = self._arrays(step)
        for array in drawn.unique().tolist():
            place = torch.nonzero(drawn == array).flatten()
            # sorted, so that a memory-mapped file is read in one direction
            order = self._order(array, int(before[array]) + torch.arange(len(place))).sort().values
            first, last = int(place[0]), int(place[-1]) + 1
            here = slice(max(first, share.start), min(last, share.stop))
            if here.start < here.stop:
                chosen = order[here.start - first : here.stop - first].numpy()
                yield array, chosen, slice(here.start - share.start, here.stop - share.start)

    def _arrays(self, step: int) -> tuple[Tensor, Tensor]:
        """Which array each picture of a step is from, sorted; how many each has given before."""
        count = self.settings.batch_size
        if len(self.arrays) == 1:
            return torch.zeros(count, dtype=torch.int64), torch.tensor([step * count])
        block, place = divmod(step, _DRAWS)
        while len(self._drawn) <= block:
            generator = step_generator(self.settings.seed + 4, len(self._drawn))
            drawn = self._weights.multinomial(
                _DRAWS * count, replacement=True, generator=generator
            )
            self._drawn.append(drawn.view(_DRAWS, count).sort().values.to(torch.uint8))
            self._before.append(self._before[-1] + drawn.bincount(minlength=len(self.arrays)))
        drawn = self._drawn[block]
        earlier = drawn[:place].flatten().bincount(minlength=len(self.arrays))
        return drawn[place].long(), self._before[block] + earlier

    def _order(self, array: int, places: Tensor) -> Tensor:
        """Numbers of the pictures at some places in the order that an array is gone through in."""
        size, count = self.settings.batch_size, len(self.arrays[array])
        whole = count // size * size
        numbers = []
        for epoch in (places // whole).unique().tolist():
            if self._orders.get(array, (None,))[0] != epoch:
                # the array's own seed is far from those of mirroring, hints and dropout
                generator = step_generator(self.settings.seed + 1000 * array, epoch)
                self._orders[array] = epoch, torch.randperm(count, generator=generator)
            numbers.append(self._orders[array][1][places[places // whole == epoch] % whole])
        return torch.cat(numbers)

    def _blank(self, step: int) -> Tensor:
        """Which pictures of this process's share are featureless, (N,) bool."""
        generator = step_generator(self.settings.seed + 5, step)
        drawn = torch.rand(self.settings.batch_size, generator=generator)[self.share]
        return drawn < self.settings.featureless

    def _draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Numbers in 0..1 for the pictures of this process, (count, N, 1, 1, 1)."""
        numbers = torch.rand(count, self.settings.batch_size, 1, 1, 1, generator=generator)
        return numbers[:, self.share].to(self.device)


def featureless(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Gray pictures on which nothing is to be seen: a level, soft slopes and blobs, faint noise.

    Parameters
    ----------
    count, size : int
        How many, and their side in pixels.
    generator : torch.Generator
        Of the random numbers.

    Returns
    -------
    torch.Tensor
        (count, 1, size, size), lightness in 0..100.
    """

    def some(largest: float, share: float) -> Tensor:
        amount, has = torch.rand(2, count, 1, 1, 1, generator=generator)
        return largest * amount * (has < share)

    soft = torch.randn(count, 1, 3, 3, generator=generator) * some(20, 0.7)
    soft = F.interpolate(soft, (size, size), mode="bicubic", align_corners=True)
    noise = torch.randn(count, 1, size, size, generator=generator) * some(1.5, 0.5)
    return (some(100, 1) + soft + noise).clamp(0, 100)


def _zoomed(pictures: Tensor, size: int, largest: float, draws: Tensor) -> Tensor:
    """A random square of each picture, 1 / largest to 1 times its side, at size x size.

    `draws` are three numbers in 0..1 for each picture, (3, N): size, and place across and down.
    """
    if pictures.shape[-1] >= 2 * size:  # the sampling below looks at four pixels alone
        pictures = F.avg_pool2d(pictures, pictures.shape[-1] // size)
    side = 1 / (1 + (largest - 1) * draws[0])
    shift = (draws[1:] * 2 - 1) * (1 - side)
    to_source = torch.zeros(len(pictures), 2, 3, device=pictures.device)
    to_source[:, 0, 0] = to_source[:, 1, 1] = side
    to_source[:, :, 2] = shift.T
    grid = F.affine_grid(to_source, [*pictures.shape[:2], size, size], align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
