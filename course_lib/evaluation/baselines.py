"""What a network has to beat: colours that take no understanding of the picture.

Both learn from pictures in the form in which `data.arrays` keeps them, and colour a gray picture
(H, W, 3) uint8 as `inference.colorize` does.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from course_lib.data.arrays import decode_lab, encode_lab, in_parts, square
from course_lib.data.copies import shrink, thumbnails
from course_lib.data.photos import photos
from course_lib.lab import lab_to_rgb, lightness, merge_lab, rgb_to_lab


def training_codes(path: Path | None) -> np.ndarray:
    """The pictures that the baselines learn from.

    Parameters
    ----------
    path : Path, optional
        An array made by ``python -m course_lib.training prepare``. The course's own training
        photographs unless given.

    Returns
    -------
    numpy.ndarray
        (N, 3, H, W) uint8.
    """
    if path is not None:
        return np.load(path, mmap_mode="r")
    shipped = [square(p.load(), 64) for p in photos("train") if p.kind != "gray"]
    return np.stack([encode_lab(rgb_to_lab(rgb)).transpose(2, 0, 1) for rgb in shipped])


class MeanColour:
    """Every pixel gets the mean ab of the training pictures.

    Parameters
    ----------
    codes : numpy.ndarray
        (N, 3, H, W) uint8.
    """

    def __init__(self, codes: np.ndarray):
        parts = in_parts(codes, size=512)
        total = sum(ab.double().mean(dim=(2, 3)).sum(dim=0) for _, ab in parts)
        self.ab = (total / len(codes)).float().numpy()

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """Colour a picture; (H, W, 3) uint8 in and out."""
        own_l = lightness(rgb)
        return lab_to_rgb(merge_lab(own_l, np.broadcast_to(self.ab, (*own_l.shape, 2))))


class NearestPicture:
    """The colours of the training picture whose gray looks most alike, stretched over.

    Most alike is the picture whose lightness, shrunk to 16 x 16 pixels, has the smallest sum of
    squared differences.

    Parameters
    ----------
    codes : numpy.ndarray
        (N, 3, H, W) uint8; kept, not copied.
    """

    def __init__(self, codes: np.ndarray):
        self.codes = codes
        self.thumbnails = thumbnails(codes)

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """Colour a picture; (H, W, 3) uint8 in and out."""
        own_l = lightness(rgb)
        wanted = shrink(torch.from_numpy(own_l)[None, None])
        found = int((self.thumbnails - wanted).square().sum(dim=1).argmin())
        _, ab = decode_lab(torch.from_numpy(np.array(self.codes[found : found + 1])))
        ab = F.interpolate(ab, own_l.shape, mode="bilinear", align_corners=False)
        return lab_to_rgb(merge_lab(own_l, ab[0].permute(1, 2, 0).numpy()))
