"""The photographs that ship with the course, and their splits."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import numpy as np

from course_lib.files import data_folder
from course_lib.image import load_image

#: Splits, by photograph: no picture, and no second picture of the same thing, is in two.
SPLITS = ("train", "validation", "test")
#: Kinds: natural photographs, objects cut out on white, pictures that were always gray.
KINDS = ("scene", "object", "gray")


@dataclass(frozen=True)
class Photo:
    """A photograph that ships with the course.

    Attributes
    ----------
    name : str
        Its path below data/photos, without the ending: "scenes/dune".
    path : pathlib.Path
        The file.
    kind : str
        One of `KINDS`.
    subject : str
        What it shows, in a word: "fruit", "bird", "landscape", ...
    split : str
        One of `SPLITS`.
    title, author, licence, package : str
        Where it comes from; data/README.md says more.
    description : str
        A sentence for who cannot see it.
    """

    name: str
    path: Path
    kind: str
    subject: str
    split: str
    title: str
    author: str
    licence: str
    package: str
    description: str

    def load(self) -> np.ndarray:
        """The picture: (H, W, 3) uint8 sRGB."""
        return load_image(self.path)


@cache
def _table() -> tuple[Photo, ...]:
    folder = data_folder() / "photos"
    with (folder / "photos.csv").open(newline="", encoding="utf-8") as file:
        return tuple(
            Photo(
                name=row["file"].rsplit(".", 1)[0],
                path=folder / row["file"],
                **{field.name: row[field.name] for field in fields(Photo)[2:]},
            )
            for row in csv.DictReader(file)
        )


def photos(
    split: str | None = None,
    kind: str | None = None,
    subject: str | Sequence[str] | None = None,
) -> list[Photo]:
    """The shipped photographs, or some of them.

    Parameters
    ----------
    split : {"train", "validation", "test"}, optional
        All three unless given.
    kind : {"scene", "object", "gray"}, optional
        All three unless given.
    subject : str or sequence of str, optional
        All unless given.

    Returns
    -------
    list of Photo
        In the order of data/photos/photos.csv.
    """
    for value, allowed in ((split, SPLITS), (kind, KINDS)):
        if value is not None and value not in allowed:
            raise ValueError(f"expected one of {', '.join(allowed)}, got {value!r}")
    subjects = (subject,) if isinstance(subject, str) else subject
    known = {photo.subject for photo in _table()}
    for value in subjects or ():
        if value not in known:
            raise ValueError(f"no photo shows {value!r}; subjects: {', '.join(sorted(known))}")
    return [
        photo
        for photo in _table()
        if split in (None, photo.split)
        and kind in (None, photo.kind)
        and (subjects is None or photo.subject in subjects)
    ]


def load_photo(name: str) -> np.ndarray:
    """A shipped photograph by name.

    Parameters
    ----------
    name : str
        For example "scenes/dune"; `photos()` lists them.

    Returns
    -------
    numpy.ndarray
        (H, W, 3) uint8 sRGB.
    """
    for photo in _table():
        if photo.name == name:
            return photo.load()
    close = [photo.name for photo in _table() if name.rsplit("/", 1)[-1] in photo.name]
    hint = f"; did you mean {', '.join(close[:3])}?" if close else "; photos() lists them"
    raise ValueError(f"no photo called {name!r}{hint}")
