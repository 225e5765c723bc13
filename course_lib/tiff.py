"""TIFF pictures in ways that Pillow does not know: odd numbers of bits, 64-bit floats, ...

Pillow has a list of combinations of bits, format, polarity and byte order. Everything that is not
on it is read here, with tifffile, which scikit-image brings along.
"""

import math
import zlib
from typing import BinaryIO

import numpy as np
from PIL import Image

from course_lib.samples import Samples, TooLargeError, ValuesError, sample_format

#: TIFF's numbers for kinds of pictures (PhotometricInterpretation); how many samples each has.
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK = 0, 1, 2, 3, 5
_CHANNELS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4}
#: And for fields, and for compressions: PackBits, and deflate under two numbers.
_BITS, _COMPRESSION, _ORIENTATION, _PLANES = 258, 259, 274, 284
_COLORMAP, _ICC_PROFILE = 320, 34675
_PACKED, _ZLIB = (32773,), (8, 32946)


class TiffError(ValueError):
    """A file is no TIFF picture that can be read; the message says why."""


def is_tiff(start: bytes) -> bool:
    """Whether a file that begins so is a TIFF, or a large one (BigTIFF)."""
    return start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def misread(picture: Image.Image) -> bool:
    """Whether Pillow takes a picture's 16-bit planes, one for each colour, for 8-bit ones."""
    fields = getattr(picture, "tag_v2", {})
    wide = max(np.ravel(fields.get(_BITS, 1))) > 8
    return wide and fields.get(_PLANES, 1) == 2 and fields.get(_COMPRESSION, 1) == 1


def open_tiff(file: BinaryIO, max_pixels: int) -> Image.Image:
    """Read the first picture of a TIFF file.

    Parameters
    ----------
    file : binary file
        The whole file, which can be sought in.
    max_pixels : int
        Larger pictures are refused before they are decoded.

    Returns
    -------
    PIL.Image.Image
        In 8 bits, as stored: its orientation and its ICC profile are in its ``info``.

    Raises
    ------
    TiffError
        If it cannot be read.
    """
    # Loaded only here: hardly a picture needs it.
    import tifffile

    try:
        file.seek(0)
        with tifffile.TiffFile(file) as tiff:
            page = tiff.pages[0]
            if page.imagewidth * page.imagelength > max_pixels:
                raise TooLargeError(page.imagewidth, page.imagelength, max_pixels)
            picture = _to_pillow(page, _values(page))
            picture.info["orientation"] = _tag(page, _ORIENTATION)
            picture.info["icc_profile"] = _tag(page, _ICC_PROFILE)
            return picture
    except (TooLargeError, ValuesError, MemoryError):
        raise
    except Exception as error:  # there is no end to what damaged files make a reader raise
        raise TiffError(str(error).partition("\n")[0]) from None


def _tag(page, number: int):
    return page.tags[number].value if number in page.tags else None


def _values(page) -> np.ndarray:
    """All samples of the picture, (H, W, S)."""
    if page.photometric not in _CHANNELS or page.imagedepth != 1:
        raise TiffError(f"its kind of colours, number {int(page.photometric)}, is not read")
    if page.compression not in (1, *_PACKED, *_ZLIB):
        raise TiffError(f"its compression, number {int(page.compression)}, is not read so")
    bits = page.tags[_BITS].value if _BITS in page.tags else 1
    if isinstance(bits, tuple) and len(set(bits)) > 1:
        raise TiffError("its samples have different numbers of bits")
    _check_segments(page)
    if page.bitspersample not in (1, 8, 16, 32, 64):
        return _unpacked(page)
    values = page.asarray().reshape(-1)
    height, width, count = page.imagelength, page.imagewidth, page.samplesperpixel
    if page.planarconfig == 2:
        return values.reshape(count, height, width).transpose(1, 2, 0)
    return values.reshape(height, width, count)


