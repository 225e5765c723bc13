"""Losses: of colour as classes, of the game between generator and discriminator, of pictures.

A discriminator's losses are the mean of two parts, real and generated: in pix2pix too its
objective is halved.
"""

import torch.nn.functional as F
from torch import Tensor

from course_lib.models.layers import AB_NORM

#: Names of the games:
#:
#: - "bce": cross entropy of "real or not" (I. Goodfellow et al., NIPS 2014, arXiv:1406.2661). The
#:   generator maximizes the logarithm of the probability that it is taken for real, as that
#:   paper advises; pix2pix plays this game.
#: - "least_squares": squared distance of the judgement from 1 for real and 0 for generated
#:   (X. Mao et al., ICCV 2017, arXiv:1611.04076).
#: - "hinge": patches judged right with a margin of 1 do not count any more (J. H. Lim, J. C. Ye,
#:   "Geometric GAN", 2017, arXiv:1705.02894).
GAMES = ("bce", "least_squares", "hinge")


def discriminator_loss(real: Tensor, fake: Tensor, game: str = "bce") -> Tensor:
    """How badly a discriminator tells real from generated.

    Parameters
    ----------
    real, fake : torch.Tensor
        Its logits for real and for generated colourings, of any shape.
    game : {"bce", "least_squares", "hinge"}
        See `GAMES`.

    Returns
    -------
    torch.Tensor
        A number, at least 0. If every logit says "no idea" it is log 2 = 0.69 for "bce", 0.25
        for "least_squares" and 1 for "hinge".
    """
    _check(game)
    if game == "bce":
        # softplus(-x) = -log(sigmoid(x)): the cross entropy without a sigmoid that could be 0
        return (F.softplus(-real).mean() + F.softplus(fake).mean()) / 2
    if game == "least_squares":
        return ((real - 1).square().mean() + fake.square().mean()) / 2
    return (F.relu(1 - real).mean() + F.relu(1 + fake).mean()) / 2


def adversarial_loss(fake: Tensor, game: str = "bce") -> Tensor:
    """How badly a generator deceives the discriminator.

    Parameters
    ----------
    fake : torch.Tensor
        The discriminator's logits for generated colourings.
    game : {"bce", "least_squares", "hinge"}
        See `GAMES`.

    Returns
    -------
    torch.Tensor
        A number; for "hinge" it can be below 0.
    """
    _check(game)
    if game == "bce":
        return F.softplus(-fake).mean()
    if game == "least_squares":
        return (fake - 1).square().mean()
    return -fake.mean()


def rebalanced_cross_entropy(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Cross entropy between predicted and true colours, weighted by the rarity of the true ones.

    R. Zhang, P. Isola, A. A. Efros, "Colorful Image Colorization", ECCV 2016, equation 2. The
    recipe `Classification` computes the same from the few bins that a code holds.

    Parameters
    ----------
    logits : torch.Tensor
        (N, Q, H, W), unnormalized log-probabilities.
    target : torch.Tensor
        (N, Q, H, W), soft codes, as from `bins.soft_encode`.
    weights : torch.Tensor
        (Q,), the loss weight of each bin, as from `bins.rebalancing_weights`.

    Returns
    -------
    torch.Tensor
        A number, the mean over all pixels: each weighs as its code's likeliest bin.
    """
    cross_entropy = -(target * F.log_softmax(logits, dim=1)).sum(dim=1)
    return (weights[target.argmax(dim=1)] * cross_entropy).mean()


def l1_loss(ab: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute error of colours, on the scale on which pix2pix weighs it.

    Parameters
    ----------
    ab, truth : torch.Tensor
        (N, 2, H, W), Lab units.

    Returns
    -------
    torch.Tensor
        A number: the mean over a and b of the error in Lab units, divided by 110.
    """
    return F.l1_loss(ab, truth) / AB_NORM


def _check(game: str) -> None:
    if game not in GAMES:
        raise ValueError(f"game must be one of {', '.join(GAMES)}, got {game!r}")
