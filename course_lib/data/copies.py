"""Pictures that are in two sets: in other sizes and crops, so that their bytes do not tell."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.data.arrays import in_parts

#: Side in pixels to which pictures are shrunk to find out how alike they are.
THUMBNAIL = 16
#: Thumbnails of different photographs correlate less than this; copies correlate more.
COPY = 0.97
#: Thumbnails that are compared with as many others in one matrix product: 256 MB of results.
_BLOCK = 8192


def shrink(L: Tensor) -> Tensor:
    """Thumbnails of gray pictures.

    Parameters
    ----------
    L : torch.Tensor
        (N, 1, H, W), lightness in any unit.

    Returns
    -------
    torch.Tensor
        (N, 256): 16 x 16 pixels each, row by row, every one the mean over its area.
    """
    return F.interpolate(L, (THUMBNAIL, THUMBNAIL), mode="area").flatten(1)


def thumbnails(codes: np.ndarray) -> Tensor:
    """Thumbnails of the pictures of an array.

    Parameters
    ----------
    codes : numpy.ndarray
        (N, 3, H, W) uint8, as `data.prepare.build_array` writes them.

    Returns
    -------
    torch.Tensor
        (N, 256), as `shrink` makes them.
    """
    return torch.cat([shrink(L) for L, _ in in_parts(codes, size=512)])


def near_copies(pictures: Tensor, others: Tensor, *, mirrored: bool = True) -> Tensor:
    """Which pictures of one set are copies, or nearly, of a picture of another.

    Public sets hold pictures twice, and share some, in other sizes, crops and exposures: other
    bytes, so that the split by hash does not keep them together. Two pictures count as copies
    where the lightness of their thumbnails correlates by more than 0.97. A set of 20,000 is
    compared with one of 200,000 within minutes on two cores.

    Parameters
    ----------
    pictures, others : torch.Tensor
        (N, 256) and (M, 256), as `thumbnails` returns them.
    mirrored : bool
        Whether a picture's mirror image counts as its copy too.

    Returns
    -------
    torch.Tensor
        (N,) bool, of `pictures`.
    """
    found = torch.zeros(len(pictures), dtype=torch.bool)
    for other in others.split(_BLOCK):
        for first in range(0, len(pictures), _BLOCK):
            part = slice(first, first + _BLOCK)
            found[part] |= _alike(pictures[part], other, mirrored).any(dim=1)
    return found


def fresh(pictures: Tensor, known: Sequence[Tensor]) -> list[int]:
    """Which pictures are near copies of no known one, and of no earlier one among them.

    Parameters
    ----------
    pictures : torch.Tensor
        (N, 256), as `thumbnails` returns them.
    known : sequence of torch.Tensor
        (M, 256) each.

    Returns
    -------
    list of int
        Their numbers, ascending.
    """
    copies = torch.zeros(len(pictures), dtype=torch.bool)
    for others in known:
        copies |= near_copies(pictures, others)
    alike = _alike(pictures, pictures, mirrored=True)
    found: list[int] = []
    for number in torch.nonzero(~copies).flatten().tolist():
        if not alike[number, found].any():
            found.append(number)
    return found


def _alike(pictures: Tensor, others: Tensor, mirrored: bool) -> Tensor:
    """(N, M) bool: which of some thumbnails correlate with which of others as copies do."""
    pictures, others = _unit(pictures), _unit(others)
    alike = pictures @ others.T > COPY
    if mirrored:
        turned = pictures.view(-1, THUMBNAIL, THUMBNAIL).flip(2).flatten(1)
        alike |= turned @ others.T > COPY
    return alike


def _unit(thumbnails: Tensor) -> Tensor:
    """Thumbnails whose products are their correlations; flat ones correlate with nothing."""
    centred = thumbnails - thumbnails.mean(dim=1, keepdim=True)
    return F.normalize(centred, dim=1, eps=1e-3)
