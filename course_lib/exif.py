"""What a photograph's EXIF data say about when and of what it was taken, to be kept in a result.

Exchangeable image file format, CIPA DC-008. Orientation is not among it, since a picture that was
loaded stands upright; nor is where it was taken, nor what the camera says about itself.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from PIL import ExifTags, Image

from course_lib.image import open_picture

_CAPTION = ExifTags.Base.ImageDescription
_KEPT = (_CAPTION, ExifTags.Base.DateTime, ExifTags.Base.Artist, ExifTags.Base.Copyright)
_KEPT_INSIDE = (
    ExifTags.Base.DateTimeOriginal,
    ExifTags.Base.DateTimeDigitized,
    ExifTags.Base.OffsetTime,
    ExifTags.Base.OffsetTimeOriginal,
    ExifTags.Base.OffsetTimeDigitized,
    ExifTags.Base.SubsecTime,
    ExifTags.Base.SubsecTimeOriginal,
    ExifTags.Base.SubsecTimeDigitized,
)
#: Most bytes of one note: a JPEG file has room for 65,533 in all.
_LONGEST = 5_000


def read_exif(path: str | os.PathLike) -> Image.Exif:
    """The EXIF data of a picture file; empty where it has none, or none that can be read."""
    try:
        with open_picture(path) as picture:
            data = picture.info.get("exif")
            # Pillow would decode a whole PNG to look for them behind its pixels
            if data is None and picture.format != "PNG":
                exif = picture.getexif()
            else:
                exif = Image.Exif()
                exif.load(data)
            exif.get_ifd(ExifTags.IFD.Exif)  # read now, while the file is open
            return exif
    except Exception:  # there is no end to what damaged files make Pillow raise
        return Image.Exif()


def date_and_caption(path: str | os.PathLike, software: str) -> bytes:
    """Notes for a result: date, caption, author and rights of the photograph it was made from.

    Parameters
    ----------
    path : path
        The photograph.
    software : str
        What the result was made by.

    Returns
    -------
    bytes
        EXIF data, for `save_image`.
    """
    found, kept = read_exif(path), Image.Exif()
    kept[ExifTags.Base.Software] = software
    for name, value in _texts(found, _KEPT):
        # Pillow reads bytes of whatever alphabet as Latin-1, and would write ASCII alone
        kept[name] = value.encode("latin-1", "replace")
    inside = kept.get_ifd(ExifTags.IFD.Exif)
    with suppress(Exception):  # damaged EXIF data cost themselves and nothing else
        inside.update(_texts(found.get_ifd(ExifTags.IFD.Exif), _KEPT_INSIDE))
    return kept.tobytes()


def _texts(found: Mapping, names: Sequence[int]) -> Iterator[tuple[int, str]]:
    """Those of the notes that are there, and are texts of a sensible length."""
    for name in names:
        value = found.get(name)
        if isinstance(value, str) and 0 < len(value.rstrip("\0")) <= _LONGEST:
            yield name, value.rstrip("\0")
