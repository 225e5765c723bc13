"""Recipe: UNetGenerator against PatchDiscriminator, L1 beside the game (Isola et al. 2017).

Two stages share the generator. `Reconstruction` trains it by L1 alone; `Gan` goes on from there
with a discriminator. Without the first stage the discriminator would soon tell a generator that
knows nothing from photographs, and there would be little to learn from its judgement.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from course_lib import parallel
from course_lib.data.arrays import decode_lab
from course_lib.lab import lab_to_rgb
from course_lib.metrics import ab_error_curve, ab_histogram_distance, auc, mean_chroma, psnr
from course_lib.models.layers import AB_NORM
from course_lib.models.patchgan import PatchDiscriminator
from course_lib.models.unet import UNetGenerator
from course_lib.models.weights import save_weights
from course_lib.training.loop import History, fit, step_generator
from course_lib.training.losses import adversarial_loss, discriminator_loss, l1_loss
from course_lib.training.optim import MasterWeights, WeightAverage, cosine_rate
from course_lib.training.supervised import (
    LabBatches,
    Settings,
    SupervisedRecipe,
    pick_precision,
    refuse_other_settings,
)


@torch.no_grad()
def predict(network: nn.Module, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a network makes of pictures, beside the truth.

    Parameters
    ----------
    network : torch.nn.Module
        Maps L to ab; in evaluation mode.
    codes : numpy.ndarray
        (N, 3, H, W) uint8, as `data.arrays.build_array` writes them.

    Returns
    -------
    L, predicted, true : numpy.ndarray
        (N, 1, H, W), (N, 2, H, W) and (N, 2, H, W), Lab units.
    """
    device = next(network.parameters()).device
    parts = []
    for part in np.array_split(np.arange(len(codes)), -(-len(codes) // 64)):
        L, ab = decode_lab(torch.from_numpy(codes[part]).to(device))
        parts.append((L, network(L), ab))
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
        Maps L to ab; in evaluation mode.
    codes : numpy.ndarray
        (N, 3, H, W) uint8, as `data.arrays.build_array` writes them.

    Returns
    -------
    dict
        "psnr" in dB, the mean over pictures; "auc" of ab error, in percent; "chroma", the mean
        distance from gray in Lab units; "histogram", see `ab_histogram_distance`.
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
    network : UNetGenerator
        Trained in place.
    codes, validation : numpy.ndarray
        (N, 3, H, W) uint8.
    settings : Settings
        See there.
    """

    def losses(self, network: nn.Module, L: Tensor, ab: Tensor, step: int) -> dict[str, Tensor]:
        """The L1 loss, and the same in Lab units; see `SupervisedRecipe`."""
        with _noise_of_step(self.settings.seed, step, self.device):
            predicted = network(L.contiguous(memory_format=torch.channels_last))
        loss = l1_loss(predicted, ab)
        return {"loss": loss, "l1": loss * AB_NORM}

    def evaluate(self) -> dict[str, float]:
        """See `measure_colouring`; of the averaged weights."""
        return measure_colouring(self.average.network, self.validation)


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
    """

    rate: float = 2e-4
    warmup: int = 0
    weight_decay: float = 0.0
    discriminator_rate: float = 2e-4
    game: str = "bce"
    l1_weight: float = 100.0
    sample_every: int = 100
    sample_count: int = 4


class Gan:
    """A generator that is to deceive, a discriminator that is to tell, and L1.

    Parameters
    ----------
    generator : UNetGenerator
        Trained in place; best one that `Reconstruction` has trained.
    discriminator : PatchDiscriminator
        Trained in place.
    codes, validation : numpy.ndarray
        (N, 3, H, W) uint8.
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
    Under torchrun the numbers are those of one process with the joined batch, as with every
    recipe, except for a generator with dropout: each process draws masks of its own.
    """

    def __init__(
        self,
        generator: UNetGenerator,
        discriminator: PatchDiscriminator,
        codes: np.ndarray,
        validation: np.ndarray,
        settings: GanSettings,
    ):
        self.settings = settings
        self.batch_size = settings.batch_size
        self.validation = validation
        self.batches = LabBatches(codes, settings)
        self.device = self.batches.device
        # Averaged weights, with which a game often begins, come frozen.
        generator, discriminator = (
            network.to(self.device, memory_format=torch.channels_last).train().requires_grad_(True)
            for network in (generator, discriminator)
        )
        self.generator = parallel.synchronize_normalization(generator)
        self.discriminator = discriminator
        precision = pick_precision(settings.precision, self.device)
        self.generator_weights = MasterWeights(self.generator, precision)
        self.discriminator_weights = MasterWeights(self.discriminator, precision)
        self.average = WeightAverage(self.generator, settings.average)
        # As in pix2pix: with momentum 0.5 instead of 0.9 each player soon forgets the gradients
        # that an opponent of long ago gave it.
        self.generator_optimizer, self.discriminator_optimizer = (
            torch.optim.AdamW(
                network.parameters(),
                lr=settings.rate,
                betas=(0.5, 0.999),
                weight_decay=settings.weight_decay,
            )
            for network in (self.generator, self.discriminator)
        )
        self._generate = parallel.distribute(self.generator_weights.running)
        self._judge = parallel.distribute(self.discriminator_weights.running)
        self.samples: dict[int, np.ndarray] = {}
        self._take_sample(0)

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
        players = (
            (self.generator_weights, self.generator_optimizer, s.rate),
            (self.discriminator_weights, self.discriminator_optimizer, s.discriminator_rate),
        )
        L, ab = self.batches(step)
        L = L.contiguous(memory_format=torch.channels_last)
        with _noise_of_step(s.seed, step, self.device):
            made = self._generate(L)

        # The discriminator's turn. It gets the generated colours as mere data, detached.
        judged = self._judge(torch.cat([L, L]), torch.cat([ab, made.detach()]))
        real, fake = judged.chunk(2)
        discriminator = discriminator_loss(real, fake, s.game)
        discriminator.backward()

        # The generator's turn. Gradients go through the discriminator, which holds still.
        still = self.discriminator_weights.running.requires_grad_(False)
        adversarial = adversarial_loss(still(L, made), s.game)
        still.requires_grad_(True)
        l1 = l1_loss(made, ab)
        generator = s.l1_weight * l1 + adversarial
        generator.backward()

        # Both move at once, so that an interrupt hardly ever finds one ahead of the other.
        for weights, optimizer, rate in players:
            optimizer.param_groups[0]["lr"] = cosine_rate(step, s.steps, rate, s.warmup)
            weights.collect()
            optimizer.step()
            optimizer.zero_grad()
            weights.refresh()
        self.average.update(self.generator, step)
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

    def evaluate(self) -> dict[str, float]:
        """See `measure_colouring`; of the averaged weights."""
        return measure_colouring(self.average.network, self.validation)

    def state_dict(self) -> dict[str, Any]:
        """See `loop.Recipe`."""
        return {
            "settings": asdict(self.settings),
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "average": self.average.network.state_dict(),
            "generator_optimizer": self.generator_optimizer.state_dict(),
            "discriminator_optimizer": self.discriminator_optimizer.state_dict(),
            "samples": {step: torch.from_numpy(rgb) for step, rgb in self.samples.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `loop.Recipe`; refuses a checkpoint made with other settings."""
        refuse_other_settings(self.settings, state["settings"])
        self.generator.load_state_dict(state["generator"])
        self.discriminator.load_state_dict(state["discriminator"])
        self.average.network.load_state_dict(state["average"])
        self.generator_optimizer.load_state_dict(state["generator_optimizer"])
        self.discriminator_optimizer.load_state_dict(state["discriminator_optimizer"])
        self.samples = {step: rgb.numpy() for step, rgb in state["samples"].items()}
        self.generator_weights.refresh()
        self.discriminator_weights.refresh()


def train_gan(
    config: dict[str, Any],
    train: np.ndarray,
    validation: np.ndarray,
    run_dir: str | os.PathLike,
    *,
    evaluate_every: int | None = None,
    progress: bool = True,
) -> tuple[Reconstruction | Gan, History]:
    """Both stages, as a config describes them; or what is left of them.

    Parameters
    ----------
    config : dict
        "width", "depth", "dropout" of the generator; "layers" of the discriminator, which has
        the same width; "seed"; and the settings of the stages: "reconstruction" for `Settings`
        and "game" for `GanSettings`. See ``configs/gan.json``.
    train, validation : numpy.ndarray
        (N, 3, H, W) uint8, as `data.arrays.build_array` writes them.
    run_dir : path
        Folder for the stages' checkpoints and histories, in "l1" and "gan", and for the trained
        generator, "generator.safetensors". Called again after an interrupt, or after the
        machine was switched off, the training goes on.
    evaluate_every, progress
        As in `loop.fit`.

    Returns
    -------
    recipe : Reconstruction or Gan
        The stage that it came to before it ended or was interrupted;
        ``recipe.average.network`` is the trained generator.
    history : History
        Of that stage.
    """
    run_dir = Path(run_dir)
    torch.manual_seed(config["seed"])
    generator = UNetGenerator(config["width"], config["depth"], config["dropout"])
    discriminator = PatchDiscriminator(config["width"], config["layers"])
    stages = {"evaluate_every": evaluate_every, "progress": progress}
    recipe = Reconstruction(generator, train, validation, Settings(**config["reconstruction"]))
    steps = config["reconstruction"]["steps"]
    history = fit(recipe, steps, run_dir=run_dir / "l1", **stages)
    if history.rows and history.rows[-1]["step"] == steps:  # it was not interrupted
        generator.load_state_dict(recipe.average.network.state_dict())
        recipe = Gan(generator, discriminator, train, validation, GanSettings(**config["game"]))
        history = fit(recipe, config["game"]["steps"], run_dir=run_dir / "gan", **stages)
    if parallel.rank() == 0:
        header = {"depth": str(config["depth"]), "input_size": str(validation.shape[-1])}
        save_weights(run_dir / "generator.safetensors", recipe.average.network, header)
    return recipe, history
