"""What a network has to beat: colours that take no understanding of the picture.

Both learn from pictures in the form in which `data.arrays` keeps them, and colour a gray picture
(H, W, 3) uint8 as `inference.colorize` does.
"""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.data.arrays import decode_lab
from course_lib.lab import lab_to_rgb, lightness, merge_lab

#: Side in pixels to which pictures are shrunk to find out how alike they are.
THUMBNAIL = 16


class MeanColour:
    """Every pixel gets the mean ab of the training pictures.

    Parameters
    ----------
    codes : numpy.ndarray
        (N, 3, H, W) uint8.
    """

    def __init__(self, codes: np.ndarray):
        total = sum(ab.double().mean(dim=(2, 3)).sum(dim=0) for _, ab in _parts(codes))
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
        self.thumbnails = torch.cat([_thumbnail(L) for L, _ in _parts(codes)])

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """Colour a picture; (H, W, 3) uint8 in and out."""
        own_l = lightness(rgb)
        wanted = _thumbnail(torch.from_numpy(own_l)[None, None])
        found = int((self.thumbnails - wanted).square().sum(dim=1).argmin())
        _, ab = decode_lab(torch.from_numpy(np.array(self.codes[found : found + 1])))
        ab = F.interpolate(ab, own_l.shape, mode="bilinear", align_corners=False)
        return lab_to_rgb(merge_lab(own_l, ab[0].permute(1, 2, 0).numpy()))


def _parts(codes: np.ndarray, size: int = 512) -> Iterator[tuple[Tensor, Tensor]]:
    for start in range(0, len(codes), size):
        yield decode_lab(torch.from_numpy(np.array(codes[start : start + size])))


def _thumbnail(L: Tensor) -> Tensor:
    return F.interpolate(L, (THUMBNAIL, THUMBNAIL), mode="area").flatten(1)
