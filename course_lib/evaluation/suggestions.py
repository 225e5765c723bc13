"""How near suggested colours come to the truth: the class head's, and those of the prior.

Five suggestions are nearer than one answer even if they say nothing about the picture. So the
class head has to be compared with five colours that know the lightness of the pixel alone.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from course_lib.bins import ab_bins, ab_grid
from course_lib.data.prior import ab_prior
from course_lib.evaluation.summary import Interval, bootstrap
from course_lib.hints import suggest_colours
from course_lib.inference import colorize, prepare
from course_lib.lab import rgb_to_lab
from course_lib.models import SIGGRAPH17, evaluating


def prior_logits() -> Tensor:
    """The shipped prior as `hints.suggest_colours` takes it.

    Returns
    -------
    torch.Tensor
        (529,), the logarithm of the probability of each cell of the ab grid; -inf at cells
        outside the 313 bins.
    """
    probability = dict(zip(map(tuple, ab_bins()), ab_prior(), strict=True))
    cells = [probability.get(tuple(cell), 0.0) for cell in ab_grid()]
    return torch.tensor(cells, dtype=torch.float64).log()


@torch.inference_mode()
def suggestion_errors(
    net: SIGGRAPH17, pictures: Sequence[np.ndarray], *, places: int = 20, seed: int = 0
) -> dict[str, np.ndarray]:
    """Distance of the true colour from one answer, and from the nearest of five suggestions.

    Parameters
    ----------
    net : SIGGRAPH17
        Asked without hints.
    pictures : sequence of numpy.ndarray
        The truth: (H, W, 3) uint8 each.
    places : int
        Random pixels of each picture.
    seed : int
        Of the first picture's places; picture number i has ``seed + i``.

    Returns
    -------
    dict
        Arrays (len(pictures),), each picture's mean in Lab units: "single answer", of the ab
        head; "five of the class head"; "five of the prior", which differ from pixel to pixel
        only as the lightness allows.
    """
    device = next(net.parameters()).device
    world, rows = prior_logits(), []
    with evaluating(net):
        for number, truth in enumerate(pictures):
            lab, answer = rgb_to_lab(truth), rgb_to_lab(colorize(truth, net))
            small_l = prepare(truth, getattr(net, "input_size", 256))
            logits = net.logits(small_l.to(device))[0]
            scale = np.array(logits.shape[1:]) / truth.shape[:2]
            rng = np.random.default_rng(seed + number)
            found = []
            for place in rng.integers(0, truth.shape[:2], (places, 2)):
                light, *true = lab[tuple(place)]
                y, x = (place * scale).astype(int)
                offered = [
                    rgb_to_lab(suggest_colours(belief, float(light))[0])[:, 1:]
                    for belief in (logits[:, y, x], world)
                ]
                tries = [answer[tuple(place)][None, 1:], *offered]
                found.append([np.hypot(*(colours - true).T).min() for colours in tries])
            rows.append(np.mean(found, axis=0))
    names = ("single answer", "five of the class head", "five of the prior")
    return dict(zip(names, np.array(rows).T, strict=True))


def suggestion_results(pictures: Sequence[np.ndarray], net: SIGGRAPH17) -> dict[str, Interval]:
    """How near the nearest of five suggestions comes to the truth.

    Parameters
    ----------
    pictures : sequence of numpy.ndarray
        The truth: (H, W, 3) uint8 each.
    net : SIGGRAPH17
        Asked without hints.

    Returns
    -------
    dict
        The names of `suggestion_errors`, and "class head less prior", to mean and 95 %
        bootstrap interval in Lab units. Below zero the class head's five are nearer.
    """
    errors = suggestion_errors(net, pictures)
    errors["class head less prior"] = (
        errors["five of the class head"] - errors["five of the prior"]
    )
    return {name: bootstrap(values) for name, values in errors.items()}
