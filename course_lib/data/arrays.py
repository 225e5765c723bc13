"""Photographs as one array of Lab pixels: decoded once, then fed to training from memory."""

from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image


def encode_lab(lab: np.ndarray) -> np.ndarray:
    """Lab in three bytes a pixel: L * 2.55, a + 128, b + 128, rounded.

    Parameters
    ----------
    lab : numpy.ndarray
        (..., 3), L in 0..100.

    Returns
    -------
    numpy.ndarray
        (..., 3) uint8; off by at most 0.2 in L and 0.5 in a and b within sRGB's gamut.
    """
    scaled = lab * np.array([2.55, 1, 1]) + np.array([0, 128, 128])
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def decode_lab(codes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Undo `encode_lab` for a batch.

    Parameters
    ----------
    codes : torch.Tensor
        (N, 3, H, W) uint8.

    Returns
    -------
    L : torch.Tensor
        (N, 1, H, W) float32 in 0..100.
    ab : torch.Tensor
        (N, 2, H, W) float32.
    """
    values = codes.float()
    return values[:, :1] / 2.55, values[:, 1:] - 128


def in_parts(
    codes: np.ndarray, device: torch.device | str = "cpu", size: int = 64
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Go through an array of pictures, decoded a part at a time: the one batch loop for measuring.

    Parameters
    ----------
    codes : numpy.ndarray
        (N, 3, H, W) uint8, as `prepare.build_array` writes them.
    device : torch.device or str
        Where the network is that is to be measured.
    size : int
        Pictures in a part at most; the last may have fewer.

    Yields
    ------
    L, ab : torch.Tensor
        (n, 1, H, W) and (n, 2, H, W), as `decode_lab` returns them.
    """
    for first in range(0, len(codes), size):
        # copied: an array that is mapped from a file cannot be written to, and torch warns of it
        yield decode_lab(torch.from_numpy(np.array(codes[first : first + size])).to(device))


def square(rgb: np.ndarray, size: int) -> np.ndarray:
    """The centre square of a picture at size x size.

    Parameters
    ----------
    rgb : numpy.ndarray
        (H, W, 3) uint8.
    size : int
        Pixels.

    Returns
    -------
    numpy.ndarray
        (size, size, 3) uint8, resampled with Pillow's antialiased bicubic filter.
    """
    height, width = rgb.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    crop = rgb[top : top + side, left : left + side]
    if side == size:
        return crop
    return np.asarray(Image.fromarray(crop).resize((size, size), Image.Resampling.BICUBIC))


def hold_out(count: int, share: float = 0.25, seed: int = 0) -> tuple[list[int], list[int]]:
    """Split numbers of pictures at random into those to train on and those to measure on.

    Parameters
    ----------
    count : int
        Pictures, at least 2.
    share : float
        Of the pictures that are held out, in 0..1; at least one picture is, and at least one is
        not.
    seed : int
        The same seed gives the same split.

    Returns
    -------
    train, held_out : list of int
        Sorted; no number is in both.
    """
    if count < 2:
        raise ValueError(f"{count} pictures cannot be split; it takes at least 2")
    if not 0 < share < 1:
        raise ValueError(f"share must be between 0 and 1, got {share}")
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
    first = min(count - 1, max(1, round(count * share)))
    return sorted(order[first:]), sorted(order[:first])
