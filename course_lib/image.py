"""Pictures in and out: any common file to an RGB array, and back, never half a file."""

import io
import logging
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageCms

from course_lib import mended
from course_lib.files import whole_file
from course_lib.samples import Samples, TooLargeError, ValuesError, declared, raw_values
from course_lib.tiff import TiffError, is_tiff, misread, open_tiff

#: Most pixels that a picture may have: 12,000 x 10,000. A file of a few kilobytes can claim to
#: hold billions ("decompression bomb") and would take all memory.
MAX_PIXELS = 120_000_000

#: Most bytes that a picture's file may have: what so many pixels take that are not compressed,
#: with four channels of 16 bits each, and room for metadata.
MAX_BYTES = 8 * MAX_PIXELS + 64 * 2**20

#: Formats that are opened, whatever a file's name says, as Pillow calls them. Pillow knows dozens
#: more; some of them start other programs (PostScript), and a course has no need of any.
FORMATS = ("AVIF", "BMP", "GIF", "HEIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TIFF", "WEBP")

#: File name endings of pictures that can be written.
WRITABLE = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")

#: File name endings that a folder is searched for.
SUFFIXES = (*WRITABLE, ".jfif", ".gif", ".avif", ".jp2", ".heic", ".heif")


# What these libraries note about damaged files is said in our errors; without a handler Python
# would print it, too.
for _library in ("PIL", "tifffile"):
    logging.getLogger(_library).addHandler(logging.NullHandler())


class ImageError(ValueError):
    """A picture cannot be read or written; the message says why and what to do."""


@cache
def _formats() -> list[str]:
    """Those of `FORMATS` that are there: AVIF came late to Pillow, HEIF comes with pillow-heif."""
    with suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def open_picture(source: str | os.PathLike | BinaryIO) -> Image.Image:
    """A picture as Pillow has it, not decoded yet, if it is of one of `FORMATS`."""
    return Image.open(source, formats=_formats())


def _name(source: object) -> str:
    return str(source) if isinstance(source, str | os.PathLike) else "the picture"


#: What the EXIF orientations 2..8 ask for.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _upright(picture: Image.Image) -> Image.Image:
    """Turn a picture as its EXIF data say.

    Pillow's own `ImageOps.exif_transpose` also writes the EXIF data anew, and fails where a
    camera or an editor filled in a field wrongly.
    """
    try:
        exif = picture.getexif()
        turn = _TURNS.get(exif.get(ExifTags.Base.Orientation, picture.info.get("orientation")))
    except Exception:  # broken EXIF data are no reason to refuse the picture
        turn = None
    return picture if turn is None else picture.transpose(turn)


def _to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert by the embedded ICC profile, where there is one, to sRGB."""
    lab = picture.mode == "LAB"
    if not lab and (not profile or picture.mode not in ("RGB", "CMYK", "L")):
        return picture
    try:
        return ImageCms.profileToProfile(
            picture,
            ImageCms.createProfile("LAB")
            if lab
            else ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGB",
        )
    except (ImageCms.PyCMSError, OSError):
        if lab:
            raise
        return picture  # a broken profile is no reason to refuse the picture


def _to_eight_bits(picture: Image.Image, samples: Samples) -> Image.Image:
    """Bring Pillow's integer and float modes ("I;16", "I", "F") down to 8 bits."""
    values = raw_values(picture, samples)
    small = Image.fromarray(samples.to_bytes(values))
    transparent = picture.info.get("transparency")
    if isinstance(transparent, int):
        small.putalpha(Image.fromarray((values != transparent).astype(np.uint8) * 255))
    return small


def _transparent(picture: Image.Image) -> int | tuple[int, ...] | None:
    """The colour of a PNG that stands for transparent, as Pillow's pixels have it.

    Pillow widens pixels of 2 and 4 bits to 8, and keeps 8 of those of 16, but not this colour.
    """
    colour = picture.info.get("transparency")
    tiles = getattr(picture, "tile", None)  # a file that is not decoded yet has them
    raw = str(tiles[0][3]) if tiles else ""
    if isinstance(colour, int) and raw in ("L;2", "L;4"):
        return colour * (255 // (2 ** int(raw[-1]) - 1))
    if isinstance(colour, tuple) and raw == "RGB;16B":
        return tuple(value >> 8 for value in colour)
    return colour


def _flatten(picture: Image.Image, samples: Samples | None = None) -> Image.Image:
    """Any Pillow mode to RGB, with transparency over white."""
    profile = picture.info.get("icc_profile")  # the conversions below may lose it
    if samples:
        picture = _to_eight_bits(picture, samples)
    if picture.mode == "La":  # Pillow takes it to RGBA by way of LA only
        picture = picture.convert("LA")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture).convert("RGB")
    elif picture.mode == "P":
        picture = picture.convert("RGB")
    return _to_srgb(picture, profile).convert("RGB")


