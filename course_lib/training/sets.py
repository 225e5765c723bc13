"""The arrays that the course's networks learn from and are held to, one command for all sets.

    python -m course_lib.training arrays --output runs/arrays --folder pacs ~/pictures/PACS

A set that has no folder is fetched; see `course_lib.data.public`. Of each come three arrays, by
the files' hashes: NAME-train.npy, NAME-validation.npy and NAME-test.npy. Training pictures that
are near copies of a picture that any set holds out, or of each other, are left out.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from course_lib.data.prepare import build_array, kinds_of
from course_lib.data.public import fetch_dataset
from course_lib.data.split import PARTS, only_part
from course_lib.image import list_images
from course_lib.training.runs import load_array


class TrainingSet(NamedTuple):
    """How a public set is learned from.

    Attributes
    ----------
    size : int
        Side of the squares, in pixels: 128, or the pictures' own where they are smaller.
    only : tuple of str
        The subfolders that are taken; all, if none is named.
    """

    size: int = 128
    only: tuple[str, ...] = ()


#: Names as in `course_lib.data.public.PUBLIC_SETS`.
TRAINING_SETS = {
    "miniplaces": TrainingSet(),
    "mini-imagenet": TrainingSet(size=84),
    "flickr8k": TrainingSet(),
    "imagenette-224": TrainingSet(),
    "caltech-101": TrainingSet(only=("101_ObjectCategories",)),
    "pacs": TrainingSet(only=("photo",)),
    "intel-scenes": TrainingSet(),
    "tiny-imagenet": TrainingSet(size=64, only=("train", "val")),
}


def array_of(folder: str | os.PathLike, name: str, part: str) -> Path:
    """Where the array of a part ("train", "validation", "test") of a set lies in a folder."""
    return Path(folder) / f"{name}-{part}.npy"


def build_arrays(
    output: str | os.PathLike,
    folders: Mapping[str, Path],
    *,
    names: Sequence[str] = tuple(TRAINING_SETS),
    progress: bool = True,
) -> dict[str, dict[str, int]]:
    """Make the arrays of public sets, those that are held out first.

    Arrays that are there already are kept: after an interrupt the same call goes on.

    Parameters
    ----------
    output : path
        Folder for the arrays; made if need be.
    folders : mapping of str to Path
        Where a set lies on this machine; others are fetched.
    names : sequence of str
        Which sets, of `TRAINING_SETS`.
    progress : bool
        Show progress bars.

    Returns
    -------
    dict
        Name of each new array to counts, as `build_array` returns them.

    Raises
    ------
    ValueError
        If a folder is given for a set that nobody knows, or a part of a set has no pictures.
    DatasetError
        If a set cannot be fetched.
    """
    unknown = {*folders, *names} - TRAINING_SETS.keys()
    if unknown:
        raise ValueError(
            f"no training set called {', '.join(sorted(unknown))}; there are "
            f"{', '.join(TRAINING_SETS)}"
        )
    Path(output).mkdir(parents=True, exist_ok=True)
    pictures = {name: _pictures(name, folders.get(name), progress) for name in names}
    counts = {}
    for parts in (tuple(PARTS), ("train",)):
        for name, paths in pictures.items():
            for part in parts:
                target = array_of(output, name, part)
                if target.exists():
                    continue
                # by name, so that what is fetched and not wanted now is kept out of training too
                held_out = [array_of(output, other, p) for other in TRAINING_SETS for p in PARTS]
                unlike = [load_array(path) for path in held_out if path.exists()]
                chosen = only_part(paths, part)
                counts[target.stem] = build_array(
                    chosen,
                    target,
                    TRAINING_SETS[name].size,
                    unlike=unlike if part == "train" else None,
                    labels=kinds_of(chosen) if part == "train" else None,
                    progress=progress,
                )
    return counts


def _pictures(name: str, folder: Path | None, progress: bool) -> list[Path]:
    """The pictures of a set, of the subfolders that are taken."""
    folder = folder or fetch_dataset(name, progress=progress)
    only = TRAINING_SETS[name].only
    return [
        path
        for path in list_images(folder)
        if not only or not {*only}.isdisjoint(path.relative_to(folder).parts[:-1])
    ]
