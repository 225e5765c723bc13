"""Names of the command line's results, and how they are told from photographs.

A result is named after its own photograph alone, so that what else lies in a folder, or comes into
it later, changes nothing. Its EXIF data say that it is a result, and of which photograph: so it is
never coloured again, and never taken for the result of another photograph of the same name.
"""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from PIL import ExifTags

from course_lib.exif import date_and_caption, read_exif
from course_lib.files import file_hash
from course_lib.image import MAX_BYTES, SUFFIXES
from course_lib.models import NETWORKS

_MADE_BY = "colorize of course_lib, from "
#: Endings of photographs whose results are JPEG too; all others are PNG.
_JPEG = (".jpg", ".jpeg", ".jfif")
#: Endings that the name of a result leaves out, of either kind.
_PLAIN = (".jpg", ".png")
#: Bytes of a file's name on most disks.
_LONGEST = 255


def result_name(photo: str, model: str, mark: str = "") -> str:
    """What a photograph's result is called.

    Parameters
    ----------
    photo : str
        The photograph's file name. Different names give different results: ``a.png`` becomes
        ``a-eccv16.png``, and ``a.bmp``, or ``a.PNG``, keeps its ending: ``a.bmp-eccv16.png``.
    model : str
        The network's name.
    mark : str
        Something to tell it from another one of the same name.
    """
    stem, ending = Path(photo).stem, Path(photo).suffix
    if ending not in _PLAIN or Path(stem).suffix.lower() in SUFFIXES:
        stem = photo
    end = "".join(f"-{part}" for part in (mark, model) if part)
    end += ".jpg" if ending.lower() in _JPEG else ".png"
    if len(os.fsencode(stem + end)) > _LONGEST:
        end = f"-{hashlib.sha256(os.fsencode(stem)).hexdigest()[:8]}{end}"
        while len(os.fsencode(stem + end)) > _LONGEST:
            stem = stem[:-1]
    return stem + end


def digest(path: Path) -> str:
    """Part of a file's sha256; empty where it cannot be read."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            return ""
        return file_hash(path)[:16]
    except OSError:
        return ""


def notes(photo: Path) -> bytes:
    """EXIF data for a photograph's result: its date and caption, and that it is a result of it."""
    return date_and_caption(photo, _MADE_BY + digest(photo))


def made_from(path: Path) -> str | None:
    """The digest of the photograph that a file is the result of; None if it is no result."""
    if not path.stem.endswith(tuple(f"-{name}" for name in NETWORKS)):
        return None
    if _identity(path) is None or not path.is_file():
        return None
    software = read_exif(path).get(ExifTags.Base.Software)
    if not isinstance(software, str) or not software.startswith(_MADE_BY):
        return None
    return software.removeprefix(_MADE_BY).rstrip("\0 ")


class Places:
    """Where results go.

    Parameters
    ----------
    output : pathlib.Path
        Their folder.
    photos : iterable of pathlib.Path
        All photographs of this call: none is ever the place of a result.
    """

    def __init__(self, output: Path, photos: Iterable[Path]):
        self._output = output
        self._photos = {key for photo in photos if (key := _identity(photo))}
        self._taken: dict[str, str] = {}

    def __call__(self, photo: Path, place: Path, model: str) -> Path:
        """The path of a photograph's result.

        Parameters
        ----------
        photo : pathlib.Path
            The photograph.
        place : pathlib.Path
            Its name, with the folders that it is in below its input folder.
        model : str
            The network's name.

        Returns
        -------
        pathlib.Path
            Of the plain name, unless that belongs to another photograph: then part of the
            photograph's own sha256 is in it.
        """
        path = self._output / place.parent / result_name(place.name, model)
        if self._belongs_to_another(path, photo):
            path = path.with_name(result_name(place.name, model, digest(photo)[:8]))
        self._taken[str(path).casefold()] = photo  # as disks compare that do not heed case
        return path

    def _belongs_to_another(self, path: Path, photo: Path) -> bool:
        if (
            self._taken.get(str(path).casefold(), photo) != photo
            or _identity(path) in self._photos
        ):
            return True
        made = made_from(path)
        return made is not None and made != digest(photo)


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from all others, by whatever path it is reached; None if there is none."""
    try:
        status = path.stat()
    except (OSError, ValueError):  # ValueError: a zero byte in its name
        return None
    return status.st_dev, status.st_ino
