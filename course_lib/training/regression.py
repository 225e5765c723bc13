"""Recipe: SIGGRAPH17, regression of ab with simulated hints (Zhang et al. 2017, section 3)."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.bins import EncodingTable, ab_grid
from course_lib.data.arrays import in_parts
from course_lib.hints import hints_at_errors, simulate_hints
from course_lib.models import evaluating
from course_lib.models.eccv16 import ECCV16
from course_lib.models.siggraph17 import SIGGRAPH17
from course_lib.training.batches import Pictures, Settings
from course_lib.training.loop import step_generator
from course_lib.training.optim import initialize
from course_lib.training.supervised import SupervisedRecipe


@dataclass
class RegressionSettings(Settings):
    """Settings of the regression recipe.

    Attributes
    ----------
    class_weight : float
        Weight of the class head's cross entropy beside the Huber loss on ab.
    huber_delta : float
        Error, in Lab units, at which the Huber loss turns from a square to a line.
    largest_patch : int
        Hints are squares of at most so many pixels a side.
    mending : float
        Share of the pictures whose hints lie where the network is furthest off without any, in
        place of random ones.
    neighbours : int
        Cells of the ab grid that share a colour in the class head's soft encoding.
    """

    class_weight: float = 1.0
    huber_delta: float = 1.0
    largest_patch: int = 9
    mending: float = 0.0
    neighbours: int = 10


def start_from_eccv16(network: SIGGRAPH17, trained: ECCV16) -> None:
    """Copy a trained ECCV16's blocks 1 to 7: the paper's own transfer learning.

    The first layer's three further inputs (hint ab and mask) start at 0, so that at first the
    network sees the gray picture as ECCV16 does. Strides became subsampling; the weights fit.

    Parameters
    ----------
    network : SIGGRAPH17
        Changed in place.
    trained : ECCV16
        Of the same width.
    """
    if network.width != trained.width:
        raise ValueError(f"widths differ: {network.width} and {trained.width}")
    mine = network.state_dict()
    trunk = tuple(f"model{block}." for block in range(1, 8))
    for key, value in trained.state_dict().items():
        if key == "model1.0.weight":
            mine[key].zero_()
            mine[key][:, :1] = value
        elif key.startswith(trunk):
            mine[key].copy_(value)


@torch.no_grad()
def measure_regression(network: SIGGRAPH17, codes: np.ndarray) -> dict[str, float]:
    """Mean ab error of a network on validation pictures, at their size.

    Parameters
    ----------
    network : SIGGRAPH17
        It is run in evaluation mode.
    codes : numpy.ndarray
        (N, 3, H, W) uint8, as `data.prepare.build_array` writes them.

    Returns
    -------
    dict
        "error" without hints, "error_hints" with simulated ones: Lab units.
    """
    sums = {"error": 0.0, "error_hints": 0.0}
    with evaluating(network):
        for number, (L, ab) in enumerate(in_parts(codes, network.model_out[0].weight.device, 50)):
            hints = simulate_hints(ab, step_generator(0, number))
            for name, given in (("error", ()), ("error_hints", hints)):
                distance = (network(L, *given) - ab).norm(dim=1)
                sums[name] += distance.mean(dim=(1, 2)).sum().item()
    return {name: total / len(codes) for name, total in sums.items()}


class Regression(SupervisedRecipe):
    """Huber loss on ab at full resolution, cross entropy on the class head beside it.

    Parameters
    ----------
    network : SIGGRAPH17
        Trained in place.
    codes, validation
        As in `SupervisedRecipe`.
    settings : RegressionSettings
        See there.
    """

    needs = ("both_heads",)
    initialize = staticmethod(initialize)
    measure = staticmethod(measure_regression)

    def __init__(
        self,
        network: SIGGRAPH17,
        codes: Pictures,
        validation: np.ndarray,
        settings: RegressionSettings,
    ):
        super().__init__(network, codes, validation, settings)
        self.table = EncodingTable(settings.neighbours, ab_grid()).to(self.device)

    def losses(self, network: nn.Module, L: Tensor, ab: Tensor, step: int) -> dict[str, Tensor]:
        """Huber in Lab units, cross entropy in nats a pixel; see `SupervisedRecipe`."""
        s = self.settings
        hint_ab, mask = self._hints(network, L, ab, step)
        inputs = (x.contiguous(memory_format=torch.channels_last) for x in (L, hint_ab, mask))
        predicted, logits = network.both_heads(*inputs)
        huber = F.huber_loss(predicted, ab, delta=s.huber_delta)
        index, target = self.table(F.avg_pool2d(ab, 4))
        flat = logits.float().permute(0, 2, 3, 1).reshape(len(index), -1)
        entropy = -(F.log_softmax(flat, dim=1).gather(1, index) * target).sum(1).mean()
        return {"loss": huber + s.class_weight * entropy, "huber": huber, "class": entropy}

    def _hints(
        self, network: nn.Module, L: Tensor, ab: Tensor, step: int
    ) -> tuple[Tensor, Tensor]:
        """Simulated hints for the pictures of a step."""
        s = self.settings
        # A generator for each picture: its hints do not depend on which process draws them.
        first = step * s.batch_size + self.batches.share.start
        generators = [step_generator(s.seed + 2, first + number) for number in range(len(ab))]
        draws = [torch.rand((), generator=one).item() if s.mending else 1.0 for one in generators]
        mended = torch.tensor([draw < s.mending for draw in draws])
        alone = torch.zeros_like(ab)
        if mended.any():
            with torch.no_grad(), evaluating(network):
                alone[mended] = network(L[mended]).to(ab.dtype)
        hints = [
            hints_at_errors(alone[here], ab[here], generator, largest_patch=s.largest_patch)
            if mended[number]
            else simulate_hints(ab[here], generator, largest_patch=s.largest_patch)
            for number, generator in enumerate(generators)
            for here in [slice(number, number + 1)]
        ]
        hint_ab, mask = (torch.cat(parts) for parts in zip(*hints, strict=True))
        return hint_ab, mask
