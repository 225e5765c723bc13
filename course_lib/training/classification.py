"""Recipe: ECCV16, colour as classes, rebalanced (Zhang et al. 2016, section 2.2)."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.bins import EncodingTable, annealed_mean, rebalancing_weights
from course_lib.data.arrays import in_parts
from course_lib.data.prior import ab_prior, training_prior
from course_lib.metrics import ab_error_curve, auc, balanced_auc, colourfulness_ratio
from course_lib.models import evaluating
from course_lib.models.eccv16 import ECCV16
from course_lib.training.batches import Pictures, Settings, as_mixture, count_kinds
from course_lib.training.optim import initialize
from course_lib.training.supervised import SupervisedRecipe


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
    label_weight : float
        Weight of an auxiliary loss beside it: the cross entropy of what is on a picture, told
        from the trunk's mean by a layer that is dropped afterwards. Needs labels.
    """

    lam: float = 0.5
    neighbours: int = 10
    label_weight: float = 0.0


@torch.no_grad()
def measure_classes(network: ECCV16, codes: np.ndarray) -> dict[str, float]:
    """Figures of a network on validation pictures, at their size and a quarter of the resolution.

    Parameters
    ----------
    network : ECCV16
        With its own temperature.
    codes : numpy.ndarray
        (N, 3, H, W) uint8, as `data.prepare.build_array` writes them.

    Returns
    -------
    dict
        "auc_raw" and "auc_balanced" (a mean over pictures) in percent, "colourfulness" as a ratio
        to the truth.
    """
    predicted, true = [], []
    with evaluating(network):
        for L, ab in in_parts(codes, network.model_out.weight.device):
            predicted.append(annealed_mean(network.logits(L), network.temperature))
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
    codes, validation
        As in `SupervisedRecipe`.
    settings : ClassificationSettings
        See there.
    """

    needs = ("logits", "temperature")
    initialize = staticmethod(initialize)
    measure = staticmethod(measure_classes)

    def __init__(
        self,
        network: ECCV16,
        codes: Pictures,
        validation: np.ndarray,
        settings: ClassificationSettings,
    ):
        network.model_out.requires_grad_(False)
        arrays, _, weights = zip(*as_mixture(codes), strict=True)
        counts = count_kinds(codes)
        if settings.label_weight and not any(counts):
            raise ValueError("label_weight needs pictures with labels; prepare them from folders")
        head = _label_head(network, sum(counts)) if settings.label_weight else None
        super().__init__(network, codes, validation, settings, head)
        #: Of each kind that the head tells apart, the array that it is from, and each array's
        #: first kind.
        self._array_of = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
        self._first = torch.tensor([0, *counts]).cumsum(0)
        self.table = EncodingTable(settings.neighbours)
        priors = [training_prior(array, self.table) for array in arrays]
        self.prior = np.average(priors, axis=0, weights=weights)
        self.table.to(self.device)
        rarity = rebalancing_weights(self.prior, settings.lam)
        self.rarity = torch.from_numpy(rarity).float().to(self.device)

    def losses(self, network: nn.Module, L: Tensor, ab: Tensor, step: int) -> dict[str, Tensor]:
        """Rebalanced cross entropy, in nats a pixel; see `SupervisedRecipe`."""
        L = L.contiguous(memory_format=torch.channels_last)
        index, target = self.table(F.avg_pool2d(ab, 4))
        features = network.features(L)
        logits = network.model8(features).float().permute(0, 2, 3, 1).reshape(len(index), -1)
        chosen = F.log_softmax(logits, dim=1).gather(1, index)
        # The nearest bin comes first: the target's arg-max, which sets the pixel's weight.
        weight = self.rarity[index[:, 0]]
        colour = -(weight * (chosen * target).sum(1)).mean()
        if not self.head:
            return {"loss": colour}
        label = self._label_loss(self.head(features.mean((2, 3))).float(), step)
        total = colour + self.settings.label_weight * label
        return {"loss": total, "colour": colour, "label": label}

    def _label_loss(self, scores: Tensor, step: int) -> Tensor:
        """Cross entropy among the kinds of a picture's own array, over pictures with a label."""
        labels, arrays = self.batches.kinds(step)
        others = self._array_of.to(scores.device)[None] != arrays[:, None]
        known = labels >= 0
        kinds = labels + self._first.to(scores.device)[arrays]
        losses = F.cross_entropy(
            scores[known].masked_fill(others[known], -1e4), kinds[known], reduction="sum"
        )
        return losses / len(labels)


def _label_head(network: ECCV16, kinds: int) -> nn.Linear:
    """A layer from the trunk's channels to scores of kinds, which at first knows nothing."""
    weight = network.model7[0].weight
    head = nn.Linear(len(weight), kinds, dtype=weight.dtype)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head
