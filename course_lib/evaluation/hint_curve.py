"""PSNR against the number of hints: how much a network gains from what a user tells it.

R. Zhang, J.-Y. Zhu, P. Isola et al., "Real-Time User-Guided Image Colorization with Learned
Deep Priors", SIGGRAPH 2017, arXiv:1705.02999, section 4.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.ndimage import uniform_filter
from torch import nn

from course_lib.hints import Hint, hint_tensors
from course_lib.inference import prepare, upsample_ab
from course_lib.lab import lab_to_rgb, lightness, merge_lab, rgb_to_lab
from course_lib.metrics import psnr
from course_lib.models import evaluating

#: Number of hints to PSNR in dB, as reported for the published weights on 1000 test pictures of
#: ImageNet at 256 x 256, with hints of 6 x 6 pixels.
PUBLISHED_PSNR = {
    0: 24.43, 1: 25.37, 2: 26.20, 5: 27.39, 10: 28.42, 20: 29.34, 50: 30.42, 100: 31.13,
}  # fmt: skip


def reveal_hints(rgb: np.ndarray, count: int, seed: int = 0, side: int = 6) -> list[Hint]:
    """Hints from somebody who knows the truth and points at random places.

    Parameters
    ----------
    rgb : numpy.ndarray
        (H, W, 3) uint8, the true colours.
    count : int
        How many hints.
    seed : int
        With one seed, fewer hints are the first of more.
    side : int
        Each hint's colour is the mean over a square of so many pixels a side, all of it in the
        picture.

    Returns
    -------
    list of (row, column, (red, green, blue))
        As `colorize` takes them, at the squares' middles.

    Raises
    ------
    ValueError
        If `count` is negative, or the picture is smaller than a square.
    """
    height, width = rgb.shape[:2]
    if count < 0:
        raise ValueError(f"count must be 0 or more, got {count}")
    if not 1 <= side <= min(height, width):
        raise ValueError(
            f"side must be in 1..{min(height, width)} for a picture of {height} x {width} "
            f"pixels, got {side}"
        )
    places = np.random.default_rng(seed).random((count, 2))
    hints = []
    for top, left in (places * (height - side + 1, width - side + 1)).astype(int).tolist():
        patch = rgb[top : top + side, left : left + side].reshape(-1, 3)
        colour = tuple(int(value) for value in np.rint(patch.mean(axis=0)))
        hints.append((top + side // 2, left + side // 2, colour))
    return hints


def greedy_hints(
    rgb: np.ndarray,
    count: int,
    colour: Callable[[np.ndarray, list[Hint]], np.ndarray],
    side: int = 24,
) -> list[Hint]:
    """Hints from somebody who knows the truth and always mends the largest error next.

    Greedy: each hint is the best next step by that rule, and none is taken back. What is farthest
    off need not be what one hint mends most, so a hint can also do harm.

    Parameters
    ----------
    rgb : numpy.ndarray
        (H, W, 3) uint8, the true colours.
    count : int
        How many hints.
    colour : callable
        Colours a picture, led by a list of hints: takes both, returns (H, W, 3) uint8.
    side : int
        The error is that of a square's mean ab, so many pixels a side; its mean colour is given.

    Returns
    -------
    list of (row, column, (red, green, blue))
        As `colorize` takes them, at the squares' middles, in the order of choice.
    """
    half, true_ab, hints = side // 2, rgb_to_lab(rgb)[..., 1:], []
    for _ in range(count):
        gap = rgb_to_lab(colour(rgb, hints))[..., 1:] - true_ab
        error = np.hypot(*(uniform_filter(plane, side) for plane in np.moveaxis(gap, -1, 0)))
        tops = error[half : len(error) - side + half + 1, half : error.shape[1] - side + half + 1]
        top, left = np.unravel_index(tops.argmax(), tops.shape)
        patch = rgb[top : top + side, left : left + side].reshape(-1, 3)
        mean = tuple(int(value) for value in np.rint(patch.mean(axis=0)))
        hints.append((int(top) + half, int(left) + half, mean))
    return hints


@torch.inference_mode()
def psnr_against_hints(
    net: nn.Module,
    pictures: Sequence[np.ndarray],
    counts: Sequence[int] = tuple(PUBLISHED_PSNR),
    *,
    patch: int = 7,
    seed: int = 0,
) -> np.ndarray:
    """PSNR of colourings led by more and more true hints.

    Picture number i gets the hints of `reveal_hints` with seed ``seed + i``, and of those the
    first 0, 1, 2, ..., so that the counts are compared on the same places.

    Parameters
    ----------
    net : torch.nn.Module
        SIGGRAPH17.
    pictures : sequence of numpy.ndarray
        The truth: (H, W, 3) uint8 each. The network sees their lightness, at the size that it
        was trained for.
    counts : sequence of int
        Numbers of hints; those of `PUBLISHED_PSNR` unless given.
    patch : int
        Side of a hint in pixels of the network's input; 7 is what `colorize` draws.
    seed : int
        Of the first picture's places.

    Returns
    -------
    numpy.ndarray
        (len(pictures), len(counts)), dB over 8-bit RGB.
    """
    device = next(net.parameters()).device
    rows = []
    with evaluating(net):
        for number, truth in enumerate(pictures):
            small_l, own_l = prepare(truth, getattr(net, "input_size", 256)), lightness(truth)
            hints = reveal_hints(truth, max(counts), seed + number)
            tensors = [
                hint_tensors(hints[:count], truth.shape[:2], tuple(small_l.shape[-2:]), patch)
                for count in counts
            ]
            hint_ab, mask = (torch.cat(parts).to(device) for parts in zip(*tensors, strict=True))
            ab = net(small_l.to(device).expand(len(counts), -1, -1, -1), hint_ab, mask)
            rows.append(
                [
                    psnr(lab_to_rgb(merge_lab(own_l, upsample_ab(one, small_l, own_l))), truth)
                    for one in ab.float().cpu().split(1)
                ]
            )
    return np.array(rows)
