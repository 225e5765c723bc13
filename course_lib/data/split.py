"""Which pictures of a public set are held out: decided by the bytes of each file."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

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
    digit = int(hashlib.sha256(Path(path).read_bytes()).hexdigest()[-1], 16)
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
    chosen = [path for path in paths if part_of(path) == part]
    return sorted(chosen, key=lambda path: hashlib.sha256(path.read_bytes()).digest())
