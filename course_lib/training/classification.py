"""Recipe: ECCV16, colour as classes, rebalanced (Zhang et al. 2016, section 2.2)."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.bins import ab_bins, annealed_mean, nearest_bins, rebalancing_weights, smooth_prior
from course_lib.data.arrays import decode_lab
from course_lib.data.prior import ab_prior
from course_lib.metrics import ab_error_curve, auc, balanced_auc, colourfulness_ratio
from course_lib.models.eccv16 import ECCV16
from course_lib.training.supervised import Settings, SupervisedRecipe


class EncodingTable:
    """Soft encoding by looking it up: every whole-numbered (a, b), encoded once.

    Searching the nearest of 313 bins for every pixel would take a third of the training time.
    Rounding a and b to whole numbers first moves a colour by at most 0.71, little beside the
    bins' distance of 10.

    Parameters
    ----------
    k : int
        As in `bins.nearest_bins`.
    bins : numpy.ndarray, optional
        (Q, 2); `ab_bins()` unless given.
    """

    #: a and b of the table run from -REACH to REACH: beyond the ab of any 8-bit sRGB colour.
    REACH = 110

    def __init__(self, k: int = 10, bins: np.ndarray | None = None):
        axis = torch.arange(-self.REACH, self.REACH + 1, dtype=torch.float32)
        colours = torch.stack(torch.meshgrid(axis, axis, indexing="ij"))[None]
        index, weight = nearest_bins(colours, k, bins=bins)
        self.index = index[0].flatten(1).T.contiguous()
        self.weight = weight[0].flatten(1).T.contiguous()

    def __call__(self, ab: Tensor) -> tuple[Tensor, Tensor]:
        """What `bins.nearest_bins` returns for the rounded colours, as (pixels, k) each.

        Parameters
        ----------
        ab : torch.Tensor
            (N, 2, H, W); pixels are taken in (N, H, W) order.
        """
        cells = ab.round().long().clamp(-self.REACH, self.REACH) + self.REACH
        row = (cells[:, 0] * (2 * self.REACH + 1) + cells[:, 1]).flatten()
        return self.index[row], self.weight[row]

    def to(self, device: torch.device) -> "EncodingTable":
        """Move the table to the device of the pictures; returns the table."""
        self.index, self.weight = self.index.to(device), self.weight.to(device)
        return self


def training_prior(codes: np.ndarray, table: EncodingTable, pictures: int = 20_000) -> np.ndarray:
    """How often each bin occurs in training pictures, smoothed.

    Parameters
    ----------
    codes : numpy.ndarray
        (N, 3, H, W) uint8.
    table : EncodingTable
        For the soft encoding.
    pictures : int
        How many pictures to count, spread evenly over the array.

    Returns
    -------
    numpy.ndarray
        (313,) float64, sum 1.
    """
    counts = torch.zeros(len(ab_bins()), dtype=torch.float64)
    chosen = np.unique(np.linspace(0, len(codes) - 1, min(pictures, len(codes))).astype(int))
    for part in np.array_split(chosen, max(1, len(chosen) // 256)):
        _, ab = decode_lab(torch.from_numpy(codes[part]))
        index, weight = table(F.avg_pool2d(ab, 4))
        counts.index_add_(0, index.flatten(), weight.flatten().double())
    return smooth_prior(counts.numpy())


@torch.no_grad()
def soften_rebalancing(network: ECCV16, weights: np.ndarray, share: float) -> None:
    """Take back a share of what rebalancing did to a trained network.

    A loss weighted by w teaches a distribution proportional to w p instead of p. Dividing by
    w^share, that is, taking share * log(w) from the logits, lies between: colours stay alive,
    and rare ones are no longer seen everywhere. The network needs no further training, and its
    architecture stays.

    Parameters
    ----------
    network : ECCV16
        Trained with these weights; the bias of its class head is changed in place.
    weights : numpy.ndarray
        (313,), from `bins.rebalancing_weights`.
    share : float
        0 changes nothing, 1 undoes the rebalancing.

    References
    ----------
    A. K. Menon et al., "Long-tail learning via logit adjustment", ICLR 2021, arXiv:2007.07314.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must be in 0..1, got {share}")
    network.model8[-1].bias -= share * torch.from_numpy(np.log(weights)).float()