def _from_array(values: np.ndarray) -> np.ndarray:
    if values.ndim == 2:
        values = values[..., None]
    if values.ndim != 3 or values.shape[2] not in (1, 3, 4) or values.size == 0:
        raise ImageError(f"expected an array (H, W), (H, W, 3) or (H, W, 4), got {values.shape}")
    if values.dtype == bool:
        values = values.astype(np.uint8) * 255
    elif np.issubdtype(values.dtype, np.floating):
        try:
            values = Samples(32, "float").to_bytes(values)
        except ValuesError as error:
            raise ImageError(f"the array: {error}") from None
    elif values.dtype.newbyteorder("=") == np.uint16:
        values = Samples(16).to_bytes(values)
    elif values.dtype != np.uint8:
        raise ImageError(
            f"cannot read an array of type {values.dtype}; use uint8, or float in 0..1"
        )
    if values.shape[2] == 4:
        return np.asarray(_flatten(Image.fromarray(values)))
    return np.broadcast_to(values, (*values.shape[:2], 3))


def load_image(
    source: str | os.PathLike | bytes | BinaryIO | Image.Image | np.ndarray,
    *,
    max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """Read a picture as 8-bit sRGB, however it was stored.

    EXIF rotation is applied, an ICC profile is converted to sRGB, palettes are expanded,
    transparency is laid over white, 16-bit and 1-bit pictures become 8-bit, gray becomes three
    equal channels; of an animation the first frame is taken.

    Parameters
    ----------
    source : path, bytes, binary file, PIL.Image.Image or numpy.ndarray
        A path (not a URL), the file's bytes or an open file, or a picture in memory. Arrays are
        (H, W), (H, W, 3) or (H, W, 4): uint8, uint16, bool, or float in 0..1.
        Floats a little outside of 0..1, as sharpening leaves them, are clipped, in arrays and
        files alike.
    max_pixels : int
        Larger pictures are refused before they are decoded.

    Returns
    -------
    numpy.ndarray
        (H, W, 3) uint8 sRGB.

    Raises
    ------
    ImageError
        If it is not a picture, empty, damaged or too large. The message says which.
    """
    if isinstance(source, np.ndarray):
        # np.asarray makes plain arrays of matrices and the like; np.array, since the caller's own
        # must not change with the result
        return np.array(_from_array(np.asarray(source)))
    if isinstance(source, Image.Image):
        return _decode(source, "the picture", max_pixels)
    name = _name(source)
    with _opened(source, name) as file, warnings.catch_warnings():
        # Odd metadata are not the reader's business, and our own limit is stricter than the one
        # that Pillow warns about.
        warnings.simplefilter("ignore")
        try:
            return _read(file, name, max_pixels)
        except _DamagedError as damaged:
            whole = _mended(file, name, max_pixels)
            if whole is None:
                raise ImageError(str(damaged)) from None
            return whole


class _DamagedError(ImageError):
    """A file that Pillow does not take, and that may be mended."""


def _mended(file: BinaryIO, name: str, max_pixels: int) -> np.ndarray | None:
    """The picture in a file that lacks nothing of it; None if there is no such thing."""
    less = mended.without_notes(file)
    if less is not None:
        return _read(less, name, max_pixels, mended.large_profile(file))
    ways = mended.with_end(file)
    if ways is None:
        return None
    first, *others = (_read(io.BytesIO(data), name, max_pixels) for data in ways)
    return first if all(np.array_equal(first, other) for other in others) else None


@contextmanager
def _opened(source: object, name: str) -> Iterator[BinaryIO]:
    """What `load_image` was given, as a binary file that can be sought in and is not empty."""
    if isinstance(source, bytes):
        file: BinaryIO = io.BytesIO(source)
    elif isinstance(source, str | os.PathLike):
        file = _open_path(Path(source), name)
    elif hasattr(source, "read"):
        file = io.BytesIO(_content(source, name))
    else:
        raise ImageError(
            f"cannot read a picture from {type(source).__name__}; pass a path, bytes, an open "
            "file, a PIL image or a numpy array"
        )
    with file:
        if not file.read(1):
            raise ImageError(f"{name}: the file is empty")
        file.seek(0)
        yield file


def _open_path(path: Path, name: str) -> BinaryIO:
    if name.lower().startswith(("http:", "https:")):
        raise ImageError(f"{name}: download the picture first, then pass its path")
    try:
        if path.is_dir():
            raise ImageError(f"{name}: this is a folder, not a picture")
        # opening a pipe would wait for somebody to write to it, perhaps for ever
        if path.exists() and not path.is_file():
            raise ImageError(f"{name}: this is a device or a pipe, not a file")
        file = path.open("rb")
    except FileNotFoundError:
        raise ImageError(f"{name}: no such file") from None
    except OSError as error:
        raise ImageError(f"{name}: cannot be read ({error.strerror or error})") from None
    except ImageError:
        raise
    except ValueError as error:  # a path with a zero byte
        raise ImageError(f"{name}: cannot be read ({error})") from None
    try:
        _check_size(os.fstat(file.fileno()).st_size, name)
    except ImageError:
        file.close()
        raise
    return file


def _check_size(size: int, name: str) -> None:
    if size > MAX_BYTES:
        raise ImageError(f"{name}: more than {MAX_BYTES:,} bytes; make the picture smaller first")


def _content(file: BinaryIO, name: str) -> bytes:
    try:
        if file.seekable():
            start = file.tell()
            size = file.seek(0, os.SEEK_END) - start
            file.seek(start)
            _check_size(size, name)
        data = file.read(MAX_BYTES + 1)
        _check_size(len(data), name)
    except ImageError:
        raise
    except UnicodeDecodeError:
        data = ""  # a file opened as text
    except (OSError, ValueError) as error:  # ValueError: a closed file
        raise ImageError(f"{name}: cannot be read ({error})") from None
    if not isinstance(data, bytes):
        raise ImageError(f'{name}: open the file as binary, open(path, "rb")')
    return data


def _read(file: BinaryIO, name: str, max_pixels: int, profile: bytes | None = None) -> np.ndarray:
    file.seek(0)
    start = file.read(12)
    file.seek(0)
    try:
        picture = open_picture(file)
    except Image.DecompressionBombError:
        # Pillow has a limit of its own, which counts where max_pixels is larger.
        limit = min(max_pixels, 2 * Image.MAX_IMAGE_PIXELS)
        raise ImageError(f"{name}: more than {limit:,} pixels; make it smaller first") from None
    except MemoryError:
        raise
    except Exception:  # there is no end to what damaged files make Pillow raise
        if is_tiff(start):
            return _read_tiff(file, name, max_pixels)
        if start[4:8] == b"ftyp":
            _check_container(file, name, max_pixels)
        raise _DamagedError(f"{name}: not a picture that can be read (JPEG, PNG, ...)") from None
    if misread(picture):
        return _read_tiff(file, name, max_pixels)
    if profile:
        picture.info.setdefault("icc_profile", profile)
    return _decode(picture, name, max_pixels)


def _read_tiff(file: BinaryIO, name: str, max_pixels: int) -> np.ndarray:
    """A TIFF file that is not of the kinds that Pillow knows."""
    try:
        picture = open_tiff(file, max_pixels)
    except (TooLargeError, ValuesError) as error:
        raise ImageError(f"{name}: {error}") from None
    except TiffError as error:
        raise ImageError(f"{name}: not a TIFF picture that can be read ({error})") from None
    return _decode(picture, name, max_pixels)


def _check_container(file: BinaryIO, name: str, max_pixels: int) -> None:
    """Say why a file of the HEIF family is not opened, where it is not damage."""
    file.seek(0)
    start = file.read(2**16)
    if start[8:12] in (b"heic", b"heix", b"mif1") and "HEIF" not in _formats():
        raise ImageError(f"{name}: HEIC needs one more package: pip install pillow-heif")
    # "ispe": the size of one of its pictures (ISO/IEC 23008-12, 6.5.3)
    for at in re.finditer(b"ispe....(....)(....)", start, re.DOTALL):
        width, height = (int.from_bytes(side, "big") for side in at.groups())
        if width * height > max_pixels:
            raise ImageError(f"{name}: {TooLargeError(width, height, max_pixels)}")


def _decode(picture: Image.Image, name: str, max_pixels: int) -> np.ndarray:
    width, height = picture.size
    if width * height == 0:
        raise ImageError(f"{name}: {width} x {height} pixels are no picture")
    if width * height > max_pixels:
        raise ImageError(f"{name}: {TooLargeError(width, height, max_pixels)}")
    try:
        samples = declared(picture)
        transparent = _transparent(picture)
        picture.load()
        if transparent is not None:
            picture.info["transparency"] = transparent
        return np.array(_flatten(_upright(picture), samples))
    except MemoryError:
        raise
    except ValuesError as error:
        raise ImageError(f"{name}: {error}") from None
    except Exception as error:  # there is no end to what damaged files make Pillow raise
        raise _DamagedError(f"{name}: damaged or cut short ({error}); fetch it again") from None


def save_image(
    path: str | os.PathLike, rgb: np.ndarray, *, quality: int = 92, exif: bytes = b""
) -> None:
    """Write a picture; its name's ending decides the format.

    The file appears whole or not at all; see `files.whole_file`.

    Parameters
    ----------
    path : path
        Ends in .png, .jpg, .jpeg, .webp, .tif, .tiff or .bmp. Its folder must exist.
    rgb : numpy.ndarray
        (H, W, 3) or (H, W): uint8, or float in 0..1.
    quality : int
        1..100, for JPEG and WebP.
    exif : bytes
        Notes that go along, as `date_and_caption` returns them; BMP has no place for them.

    Raises
    ------
    ImageError
        If the ending is unknown or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in WRITABLE:
        raise ImageError(f"{path}: cannot write '{path.suffix}'; end it in {', '.join(WRITABLE)}")
    picture = Image.fromarray(_from_array(np.asarray(rgb)))
    options = {"quality": quality} if path.suffix.lower() in (".jpg", ".jpeg", ".webp") else {}
    if path.suffix.lower() in (".jpg", ".jpeg"):
        options["subsampling"] = 0  # 4:2:0 would halve the resolution of the colour we just made
    if exif and path.suffix.lower() != ".bmp":
        options["exif"] = exif
    content = io.BytesIO()
    try:
        picture.save(content, Image.registered_extensions()[path.suffix.lower()], **options)
        with whole_file(path) as file:
            file.write(content.getbuffer())
    except (OSError, ValueError) as error:  # ValueError: too large for the format, for one
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{path}: cannot be written ({reason})") from None


@dataclass
class Found:
    """What is in a folder and the folders below it.

    Attributes
    ----------
    pictures : list of pathlib.Path
        Files whose ending is one of `SUFFIXES`, in any case, sorted.
    unreadable : list of str
        What could not be looked at though it may be a picture or hold some: a line each, with the
        path and the reason.
    others : collections.Counter of str
        How many other files there are, by their endings; and what is hidden, as "hidden", or not
        followed, as "links to folders".
    """

    pictures: list[Path] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)


def search_folder(folder: str | os.PathLike) -> Found:
    """Look for pictures in a folder and the folders below it, and note what is passed over.

    Parameters
    ----------
    folder : path
        Hidden files and folders (whose names start with a dot) are passed over.

    Raises
    ------
    ImageError
        If there is no such folder.
    """
    folder, found = Path(folder), Found()
    if not folder.is_dir():
        raise ImageError(f"{folder}: no such folder")

    def report(error: OSError) -> None:
        found.unreadable.append(f"{error.filename}: cannot be read ({error.strerror or error})")

    for where, folders, files in os.walk(folder, onerror=report):
        for names in (folders, files):
            shown = [name for name in names if not name.startswith(".")]
            found.others["hidden"] += len(names) - len(shown)
            names[:] = shown
        found.others["links to folders"] += sum(
            (Path(where) / name).is_symlink() for name in folders
        )
        for name in files:
            path = Path(where) / name
            if path.suffix.lower() not in SUFFIXES:
                found.others[path.suffix.lower() or "no ending"] += 1
                continue
            try:
                if path.is_file():
                    found.pictures.append(path)
                elif path.is_symlink() and not path.exists():
                    found.unreadable.append(f"{path}: a link to what is not there")
                else:
                    found.unreadable.append(f"{path}: a device or a pipe, not a file")
            except OSError as error:
                report(error)
    found.pictures.sort()
    found.others = +found.others  # without what there are none of
    return found


def list_images(folder: str | os.PathLike) -> list[Path]:
    """Picture files in a folder and the folders below it, sorted by path.

    Parameters
    ----------
    folder : path
        Hidden files and folders (whose names start with a dot) are passed over.

    Returns
    -------
    list of pathlib.Path
        Files whose ending is one of `SUFFIXES`, in any case; may be empty.

    Warns
    -----
    UserWarning
        If a file or a folder could not be looked at.
    """
    found = search_folder(folder)
    for line in found.unreadable:
        warnings.warn(line, stacklevel=2)
    return found.pictures
