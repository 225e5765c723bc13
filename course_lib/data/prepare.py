"""Folders of photographs as one array of Lab pixels, without those that no training should see."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import numpy as np
from tqdm.auto import tqdm

from course_lib.data.arrays import encode_lab, square
from course_lib.data.copies import fresh, thumbnails
from course_lib.fast_lab import rgb_to_lab
from course_lib.files import check_room, whole_file
from course_lib.image import ImageError, load_image

#: A picture whose mean chroma is lower teaches a network only that things are gray.
GRAY_CHROMA = 3.0
#: Pictures that are decoded, compared and written at a time.
_TOGETHER = 1024
#: Names of folders that say nothing about what is on a picture.
_NO_KINDS = {"", "train", "val", "test"}
#: Bytes that an .npy file begins with.
_HEADER = 128


def labels_of(array: str | os.PathLike) -> Path:
    """Where the labels of an array's pictures lie, if it has some: beside it."""
    return Path(array).with_suffix(".labels.npy")


def kinds_of(paths: Sequence[str | os.PathLike]) -> list[int]:
    """What is on pictures, where a set keeps every kind in a folder of its own.

    Parameters
    ----------
    paths : sequence of path
        Picture files.

    Returns
    -------
    list of int
        The number of each picture's folder among all their folders, in alphabetical order. Folders
        called "images" are passed over, as in "fox/images/1.jpg"; a part of a set ("train", "val",
        "test") is no kind: -1.
    """
    folders = []
    for path in paths:
        parents = [parent.name for parent in Path(path).parents if parent.name != "images"]
        folders.append(parents[0] if parents else "")
    kinds = sorted({*folders} - _NO_KINDS)
    return [-1 if folder in _NO_KINDS else kinds.index(folder) for folder in folders]


def build_array(
    paths: Sequence[str | os.PathLike],
    output: str | os.PathLike,
    size: int,
    *,
    min_chroma: float = GRAY_CHROMA,
    unlike: Sequence[np.ndarray] | None = None,
    labels: Sequence[int] | None = None,
    progress: bool = True,
) -> dict[str, int]:
    """Decode photographs once into an .npy file for training.

    Parameters
    ----------
    paths : sequence of path
        Picture files.
    output : path
        The .npy to write: (N, 3, size, size) uint8, as `arrays.encode_lab` makes it, in the
        order of the paths.
    size : int
        Side of the centre squares, in pixels.
    min_chroma : float
        Pictures whose mean chroma is lower are gray, and left out.
    unlike : sequence of numpy.ndarray, optional
        Arrays of pictures of any size, (M, 3, H, W) uint8, that are held out: near copies of
        theirs are left out, and near copies of pictures that were taken already; see
        `copies.near_copies`. An empty sequence looks for the latter alone; None for neither.
    labels : sequence of int, optional
        The kind of each picture, from 0, or -1 where it is unknown. Those of the pictures that
        are kept are written into the file that `labels_of` names, (N,) int64.
    progress : bool
        Show a progress bar.

    Returns
    -------
    dict
        Counts: "kept", "gray", "unreadable", and "copies" where they were looked for.

    Raises
    ------
    ValueError
        If no picture is left; nothing is written then.
    OSError
        If the disk has no room for all of them; nothing is begun then.
    """
    if not paths:
        raise ValueError("no pictures to decode; check the folder's name")
    check_room(output, len(paths) * 3 * size**2 + _HEADER)
    counts = {"kept": 0, "gray": 0, "unreadable": 0}
    if unlike is not None:
        counts["copies"] = 0
        known = [thumbnails(codes) for codes in unlike]

    def decode(path: str | os.PathLike) -> np.ndarray | str:
        try:
            rgb = square(load_image(path), size)
        except (ImageError, MemoryError):
            return "unreadable"
        planes = np.stack(rgb_to_lab(rgb))
        if np.hypot(*planes[1:]).mean() < min_chroma:
            return "gray"
        return encode_lab(planes.transpose(1, 2, 0)).transpose(2, 0, 1)

    kept: list[int] = []
    bar = tqdm(total=len(paths), disable=not progress, unit="picture", mininterval=1)
    # Pillow and NumPy let go of Python's lock while they work: threads use all cores.
    with whole_file(output) as file, ThreadPoolExecutor(os.cpu_count()) as pool, bar:
        _write_header(file, len(paths), size)
        for first in range(0, len(paths), _TOGETHER):
            some = paths[first : first + _TOGETHER]
            decoded = list(pool.map(decode, some))
            numbers = [first + i for i, one in enumerate(decoded) if not isinstance(one, str)]
            for reason in ("gray", "unreadable"):
                counts[reason] += sum(one is reason for one in decoded)
            pictures = [one for one in decoded if not isinstance(one, str)]
            if unlike is not None and pictures:
                small = thumbnails(np.stack(pictures))
                new = fresh(small, known)
                counts["copies"] += len(pictures) - len(new)
                pictures, numbers = ([both[i] for i in new] for both in (pictures, numbers))
                known.append(small[new])
            for picture in pictures:
                file.write(picture.tobytes())
            counts["kept"] += len(pictures)
            kept += numbers
            bar.update(len(some))
        if not counts["kept"]:
            raise ValueError(f"none of {len(paths)} pictures could be used: {counts}")
        file.seek(0)
        _write_header(file, counts["kept"], size)
        if labels is not None:  # before the array has its name: where that is, they are too
            with whole_file(labels_of(output)) as beside:
                np.save(beside, np.array([labels[number] for number in kept], dtype=np.int64))
    return counts


def _write_header(file: BinaryIO, count: int, size: int) -> None:
    """Begin an .npy file. NumPy leaves room for any count, so it can be written anew later."""
    shape = (count, 3, size, size)
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
