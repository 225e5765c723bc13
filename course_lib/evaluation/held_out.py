"""Pictures of public sets that no training has seen."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from course_lib.data.arrays import square
from course_lib.data.copies import near_copies, shrink
from course_lib.data.prepare import GRAY_CHROMA
from course_lib.data.split import only_part
from course_lib.image import ImageError, list_images, load_image
from course_lib.lab import rgb_to_lab

#: Side of the squares that are measured, in pixels.
SIZE = 256
#: A photograph whose shorter side is less than this share of the square's would be measured on
#: invented pixels.
MIN_SHARE = 0.625


def held_out_pictures(
    folders: Sequence[Path],
    part: str,
    count: int,
    *,
    only: Sequence[str] = (),
    without: Sequence[str] = (),
    size: int = SIZE,
    known: Tensor | None = None,
) -> list[np.ndarray]:
    """Centre squares of pictures in folders that no training may have seen.

    Parameters
    ----------
    folders : sequence of Path
        Searched with their subfolders.
    part : {"train", "validation", "test"}
        By the files' hashes; see `data.split`.
    count : int
        At most so many, a fair sample. Gray and unreadable pictures are passed over, and those
        whose shorter side is below 0.625 of `size`.
    only, without : sequence of str
        Subfolders, at any depth ("val", "photo/person"): pictures elsewhere, and pictures in
        those, are passed over.
    size : int
        Of the squares, in pixels.
    known : torch.Tensor, optional
        (N, 256), the training pictures as `data.copies.thumbnails` makes them: near copies of
        those are passed over, too.

    Returns
    -------
    list of numpy.ndarray
        (size, size, 3) uint8.
    """

    def wanted(path: str) -> bool:
        inside, outside = ([f"/{name}/" in path for name in names] for names in (only, without))
        return (any(inside) or not only) and not any(outside)

    paths = [
        path
        for folder in folders
        for path in list_images(folder)
        if wanted(f"/{path.relative_to(folder).as_posix()}")
    ]
    smallest = round(MIN_SHARE * size)
    chosen = []
    for path in only_part(paths, part):
        try:
            rgb = load_image(path)
        except ImageError:
            continue
        if min(rgb.shape[:2]) < smallest:
            continue
        L, a, b = np.moveaxis(rgb_to_lab(square(rgb, 64)), -1, 0)
        if np.hypot(a, b).mean() < GRAY_CHROMA:
            continue
        if known is not None and near_copies(
            shrink(torch.from_numpy(L.copy())[None, None]),
            known,
            mirrored=False,  # as the figures that ship were measured
        ):
            continue
        chosen.append(square(rgb, size))
        if len(chosen) == count:
            break
    if not chosen:
        where = ", ".join(map(str, (*folders, *only)))
        raise ValueError(f"no pictures of at least {smallest} pixels in {part} of {where}")
    return chosen
