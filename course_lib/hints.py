"""A user's colours as tensors: what SIGGRAPH17 sees beside the gray picture.

R. Zhang, J.-Y. Zhu, P. Isola et al., "Real-Time User-Guided Image Colorization with Learned
Deep Priors", SIGGRAPH 2017, arXiv:1705.02999, section 3.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from course_lib.lab import rgb_to_lab

#: One hint: row, column, and a colour of 8-bit sRGB.
Hint = tuple[float, float, tuple[int, int, int]]


def hint_tensors(
    hints: Sequence[Hint],
    photo_size: tuple[int, int],
    size: tuple[int, int],
    patch: int = 7,
) -> tuple[Tensor, Tensor]:
    """Hints on a photograph as the two tensors that SIGGRAPH17 takes.

    Parameters
    ----------
    hints : sequence of (row, column, (red, green, blue))
        Rows and columns count the photograph's pixels from its top left corner; the colours
        are 8-bit sRGB. Only their hue and chroma are used: lightness is the photograph's.
        Where hints overlap the later one counts.
    photo_size : (int, int)
        Height and width of the photograph.
    size : (int, int)
        Height and width of the network's input.
    patch : int
        Side, in pixels of the network's input, of the square that a hint fills.

    Returns
    -------
    hint_ab : torch.Tensor
        (1, 2, height, width), 0 where there is no hint.
    mask : torch.Tensor
        (1, 1, height, width), 1 where there is one.

    Raises
    ------
    ValueError
        If a hint lies outside the photograph or its colour is not three numbers in 0..255.
    """
    hint_ab, mask = torch.zeros(1, 2, *size), torch.zeros(1, 1, *size)
    for row, column, colour in hints:
        if not (0 <= row < photo_size[0] and 0 <= column < photo_size[1]):
            raise ValueError(
                f"the hint at row {row}, column {column} lies outside the photo of "
                f"{photo_size[0]} rows and {photo_size[1]} columns"
            )
        if len(colour) != 3 or not all(0 <= value <= 255 for value in colour):
            raise ValueError(f"a hint's colour is (red, green, blue) in 0..255, got {colour}")
        ab = rgb_to_lab(np.array([[colour]], dtype=np.float32) / 255)[0, 0, 1:]
        y = int((row + 0.5) * size[0] / photo_size[0])
        x = int((column + 0.5) * size[1] / photo_size[1])
        top, left = max(0, y - patch // 2), max(0, x - patch // 2)
        area = (..., slice(top, y - patch // 2 + patch), slice(left, x - patch // 2 + patch))
        hint_ab[area] = torch.from_numpy(ab)[None, :, None, None]
        mask[area] = 1
    return hint_ab, mask


def simulate_hints(
    ab: Tensor, generator: torch.Generator, *, stop: float = 1 / 8, largest_patch: int = 9
) -> tuple[Tensor, Tensor]:
    """Hints as a user might give them, revealed from the true colours: for training.

    Each picture gets a geometric number of points (none for one picture in eight). A point is
    a square patch of odd or even side with the mean of its true colours; points lie around the
    middle of the picture, normally distributed with a quarter of its size (section 3.1).

    Parameters
    ----------
    ab : torch.Tensor
        (N, 2, H, W), the true colours.
    generator : torch.Generator
        Source of all randomness.
    stop : float
        Probability that no further point follows, in 0..1.
    largest_patch : int
        Sides are uniform in 1..largest_patch.

    Returns
    -------
    hint_ab : torch.Tensor
        (N, 2, H, W).
    mask : torch.Tensor
        (N, 1, H, W).
    """
    n, _, height, width = ab.shape
    hint_ab, mask = torch.zeros_like(ab), torch.zeros_like(ab[:, :1])
    counts = torch.empty(n).geometric_(stop, generator=generator).long() - 1
    for picture, count in enumerate(counts.tolist()):
        sides = torch.randint(1, largest_patch + 1, (count,), generator=generator).tolist()
        places = torch.randn(count, 2, generator=generator) / 4 + 0.5
        for side, (down, right) in zip(sides, places.clamp(0, 1).tolist(), strict=True):
            top, left = int(down * (height - side)), int(right * (width - side))
            area = (picture, slice(None), slice(top, top + side), slice(left, left + side))
            hint_ab[area] = ab[area].mean(dim=(1, 2), keepdim=True)
            mask[area] = 1
    return hint_ab, mask
