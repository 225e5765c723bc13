"""Recipes: UNetGenerator by L1, and against PatchDiscriminator with L1 beside (Isola et al. 2017).

Two stages share the generator. `Reconstruction` trains it by L1 alone; `Gan` goes on from there
with a discriminator. Without the first stage the discriminator would soon tell a generator that
knows nothing from photographs, and there would be little to learn from its judgement.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from course_lib import parallel
from course_lib.data.arrays import in_parts
from course_lib.lab import lab_to_rgb
from course_lib.metrics import ab_error_curve, ab_histogram_distance, auc, mean_chroma, psnr
from course_lib.models import evaluating
from course_lib.models.layers import AB_NORM
from course_lib.models.patchgan import PatchDiscriminator
from course_lib.models.unet import UNetGenerator
from course_lib.training.batches import Pictures, Settings
from course_lib.training.loop import Attributes, step_generator
from course_lib.training.losses import adversarial_loss, discriminator_loss, l1_loss
from course_lib.training.optim import WeightAverage, rate_schedule
from course_lib.training.supervised import BatchRecipe, SupervisedRecipe


@torch.no_grad()
def predict(network: nn.Module, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a network makes of pictures, beside the truth.

    Parameters
    ----------
    network : torch.nn.Module
        Maps L to ab.
    codes : numpy.ndarray
        (N, 3, H, W) uint8, as `data.prepare.build_array` writes them.

    Returns
    -------
    L, predicted, true : numpy.ndarray
        (N, 1, H, W), (N, 2, H, W) and (N, 2, H, W), Lab units.
    """
    device = next(network.parameters()).device
    with evaluating(network):
        parts = [(L, network(L), ab) for L, ab in in_parts(codes, device)]
    return tuple(torch.cat(some).float().cpu().numpy() for some in zip(*parts, strict=True))


def pictures(L: np.ndarray, ab: np.ndarray) -> np.ndarray:
    """A batch of Lab pictures as RGB.

    Parameters
    ----------
    L, ab : numpy.ndarray
        (N, 1, H, W) and (N, 2, H, W), Lab units.

    Returns
    -------
    numpy.ndarray
        (N, H, W, 3) uint8.
    """
    return lab_to_rgb(np.concatenate([L, ab], axis=1).transpose(0, 2, 3, 1))


def measure_colouring(network: nn.Module, codes: np.ndarray) -> dict[str, float]:
    """Figures of a network on validation pictures, at their size.

    Parameters
    ----------
    network : torch.nn.Module
        Maps L to ab.
    codes : numpy.ndarray
        (N, 3, H, W) uint8, as `data.prepare.build_array` writes them.

    Returns
    -------
    dict
        "psnr" in dB, the mean over pictures; "auc" of ab error, in percent; "chroma", the mean
        distance from gray in Lab units; "histogram", see `metrics.ab_histogram_distance`.
    """
    L, predicted, true = predict(network, codes)
    pairs = zip(pictures(L, predicted), pictures(L, true), strict=True)
    return {
        "psnr": float(np.mean([psnr(*pair) for pair in pairs])),
        "auc": auc(ab_error_curve(predicted, true)),
        "chroma": mean_chroma(predicted),
        "histogram": ab_histogram_distance(predicted, true),
    }


@contextmanager
def _noise_of_step(seed: int, step: int, device: torch.device) -> Iterator[None]:
    """Dropout's random numbers follow from the step, and those of others are not disturbed.

    Several processes draw different masks, and so others than a single process would.
    """
    number = step * parallel.process_count() + parallel.rank()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(step_generator(seed + 3, number).initial_seed())
        yield


class Reconstruction(SupervisedRecipe):
    """L1 alone: the mean absolute error of a and b.

    Parameters
    ----------
    network : torch.nn.Module
        Anything that maps L to ab, as `UNetGenerator` does; trained in place.
    codes, validation, settings
        As in `SupervisedRecipe`.
    """

    measure = staticmethod(measure_colouring)

    def losses(self, network: nn.Module, L: Tensor, ab: Tensor, step: int) -> dict[str, Tensor]:
        """The L1 loss, and the same in Lab units; see `SupervisedRecipe`."""
        with _noise_of_step(self.settings.seed, step, self.device):
            predicted = network(L.contiguous(memory_format=torch.channels_last))
        loss = l1_loss(predicted, ab)
        return {"loss": loss, "l1": loss * AB_NORM}