@dataclass
class ClassificationSettings(Settings):
    """Settings of the classification recipe.

    Attributes
    ----------
    lam : float
        Rebalancing: how much of the uniform distribution is mixed in, 0..1.
    neighbours : int
        Bins that share a colour in the soft encoding.
    temperature : float
        Of the annealed mean, for the measurements.
    """

    lam: float = 0.5
    neighbours: int = 10
    temperature: float = 0.38


@torch.no_grad()
def measure_classes(network: ECCV16, codes: np.ndarray, temperature: float) -> dict[str, float]:
    """Figures of a network on validation pictures, at their size and a quarter of the resolution.

    Parameters
    ----------
    network : ECCV16
        In evaluation mode.
    codes : numpy.ndarray
        (N, 3, H, W) uint8, as `data.arrays.build_array` writes them.
    temperature : float
        Of the annealed mean.

    Returns
    -------
    dict
        "auc_raw" and "auc_balanced" (a mean over pictures) in percent, "colourfulness" as a ratio
        to the truth.
    """
    predicted, true = [], []
    for part in np.array_split(np.arange(len(codes)), max(1, len(codes) // 64)):
        L, ab = decode_lab(torch.from_numpy(codes[part]).to(network.model_out.weight.device))
        predicted.append(annealed_mean(network.logits(L), temperature))
        true.append(F.avg_pool2d(ab, 4))
    predicted, true = torch.cat(predicted).cpu().numpy(), torch.cat(true).cpu().numpy()
    balance = rebalancing_weights(ab_prior(), lam=0)
    return {
        "auc_raw": auc(ab_error_curve(predicted, true)),
        "auc_balanced": balanced_auc(predicted, true, balance),
        "colourfulness": colourfulness_ratio(predicted, true),
    }


class Classification(SupervisedRecipe):
    """Cross entropy between predicted and soft-encoded colours, weighted by rarity.

    Parameters
    ----------
    network : ECCV16
        Trained in place; its last layer, which holds the bins, stays as it is.
    codes, validation : numpy.ndarray
        (N, 3, H, W) uint8.
    settings : ClassificationSettings
        See there.
    """

    def __init__(
        self,
        network: ECCV16,
        codes: np.ndarray,
        validation: np.ndarray,
        settings: ClassificationSettings,
    ):
        network.model_out.requires_grad_(False)
        super().__init__(network, codes, validation, settings)
        self.table = EncodingTable(settings.neighbours)
        self.prior = training_prior(codes, self.table)
        self.table.to(self.device)
        rarity = rebalancing_weights(self.prior, settings.lam)
        self.rarity = torch.from_numpy(rarity).float().to(self.device)

    def losses(self, network: nn.Module, L: Tensor, ab: Tensor, step: int) -> dict[str, Tensor]:
        """Rebalanced cross entropy, in nats a pixel; see `SupervisedRecipe`."""
        L = L.contiguous(memory_format=torch.channels_last)
        index, target = self.table(F.avg_pool2d(ab, 4))
        logits = network.logits(L).float().permute(0, 2, 3, 1).reshape(len(index), -1)
        chosen = F.log_softmax(logits, dim=1).gather(1, index)
        # The nearest bin comes first: the target's arg-max, which sets the pixel's weight.
        weight = self.rarity[index[:, 0]]
        return {"loss": -(weight * (chosen * target).sum(1)).mean()}

    def evaluate(self) -> dict[str, float]:
        """AuC raw and class-balanced, and colourfulness, of the averaged weights."""
        return measure_classes(self.average.network, self.validation, self.settings.temperature)