def _check_segments(page) -> None:
    """Refuse strips or tiles that are missing, or that unpack to more than belongs there."""
    file = page.parent.filehandle
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    if not segments or any(count < 1 or at + count > file.size for at, count in segments):
        raise TiffError("some of its pixels are missing")
    if page.compression in _ZLIB:
        most = math.prod(page.chunks) * 8
        for at, count in segments:
            file.seek(at)
            if len(zlib.decompressobj().decompress(file.read(count), most + 1)) > most:
                raise TiffError("its pixels unpack to more than the picture holds")


def _unpacked(page) -> np.ndarray:
    """Integers of 2..31 bits, written one after the other; every row begins with a new byte."""
    import tifffile

    bits, file = page.bitspersample, page.parent.filehandle
    if page.predictor != 1 or page.sampleformat == 3:
        raise TiffError(f"{bits} bits a sample are not read in this layout")
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    samples = page.samplesperpixel // planes
    rows = page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength)
    columns = page.tilewidth if page.is_tiled else page.imagewidth
    down, across = -(-page.imagelength // rows), -(-page.imagewidth // columns)
    out = np.zeros((planes, down * rows, across * columns, samples), np.uint32)
    unpack = tifffile.TIFF.DECOMPRESSORS[page.compression] if page.compression != 1 else bytes
    for number, (at, count) in enumerate(zip(page.dataoffsets, page.databytecounts, strict=True)):
        plane, number = divmod(number, down * across)
        top, left = number // across * rows, number % across * columns
        file.seek(at)
        codes = np.frombuffer(unpack(file.read(count)), np.uint8)
        length = rows if page.is_tiled else min(rows, page.imagelength - top)
        row_bytes = -(-columns * samples * bits // 8)
        codes = codes[: length * row_bytes].reshape(length, row_bytes)
        if bits == 24 and page.parent.byteorder == "<":
            codes = codes.reshape(length, -1, 3)[..., ::-1].reshape(length, row_bytes)
        places = np.unpackbits(codes, axis=1, bitorder="little" if page.fillorder == 2 else "big")
        places = places[:, : columns * samples * bits].reshape(length, columns, samples, bits)
        part = out[plane, top : top + length, left : left + columns]
        for place in range(bits):
            part <<= 1
            part |= places[..., place]
    values = out[:, : page.imagelength, : page.imagewidth]
    values = values.transpose(1, 2, 0, 3).reshape(page.imagelength, page.imagewidth, -1)
    if page.sampleformat == 2:
        values = (values << (32 - bits)).view(np.int32) >> (32 - bits)
    return values


def _to_pillow(page, values: np.ndarray) -> Image.Image:
    """The picture in 8 bits, of one of Pillow's modes."""
    channels = _CHANNELS[page.photometric]
    if values.shape[2] < channels:
        raise TiffError("it has fewer samples a pixel than its kind of colours needs")
    kind = sample_format(page.sampleformat)
    if page.photometric == _PALETTE:
        table = np.asarray(_tag(page, _COLORMAP), np.uint16).reshape(3, -1)
        return Image.fromarray((table[:, values[..., 0]] >> 8).astype(np.uint8).transpose(1, 2, 0))
    polarity = page.photometric == _WHITE_IS_ZERO
    codes = Samples(page.bitspersample, kind, polarity).to_bytes(values[..., :channels])
    extra = int(page.extrasamples[0]) if page.extrasamples else 0
    if extra in (1, 2) and values.shape[2] > channels and page.photometric != _CMYK:
        alpha = Samples(page.bitspersample, kind).to_bytes(values[..., channels : channels + 1])
        white = 255 - alpha.astype(np.int32)
        if extra == 2:  # else the colours are multiplied by it already
            codes = np.rint(codes * (alpha / 255))
        codes = np.clip(codes + white, 0, 255).astype(np.uint8)
    mode = {1: "L", 3: "RGB", 4: "CMYK"}[channels]
    size = page.imagewidth, page.imagelength
    return Image.frombytes(mode, size, np.ascontiguousarray(codes).tobytes())