@dataclass
class GanSettings(Settings):
    """Settings of the game.

    Attributes
    ----------
    rate, warmup, weight_decay
        Of the generator, as in `Settings`.
    discriminator_rate : float
        Highest learning rate of the discriminator; it follows the same course.
    game : {"bce", "least_squares", "hinge"}
        See `losses.GAMES`.
    l1_weight : float
        Weight of the L1 loss beside the game's; 0: the game alone.
    sample_every : int
        Steps between the colourings that `Gan.samples` keeps.
    sample_count : int
        How many validation pictures, from the first, are coloured then.
    layers : int
        Of a discriminator that is made anew; see `Gan.for_network`.
    """

    rate: float = 2e-4
    warmup: int = 0
    weight_decay: float = 0.0
    discriminator_rate: float = 2e-4
    game: str = "bce"
    l1_weight: float = 100.0
    sample_every: int = 100
    sample_count: int = 4
    layers: int = 3


def discriminator_turn(
    generator: nn.Module,
    discriminator: nn.Module,
    optimizer: torch.optim.Optimizer,
    L: Tensor,
    ab: Tensor,
) -> float:
    """One step of the discriminator, as plainly as lesson 06 takes it.

    Parameters
    ----------
    generator, discriminator : torch.nn.Module
        The players; the discriminator learns, and the generator does not notice.
    optimizer : torch.optim.Optimizer
        Of the discriminator's parameters.
    L, ab : torch.Tensor
        (N, 1, H, W) and (N, 2, H, W): photographs.

    Returns
    -------
    float
        The discriminator's loss.
    """
    made = generator(L).detach()
    loss = discriminator_loss(discriminator(L, ab), discriminator(L, made))
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


def generator_turn(
    generator: nn.Module,
    discriminator: nn.Module,
    optimizer: torch.optim.Optimizer,
    L: Tensor,
    ab: Tensor,
    l1_weight: float = 10.0,
) -> tuple[float, float]:
    """One step of the generator against a discriminator that stands still, as in lesson 06.

    Parameters
    ----------
    generator, discriminator, L, ab
        As for `discriminator_turn`; here the generator learns.
    optimizer : torch.optim.Optimizer
        Of the generator's parameters.
    l1_weight : float
        Weight of the L1 loss beside the game's.

    Returns
    -------
    l1, adversarial : float
        The mean absolute error in Lab units, and the loss in the game.
    """
    made = generator(L)
    discriminator.requires_grad_(False)
    adversarial = adversarial_loss(discriminator(L, made))
    discriminator.requires_grad_(True)
    l1 = l1_loss(made, ab)
    (l1_weight * l1 + adversarial).backward()
    optimizer.step()
    optimizer.zero_grad()
    return l1.item() * AB_NORM, adversarial.item()


class _Player(nn.Module):
    """A player's network, run in a precision."""

    def __init__(self, network: nn.Module, precision: AbstractContextManager):
        super().__init__()
        self.network, self._precision = network, precision

    def forward(self, *inputs: Tensor) -> Tensor:
        with parametrize.cached():
            for module in self.network.modules():
                if parametrize.is_parametrized(module):
                    module.weight  # noqa: B018 - normalized here and kept: in float32
            with self._precision:
                return self.network(*inputs)


