"""Which pictures of a public set are held out: decided by the bytes of each file."""

import os
from collections.abc import Sequence
from pathlib import Path

from course_lib.files import file_hash

#: Of 16 pictures one is for validation and one for testing, on average.
PARTS = {"validation": 0, "test": 1}


def part_of(path: str | os.PathLike) -> str:
    """The part that a picture belongs to.

    The same file is in the same part on every machine, under every name and in every folder; a
    copy of a training picture is never held out.

    Parameters
    ----------
    path : path
        Any file.

    Returns
    -------
    {"train", "validation", "test"}
        14, 1 and 1 of 16, by the last hexadecimal digit of the file's sha256.
    """
    return _part(file_hash(path))


def _part(digest: str) -> str:
    digit = int(digest[-1], 16)
    return next((part for part, number in PARTS.items() if digit == number), "train")


def only_part(paths: Sequence[Path], part: str) -> list[Path]:
    """Those of the pictures that belong to a part, in a random order that never changes.

    Parameters
    ----------
    paths : sequence of Path
        Picture files.
    part : {"train", "validation", "test"}
        Which.

    Returns
    -------
    list of Path
        By the files' sha256, so that the first few are a fair sample of all.
    """
    if part not in ("train", *PARTS):
        raise ValueError(f"expected train, validation or test, got {part!r}")
    digests = {path: _digest(path) for path in paths}
    chosen = [path for path in paths if _part(digests[path]) == part]
    return sorted(chosen, key=digests.__getitem__)


def _digest(path: Path) -> str:
    """The file's sha256; of one that cannot be read a digit above all others, for training.

    It stays among the pictures, so that who decodes them can say that it is unreadable.
    """
    try:
        return file_hash(path)
    except OSError:
        return "f" * 64
