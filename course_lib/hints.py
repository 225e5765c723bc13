"""A user's colours as tensors: what SIGGRAPH17 sees beside the gray picture.

R. Zhang, J.-Y. Zhu, P. Isola et al., "Real-Time User-Guided Image Colorization with Learned
Deep Priors", SIGGRAPH 2017, arXiv:1705.02999, section 3.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.bins import ab_grid
from course_lib.lab import in_gamut, lab_to_rgb, rgb_to_lab

#: One hint: row, column, and a colour of 8-bit sRGB.
Hint = tuple[float, float, tuple[int, int, int]]

#: Where k-means stops if it has not come to rest, which it usually does much earlier.
K_MEANS_ROUNDS = 50


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
            corner = int(down * (height - side)), int(right * (width - side))
            _reveal(ab[picture], corner, side, hint_ab[picture], mask[picture])
    return hint_ab, mask


def hints_at_errors(
    predicted: Tensor,
    ab: Tensor,
    generator: torch.Generator,
    *,
    stop: float = 1 / 8,
    largest_patch: int = 9,
) -> tuple[Tensor, Tensor]:
    """Hints where a colouring is furthest off, as people give them: for training.

    Nobody points at places that are right already. As many points as in `simulate_hints` lie
    where the error of the mean over `largest_patch` pixels a side is largest, no two of them
    within one and a half such sides of each other.

    Parameters
    ----------
    predicted, ab : torch.Tensor
        (N, 2, H, W), the colouring without hints and the true colours.
    generator, stop, largest_patch
        As in `simulate_hints`.

    Returns
    -------
    hint_ab : torch.Tensor
        (N, 2, H, W).
    mask : torch.Tensor
        (N, 1, H, W).
    """
    n, _, height, width = ab.shape
    hint_ab, mask = torch.zeros_like(ab), torch.zeros_like(ab[:, :1])
    odd = largest_patch // 2 * 2 + 1  # so that sizes stay
    gap = F.avg_pool2d((predicted - ab).float(), odd, 1, odd // 2, count_include_pad=False)
    error = gap.norm(dim=1, keepdim=True)
    around = odd // 2 * 3
    peak = error == F.max_pool2d(error, 2 * around + 1, 1, around)
    error = torch.where(peak, error, -1).flatten(1).cpu()
    counts = torch.empty(n).geometric_(stop, generator=generator).long() - 1
    for picture, count in enumerate(counts.tolist()):
        count = min(count, int((error[picture] >= 0).sum()))  # a small picture has few such places
        sides = torch.randint(1, largest_patch + 1, (count,), generator=generator).tolist()
        places = error[picture].topk(count).indices.tolist()
        for side, place in zip(sides, places, strict=True):
            corner = (
                min(max(middle - side // 2, 0), length - side)
                for middle, length in zip(divmod(place, width), (height, width), strict=True)
            )
            _reveal(ab[picture], tuple(corner), side, hint_ab[picture], mask[picture])
    return hint_ab, mask


def _reveal(ab: Tensor, corner: tuple[int, int], side: int, hint_ab: Tensor, mask: Tensor) -> None:
    """Write a hint, a square's mean true colour, into a picture's tensors (channels, H, W)."""
    top, left = corner
    area = (slice(None), slice(top, top + side), slice(left, left + side))
    hint_ab[area] = ab[area].mean(dim=(1, 2), keepdim=True)
    mask[area] = 1


def suggest_colours(
    logits: Tensor, lightness: float, count: int = 5
) -> tuple[np.ndarray, np.ndarray]:
    """A few different colours that SIGGRAPH17's class head finds likely at a pixel.

    The distribution over the ab grid, less what no screen can show at the pixel's lightness, is
    divided into clusters by k-means. The paper draws samples and clusters those; here each cell
    of the grid counts with its probability, which is what ever more samples come to, and needs
    no randomness.

    Parameters
    ----------
    logits : torch.Tensor
        (529,), the class head's answer at one place: ``net.logits(...)[0, :, row, column]``.
    lightness : float
        L of the pixel, in 0..100.
    count : int
        How many colours; fewer come back if fewer can be shown at this lightness.

    Returns
    -------
    colours : numpy.ndarray
        (count, 3) uint8 sRGB, the likeliest cluster first.
    shares : numpy.ndarray
        (count,) float64, falling, sum 1: each cluster's part of what can be shown.

    Raises
    ------
    ValueError
        If `logits` are not 529 numbers, the lightness lies outside 0..100, or `count` is
        below 1.
    """
    grid = ab_grid().astype(np.float64)
    if logits.shape != (len(grid),):
        raise ValueError(
            f"expected the {len(grid)} logits of one place, got {tuple(logits.shape)}; take "
            "net.logits(...)[0, :, row, column]"
        )
    if not 0 <= lightness <= 100:
        raise ValueError(f"lightness must be in 0..100, got {lightness}")
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    lab = np.column_stack([np.full(len(grid), lightness), grid])
    # gray can always be shown, but rounding puts black and white a hair outside
    shown = in_gamut(lab) | ~grid.any(axis=1)
    points = grid[shown]
    weights = F.softmax(logits.detach().cpu().double()[torch.from_numpy(shown)], dim=0).numpy()
    centres = _cluster(points, weights, min(count, len(points)))
    shares = np.bincount(_nearest(points, centres), weights, len(centres))
    order = np.argsort(-shares, kind="stable")
    lab = np.column_stack([np.full(len(centres), lightness), centres])[order]
    return lab_to_rgb(lab), shares[order]


def _nearest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return ((points[:, None] - centres) ** 2).sum(axis=-1).argmin(axis=1)


def _cluster(points: np.ndarray, weights: np.ndarray, count: int) -> np.ndarray:
    """Weighted k-means, started like k-means++ but without chance."""
    centres = points[[weights.argmax()]]
    while len(centres) < count:
        gap = ((points[:, None] - centres) ** 2).sum(axis=-1).min(axis=1)
        # a point far from all centres is worth one of its own, and no point gets two
        worth = np.where(gap > 0, weights * gap, -1)
        centres = np.vstack([centres, points[worth.argmax()]])
    for _ in range(K_MEANS_ROUNDS):
        member = _nearest(points, centres)
        mass = np.bincount(member, weights, count)
        sums = np.stack([np.bincount(member, weights * axis, count) for axis in points.T], axis=1)
        moved = np.where(mass[:, None] > 0, sums / np.maximum(mass, 1e-300)[:, None], centres)
        if np.array_equal(moved, centres):
            break
        centres = moved
    return centres