class Gan(BatchRecipe):
    """A generator that is to deceive, a discriminator that is to tell, and L1.

    Parameters
    ----------
    generator : UNetGenerator
        Trained in place; best one that `Reconstruction` has trained.
    discriminator : PatchDiscriminator
        Trained in place.
    codes, validation
        As in `BatchRecipe`.
    settings : GanSettings
        See there.

    Attributes
    ----------
    average : WeightAverage
        ``average.network`` is the result: the generator's averaged weights.
    samples : dict of int to numpy.ndarray
        Steps taken to colourings (sample_count, H, W, 3) uint8 of the first validation pictures
        by the averaged weights: before the first step, and then every ``sample_every``. They
        are in the checkpoint.

    Notes
    -----
    Under torchrun a generator with dropout gets masks of its own in each process.
    """

    measure = staticmethod(measure_colouring)

    def __init__(
        self,
        generator: UNetGenerator,
        discriminator: PatchDiscriminator,
        codes: Pictures,
        validation: np.ndarray,
        settings: GanSettings,
    ):
        super().__init__(codes, validation, settings)
        # Averaged weights, with which a game often begins, come frozen.
        self.generator = self.prepare(generator.requires_grad_(True))
        self.discriminator = self.prepare(discriminator.requires_grad_(True))
        self.average = WeightAverage(self.generator, settings.average)
        # As in pix2pix: with momentum 0.5 instead of 0.9 each player soon forgets the gradients
        # that an opponent of long ago gave it.
        self.generator_optimizer, self.discriminator_optimizer = (
            torch.optim.AdamW(
                network.parameters(),
                lr=rate,
                betas=(0.5, 0.999),
                weight_decay=settings.weight_decay,
            )
            for network, rate in (
                (self.generator, settings.rate),
                (self.discriminator, settings.discriminator_rate),
            )
        )
        self._schedules = tuple(
            rate_schedule(optimizer, settings.steps, settings.warmup, settings.decay)
            for optimizer in (self.generator_optimizer, self.discriminator_optimizer)
        )
        self._generate = parallel.Distributed(_Player(self.generator, self.precision))
        self._judge = parallel.Distributed(_Player(self.discriminator, self.precision))
        self.samples: dict[int, np.ndarray] = {}
        self._take_sample(0)
        self.parts = {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "average": self.average,
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
            "generator_schedule": self._schedules[0],
            "discriminator_schedule": self._schedules[1],
            "samples": Attributes(self, "samples"),
        }

    @classmethod
    def for_network(
        cls,
        network: UNetGenerator,
        codes: Pictures,
        validation: np.ndarray,
        settings: GanSettings,
    ) -> "Gan":
        """The game of a generator against a new discriminator of the same width."""
        discriminator = PatchDiscriminator(network.width, settings.layers)
        return cls(network, discriminator, codes, validation, settings)

    def train_step(self, step: int) -> dict[str, float]:
        """One step of each player; see `loop.Recipe`.

        Returns
        -------
        dict
            "discriminator" and "adversarial", the players' losses; "l1", the mean absolute error
            in Lab units; "generator", what the generator descends: ``l1_weight * l1 / 110 +
            adversarial``; "real_right" and "fake_right", the shares of real and of generated
            patches that the discriminator judges right.
        """
        s = self.settings
        L, ab = self.batches(step)
        L = L.contiguous(memory_format=torch.channels_last)
        with _noise_of_step(s.seed, step, self.device):
            made = self._generate(L)

        # The discriminator's turn. It gets the generated colours as mere data, detached.
        judged = self._judge(torch.cat([L, L]), torch.cat([ab, made.detach()]))
        real, fake = judged.chunk(2)
        discriminator = discriminator_loss(real, fake, s.game)
        discriminator.backward()

        # The generator's turn. Gradients go through the discriminator, which holds still: its
        # module itself is called, whose gradients nobody waits for.
        self.discriminator.requires_grad_(False)
        adversarial = adversarial_loss(self._judge.module(L, made), s.game)
        self.discriminator.requires_grad_(True)
        l1 = l1_loss(made, ab)
        generator = s.l1_weight * l1 + adversarial
        generator.backward()

        # Both move at once: neither has seen the other's new weights.
        for schedule in self._schedules:
            schedule.optimizer.step()
            schedule.optimizer.zero_grad()
            schedule.step()
        self.average.update_parameters(self.generator)
        if (step + 1) % s.sample_every == 0:
            self._take_sample(step + 1)
        boundary = 0.5 if s.game == "least_squares" else 0.0
        values = {
            "generator": generator,
            "l1": l1 * AB_NORM,
            "adversarial": adversarial,
            "discriminator": discriminator,
            "real_right": (real > boundary).float().mean(),
            "fake_right": (fake < boundary).float().mean(),
        }
        return parallel.mean_over_processes({k: v.item() for k, v in values.items()})

    def _take_sample(self, step: int) -> None:
        some = self.validation[: self.settings.sample_count]
        self.samples[step] = pictures(*predict(self.average.network, some)[:2])
