"""Pictures in and out: any common file to an RGB array, and back, never half a file."""

import io
import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageCms

from course_lib.files import whole_file

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

_PNG = b"\x89PNG\r\n\x1a\n"


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
        turn = _TURNS.get(picture.getexif().get(ExifTags.Base.Orientation))
    except Exception:  # broken EXIF data are no reason to refuse the picture
        turn = None
    return picture if turn is None else picture.transpose(turn)


def _to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert by the embedded ICC profile, where there is one, to sRGB."""
    if not profile or picture.mode not in ("RGB", "CMYK", "L"):
        return picture
    try:
        return ImageCms.profileToProfile(
            picture,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGB",
        )
    except (ImageCms.PyCMSError, OSError):
        return picture  # a broken profile is no reason to refuse the picture


def _sixteen_bits(picture: Image.Image) -> Image.Image:
    """Bring Pillow's integer and float modes ("I;16", "I", "F") down to 8 bits."""
    values = np.nan_to_num(np.asarray(picture, dtype=np.float64))
    if picture.mode == "F" and values.max(initial=0) <= 1:
        values = values * 255
    elif values.max(initial=0) > 255 or picture.mode.startswith("I;16"):
        values = values / 257  # 65535 / 255
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def _flatten(picture: Image.Image) -> Image.Image:
    """Any Pillow mode to RGB, with transparency over white."""
    profile = picture.info.get("icc_profile")  # the conversions below may lose it
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        picture = _sixteen_bits(picture)
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
        if not np.isfinite(values).all() or values.min() < -1e-3 or values.max() > 1 + 1e-3:
            raise ImageError(
                "a float array must hold values in 0..1; divide by 255 if it holds 0..255"
            )
        values = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    elif values.dtype == np.uint16:
        values = np.rint(values / 257).astype(np.uint8)
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
        return np.array(_from_array(source))  # the caller's own array must not change with it
    if isinstance(source, Image.Image):
        return _decode(source, "the picture", max_pixels)
    name = _name(source)
    with _opened(source, name) as file, warnings.catch_warnings():
        # Odd metadata are not the reader's business, and our own limit is stricter than the one
        # that Pillow warns about.
        warnings.simplefilter("ignore")
        try:
            return _read(file, name, max_pixels)
        except ImageError:
            # Pillow refuses PNG files with more than a megabyte of text, as some programs write.
            file.seek(0)
            if file.read(len(_PNG)) != _PNG:
                raise
            return _read(_without_text(file), name, max_pixels)


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
    if os.fstat(file.fileno()).st_size > MAX_BYTES:
        file.close()
        raise ImageError(f"{name}: more than {MAX_BYTES:,} bytes; make the picture smaller first")
    return file


def _content(file: BinaryIO, name: str) -> bytes:
    try:
        data = file.read()
    except UnicodeDecodeError:
        data = ""  # a file opened as text
    except (OSError, ValueError) as error:  # ValueError: a closed file
        raise ImageError(f"{name}: cannot be read ({error})") from None
    if isinstance(data, str):
        raise ImageError(f'{name}: open the file as binary, open(path, "rb")')
    return data


def _read(file: BinaryIO, name: str, max_pixels: int) -> np.ndarray:
    file.seek(0)
    start = file.read(12)
    file.seek(0)
    try:
        picture = Image.open(file, formats=_formats())
    except Image.DecompressionBombError:
        # Pillow has a limit of its own, which counts where max_pixels is larger.
        limit = min(max_pixels, 2 * Image.MAX_IMAGE_PIXELS)
        raise ImageError(f"{name}: more than {limit:,} pixels; make it smaller first") from None
    except MemoryError:
        raise
    except Exception:  # there is no end to what damaged files make Pillow raise
        if start[4:] in (b"ftypheic", b"ftypheix", b"ftypmif1") and "HEIF" not in _formats():
            raise ImageError(
                f"{name}: HEIC needs one more package: pip install pillow-heif"
            ) from None
        raise ImageError(f"{name}: not a picture that can be read (JPEG, PNG, ...)") from None
    return _decode(picture, name, max_pixels)


def _without_text(file: BinaryIO) -> BinaryIO:
    """A PNG file less its chunks of text: comments, and what other programs note down."""
    file.seek(len(_PNG))
    kept = io.BytesIO()
    kept.write(_PNG)
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind in (b"tEXt", b"zTXt", b"iTXt"):
            file.seek(length + 4, os.SEEK_CUR)
        else:
            kept.write(head + file.read(length + 4))
    return kept


def _decode(picture: Image.Image, name: str, max_pixels: int) -> np.ndarray:
    width, height = picture.size
    if width * height > max_pixels:
        raise ImageError(
            f"{name}: {width:,} x {height:,} pixels are more than {max_pixels:,}; "
            "make it smaller first"
        )
    try:
        picture.load()
        return np.array(_flatten(_upright(picture)))
    except MemoryError:
        raise
    except Exception as error:  # there is no end to what damaged files make Pillow raise
        raise ImageError(f"{name}: damaged or cut short ({error}); fetch it again") from None


def save_image(path: str | os.PathLike, rgb: np.ndarray, *, quality: int = 92) -> None:
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
    try:
        with whole_file(path) as file:
            kind = Image.registered_extensions()[path.suffix.lower()]
            picture.save(file, format=kind, **options)
    except (OSError, ValueError) as error:  # ValueError: too large for the format, for one
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{path}: cannot be written ({reason})") from None


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
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ImageError(f"{folder}: no such folder")
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
